"""Whether the newsletter can do its work just now, from the rows; nothing here names a person or an edition."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.database.heartbeat import BACKUP_PART, SCHEDULER_PART, find_heartbeat
from newsletter.database.instance import HOW_TO_UNLOCK, find_lock
from newsletter.database.session import Database, DatabaseUnusable
from newsletter.delivery.model import AttemptState
from newsletter.delivery.tables import Attempt
from newsletter.errors import Refused
from newsletter.migrations import pending
from newsletter.notices.reader_mailing import GIVEN_UP_AFTER
from newsletter.operations.model import Check, State
from newsletter.provider_events.consequences import SILENCE
from newsletter.provider_events.model import PostState
from newsletter.provider_events.queries import count_posts, find_last_post, find_unheard
from newsletter.schedule.due import is_silent, went_back
from newsletter.settings import Settings
from newsletter.subscribers.reader_notices import count_waiting

UNCERTAIN_FOR = timedelta(minutes=15)
"""After so long without an event, only a person can say what became of an attempt."""

READERS_WAIT = timedelta(minutes=5)
"""Somebody who waits longer for a link thinks that nothing comes."""

BACKUP_EVERY = timedelta(days=2)
"""A backup older than this is worth a word."""


def check_readiness(database: Database, settings: Settings, now: datetime) -> list[Check]:
    """How the database, its lock, the scheduler, the clock, uncertain attempts and provider events stand."""
    try:
        steps = pending(database.engine)
        if steps:
            return [_stop("database", f"it lacks {len(steps)} steps", "Run: newsletter database upgrade")]
        with database.read() as session:
            seen = find_heartbeat(session, SCHEDULER_PART)
            return [
                Check("database", State.OK, "reachable and up to date"),
                check_lock(session),
                check_scheduler(seen, now),
                check_clock(seen, now),
                check_uncertain(session, now),
                check_events(session, settings, now),
                check_reader_notices(session, now),
            ]
    except (DatabaseUnusable, Refused) as error:
        return [_stop("database", str(error), "")]


def check_lock(session: Session) -> Check:
    """Whether editions may be sent from this database."""
    if reason := find_lock(session):
        return _stop("sending", f"locked: {reason}", HOW_TO_UNLOCK)
    return Check("sending", State.OK, "not locked")


def check_scheduler(seen: datetime | None, now: datetime) -> Check:
    """Whether the scheduler was at work within three of its periods."""
    if is_silent(seen, now):
        told = f"was last at work {_ago(now - seen)} ago" if seen else "has never run here"
        return _stop("scheduler", told, "Start it: newsletter serve, or newsletter scheduler")
    return Check("scheduler", State.OK, "at work")


def check_clock(seen: datetime | None, now: datetime) -> Check:
    """Whether the clock was put back behind the scheduler's last sign of life; nothing is due meanwhile."""
    if seen is not None and went_back(seen, now):
        return _stop(
            "clock", f"is {_ago(seen - now)} before the scheduler's last sign of life", "Set the clock by NTP."
        )
    return Check("clock", State.OK, "goes on")


def check_uncertain(session: Session, now: datetime) -> Check:
    """How old the oldest attempt is of which nobody knows what became of it."""
    oldest = session.scalar(select(func.min(Attempt.started_at)).where(Attempt.state == AttemptState.UNCERTAIN))
    if oldest is None:
        return Check("uncertain", State.OK, "none")
    state = State.WARN if now - oldest > UNCERTAIN_FOR else State.OK
    return Check("uncertain", state, f"the oldest is {_ago(now - oldest)} old", "See: newsletter status")


def check_events(session: Session, settings: Settings, now: datetime) -> Check:
    """Whether what the provider tells comes in and is applied."""
    name = "provider events"
    posts, last = count_posts(session), find_last_post(session)
    told = f"the last came {_ago(now - last)} ago" if last else "none came yet"
    waiting, aside = posts.get(PostState.WAITING, 0), posts.get(PostState.SET_ASIDE, 0)
    if waiting and not settings.machine.suppression_key.get_secret_value():
        remedy = "Put NEWSLETTER_SUPPRESSION_KEY back into .env: without it no address can be compared."
        return Check(name, State.WARN, f"{waiting} posts wait, because SUPPRESSION_KEY is not set", remedy)
    if settings.machine.transport == "sendgrid":
        since = find_unheard(session, now)
        if since and now - since > SILENCE:
            remedy = (
                "See that SendGrid posts its events to /webhooks/sendgrid/events, and that SENDGRID_WEBHOOK_PUBLIC_KEY "
                "is its key."
            )
            return Check(name, State.WARN, f"nothing is heard of what was handed over {_ago(now - since)} ago", remedy)
    if aside:
        return Check(name, State.WARN, f"{aside} posts could not be applied; {told}", "See: newsletter events list")
    return Check(name, State.OK, f"{told}, {waiting} posts wait" if waiting else told)


def check_reader_notices(session: Session, now: datetime) -> Check:
    """Whether readers get what they wait for at a screen, such as the link that confirms their sign-up."""
    name = "mails to readers"
    waiting = count_waiting(session, now=now, wanted_after=now - GIVEN_UP_AFTER)
    if waiting.oldest is None:
        return Check(name, State.OK, "none waits")
    told = f"{waiting.count} wait, the oldest for {_ago(now - waiting.oldest)}"
    late = now - waiting.oldest > READERS_WAIT
    remedy = "See that the scheduler is at work, and in its log why they do not go." if late else ""
    return Check(name, State.WARN if late else State.OK, told, remedy)


def check_backup(session: Session, now: datetime) -> Check:
    """How old the last backup is."""
    made = find_heartbeat(session, BACKUP_PART)
    remedy = "Make one every night: newsletter database backup DIR"
    if made is None:
        return Check("backup", State.WARN, "none was made yet", remedy)
    state = State.WARN if now - made > BACKUP_EVERY else State.OK
    return Check("backup", state, f"the last one is {_ago(now - made)} old", remedy if state is State.WARN else "")


def _stop(name: str, told: str, remedy: str) -> Check:
    return Check(name, State.STOP, told, remedy)


def _ago(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"

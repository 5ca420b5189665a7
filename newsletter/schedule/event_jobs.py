"""What is done with the events of the provider: applied soon after they came, and looked through once in a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from newsletter.clock import Clock
from newsletter.database.audit import PROVIDER
from newsletter.database.session import DATABASE_AWAY, Database
from newsletter.delivery.evidence import accept_attempt
from newsletter.log import get_log
from newsletter.provider_events import actions
from newsletter.provider_events.inbox import delete_old_posts
from newsletter.provider_events.queries import find_unsettled, find_waiting_post
from newsletter.providers.sendgrid.events import Unreadable, read_post
from newsletter.schedule.looking import IsStopping
from newsletter.schedule.rules import EventRules

_log = get_log(__name__)

LOOK_THROUGH_EVERY = timedelta(hours=1)


class EventReader:
    """Applies what waits whenever it is told to look, and looks through all of it once in a while."""

    def __init__(self, database: Database, clock: Clock, rules: EventRules) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._looked_at: datetime | None = None

    def look(self, is_stopping: IsStopping) -> None:
        """Apply the posts that wait; ends with the one that is being applied."""
        apply_waiting(self._database, self._clock, self._rules, is_stopping)
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= LOOK_THROUGH_EVERY:
            look_through(self._database, self._clock, self._rules)
            self._looked_at = now


def apply_waiting(database: Database, clock: Clock, rules: EventRules, is_stopping: IsStopping = lambda: False) -> int:
    """Apply every post that waits, each in a transaction of its own; gives how many are done with.

    One that cannot be applied is set aside with the reason, so that it keeps no other from being applied.
    """
    done = 0
    while not is_stopping():
        with database.read() as session:
            waiting = find_waiting_post(session)
        if waiting is None:
            break
        number, body = waiting
        try:
            _apply(database, clock, rules, number, body)
        except DATABASE_AWAY:
            raise
        except Unreadable as error:
            _set_aside(database, clock, number, str(error))
        except Exception as error:
            # By its name alone: its words may hold an address.
            _log.error("provider post was not applied", post=number, error=type(error).__name__)
            _set_aside(database, clock, number, f"it could not be applied: {type(error).__name__}")
        done += 1
    if done:
        with database.write() as session:
            actions.assign_bounces(session, now=clock.now())
    return done


def look_through(database: Database, clock: Clock, rules: EventRules) -> None:
    """Suppress who bounced too often, and delete posts that are old enough."""
    now = clock.now()
    with database.write() as session:
        actions.suppress_soft_bounces(session, rules.soft_bounces, suppression_key=rules.suppression_key, now=now)
    with database.write() as session:
        delete_old_posts(session, now=now, days=rules.keep_days)


def _apply(database: Database, clock: Clock, rules: EventRules, number: int, body: bytes) -> None:
    reading = read_post(body)
    with database.read() as session:
        unsettled = find_unsettled(session, reading.events)
    for attempt, reference in unsettled.items():
        # One in each transaction: it locks a batch and then its send, as the recording of an answer does.
        with database.write() as session:
            accept_attempt(session, attempt, reference=reference, actor=PROVIDER, now=clock.now())
    with database.write() as session:
        actions.apply_post(session, number, reading, suppression_key=rules.suppression_key, now=clock.now())


def _set_aside(database: Database, clock: Clock, number: int, reason: str) -> None:
    with database.write() as session:
        actions.set_aside(session, number, reason, now=clock.now())

"""Mails the notices that are wanted to the staff who may steer. Nothing that goes wrong here reaches a send."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER
from newsletter.database.instance import find_lock
from newsletter.delivery.model import DeliveryState
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.editions.tables import Edition
from newsletter.log import get_log
from newsletter.mail import Mailbox
from newsletter.notices.desk import Desk, make_batch, send_notice
from newsletter.notices.letters import write_letter
from newsletter.providers.contract import Outcome
from newsletter.rendering.brand import read_brand
from newsletter.staff.model import NoticeKind, Person, WantedNotice
from newsletter.staff.notices import list_told_attempts, put_back, take_notice, want_notice
from newsletter.staff.queries import list_who_may
from newsletter.staff.roles import Act
from newsletter.subscribers.queries import refuses_every_mail

_log = get_log(__name__)

TELL_AFTER = timedelta(minutes=15)
"""How long an attempt may be uncertain before staff are told: most are settled by an event before."""

AGAIN_AFTER = timedelta(minutes=1)
"""How long a notice waits that could not be sent; each time twice as long, up to an hour."""

GIVEN_UP_AFTER = timedelta(days=2)
"""After this a notice is too old to be of use."""

_PERHAPS_SENT = (Outcome.ACCEPTED, Outcome.UNCERTAIN)


def tell_staff(desk: Desk) -> int:
    """Send every notice that is wanted, each once; gives how many went. Raises only what the database raises.

    From a database that is locked, such as a copy, none goes: the original tells staff of the same.
    """
    with desk.database.write() as session:
        if find_lock(session):
            return 0
        _want_for_uncertain(session, desk)
    told = 0
    while taken := _take(desk):
        trouble = _send(desk, *taken)
        told += not trouble
        if trouble:
            _log.warning("notice not sent", notice=taken[0].number, reason=trouble)
            with desk.database.write() as session:
                now = desk.clock.now()
                put_back(session, taken[0], actor=SCHEDULER, now=now, again_after=AGAIN_AFTER, trouble=trouble)
    return told


def _want_for_uncertain(session: Session, desk: Desk) -> None:
    now = desk.clock.now()
    # One attempt may be accepted for some and without an answer for others, so it is its people who tell.
    in_doubt = (
        select(Delivery.attempt)
        .join(Batch, and_(Batch.edition == Delivery.edition, Delivery.batch.between(Batch.number, Batch.number)))
        .where(Batch.uncertain > 0, Delivery.state == DeliveryState.UNCERTAIN)
    )
    rows = session.execute(
        select(Edition.id, Attempt.id)
        .join(Edition, Edition.serial == Attempt.edition)
        .where(Attempt.id.in_(in_doubt), Attempt.started_at <= now - TELL_AFTER)
        .order_by(Attempt.started_at, Attempt.id)
    )
    by_edition: dict[str, list[str]] = {}
    for edition, attempt in rows:
        by_edition.setdefault(edition, []).append(attempt)
    for edition, attempts in by_edition.items():
        told = list_told_attempts(session, edition)
        new = [attempt for attempt in attempts if attempt not in told]
        if new:
            reason = "no clear answer came"
            kind = NoticeKind.UNCERTAIN
            want_notice(session, kind, edition, cause=new[0], reason=reason, now=now, attempts=new)


def _take(desk: Desk) -> tuple[WantedNotice, list[Person]] | None:
    now = desk.clock.now()
    with desk.database.write() as session:
        if find_lock(session):
            return None
        notice = take_notice(session, actor=SCHEDULER, now=now, wanted_after=now - GIVEN_UP_AFTER)
        if notice is None:
            return None
        people = list_who_may(session, Act.STEER)
        return notice, [one for one in people if not refuses_every_mail(session, one.email, desk.suppression_key)]


def _send(desk: Desk, notice: WantedNotice, people: list[Person]) -> str:
    """Hand a notice over; gives why it was certainly not sent, or nothing."""
    if not people:
        return (
            "nobody who may pause, resume or stop a send can be mailed: give somebody that role with newsletter staff "
            "add, or see whether their address bounced with newsletter subscribers show"
        )
    try:
        letter = write_letter(notice, workspace=desk.workspace, brand=read_brand(desk.workspace), clinic=desk.clinic)
    except Exception as error:
        # A template that staff have changed can fail in any way.
        return f"it could not be written: {type(error).__name__}: {error}"
    name = f"notice{notice.number}"
    mailboxes = [(f"{name}x{person.number}", Mailbox(person.email)) for person in people]
    receipt = send_notice(desk, make_batch(desk, name, letter, mailboxes, date=notice.wanted_at))
    return "" if receipt.outcome in _PERHAPS_SENT else receipt.reason or receipt.outcome.value

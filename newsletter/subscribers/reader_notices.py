"""What a reader is to be told by a mail of their own: left as a row by whoever wants it, mailed by `notices`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.subscribers.address import domain_hash, mailbox_hash
from newsletter.subscribers.model import READING, ReaderNoticeKind, SubscriberState, SuppressionReason
from newsletter.subscribers.tables import ReaderNotice, SignUp, Subscriber, Suppression

_KIND, _STATE = ReaderNoticeKind, SubscriberState

ANSWERS = (_KIND.CONFIRM, _KIND.HERE_ALREADY)
"""What a sign-up is answered with: whoever types an address can cause these, so they are limited."""

CHOICES_A_DAY = 6
"""Links to their choices that a person is mailed in 24 hours: whoever holds a forwarded mail can ask for them."""

KEPT_DAYS = 30
"""Days for which it is known what was mailed."""


@dataclass(frozen=True)
class AnswerLimits:
    """How many mails sign-ups may cause, whatever is typed: in an hour over all, and to one domain.

    To one mailbox goes one in 24 hours. The link in it holds for `confirm_days`.
    """

    an_hour: int = 200
    confirm_days: int = 7

    @property
    def a_domain(self) -> int:
        """Half of what goes in an hour, so that an attack on one house leaves room for the others."""
        return max(1, self.an_hour // 2)


@dataclass(frozen=True)
class WantedReaderNotice:
    """A notice that was taken to be mailed."""

    number: int
    kind: ReaderNoticeKind
    subscriber: int
    address: str
    language: str
    sign_up: int | None
    expires_at: datetime | None
    """When the link of its sign-up expires, where it has one."""
    wanted_at: datetime


@dataclass(frozen=True)
class WaitingReaderNotices:
    """How many notices wait that may be mailed, how many of them could not be yet, and since when the oldest waits."""

    count: int
    failing: int
    oldest: datetime | None


def are_too_many(session: Session, address: str, limits: AnswerLimits, *, suppression_key: str, now: datetime) -> bool:
    """Whether sign-ups have caused so many mails in an hour that none more is to go; the same for every mailbox."""
    lately = [ReaderNotice.kind.in_(ANSWERS), ReaderNotice.wanted_at > now - timedelta(hours=1)]
    in_all = session.scalar(select(func.count()).where(*lately)) or 0
    of_domain = ReaderNotice.domain_hash == domain_hash(address, suppression_key)
    return in_all >= limits.an_hour or (session.scalar(select(func.count()).where(*lately, of_domain)) or 0) >= (
        limits.a_domain
    )


def was_answered(session: Session, address: str, *, suppression_key: str, now: datetime) -> bool:
    """Whether a sign-up for the same mailbox, however it was spelt, was answered within 24 hours."""
    mailbox = ReaderNotice.mailbox_hash == mailbox_hash(address, suppression_key)
    lately = ReaderNotice.wanted_at > now - timedelta(days=1)
    return session.scalar(select(exists().where(mailbox, lately, ReaderNotice.kind.in_(ANSWERS)))) or False


def want_reader_notice(
    session: Session,
    kind: ReaderNoticeKind,
    subscriber: int,
    address: str,
    language: str,
    *,
    suppression_key: str,
    now: datetime,
    sign_up: int | None = None,
) -> bool:
    """Have a reader told something, in the transaction of what causes it; False when that is under way already."""
    mailbox = mailbox_hash(address, suppression_key)
    match kind:
        case _KIND.CONFIRM | _KIND.HERE_ALREADY:
            cause = f"answer {mailbox} {now:%Y-%m-%d}"
        case _KIND.WELCOME:
            cause = f"welcome {subscriber} {now.isoformat()}"
        case _KIND.CHOICES:
            if _were_choices_mailed_often(session, subscriber, now):
                return False
            # A fresh link holds for half an hour, and one in ten minutes is enough.
            cause = f"choices {subscriber} {int(now.timestamp()) // 600}"
    number = session.scalar(
        insert_or_skip(session, ReaderNotice)
        .values(
            cause=cause,
            subscriber=subscriber,
            kind=kind,
            sign_up=sign_up,
            language=language,
            mailbox_hash=mailbox,
            domain_hash=domain_hash(address, suppression_key),
            wanted_at=now,
            not_before=now,
            tries=0,
            trouble="",
        )
        .returning(ReaderNotice.number)
    )
    return number is not None


def _were_choices_mailed_often(session: Session, subscriber: int, now: datetime) -> bool:
    lately = ReaderNotice.wanted_at > now - timedelta(days=1)
    theirs = select(func.count()).where(
        ReaderNotice.subscriber == subscriber, ReaderNotice.kind == _KIND.CHOICES, lately
    )
    return (session.scalar(theirs) or 0) >= CHOICES_A_DAY


def take_reader_notice(
    session: Session, *, actor: Actor, now: datetime, wanted_after: datetime
) -> WantedReaderNotice | None:
    """The oldest notice that may be mailed now, from here on counted as mailed; None when there is none.

    Whether the address may be mailed is asked here once more, in the transaction in which it goes.
    """
    number = session.scalar(
        select(ReaderNotice.number)
        .join(Subscriber, Subscriber.number == ReaderNotice.subscriber)
        .where(_waits(now, wanted_after), ReaderNotice.not_before <= now)
        .order_by(ReaderNotice.number)
        .limit(1)
        .with_for_update(of=ReaderNotice, skip_locked=True)
    )
    if number is None:
        return None
    row = session.get_one(ReaderNotice, number, populate_existing=True)
    row.sent_at = now
    address = session.scalar(select(Subscriber.address).where(Subscriber.number == row.subscriber))
    subject = f"subscriber:{row.subscriber}"
    record(session, actor, now, "reader told", subject, notice=number, kind=row.kind.value)
    sign_up = session.get(SignUp, row.sign_up) if row.sign_up else None
    return WantedReaderNotice(
        number,
        row.kind,
        row.subscriber,
        str(address),
        row.language,
        row.sign_up,
        sign_up.expires_at if sign_up else None,
        row.wanted_at,
    )


def is_any_due(session: Session, *, now: datetime, wanted_after: datetime) -> bool:
    """Whether `take_reader_notice` would find one; asked every second, and without a lock."""
    due = (
        exists()
        .where(ReaderNotice.subscriber == Subscriber.number, ReaderNotice.not_before <= now, _waits(now, wanted_after))
        .correlate(None)
    )
    return session.scalar(select(due)) or False


def count_waiting(session: Session, *, now: datetime, wanted_after: datetime) -> WaitingReaderNotices:
    """The notices that wait to be mailed and may be."""
    counts = (
        select(func.count(), func.count().filter(ReaderNotice.tries > 0), func.min(ReaderNotice.wanted_at))
        .join(Subscriber, Subscriber.number == ReaderNotice.subscriber)
        .where(_waits(now, wanted_after))
    )
    return WaitingReaderNotices(*session.execute(counts).one())


def put_back_reader_notice(
    session: Session, notice: WantedReaderNotice, *, actor: Actor, now: datetime, again_after: timedelta, trouble: str
) -> None:
    """A notice was certainly not mailed, and waits to be tried again: twice as long with each try.

    Its person may have been erased meanwhile; then there is nothing to do.
    """
    row = _find(session, notice)
    if row is None:
        return
    row.sent_at, row.trouble = None, without_addresses(trouble)
    row.not_before = now + again_after * (1 << min(row.tries, 6))
    row.tries += 1
    subject = f"subscriber:{notice.subscriber}"
    record(session, actor, now, "reader not told", subject, notice=notice.number, reason=trouble)


def give_up_reader_notice(
    session: Session, notice: WantedReaderNotice, *, actor: Actor, now: datetime, trouble: str
) -> None:
    """A notice was refused for good: nobody tries it again, and why is kept, unless its person was erased meanwhile."""
    row = _find(session, notice)
    if row is None:
        return
    row.trouble = without_addresses(trouble)
    subject = f"subscriber:{notice.subscriber}"
    record(session, actor, now, "reader not told", subject, notice=notice.number, reason=trouble)


def delete_old_reader_notices(session: Session, *, now: datetime) -> None:
    """Forget what was mailed long ago, or could not be."""
    session.execute(delete(ReaderNotice).where(ReaderNotice.wanted_at < now - timedelta(days=KEPT_DAYS)))


def forget_reader_notices(session: Session, subscribers: Sequence[int]) -> None:
    """Mail nothing more to these people, and forget what was mailed."""
    session.execute(delete(ReaderNotice).where(ReaderNotice.subscriber.in_(subscribers)))


def withdraw_answers(session: Session, subscriber: int) -> None:
    """Answer no sign-up of a person any more whose answer has not gone yet; a later one is answered as ever."""
    open_sign_ups = select(SignUp.number).where(SignUp.subscriber == subscriber, SignUp.confirmed_at.is_(None))
    session.execute(
        delete(ReaderNotice).where(
            ReaderNotice.subscriber == subscriber,
            ReaderNotice.sent_at.is_(None),
            or_(ReaderNotice.kind == _KIND.HERE_ALREADY, ReaderNotice.sign_up.in_(open_sign_ups)),
        )
    )


def _find(session: Session, notice: WantedReaderNotice) -> ReaderNotice | None:
    # Its number may be another one's by now.
    same = (ReaderNotice.number == notice.number) & (ReaderNotice.subscriber == notice.subscriber)
    return session.scalar(select(ReaderNotice).where(same, ReaderNotice.wanted_at == notice.wanted_at))


def _waits(now: datetime, wanted_after: datetime) -> ColumnElement[bool]:
    return ReaderNotice.sent_at.is_(None) & (ReaderNotice.wanted_at > wanted_after) & _may_go(now)


def _may_go(now: datetime) -> ColumnElement[bool]:
    """Whether the statement's notice may go to its Subscriber.

    Whoever has left is mailed only what was asked for since, with their address, or with their link; any other refusal
    stops all.
    """
    refused = exists().where(
        Suppression.address_hash == Subscriber.address_hash, Suppression.reason != SuppressionReason.UNSUBSCRIBED
    )
    # Said outright: by itself SQLAlchemy looks for Subscriber in the statement around alone, and finds SignUp there.
    left_since = (
        exists()
        .where(Suppression.address_hash == Subscriber.address_hash, Suppression.at > SignUp.asked_at)
        .correlate(Subscriber, SignUp)
    )
    open_sign_up = exists().where(
        SignUp.number == ReaderNotice.sign_up, SignUp.confirmed_at.is_(None), SignUp.expires_at > now, ~left_since
    )
    reading = Subscriber.state.in_(READING)
    return (
        Subscriber.address.is_not(None)
        & ~refused
        & or_(
            (ReaderNotice.kind == _KIND.CONFIRM)
            & Subscriber.state.in_((_STATE.PENDING, _STATE.UNSUBSCRIBED))
            & open_sign_up,
            (ReaderNotice.kind == _KIND.CHOICES) & or_(reading, Subscriber.state == _STATE.UNSUBSCRIBED),
            ReaderNotice.kind.in_((_KIND.HERE_ALREADY, _KIND.WELCOME)) & reading,
        )
    )

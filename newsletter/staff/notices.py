"""What staff are to be told by mail: left as a row by whoever finds it out, sent later by the room `notices`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from newsletter.backoff import exponential_backoff
from newsletter.database.audit import Actor, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.staff.model import NoticeKind, WantedNotice
from newsletter.staff.tables import Notice

_LONGEST_WAIT = timedelta(hours=1)


def want_notice(
    session: Session,
    kind: NoticeKind,
    edition: str,
    *,
    cause: str,
    reason: str,
    now: datetime,
    attempts: Sequence[str] = (),
) -> None:
    """Have staff told about an edition, in the transaction of what is told; the same cause is told once.

    `edition` is empty for what is about none. `cause` tells one thing that happened from the next: the attempt, or the
    time. Addresses in the reason are cut out.
    """
    session.execute(
        insert_or_skip(session, Notice).values(
            cause=f"{kind.value} {edition} {cause}",
            kind=kind,
            edition=edition,
            reason=without_addresses(reason),
            attempts=list(attempts),
            wanted_at=now,
            not_before=now,
            tries=0,
            trouble="",
        )
    )


def take_notice(session: Session, *, actor: Actor, now: datetime, wanted_after: datetime) -> WantedNotice | None:
    """The oldest notice that may be sent now, from here on counted as sent; None when there is none."""
    waiting = (
        select(Notice.number)
        .where(Notice.sent_at.is_(None), Notice.not_before <= now, Notice.wanted_at > wanted_after)
        .order_by(Notice.number)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    number = session.scalar(waiting)
    if number is None:
        return None
    row = session.get_one(Notice, number, populate_existing=True)
    row.sent_at = now
    record(session, actor, now, "staff told", _subject(row.edition), notice=number, kind=row.kind.value)
    return WantedNotice(number, row.kind, row.edition, row.reason, tuple(row.attempts), row.wanted_at)


def put_back(
    session: Session, notice: WantedNotice, *, actor: Actor, now: datetime, again_after: timedelta, trouble: str
) -> None:
    """A notice was certainly not sent, and waits to be tried again: twice as long with each try."""
    tries = session.scalar(
        update(Notice)
        .where(Notice.number == notice.number)
        .values(sent_at=None, tries=Notice.tries + 1, trouble=without_addresses(trouble))
        .returning(Notice.tries)
        .execution_options(synchronize_session=False)
    )
    assert tries is not None, "notices are never deleted"
    wait = exponential_backoff(tries - 1, first=again_after, longest=_LONGEST_WAIT)
    session.execute(update(Notice).where(Notice.number == notice.number).values(not_before=now + wait))
    record(session, actor, now, "staff not told", _subject(notice.edition), notice=notice.number, reason=trouble)


def list_notices(session: Session, edition: str) -> Sequence[Notice]:
    """The notices about an edition, oldest first."""
    return session.scalars(select(Notice).where(Notice.edition == edition).order_by(Notice.number)).all()


def count_notices(session: Session, *, wanted_after: datetime) -> tuple[int, int]:
    """How many notices that are not too old wait to be sent: those not tried yet, and those that could not be sent."""
    waiting = select(func.count()).where(Notice.sent_at.is_(None), Notice.wanted_at > wanted_after)
    untried = session.scalar(waiting.where(Notice.tries == 0)) or 0
    return untried, session.scalar(waiting.where(Notice.tries > 0)) or 0


def list_told_attempts(session: Session, edition: str) -> set[str]:
    """The attempts of an edition about which staff are told already, or will be."""
    rows = session.scalars(
        select(Notice.attempts).where(Notice.edition == edition, Notice.kind == NoticeKind.UNCERTAIN)
    )
    return {attempt for attempts in rows for attempt in attempts}


def _subject(edition: str) -> str:
    return f"edition:{edition}" if edition else "sign-ups"

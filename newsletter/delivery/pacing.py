"""How fast requests go out, over all workers: one row for each provider account gives every request its slot.

The generic cell rate algorithm (ITU-T I.371, annex A), as one UPDATE: it reserves the next slot and gives it, so two
workers can never have the same one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, BindParameter, ColumnElement, bindparam, case, or_, update
from sqlalchemy.orm import Session

from newsletter.database.base import insert_or_skip, table_of
from newsletter.delivery.model import Rate, Slot
from newsletter.delivery.tables import Pace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

FURTHEST = timedelta(hours=2)
"""Nobody asks us to slow down for longer (at most an hour is obeyed), and clocks of workers do not differ by more."""


def _later(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((one > other, one), else_=other)


def _microseconds(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


_pace = table_of(Pace)
# Who has rested may go ahead of the even spacing by the head start; after a time when nothing might go, nobody.
_FREE_FROM = _later(
    _later(_pace.c.busy_until, _microseconds("now")), _pace.c.closed_until + _microseconds("head_start")
)
_BOOK = (
    update(_pace)
    .where(_pace.c.account == bindparam("of_account"), _FREE_FROM - _microseconds("head_start") <= bindparam("latest"))
    .values(busy_until=_FREE_FROM + _microseconds("interval"))
    .returning(_pace.c.busy_until)
)
"""Made once, since every batch books."""


def reserve_slot(session: Session, account: str, rate: Rate, *, now: datetime, latest: datetime) -> Slot:
    """The next instant at which a request through an account may go; it is reserved unless it is after `latest`.

    What is booked further ahead than anybody books is of a clock that was put back since, and does not count.
    """
    at = _book(session, account, rate, now, latest)
    if at is None:
        _begin(session, account)
        _forget_a_time_that_never_was(session, account, rate, latest)
        at = _book(session, account, rate, now, latest)
    if at is not None:
        return Slot(at, reserved=True)
    pace = session.get_one(Pace, account, populate_existing=True)
    head_start = rate.head_start // _MICROSECOND
    return Slot(_instant(max(pace.busy_until - head_start, pace.closed_until)), reserved=False)


def _book(session: Session, account: str, rate: Rate, now: datetime, latest: datetime) -> datetime | None:
    interval, head_start = rate.interval // _MICROSECOND, rate.head_start // _MICROSECOND
    busy_until = session.scalar(
        _BOOK,
        {
            "of_account": account,
            "now": _count(now),
            "latest": _count(latest),
            "interval": interval,
            "head_start": head_start,
        },
    )
    return None if busy_until is None else max(_instant(busy_until - interval - head_start), now)


def _forget_a_time_that_never_was(session: Session, account: str, rate: Rate, latest: datetime) -> None:
    furthest = _count(latest + FURTHEST + rate.head_start + rate.interval)
    session.execute(
        update(Pace)
        .where(Pace.account == account, or_(Pace.busy_until > furthest, Pace.closed_until > furthest))
        .values(
            busy_until=case((Pace.busy_until > furthest, 0), else_=Pace.busy_until),
            closed_until=case((Pace.closed_until > furthest, 0), else_=Pace.closed_until),
        )
        .execution_options(synchronize_session=False)
    )


def slow_down(session: Session, account: str, until: datetime) -> None:
    """Let no request through an account go before an instant, whichever worker makes it."""
    _begin(session, account)
    session.execute(
        update(Pace)
        .where(Pace.account == account, Pace.closed_until < _count(until))
        .values(closed_until=_count(until))
        .execution_options(synchronize_session=False)
    )


def lock_account(session: Session, account: str) -> None:
    """Keep every other worker from counting what goes through an account until the transaction ends."""
    _begin(session, account)
    session.get_one(Pace, account, with_for_update=True, populate_existing=True)


def _begin(session: Session, account: str) -> None:
    session.execute(insert_or_skip(session, Pace).values(account=account, busy_until=0, closed_until=0))


def _count(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(count: int) -> datetime:
    return _EPOCH + count * _MICROSECOND

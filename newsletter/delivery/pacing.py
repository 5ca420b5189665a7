"""How fast requests go out, over all workers: one row for each provider account gives every request its slot.

The generic cell rate algorithm (ITU-T I.371, annex A), as one UPDATE: it reserves the next slot and gives it, so two
workers can never have the same one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, case, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from newsletter.database.base import insert_or_skip
from newsletter.delivery.model import Rate, Slot
from newsletter.delivery.tables import Pace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def reserve_slot(session: Session, account: str, rate: Rate, *, now: datetime, latest: datetime) -> Slot:
    """The next instant at which a request through an account may go; it is reserved unless it is after `latest`."""
    _begin(session, account)
    interval, head_start = rate.interval // _MICROSECOND, rate.head_start // _MICROSECOND
    # Who has rested may go ahead of the even spacing by the head start; after a time when nothing might go, nobody.
    free_from = _later(_later(Pace.busy_until, _count(now)), Pace.closed_until + head_start)
    busy_until = session.scalar(
        update(Pace)
        .where(Pace.account == account, free_from - head_start <= _count(latest))
        .values(busy_until=free_from + interval)
        .returning(Pace.busy_until)
        .execution_options(synchronize_session=False)
    )
    if busy_until is not None:
        return Slot(max(_instant(busy_until - interval - head_start), now), reserved=True)
    pace = session.get_one(Pace, account, populate_existing=True)
    return Slot(_instant(max(pace.busy_until - head_start, pace.closed_until)), reserved=False)


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


def _later(one: ColumnElement[int] | InstrumentedAttribute[int], other: ColumnElement[int] | int) -> ColumnElement[int]:
    return case((one > other, one), else_=other)


def _count(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(count: int) -> datetime:
    return _EPOCH + count * _MICROSECOND

"""Keeps sends to a number of people a day: what is more waits for the next day, by itself and with a note."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from newsletter.delivery.model import AttemptState, BatchState, DailyLimit, DeliveryState, SendState
from newsletter.delivery.moves import count_anew, cut_off, hold_planned
from newsletter.delivery.statements import in_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send

_PERHAPS_SENT = (AttemptState.IN_FLIGHT, AttemptState.ACCEPTED, AttemptState.UNCERTAIN)


def keep_to_the_day(
    session: Session, limit: DailyLimit, transport: str, edition: int, number: int, now: datetime
) -> bool:
    """Whether a batch that is about to be claimed may go today; it is cut to what is left of the day.

    When nothing is left, every running send of the transport waits for the next day. Its account is locked before.
    """
    left = limit.people - _count_today(session, limit, transport, now)
    if left <= 0:
        running = (Send.state == SendState.RUNNING, Send.transport == transport)
        for send in session.scalars(select(Send).where(*running)).all():
            _wait_for_the_next_day(session, limit, send, now)
        return False
    planned = session.scalars(
        select(Delivery.subscriber)
        .where(in_batch(edition, number), Delivery.state == DeliveryState.PLANNED)
        .order_by(Delivery.subscriber)
    ).all()
    send = session.get_one(Send, edition)
    if len(planned) > left:
        again_at = limit.next_day(send.opened_at, now)
        deferrals = session.get_one(Batch, (edition, number)).deferrals
        cut_off(session, edition, number, planned[left:], again_at=again_at, deferrals=deferrals)
        count_anew(session, edition, number)
    _set_note(session, edition, "")
    return True


def _count_today(session: Session, limit: DailyLimit, transport: str, now: datetime) -> int:
    """People of today's attempts, those that certainly were not accepted apart, and of batches being built."""
    tried = session.scalar(
        select(func.sum(Attempt.people))
        .join(Send, Send.edition == Attempt.edition)
        .where(
            Attempt.state.in_(_PERHAPS_SENT),
            Attempt.started_at >= limit.begin_of_day(now),
            Send.transport == transport,
        )
    )
    built = session.scalar(
        select(func.sum(Batch.people - Batch.handed_over - Batch.refused - Batch.left_out - Batch.uncertain))
        .join(Send, Send.edition == Batch.edition)
        .where(Batch.state == BatchState.CLAIMED, Send.transport == transport)
    )
    return int(tried or 0) + int(built or 0)


def _wait_for_the_next_day(session: Session, limit: DailyLimit, send: Send, now: datetime) -> None:
    again_at = limit.next_day(send.opened_at, now)
    hold_planned(session, send.edition, again_at)
    when = again_at.astimezone(limit.zone).strftime("%Y-%m-%d %H:%M")
    _set_note(session, send.edition, f"today's {limit.people} people have it; it goes on by itself on {when}")


def _set_note(session: Session, edition: int, note: str) -> None:
    session.execute(
        update(Send)
        .where(Send.edition == edition, Send.state == SendState.RUNNING, Send.note != note)
        .values(note=note)
        .execution_options(synchronize_session=False)
    )

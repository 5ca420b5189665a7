"""What a backup cannot know: whatever was open when it was made may have gone out since.

So after a restore nothing of it goes out by itself: editions with a time are held, sends are paused, and everybody
who had not been handed over by then is uncertain, for a person to settle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor
from newsletter.delivery import batches, planning
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState, new_attempt_id
from newsletter.delivery.moves import (
    WAITING,
    audit_batch,
    audit_send,
    count_anew,
    move_send,
    set_batch,
    set_people,
    settled_state,
)
from newsletter.delivery.queries import list_sends
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions import actions as editions
from newsletter.editions.model import EditionState
from newsletter.editions.tables import Edition

_OPEN = (SendState.PLANNING, SendState.WAITING, SendState.RUNNING, SendState.PAUSED)


@dataclass(frozen=True)
class Doubts:
    """What waits for a person after a restore: editions held, sends paused, and people nobody is sure of."""

    held: int
    paused: int
    uncertain: int


def doubt_what_was_open(session: Session, *, made_at: datetime, zone: ZoneInfo, actor: Actor, now: datetime) -> Doubts:
    """Hold, pause and call uncertain all that may have gone out since a backup was made at `made_at`.

    A send that was being planned is planned to its end first, as its audience was fixed before: they are uncertain too.
    """
    note = f"restored from a backup of {made_at:%Y-%m-%d %H:%M} UTC; it may have gone out since"
    scheduled = session.scalars(select(Edition.id).where(Edition.state == EditionState.SCHEDULED)).all()
    for edition in scheduled:
        editions.hold(session, edition, actor=actor, now=now, reason=note)
    batches.mark_stale(session, actor=actor, now=now, idempotent=None, stale_after=timedelta(0))
    going = [send.edition for send in list_sends(session, *_OPEN)]
    uncertain = 0
    for serial in going:
        while planning.plan_audience(session, serial, actor=actor, now=now, zone=zone):
            pass
        uncertain += _doubt_people(session, serial, note, actor=actor, now=now)
        _pause(session, serial, note, actor=actor, now=now)
    return Doubts(len(scheduled), len(going), uncertain)


def _doubt_people(session: Session, edition: int, note: str, *, actor: Actor, now: datetime) -> int:
    waiting = and_(Batch.edition == edition, Batch.state.in_((*WAITING, BatchState.IN_FLIGHT)))
    doubted = 0
    for number, state, fence in session.execute(select(Batch.number, Batch.state, Batch.fence).where(waiting)).all():
        planned = and_(in_batch(edition, number), Delivery.state == DeliveryState.PLANNED)
        people = session.scalar(select(func.count()).select_from(Delivery).where(planned)) or 0
        # An attempt of which we have no record: its name lets a person settle it as any other.
        attempt = new_attempt_id()
        session.execute(
            insert(Attempt).values(
                id=attempt,
                edition=edition,
                batch=number,
                fence=fence,
                worker="restore",
                state=AttemptState.UNCERTAIN,
                people=people,
                started_at=now,
                answered_at=now,
                answer=note,
            )
        )
        set_people(session, planned, DeliveryState.UNCERTAIN, attempt, note)
        session.execute(update(Batch).where(is_batch(edition, number)).values(attempt=attempt))
        set_batch(session, edition, number, state, settled_state(count_anew(session, edition, number)))
        audit_batch(session, actor, now, "batch uncertain", edition, number, attempt=attempt)
        doubted += people
    return doubted


def _pause(session: Session, edition: int, note: str, *, actor: Actor, now: datetime) -> None:
    move_send(session, edition, SendState.RUNNING, SendState.WAITING)
    if move_send(session, edition, SendState.PAUSED, SendState.RUNNING, note=note, paused_at=now):
        audit_send(session, actor, now, "send paused", session.get_one(Send, edition), reason=note)
    else:
        session.execute(update(Send).where(Send.edition == edition).values(note=note))

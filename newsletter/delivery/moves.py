"""The single moves that planning, batches and steering are made of.

Every move is one UPDATE that names the old state; whoever comes second changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Text,
    Update,
    and_,
    case,
    cast,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.delivery.lineage import list_accepted_with
from newsletter.delivery.model import (
    SEND_MOVES,
    BatchState,
    DeliveryState,
    SendState,
)
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.tables import Edition
from newsletter.staff.model import NoticeKind, StaffActor
from newsletter.staff.notices import want_notice
from newsletter.subscribers.model import LeftOut

WAITING = (BatchState.PLANNED, BatchState.CLAIMED, BatchState.REJECTED)


def close_stopped(session: Session, edition: int) -> int:
    """Leave out whoever is still planned in a send that was stopped; gives how many. Any other send stays as it is.

    Called by all that plans people again, since a send may be stopped while they are on their way.
    """
    # Kept until the end: a stop that is under way would not see what is planned again here. The lock is that of a
    # change (key_share): a stronger one would wait for whoever only refers to the row, and they for it.
    state = session.scalar(select(Send.state).where(Send.edition == edition).with_for_update(key_share=True))
    if state is not SendState.STOPPED:
        return 0
    waiting = and_(Batch.edition == edition, Batch.state.in_(WAITING))
    planned = and_(
        Delivery.edition == edition,
        Delivery.state == DeliveryState.PLANNED,
        exists().where(waiting, Batch.number == Delivery.batch),
    )
    out = session.scalar(select(func.count()).where(planned)) or 0
    session.execute(
        update(Delivery)
        .where(planned)
        .values(state=DeliveryState.LEFT_OUT, reason=LeftOut.STOPPED.value)
        .execution_options(synchronize_session=False)
    )
    settled = case(
        (Batch.uncertain > 0, BatchState.UNCERTAIN.value),
        (Batch.handed_over > 0, BatchState.ACCEPTED.value),
        else_=BatchState.EMPTY.value,
    )
    session.execute(
        update(Batch)
        .where(waiting)
        .values(
            state=cast(settled, Text),
            left_out=Batch.people - Batch.handed_over - Batch.refused - Batch.uncertain,
            lease_until=None,
            not_before=None,
        )
        .execution_options(synchronize_session=False)
    )
    return out


def cut_off(
    session: Session,
    edition: int,
    number: int,
    people: Collection[int],
    *,
    again_at: datetime,
    deferrals: int,
    after: str | None = None,
) -> None:
    """Give some people of a batch, still planned, a batch of their own.

    They were last in the attempt `after`; unless it is given, in the newest one of the old batch.
    """
    new = session.scalar(
        update(Send)
        .where(Send.edition == edition)
        .values(next_batch=Send.next_batch + 1)
        .returning(Send.next_batch)
        .execution_options(synchronize_session=False)
    )
    assert new is not None, "sends are never deleted"
    variant, newest = session.execute(select(Batch.variant, Batch.attempt).where(is_batch(edition, number))).one()
    session.execute(
        insert(Batch).values(
            edition=edition,
            number=new - 1,
            variant=variant,
            state=BatchState.PLANNED,
            people=len(people),
            not_before=again_at,
            deferrals=deferrals,
            attempt=after or newest,
            cut_after=after or newest,
        )
    )
    session.execute(
        update(Delivery)
        .where(in_batch(edition, number), Delivery.subscriber.in_(people))
        .values(batch=new - 1)
        .execution_options(synchronize_session=False)
    )


def hold_planned(session: Session, edition: int, until: datetime) -> None:
    """Let every batch of a send that is still planned wait until an instant."""
    early = or_(Batch.not_before.is_(None), Batch.not_before < until)
    session.execute(
        update(Batch)
        .where(Batch.edition == edition, Batch.state == BatchState.PLANNED, early)
        .values(not_before=until)
        .execution_options(synchronize_session=False)
    )


def settled_state(counts: Mapping[DeliveryState, int]) -> BatchState:
    """The state of a batch in which nobody is planned any more."""
    if counts[DeliveryState.UNCERTAIN]:
        return BatchState.UNCERTAIN
    nobody = counts[DeliveryState.LEFT_OUT] + counts[DeliveryState.REFUSED] == sum(counts.values())
    return BatchState.EMPTY if nobody else BatchState.ACCEPTED


def count_anew(session: Session, edition: int, number: int) -> Mapping[DeliveryState, int]:
    """Set the counters of a batch from its deliveries; gives the counts, zero for what there is none of."""
    counts = dict.fromkeys(DeliveryState, 0)
    rows = session.execute(
        select(Delivery.state, func.count()).where(in_batch(edition, number)).group_by(Delivery.state)
    )
    counts.update(rows.all())
    waiting = counts[DeliveryState.PLANNED]
    refused, left_out = counts[DeliveryState.REFUSED], counts[DeliveryState.LEFT_OUT]
    uncertain, everybody = counts[DeliveryState.UNCERTAIN], sum(counts.values())
    session.execute(
        update(Batch)
        .where(is_batch(edition, number))
        .values(
            people=everybody,
            refused=refused,
            left_out=left_out,
            uncertain=uncertain,
            # What the provider tells later (delivered, bounced) does not undo that it was handed over.
            handed_over=everybody - waiting - refused - left_out - uncertain,
        )
        .execution_options(synchronize_session=False)
    )
    return counts


def set_people(session: Session, who: ColumnElement[bool], to: DeliveryState, attempt: str, reason: str) -> None:
    """Move some deliveries, as an attempt left them; the reason is kept for those refused or uncertain."""
    told = without_addresses(reason) if to in (DeliveryState.REFUSED, DeliveryState.UNCERTAIN) else None
    session.execute(
        update(Delivery)
        .where(who)
        .values(state=to, attempt=attempt, reason=told if told else null())
        .execution_options(synchronize_session=False)
    )


def set_batch(session: Session, edition: int, number: int, from_: BatchState, to: BatchState) -> None:
    """Move a batch that still stands at `from_`; its lease and its waiting end."""
    session.execute(
        update(Batch)
        .where(is_batch(edition, number), Batch.state == from_)
        .values(state=to, lease_until=None, not_before=None)
        .execution_options(synchronize_session=False)
    )


def move_send(session: Session, edition: int, to: SendState, *from_: SendState, **values: Any) -> bool:
    """Move a send that stands at one of `from_`; False when it does not."""
    assert all(to in SEND_MOVES[state] for state in from_), f"no send moves to {to}"
    found = session.scalar(
        update(Send)
        .where(Send.edition == edition, Send.state.in_(from_))
        .values(state=to, **values)
        .returning(Send.edition)
        .execution_options(synchronize_session=False)
    )
    return found is not None


def pause_send(session: Session, edition: int, *, actor: Actor, now: datetime, note: str) -> bool:
    """Pause a running send, False when it does not run; staff are told when none of them has done it."""
    told = without_addresses(note)
    if not move_send(session, edition, SendState.PAUSED, SendState.RUNNING, note=told, paused_at=now):
        return False
    send = session.get_one(Send, edition)
    audit_send(session, actor, now, "send paused", send, reason=note or "by hand")
    if not isinstance(actor, StaffActor):
        name = session.get_one(Edition, edition).id
        want_notice(session, NoticeKind.PAUSED, name, cause=now.isoformat(), reason=told, now=now)
    return True


def tell_if_accepted_twice(
    session: Session, edition: int, number: int, attempt: str, *, actor: Actor, now: datetime
) -> None:
    """Have staff told when an attempt was accepted, and another one with the same people was before."""
    this = session.get_one(Attempt, attempt, populate_existing=True)
    others = list_accepted_with(session, this)
    if not others:
        return
    audit_batch(session, actor, now, "batch accepted twice", edition, number, attempt=attempt)
    people = min(this.people, sum(other.people for other in others))
    want_notice(
        session,
        NoticeKind.ACCEPTED_TWICE,
        session.get_one(Edition, edition).id,
        cause=attempt,
        reason=f"up to {people} {'person' if people == 1 else 'people'} may have it two times (batch {number})",
        now=now,
        attempts=[attempt, *(other.id for other in others)],
    )


def lock_send(session: Session, edition: int) -> Send:
    """The row of a send, kept from others until the transaction ends."""
    return session.get_one(Send, edition, with_for_update={"key_share": True}, populate_existing=True)


def count_changed(session: Session, statement: Update, values: Mapping[str, Any]) -> int:
    """Run a prepared UPDATE; gives how many rows it changed."""
    result = session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


def audit_send(session: Session, actor: Actor, now: datetime, action: str, send: Send, **details: str | int) -> None:
    """Put a line about a send into the audit."""
    edition = session.get_one(Edition, send.edition).id
    record(session, actor, now, action, f"edition:{edition}", content_hash=send.content_hash, **details)


def audit_batch(
    session: Session, actor: Actor, now: datetime, action: str, edition: int, batch: int, **details: str | int
) -> None:
    """Put a line about a batch into the audit."""
    record(session, actor, now, action, f"batch:{edition}/{batch}", content_hash=None, **details)

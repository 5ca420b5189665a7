"""What provider events prove of attempts and deliveries, whatever was thought of them before.

Everything here may be told twice, late and in any order, and ends the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BindParameter, and_, bindparam, case, func, null, or_, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor
from newsletter.database.base import Instant
from newsletter.delivery import statements
from newsletter.delivery.model import EVENT_ORDER, AttemptState, BatchState, DeliveryState
from newsletter.delivery.moves import audit_batch, close_stopped, count_anew, settled_state, tell_if_accepted_twice
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery

_NOT_HANDED_OVER = (DeliveryState.PLANNED, DeliveryState.UNCERTAIN, DeliveryState.LEFT_OUT, DeliveryState.REFUSED)
_BY_EVENT = "an event of the provider shows that it was accepted"
_HAPPENED_AT: BindParameter[datetime] = bindparam("happened_at", type_=Instant)

_FOLLOW = {
    to: update(Delivery.__table__)  # type: ignore[arg-type]
    .where(
        Delivery.edition == bindparam("in_edition"),
        Delivery.subscriber == bindparam("of_subscriber"),
        or_(
            # No IN: one statement for many deliveries takes no lists.
            *(Delivery.state == earlier for earlier in (DeliveryState.HANDED_OVER, *EVENT_ORDER[:place])),
            and_(Delivery.state == to, Delivery.event_at < _HAPPENED_AT),
        ),
    )
    .values(state=to, event_at=_HAPPENED_AT)
    for place, to in enumerate(EVENT_ORDER)
}


@dataclass(frozen=True, slots=True)
class DeliveryEvent:
    """What became of one delivery at an instant; `state` is one of EVENT_ORDER."""

    edition: int
    subscriber: int
    state: DeliveryState
    at: datetime


def accept_attempt(session: Session, attempt: str, *, reference: str, actor: Actor, now: datetime) -> bool:
    """Settle an attempt as accepted, since an event bears its name; its batch and its people follow.

    False when it was settled so already, or is not ours. An answer that is recorded later changes nothing any more.
    """
    row = session.get(Attempt, attempt)
    if row is None or row.state is AttemptState.ACCEPTED:
        return False
    edition, number = row.edition, row.batch
    batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    if not _prove(session, attempt, reference, now):
        return False
    newest = batch.attempt == attempt
    in_it = and_(Delivery.attempt == attempt, Delivery.state.in_(_NOT_HANDED_OVER))
    if newest:
        # Of those who are in the newest attempt of a batch nothing is written until it is answered.
        waiting = Delivery.state == DeliveryState.PLANNED
        if batch.state is not BatchState.IN_FLIGHT:
            waiting = and_(waiting, Delivery.attempt.is_(None))
        in_it = or_(in_it, waiting)
    session.execute(
        update(Delivery)
        .where(in_batch(edition, number), in_it)
        .values(state=DeliveryState.HANDED_OVER, attempt=attempt, reason=null())
        .execution_options(synchronize_session=False)
    )
    _settle(session, edition, number, batch.state, its_answer_came=newest)
    close_stopped(session, edition)
    session.execute(statements.FORGET_FAILURES, {"in_edition": edition})
    audit_batch(session, actor, now, "attempt proved accepted", edition, number, attempt=attempt)
    tell_if_accepted_twice(session, edition, number, attempt, actor=actor, now=now)
    return True


def accept_people(session: Session, edition: int, people: Mapping[int, str], *, actor: Actor, now: datetime) -> int:
    """Settle single people as handed over by the attempts that events name with them; gives for how many it was news.

    Who is known as handed over, or has been heard of since, stays as they are, and so does who is in no batch.
    """
    rows = session.execute(
        select(Delivery.subscriber, Delivery.batch).where(
            Delivery.edition == edition,
            Delivery.subscriber.in_(list(people)),
            Delivery.state.in_(_NOT_HANDED_OVER),
            Delivery.batch > 0,
        )
    ).all()
    by_batch: dict[int, list[int]] = defaultdict(list)
    for subscriber, number in rows:
        by_batch[number].append(subscriber)
    for number, found in sorted(by_batch.items()):
        _accept_in_batch(session, edition, number, {subscriber: people[subscriber] for subscriber in found})
        audit_batch(session, actor, now, "people proved handed over", edition, number, people=len(found))
    if rows:
        close_stopped(session, edition)
    return len(rows)


def follow_events(session: Session, events: Iterable[DeliveryEvent]) -> None:
    """Move deliveries that were handed over to what events tell of them; the order of the events does not matter."""
    newest: dict[tuple[int, int], DeliveryEvent] = {}
    for event in events:
        key = (event.edition, event.subscriber)
        known = newest.get(key)
        if known is None or _weight(event) > _weight(known):
            newest[key] = event
    by_state: dict[DeliveryState, list[dict[str, object]]] = defaultdict(list)
    # In the order in which batches lock them.
    for (edition, subscriber), event in sorted(newest.items()):
        by_state[event.state].append(
            {"in_edition": edition, "of_subscriber": subscriber, "happened_at": event.at},
        )
    connection = session.connection()
    for state, rows in by_state.items():
        connection.execute(_FOLLOW[state], rows)


def _weight(event: DeliveryEvent) -> tuple[int, datetime]:
    return EVENT_ORDER.index(event.state), event.at


def _prove(session: Session, attempt: str, reference: str, now: datetime) -> bool:
    found = session.scalar(
        update(Attempt)
        .where(Attempt.id == attempt, Attempt.state != AttemptState.ACCEPTED)
        .values(
            state=AttemptState.ACCEPTED,
            answered_at=now,
            proved_at=now,
            answer=_BY_EVENT,
            reference=case((Attempt.reference == "", reference), else_=Attempt.reference),
        )
        .returning(Attempt.id)
        .execution_options(synchronize_session=False)
    )
    return found is not None


def _accept_in_batch(session: Session, edition: int, number: int, people: Mapping[int, str]) -> None:
    batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    for attempt, subscribers in _by_attempt(people).items():
        session.execute(
            update(Delivery)
            .where(
                in_batch(edition, number),
                Delivery.subscriber.in_(subscribers),
                Delivery.state.in_(_NOT_HANDED_OVER),
            )
            # Where two attempts reached somebody, which one is told first must not matter.
            .values(state=DeliveryState.HANDED_OVER, attempt=func.coalesce(Delivery.attempt, attempt), reason=null())
            .execution_options(synchronize_session=False)
        )
    _settle(session, edition, number, batch.state, its_answer_came=False)


def _by_attempt(people: Mapping[int, str]) -> Mapping[str, Collection[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for subscriber, attempt in people.items():
        found[attempt].append(subscriber)
    return found


def _settle(session: Session, edition: int, number: int, state: BatchState, *, its_answer_came: bool) -> None:
    """Count a batch anew, and end it when nobody in it is planned any more."""
    counts = count_anew(session, edition, number)
    # What is being built, or is on its way with another attempt, is settled by that.
    busy = state is BatchState.CLAIMED or (state is BatchState.IN_FLIGHT and not its_answer_came)
    if busy or counts[DeliveryState.PLANNED]:
        return
    session.execute(
        update(Batch)
        .where(is_batch(edition, number))
        .values(state=settled_state(counts), lease_until=None, not_before=None)
        .execution_options(synchronize_session=False)
    )

"""What provider events prove of attempts and deliveries, whatever was thought of them before.

Everything here may be told twice, late and in any order, and ends the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, case, exists, func, null, or_, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor
from newsletter.database.base import Instant
from newsletter.delivery import statements
from newsletter.delivery.lineage import list_cuts
from newsletter.delivery.model import EVENT_ORDER, AttemptState, BatchState, DeliveryState, was_in
from newsletter.delivery.moves import (
    WAITING,
    audit_batch,
    close_stopped,
    count_anew,
    set_batch,
    settled_state,
    tell_if_accepted_twice,
)
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery

_NOT_HANDED_OVER = (DeliveryState.PLANNED, DeliveryState.UNCERTAIN, DeliveryState.LEFT_OUT, DeliveryState.REFUSED)
_NOT_ENDED = (*WAITING, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)
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
    session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number})
    if not _prove(session, attempt, reference, now):
        return False
    hand_over_all_of(session, row)
    session.execute(statements.FORGET_FAILURES, {"in_edition": edition})
    audit_batch(session, actor, now, "attempt proved accepted", edition, number, attempt=attempt)
    tell_if_accepted_twice(session, edition, number, attempt, actor=actor, now=now)
    return True


def hand_over_all_of(session: Session, attempt: Attempt) -> None:
    """Whoever was in an attempt that was accepted has been handed over, wherever they are by now; batches follow.

    Whoever is planned in a batch was in each attempt of it, since nobody comes into a batch that was tried. Its request
    may be in the making for another attempt: who builds it loses the claim, and it is built anew without them.
    """
    edition, number = attempt.edition, attempt.batch
    since = select(Attempt.id).where(
        Attempt.edition == edition, Attempt.batch == number, Attempt.fence >= attempt.fence
    )
    in_doubt_since = and_(Delivery.state == DeliveryState.UNCERTAIN, Delivery.attempt.in_(since))
    settled_by_it = and_(Delivery.attempt == attempt.id, Delivery.state.in_(_NOT_HANDED_OVER))
    planned = Delivery.state == DeliveryState.PLANNED
    _hand_over(session, attempt, number, or_(planned, in_doubt_since, settled_by_it))
    # Those who were cut off have batches of their own, which were made later.
    cuts = list_cuts(session, edition)
    later = session.scalars(
        select(Batch.number)
        .where(Batch.edition == edition, Batch.number > number, Batch.attempt.is_not(None), Batch.state.in_(_NOT_ENDED))
        .order_by(Batch.number)
    ).all()
    in_doubt = Delivery.state == DeliveryState.UNCERTAIN
    for other in later:
        everybody = was_in(cuts, other, number, attempt.fence)
        _hand_over(session, attempt, other, or_(planned, in_doubt, settled_by_it) if everybody else settled_by_it)
    close_stopped(session, edition)


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


def _hand_over(session: Session, attempt: Attempt, number: int, who: ColumnElement[bool]) -> None:
    edition = attempt.edition
    this = in_batch(edition, number)
    if number != attempt.batch and not session.scalar(select(exists().where(this, who))):
        return
    batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    session.execute(
        update(Delivery)
        .where(this, who)
        .values(state=DeliveryState.HANDED_OVER, attempt=attempt.id, reason=null())
        .execution_options(synchronize_session=False)
    )
    _settle(session, edition, number, batch.state, its_answer_came=batch.attempt == attempt.id)


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
    if state is BatchState.IN_FLIGHT and not its_answer_came:
        # What is on its way with another attempt is settled by that.
        return
    if counts[DeliveryState.PLANNED]:
        # The request that is being built may name somebody who has the mail.
        set_batch(session, edition, number, BatchState.CLAIMED, BatchState.PLANNED)
        return
    session.execute(
        update(Batch)
        .where(is_batch(edition, number))
        .values(state=settled_state(counts), lease_until=None, not_before=None)
        .execution_options(synchronize_session=False)
    )

"""The only writers of sends, batches, attempts and deliveries.

Every move is one UPDATE that names the old state; whoever comes second changes nothing. The walk of a batch:
`claim`, `put_in_flight`, then, outside of any transaction, the provider, then `record_answer`.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.delivery import plan, statements
from newsletter.delivery.model import (
    SEND_MOVES,
    AttemptState,
    BatchState,
    Claim,
    ContentChanged,
    DeliveryState,
    Flight,
    LostClaim,
    SendState,
    Variant,
    Verdict,
    read_delivery_id,
)
from newsletter.delivery.queries import get_send, mailed_since
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions import actions as editions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import find_damage, get_content
from newsletter.editions.tables import Edition
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, Receipt
from newsletter.staff.model import StaffActor, require
from newsletter.staff.roles import Act
from newsletter.subscribers.audience import lately, reason_never_to_mail, resolve_audience
from newsletter.subscribers.model import LeftOut
from newsletter.subscribers.tables import Subscriber

_WAITING = (BatchState.PLANNED, BatchState.CLAIMED, BatchState.REJECTED)
_NOT_KNOWN_AS_SENT = (*_WAITING, BatchState.UNCERTAIN)
_UNFINISHED = (*_WAITING, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)


def open_send(
    session: Session,
    edition: int,
    *,
    actor: Actor,
    now: datetime,
    late_after: timedelta,
    transport: str,
    batch_limit: int,
    wait_until: datetime | None = None,
) -> EditionState | None:
    """Start the send of a due edition, or hold the edition when it is too late, expired or damaged.

    Gives the state that the edition moved to, or None when it was not due or another process was first.
    `wait_until` is the end of the undo delay of a send that was begun by hand.
    """
    if damage := find_damage(session, edition):
        row = session.get_one(Edition, edition)
        if row.state is not EditionState.SCHEDULED:
            return None
        editions.hold(session, row.id, actor=actor, now=now, reason="; ".join(damage))
        return EditionState.HELD
    state = editions.start(session, edition, actor=actor, now=now, late_after=late_after)
    if state is not EditionState.SENDING:
        return state
    row = session.get_one(Edition, edition, populate_existing=True)
    send = Send(
        edition=edition,
        state=SendState.PLANNING,
        content_hash=row.content_hash,
        transport=transport,
        batch_limit=batch_limit,
        audience_at=now,
        highest_subscriber=session.scalar(select(func.max(Subscriber.number))) or 0,
        wait_until=wait_until,
        opened_at=now,
    )
    session.add(send)
    session.flush()
    _audit(session, actor, now, "send opened", send, transport=transport)
    return state


def plan_audience(
    session: Session, edition: int, *, actor: Actor, now: datetime, zone: ZoneInfo, chunk: int = plan.CHUNK
) -> bool:
    """Plan the next people of a send; True while there are more. With the last, the send runs, or waits to be undone.

    A kill between two calls loses nothing: how far planning is stands in the row, and is written with the deliveries.
    """
    send = _locked(session, edition)
    if send.state is not SendState.PLANNING:
        return False
    ids = (
        select(Subscriber.number)
        .where(Subscriber.number > send.planned_up_to, Subscriber.number <= send.highest_subscriber)
        .order_by(Subscriber.number)
        .limit(chunk)
        .subquery()
    )
    up_to = session.scalar(select(func.max(ids.c.number)))
    if up_to is not None:
        _plan_chunk(session, send, up_to, zone)
        return True
    to = SendState.WAITING if send.wait_until and send.wait_until > now else SendState.RUNNING
    if _move(session, edition, to, SendState.PLANNING, note=""):
        counts = dict(
            session.execute(
                select(Delivery.state, func.count()).where(Delivery.edition == edition).group_by(Delivery.state)
            ).all()
        )
        _audit(
            session,
            actor,
            now,
            "send planned",
            send,
            people=counts.get(DeliveryState.PLANNED, 0),
            left_out=counts.get(DeliveryState.LEFT_OUT, 0),
        )
    return False


def _plan_chunk(session: Session, send: Send, up_to: int, zone: ZoneInfo) -> None:
    content = get_content(session, send.edition)
    since = lately(content.audience, send.audience_at)
    who = (
        resolve_audience(
            content.audience,
            language=content.language,
            at=send.audience_at,
            zone=zone,
            mailed_lately=mailed_since(since) if since else None,
        )
        .where(Subscriber.number > send.planned_up_to, Subscriber.number <= up_to)
        .subquery()
    )
    goes = who.c.reason.is_(None)
    # Each variant is cut by itself, then all slices are counted through: html first, then text.
    place = func.row_number().over(partition_by=(goes, who.c.text_only), order_by=who.c.number) - 1
    slices = select(who, (place - place % send.batch_limit).label("begins_at")).subquery()
    gets = slices.c.reason.is_(None)
    nth = func.dense_rank().over(order_by=(case((gets, 0), else_=1), slices.c.text_only, slices.c.begins_at))
    session.execute(
        insert_or_skip(session, Delivery).from_select(
            ["edition", "subscriber", "batch", "state", "reason"],
            select(
                literal(send.edition),
                slices.c.number,
                case((gets, nth + (send.next_batch - 1)), else_=0),
                cast(
                    case((gets, literal(DeliveryState.PLANNED.value)), else_=literal(DeliveryState.LEFT_OUT.value)),
                    Text,
                ),
                slices.c.reason,
            ).where(literal(True)),  # without a WHERE, SQLite reads ON CONFLICT as the condition of a join
        )
    )
    new = and_(Delivery.edition == send.edition, Delivery.batch >= send.next_batch)
    # Somebody may change their wish between these two statements; what most of a batch wish is what it was cut for.
    text_only = func.avg(case((Subscriber.text_only, 1.0), else_=0.0)) > 0.5
    cut = (
        select(Delivery.batch, text_only.label("text_only"), func.count().label("people"))
        .join(Subscriber, Subscriber.number == Delivery.subscriber)
        .where(new)
        .group_by(Delivery.batch)
        .order_by(Delivery.batch)
    )
    batches = [
        {
            "edition": send.edition,
            "number": number,
            "variant": Variant.TEXT if is_text else Variant.HTML,
            "state": BatchState.PLANNED,
            "people": people,
        }
        for number, is_text, people in session.execute(cut)
    ]
    if batches:
        session.execute(insert(Batch), batches)
    session.execute(
        update(Send)
        .where(Send.edition == send.edition)
        .values(planned_up_to=up_to, next_batch=Send.next_batch + len(batches))
        .execution_options(synchronize_session=False)
    )


def begin_waiting(session: Session, *, actor: Actor, now: datetime) -> int:
    """Sends whose undo delay is over begin to run; gives how many."""
    over = select(Send.edition).where(Send.state == SendState.WAITING, Send.wait_until <= now)
    begun = 0
    for edition in session.scalars(over).all():
        if _move(session, edition, SendState.RUNNING, SendState.WAITING):
            _audit(session, actor, now, "send begun", session.get_one(Send, edition))
            begun += 1
    return begun


def claim(
    session: Session, *, worker: str, transport: str, actor: Actor, now: datetime, lease: timedelta = plan.LEASE
) -> Claim | None:
    """Take the next batch of a send through a transport for one worker to build, or None when nothing may go now."""
    batch = session.execute(statements.FIND_NEXT_BATCH, {"now": now, "transport": transport}).one_or_none()
    if batch is None:
        return None
    fence = session.scalar(
        statements.CLAIM,
        {"in_edition": batch.edition, "in_batch": batch.number, "by": worker, "until": now + lease},
    )
    if fence is None:
        return None
    _audit_batch(session, actor, now, "batch claimed", batch.edition, batch.number, fence=fence)
    attempt = "na" + secrets.token_hex(12)
    return Claim(batch.edition, batch.number, fence, batch.variant, batch.opened_at, attempt)


def put_in_flight(session: Session, claim: Claim, *, actor: Actor, now: datetime) -> Flight | None:
    """Write the attempt that is about to be made, dropping whoever may no longer be mailed, in one commit.

    Gives None when nobody is left in the batch. Raises LostClaim when it is not this worker's any more, and
    ContentChanged when the stored edition is not what was approved. Nothing may be sent before this is committed.
    """
    edition, number = claim.edition, claim.batch
    this = {"in_edition": edition, "in_batch": number}
    worker = session.scalar(
        statements.TAKE_OFF, {**this, "by_fence": claim.fence, "now": now, "as_attempt": claim.attempt}
    )
    if worker is None:
        raise LostClaim(f"Batch {number} is no longer this worker's; it gives it up.")
    if get_content(session, edition).hash() != session.scalar(statements.APPROVED_HASH, {"in_edition": edition}):
        raise ContentChanged("what is stored is not what was approved")
    if session.get_bind().dialect.name == "postgresql":
        # Who leaves from here on waits until the batch is on record as in flight, and so left after it went. SQLite
        # has one writer at a time anyway.
        session.execute(statements.KEEP_THEM_AS_THEY_ARE, this)
    planned, may_not = session.execute(statements.COUNT_WHO_MAY_NOT, this).one()
    dropped = _drop_who_may_not(session, claim) if may_not else frozenset[int]()
    people = planned - len(dropped)
    if not people:
        counts = _count_anew(session, edition, number)
        _set_batch(session, edition, number, BatchState.IN_FLIGHT, _settled_state(counts))
        _audit_batch(session, actor, now, "batch empty", edition, number, dropped=len(dropped))
        return None
    attempt = {
        "id": claim.attempt,
        "edition": edition,
        "batch": number,
        "fence": claim.fence,
        "worker": worker,
        "state": AttemptState.IN_FLIGHT,
        "people": people,
        "started_at": now,
    }
    session.execute(statements.ADD_ATTEMPT, attempt)
    if dropped:
        _count_anew(session, edition, number)
    told: Mapping[str, str | int] = {"attempt": claim.attempt, "people": people, "dropped": len(dropped)}
    _audit_batch(session, actor, now, "batch in flight", edition, number, **told)
    return Flight(claim, people, dropped)


def record_answer(session: Session, flight: Flight, receipt: Receipt, *, actor: Actor, now: datetime) -> bool:
    """Write what the provider answered to an attempt, and what follows for its batch and its people.

    The first answer of an attempt counts, and False says that there was one; but that it was accepted counts always.
    A batch follows its newest attempt alone.
    """
    receipt = _as_text(receipt)
    edition, number = flight.claim.edition, flight.claim.batch
    batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    outcome = plan.consequence_of(receipt, people=flight.people, failures=batch.failures, now=now)
    answer = {
        "as_attempt": flight.attempt,
        "to": outcome.attempt,
        "now": now,
        "said": without_addresses(receipt.reason),
        "provider_reference": receipt.reference,
    }
    if not _changed(session, statements.ANSWER_ATTEMPT, answer):
        return False
    newest = batch.state is BatchState.IN_FLIGHT and batch.attempt == flight.attempt
    # Accepted beats what was thought of the batch before, unless a newer attempt is on its way: that is told apart.
    accepted_late = outcome.batch is BatchState.ACCEPTED and batch.state in _NOT_KNOWN_AS_SENT
    if not (newest or accepted_late):
        _audit_batch(
            session, actor, now, "late answer", edition, number, attempt=flight.attempt, outcome=receipt.outcome.value
        )
        return True
    if not (newest and _accept_whole(session, flight, receipt)):
        _settle_people(session, flight, receipt, outcome, now)
        _settle_batch(session, edition, number, outcome)
    _settle_send(session, edition, outcome, actor, now)
    _audit_batch(
        session,
        actor,
        now,
        f"batch {receipt.outcome.value}",
        edition,
        number,
        attempt=flight.attempt,
        people=flight.people,
    )
    return True


def _as_text(receipt: Receipt) -> Receipt:
    """A receipt whose words can be stored: PostgreSQL takes no NUL, and a terminal no control characters."""
    people = {name: replace(own, reason=_printable(own.reason)) for name, own in receipt.people.items()}
    return replace(receipt, reason=_printable(receipt.reason), reference=_printable(receipt.reference), people=people)


def _printable(text: str) -> str:
    return "".join(" " if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def _accept_whole(session: Session, flight: Flight, receipt: Receipt) -> bool:
    """Settle a batch in flight of which everybody was accepted; False where that is not the whole story.

    Then what was changed here stands, and settling it by counting anew comes to the right end from there.
    """
    if receipt.outcome is not Outcome.ACCEPTED or receipt.people:
        return False
    this = {"in_edition": flight.claim.edition, "in_batch": flight.claim.batch, "as_attempt": flight.attempt}
    handed_over = _changed(session, statements.HAND_OVER, this)
    if handed_over != flight.people:
        return False
    return _changed(session, statements.ACCEPT_BATCH, {**this, "just_handed_over": handed_over}) == 1


def _settle_people(
    session: Session, flight: Flight, receipt: Receipt, outcome: plan.Consequence, now: datetime
) -> None:
    edition, number = flight.claim.edition, flight.claim.batch
    apart: dict[tuple[DeliveryState | None, str], list[int]] = {}
    for name, answer in receipt.people.items():
        subscriber = read_delivery_id(name)[1]
        apart.setdefault((plan.state_of_person(answer.outcome), answer.reason), []).append(subscriber)
    # Who is uncertain because of another attempt was not in this one, and stays so whatever became of it.
    of_this_attempt = and_(Delivery.state == DeliveryState.UNCERTAIN, Delivery.attempt == flight.attempt)
    still = and_(in_batch(edition, number), or_(Delivery.state == DeliveryState.PLANNED, of_this_attempt))
    for (state, reason), people in apart.items():
        if state is None:
            if outcome.people is not None:
                # They were not taken while the rest was: they go by themselves.
                _cut_off(session, edition, number, people, again_at=receipt.not_before or now + plan.wait_after(0))
        else:
            _set_people(session, and_(still, Delivery.subscriber.in_(people)), state, flight.attempt, reason)
    if outcome.people is not None:
        named = {subscriber for people in apart.values() for subscriber in people}
        rest = and_(still, Delivery.subscriber.not_in(named)) if named else still
        _set_people(session, rest, outcome.people, flight.attempt, receipt.reason)
    settled_some = outcome.people is None and any(
        state in (DeliveryState.HANDED_OVER, DeliveryState.UNCERTAIN) for state, _ in apart
    )
    if outcome.split or settled_some:
        planned = session.scalars(
            select(Delivery.subscriber)
            .where(in_batch(edition, number), Delivery.state == DeliveryState.PLANNED)
            .order_by(Delivery.subscriber)
        ).all()
        # A batch whose people are partly settled keeps those alone; one that was too large keeps its first half.
        kept = 0 if settled_some else len(planned) // 2
        _cut_off(session, edition, number, planned[kept:], again_at=outcome.again_at or now)


def _settle_batch(session: Session, edition: int, number: int, outcome: plan.Consequence) -> None:
    counts = _count_anew(session, edition, number)
    to = outcome.batch if counts[DeliveryState.PLANNED] else _settled_state(counts)
    session.execute(
        update(Batch)
        .where(is_batch(edition, number))
        .values(
            state=to,
            not_before=outcome.again_at,
            lease_until=None,
            failures=Batch.failures + 1 if outcome.failed else Batch.failures,
        )
        .execution_options(synchronize_session=False)
    )
    _close_stopped(session, edition)


def _settled_state(counts: Mapping[DeliveryState, int]) -> BatchState:
    """The state of a batch in which nobody is planned any more."""
    if counts[DeliveryState.UNCERTAIN]:
        return BatchState.UNCERTAIN
    nobody = counts[DeliveryState.LEFT_OUT] + counts[DeliveryState.REFUSED] == sum(counts.values())
    return BatchState.EMPTY if nobody else BatchState.ACCEPTED


def _settle_send(session: Session, edition: int, outcome: plan.Consequence, actor: Actor, now: datetime) -> None:
    if outcome.attempt is AttemptState.ACCEPTED:
        session.execute(statements.FORGET_FAILURES, {"in_edition": edition})
        return
    if outcome.holds_send:
        early = or_(Batch.not_before.is_(None), Batch.not_before < outcome.again_at)
        session.execute(
            update(Batch)
            .where(Batch.edition == edition, Batch.state == BatchState.PLANNED, early)
            .values(not_before=outcome.again_at)
            .execution_options(synchronize_session=False)
        )
    failing = _count_failure(session, edition) if outcome.failed else 0
    note = outcome.pause or (
        f"{failing} attempts in a row have failed; see why with: newsletter status" if failing >= plan.BRAKE else ""
    )
    if note and _move(
        session, edition, SendState.PAUSED, SendState.RUNNING, note=without_addresses(note), paused_at=now
    ):
        _audit(session, actor, now, "send paused", session.get_one(Send, edition), reason=note)


def expire_leases(session: Session, *, actor: Actor, now: datetime, all_of_them: bool = False) -> int:
    """Batches whose worker did not get to send them are planned again; gives how many.

    `all_of_them` is for a process that knows it is alone: every claim is then of a process that has ended.
    """
    over = Batch.state == BatchState.CLAIMED
    if not all_of_them:
        over = and_(over, Batch.lease_until <= now)
    rows = session.execute(
        update(Batch)
        .where(over)
        .values(state=BatchState.PLANNED, lease_until=None)
        .returning(Batch.edition, Batch.number)
        .execution_options(synchronize_session=False)
    ).all()
    for row in rows:
        _audit_batch(session, actor, now, "batch claim expired", row.edition, row.number)
    return len(rows)


def mark_stale(
    session: Session,
    *,
    actor: Actor,
    now: datetime,
    idempotent: str | None,
    stale_after: timedelta = plan.STALE_AFTER,
) -> int:
    """Attempts without an answer for too long become uncertain; gives how many.

    `idempotent` names the transport, if any, through which a repeat cannot reach anybody twice: a batch of a send that
    began with it is planned again at once.
    """
    rows = session.execute(
        select(Attempt.id, Attempt.edition, Attempt.batch)
        .where(Attempt.state == AttemptState.IN_FLIGHT, Attempt.started_at <= now - stale_after)
        .order_by(Attempt.edition, Attempt.batch)
    ).all()
    marked = 0
    for attempt, edition, number in rows:
        batch = session.scalar(
            select(Batch).where(is_batch(edition, number)).with_for_update().execution_options(populate_existing=True)
        )
        assert batch is not None, "batches are never deleted"
        if not _set_attempt(session, attempt, AttemptState.UNCERTAIN, "the worker ended before an answer came", now):
            continue
        marked += 1
        if batch.attempt == attempt and batch.state is BatchState.IN_FLIGHT:
            send = _locked(session, edition)
            # In a send that was stopped nothing is repeated, and what became of this try stays open.
            if idempotent is not None and send.transport == idempotent and send.state is not SendState.STOPPED:
                _set_batch(session, edition, number, BatchState.IN_FLIGHT, BatchState.PLANNED)
            else:
                planned = and_(in_batch(edition, number), Delivery.state == DeliveryState.PLANNED)
                _set_people(session, planned, DeliveryState.UNCERTAIN, attempt, "no answer came")
                _set_batch(session, edition, number, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)
                _count_anew(session, edition, number)
        _audit_batch(session, actor, now, "batch uncertain", edition, number, attempt=attempt)
    return marked


def settle_uncertain(
    session: Session, edition: str, attempt: str, verdict: Verdict, *, actor: StaffActor, now: datetime
) -> None:
    """A named person says what became of an attempt without an answer, or that its people get it again.

    Several attempts of one batch may be without an answer, each with people of its own: those who left after the first
    were not in the second. Raises Refused when nobody is uncertain because of this attempt.
    """
    require(actor.person, Act.STEER)
    send = get_send(session, edition)
    batch = session.scalar(select(Attempt.batch).where(Attempt.id == attempt, Attempt.edition == send.edition))
    row = session.scalar(
        select(Batch)
        .where(is_batch(send.edition, batch or 0))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if batch is None or row is None or not _may_settle(row):
        raise Refused(f"{attempt} of {edition} is not uncertain; nothing was changed.")
    state = session.scalar(select(Send.state).where(Send.edition == send.edition).with_for_update())
    if verdict is Verdict.SEND_AGAIN and state is SendState.STOPPED:
        raise Refused(f"{edition} was stopped; nothing of it is sent again. Say whether it was sent or not.")
    states: Mapping[Verdict, DeliveryState] = {
        Verdict.SENT: DeliveryState.HANDED_OVER,
        Verdict.NOT_SENT: DeliveryState.LEFT_OUT,
        Verdict.SEND_AGAIN: DeliveryState.PLANNED,
    }
    uncertain = and_(
        in_batch(send.edition, batch), Delivery.state == DeliveryState.UNCERTAIN, Delivery.attempt == attempt
    )
    people = session.scalar(select(func.count()).select_from(Delivery).where(uncertain))
    if not people:
        raise Refused(f"{attempt} of {edition} is not uncertain; nothing was changed.")
    session.execute(
        update(Delivery)
        .where(uncertain)
        .values(state=states[verdict], reason=LeftOut.NOT_SENT.value if verdict is Verdict.NOT_SENT else None)
        .execution_options(synchronize_session=False)
    )
    if verdict is Verdict.SEND_AGAIN:
        session.execute(update(Send).where(Send.edition == send.edition).values(asked_at=now))
    counts = _count_anew(session, send.edition, batch)
    if not counts[DeliveryState.PLANNED]:
        _set_batch(session, send.edition, batch, row.state, _settled_state(counts))
    elif row.state not in _WAITING:
        _set_batch(session, send.edition, batch, row.state, BatchState.PLANNED)
    _close_stopped(session, send.edition)
    record(session, actor, now, f"attempt settled as {verdict.value}", f"attempt:{attempt}")


def _may_settle(batch: Batch) -> bool:
    # What is being built or sent just now has an answer to come, which settles it from what it finds.
    return batch.state not in (BatchState.CLAIMED, BatchState.IN_FLIGHT)


def note_trouble(session: Session, edition: int, note: str) -> None:
    """Tell with a send that is being planned why it does not get on."""
    session.execute(update(Send).where(Send.edition == edition, Send.state == SendState.PLANNING).values(note=note))


def pause(session: Session, edition: str, *, actor: Actor, now: datetime, note: str = "") -> None:
    """Let a running send wait; batches in flight are answered still. Raises Refused in any other state."""
    if isinstance(actor, StaffActor):
        require(actor.person, Act.STEER)
    send = get_send(session, edition)
    if not _move(session, send.edition, SendState.PAUSED, SendState.RUNNING, note=note, paused_at=now):
        raise _cannot(session, edition, "paused")
    _audit(session, actor, now, "send paused", send, reason=note or "by hand")


def resume(
    session: Session,
    edition: str,
    *,
    actor: StaffActor,
    now: datetime,
    late_after: timedelta,
    although_late: bool = False,
) -> None:
    """Let a paused send go on, rejected batches too; raises Refused in any other state.

    When it has been paused for longer than `late_after`, it must be said that it goes on `although_late`.
    """
    require(actor.person, Act.STEER)
    send = get_send(session, edition)
    late = send.paused_at is not None and not plan.may_resume(send.paused_at, now, late_after)
    if send.state is SendState.PAUSED and late and not although_late:
        hours = late_after / timedelta(hours=1)
        raise Refused(
            f"{edition} has been paused for more than {hours:g} hours. Should the rest still get it now? "
            f"Then: newsletter resume {edition} --although-late"
        )
    if not _move(
        session, send.edition, SendState.RUNNING, SendState.PAUSED, note="", paused_at=None, failing=0, asked_at=now
    ):
        raise _cannot(session, edition, "resumed")
    session.execute(
        update(Batch)
        .where(Batch.edition == send.edition, Batch.state == BatchState.REJECTED)
        .values(state=BatchState.PLANNED, not_before=None)
        .execution_options(synchronize_session=False)
    )
    _audit(session, actor, now, "send resumed", send)


def stop(session: Session, edition: str, *, actor: StaffActor, now: datetime) -> int:
    """End a send for good; gives how many people it no longer goes to. Raises Refused when it has ended already.

    What is in flight cannot be called back; its answer is still recorded.
    """
    require(actor.person, Act.STEER)
    send = get_send(session, edition)
    from_ = [state for state, moves in SEND_MOVES.items() if SendState.STOPPED in moves]
    if not _move(session, send.edition, SendState.STOPPED, *from_, finished_at=now):
        raise _cannot(session, edition, "stopped")
    out = _close_stopped(session, send.edition)
    _audit(session, actor, now, "send stopped", send, people=out)
    return out


def _close_stopped(session: Session, edition: int) -> int:
    """Leave out whoever is still planned in a send that was stopped; gives how many. Any other send stays as it is.

    Called by all that plans people again, since a send may be stopped while they are on their way.
    """
    # Kept until the end: a stop that is under way would not see what is planned again here.
    state = session.scalar(select(Send.state).where(Send.edition == edition).with_for_update())
    if state is not SendState.STOPPED:
        return 0
    waiting = and_(Batch.edition == edition, Batch.state.in_(_WAITING))
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


def finish(session: Session, edition: int, *, actor: Actor, now: datetime) -> bool:
    """End a running send in which nobody waits, is in flight or is uncertain; False when it was not so."""
    unfinished = exists().where(Batch.edition == Send.edition, Batch.state.in_(_UNFINISHED))
    found = session.scalar(
        update(Send)
        .where(Send.edition == edition, Send.state == SendState.RUNNING, ~unfinished)
        .values(state=SendState.FINISHED, finished_at=now)
        .returning(Send.edition)
        .execution_options(synchronize_session=False)
    )
    if found is None:
        return False
    _audit(session, actor, now, "send finished", session.get_one(Send, edition))
    return True


def _drop_who_may_not(session: Session, claim: Claim) -> frozenset[int]:
    """Leave out whoever left, paused, was suppressed or erased since the audience was fixed."""
    cases = reason_never_to_mail()
    may_not = exists().where(Subscriber.number == Delivery.subscriber, or_(*(condition for condition, _ in cases)))
    reason = (
        select(case(*cases, else_=literal(LeftOut.LEFT.value)))
        .where(Subscriber.number == Delivery.subscriber)
        .correlate(Delivery)
        .scalar_subquery()
    )
    # When an earlier try of this batch had no answer, the mail may have reached them before they left: that is not
    # known, and must not be told as if it were.
    in_doubt = session.scalar(
        select(Attempt.id)
        .where(Attempt.edition == claim.edition, Attempt.batch == claim.batch, Attempt.state == AttemptState.UNCERTAIN)
        .order_by(Attempt.started_at.desc())
        .limit(1)
    )
    state = DeliveryState.UNCERTAIN if in_doubt else DeliveryState.LEFT_OUT
    dropped = session.scalars(
        update(Delivery)
        .where(in_batch(claim.edition, claim.batch), Delivery.state == DeliveryState.PLANNED, may_not)
        .values(state=state, reason=reason, attempt=in_doubt)
        .returning(Delivery.subscriber)
        .execution_options(synchronize_session=False)
    ).all()
    return frozenset(dropped)


def _cut_off(session: Session, edition: int, number: int, people: Collection[int], *, again_at: datetime) -> None:
    """Give some people of a batch, still planned, a batch of their own."""
    new = session.scalar(
        update(Send)
        .where(Send.edition == edition)
        .values(next_batch=Send.next_batch + 1)
        .returning(Send.next_batch)
        .execution_options(synchronize_session=False)
    )
    assert new is not None, "sends are never deleted"
    variant = session.scalar(select(Batch.variant).where(is_batch(edition, number)))
    session.execute(
        insert(Batch).values(
            edition=edition,
            number=new - 1,
            variant=variant,
            state=BatchState.PLANNED,
            people=len(people),
            not_before=again_at,
        )
    )
    session.execute(
        update(Delivery)
        .where(in_batch(edition, number), Delivery.subscriber.in_(people))
        .values(batch=new - 1)
        .execution_options(synchronize_session=False)
    )


def _count_anew(session: Session, edition: int, number: int) -> Mapping[DeliveryState, int]:
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


def _set_people(session: Session, who: ColumnElement[bool], to: DeliveryState, attempt: str, reason: str) -> None:
    told = without_addresses(reason) if to in (DeliveryState.REFUSED, DeliveryState.UNCERTAIN) else None
    session.execute(
        update(Delivery)
        .where(who)
        .values(state=to, attempt=attempt, reason=told if told else null())
        .execution_options(synchronize_session=False)
    )


def _set_attempt(session: Session, attempt: str, to: AttemptState, answer: str, now: datetime) -> bool:
    found = session.scalar(
        update(Attempt)
        .where(Attempt.id == attempt, Attempt.state == AttemptState.IN_FLIGHT)
        .values(state=to, answered_at=now, answer=answer)
        .returning(Attempt.id)
        .execution_options(synchronize_session=False)
    )
    return found is not None


def _set_batch(session: Session, edition: int, number: int, from_: BatchState, to: BatchState) -> None:
    session.execute(
        update(Batch)
        .where(is_batch(edition, number), Batch.state == from_)
        .values(state=to, lease_until=None, not_before=None)
        .execution_options(synchronize_session=False)
    )


def _count_failure(session: Session, edition: int) -> int:
    failing = session.scalar(
        update(Send)
        .where(Send.edition == edition)
        .values(failing=Send.failing + 1)
        .returning(Send.failing)
        .execution_options(synchronize_session=False)
    )
    return failing or 0


def _move(session: Session, edition: int, to: SendState, *from_: SendState, **values: Any) -> bool:
    assert all(to in SEND_MOVES[state] for state in from_), f"no send moves to {to}"
    found = session.scalar(
        update(Send)
        .where(Send.edition == edition, Send.state.in_(from_))
        .values(state=to, **values)
        .returning(Send.edition)
        .execution_options(synchronize_session=False)
    )
    return found is not None


def _cannot(session: Session, edition: str, what: str) -> Refused:
    state = get_send(session, edition).state.value
    return Refused(f"{edition} was not {what}: its send is {state}. See: newsletter status {edition}")


def _locked(session: Session, edition: int) -> Send:
    return session.get_one(Send, edition, with_for_update=True, populate_existing=True)


def _changed(session: Session, statement: Update, values: Mapping[str, Any]) -> int:
    result = session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


def _audit(session: Session, actor: Actor, now: datetime, action: str, send: Send, **details: str | int) -> None:
    edition = session.get_one(Edition, send.edition).id
    record(session, actor, now, action, f"edition:{edition}", content_hash=send.content_hash, **details)


def _audit_batch(
    session: Session, actor: Actor, now: datetime, action: str, edition: int, batch: int, **details: str | int
) -> None:
    record(session, actor, now, action, f"batch:{edition}/{batch}", content_hash=None, **details)

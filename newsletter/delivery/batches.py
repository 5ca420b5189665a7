"""The walk of a batch: `claim`, `put_in_flight`, then, outside of any transaction, the provider, then `record_answer`.

What a worker that died left behind is freed by `expire_leases` and `mark_stale`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import (
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, without_addresses
from newsletter.delivery import pacing, plan, statements
from newsletter.delivery.daily import keep_to_the_day
from newsletter.delivery.evidence import hand_over_all_of
from newsletter.delivery.model import (
    AttemptState,
    BatchState,
    Claim,
    ContentChanged,
    DailyLimit,
    DeliveryState,
    Flight,
    Limits,
    LostClaim,
    SendState,
    TakeOff,
    new_attempt_id,
    read_delivery_id,
)
from newsletter.delivery.moves import (
    WAITING,
    audit_batch,
    close_stopped,
    count_anew,
    count_changed,
    cut_off,
    hold_planned,
    lock_send,
    pause_send,
    set_batch,
    set_people,
    settled_state,
    tell_if_accepted_twice,
)
from newsletter.delivery.statements import in_batch, is_batch
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.model import Content
from newsletter.editions.queries import get_content
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, Receipt
from newsletter.rendering.model import LinkTag
from newsletter.subscribers.audience import reason_never_to_mail
from newsletter.subscribers.model import LeftOut
from newsletter.subscribers.tables import Subscriber

_NOT_KNOWN_AS_SENT = (*WAITING, BatchState.UNCERTAIN)


def claim(
    session: Session,
    *,
    worker: str,
    transport: str,
    actor: Actor,
    now: datetime,
    lease: timedelta = plan.LEASE,
    only: tuple[int, int] | None = None,
    daily: DailyLimit | None = None,
) -> Claim | None:
    """Take a batch for one worker to build, or None when nothing may go now.

    It is the next one of any send through a transport, or the one of an edition and number that is asked for. What is
    more than `daily` allows is cut off and waits for the next day.
    """
    if daily:
        # Two workers at once would both take what is left of the day. It comes first, as everywhere: a batch that is
        # kept while this is waited for could be what the other one waits for.
        pacing.lock_account(session, transport)
    may_go = {"now": now, "transport": transport}
    if only is None:
        found = session.execute(statements.FIND_NEXT_BATCH, may_go)
    else:
        found = session.execute(statements.FIND_BATCH, {**may_go, "in_edition": only[0], "in_batch": only[1]})
    batch = found.one_or_none()
    if batch is None:
        return None
    if daily and not keep_to_the_day(session, daily, transport, batch.edition, batch.number, now):
        return None
    fence = session.scalar(
        statements.CLAIM,
        {"in_edition": batch.edition, "in_batch": batch.number, "by": worker, "until": now + lease},
    )
    if fence is None:
        return None
    audit_batch(session, actor, now, "batch claimed", batch.edition, batch.number, fence=fence)
    return Claim(batch.edition, batch.number, fence, batch.variant, batch.opened_at, batch.base_url, new_attempt_id())


def give_back(session: Session, claim: Claim, *, actor: Actor, now: datetime, not_before: datetime | None) -> None:
    """Undo a claim that this worker has still; with `not_before`, the send waits until then."""
    held = session.scalar(
        update(Batch)
        .where(is_batch(claim.edition, claim.batch), Batch.state == BatchState.CLAIMED, Batch.fence == claim.fence)
        .values(state=BatchState.PLANNED, lease_until=None)
        .returning(Batch.number)
        .execution_options(synchronize_session=False)
    )
    if held is None:
        return
    if not_before:
        hold_planned(session, claim.edition, not_before)
    close_stopped(session, claim.edition)
    audit_batch(session, actor, now, "batch given back", claim.edition, claim.batch, fence=claim.fence)


def take_back(session: Session, claim: Claim, *, actor: Actor, now: datetime) -> None:
    """Undo what came on record of a take-off of which its worker does not know, and after which it handed nothing over.

    A commit that is still on its way is waited for, since it has the batch locked, or comes too late for the claim.
    """
    session.execute(statements.LOCK_BATCH, {"in_edition": claim.edition, "in_batch": claim.batch})
    attempt = session.get(Attempt, claim.attempt)
    if attempt is None:
        give_back(session, claim, actor=actor, now=now, not_before=None)
    else:
        flight = Flight(claim, attempt.people)
        record_answer(session, flight, never_begun(now), actor=actor, now=now)


def never_begun(now: datetime) -> Receipt:
    """The answer to an attempt whose worker did not begin to hand over: nobody refused it, and it may go again."""
    return Receipt(Outcome.TRY_AGAIN, "the worker was held up before it could begin", not_before=now)


def put_in_flight(session: Session, claim: Claim, *, actor: Actor, now: datetime) -> TakeOff | None:
    """Write the attempt that is about to be made, dropping whoever may no longer be mailed, in one commit.

    What the attempt carries is read in it too, and nowhere else. Gives None when nobody is left in the batch. Raises
    LostClaim when it is not this worker's any more, and ContentChanged when the stored edition is not what was
    approved. Nothing may be sent before this is committed.
    """
    edition, number = claim.edition, claim.batch
    this = {"in_edition": edition, "in_batch": number}
    mine = session.execute(
        statements.TAKE_OFF, {**this, "by_fence": claim.fence, "now": now, "as_attempt": claim.attempt}
    ).one_or_none()
    if mine is None:
        raise LostClaim(f"Batch {number} is no longer this worker's; it gives it up.")
    content = _approved_content(session, claim, mine.approved_hash)
    if session.get_bind().dialect.name == "postgresql":
        # Who leaves from here on waits until the batch is on record as in flight, and so left after it went. SQLite
        # has one writer at a time anyway.
        session.execute(statements.KEEP_THEM_AS_THEY_ARE, this)
    planned, may_not = session.execute(statements.COUNT_WHO_MAY_NOT, this).one()
    dropped = _drop_who_may_not(session, claim) if may_not else frozenset[int]()
    people = planned - len(dropped)
    if not people:
        counts = count_anew(session, edition, number)
        set_batch(session, edition, number, BatchState.IN_FLIGHT, settled_state(counts))
        audit_batch(session, actor, now, "batch empty", edition, number, dropped=len(dropped))
        return None
    attempt = {
        "id": claim.attempt,
        "edition": edition,
        "batch": number,
        "fence": claim.fence,
        "worker": mine.worker,
        "state": AttemptState.IN_FLIGHT,
        "people": people,
        "started_at": now,
    }
    session.execute(statements.ADD_ATTEMPT, attempt)
    if dropped:
        count_anew(session, edition, number)
    told: Mapping[str, str | int] = {"attempt": claim.attempt, "people": people, "dropped": len(dropped)}
    audit_batch(session, actor, now, "batch in flight", edition, number, **told)
    return TakeOff(claim, people, dropped, content)


def _approved_content(session: Session, claim: Claim, approved_hash: str) -> Content:
    """What is stored of the edition, compared with what was approved; raises ContentChanged."""
    try:
        content = get_content(session, claim.edition)
    except (Refused, ValueError, KeyError, TypeError) as error:
        # By its name alone: its words may hold what is stored.
        raise ContentChanged(f"what is stored cannot be read: {type(error).__name__}") from None
    if content.hash() != approved_hash or content.base_url != claim.base_url:
        raise ContentChanged("what is stored is not what was approved")
    if not all(LinkTag.UNSUBSCRIBE.value in part for part in (content.html, content.text)):
        raise ContentChanged("what was approved has no link to leave by; stop it, and submit the mailing anew")
    return content


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
    # Who is planned and bears an attempt was uncertain because of it, perhaps in another batch.
    attempt = func.coalesce(Delivery.attempt, in_doubt)
    state = case((attempt.is_(None), DeliveryState.LEFT_OUT.value), else_=DeliveryState.UNCERTAIN.value)
    dropped = session.scalars(
        update(Delivery)
        .where(in_batch(claim.edition, claim.batch), Delivery.state == DeliveryState.PLANNED, may_not)
        .values(state=cast(state, Text), reason=reason, attempt=attempt)
        .returning(Delivery.subscriber)
        .execution_options(synchronize_session=False)
    ).all()
    return frozenset(dropped)


def record_answer(
    session: Session,
    flight: Flight,
    receipt: Receipt,
    *,
    actor: Actor,
    now: datetime,
    brake: int = Limits.brake,
    idempotent: bool = False,
) -> bool:
    """Write what the provider answered to an attempt, and what follows for its batch and its people.

    The first answer of an attempt counts, and False says that there was one; but that it was accepted counts always.
    An attempt that was given up as uncertain had none: what its worker says late settles it, unless somebody has.
    With `brake` failing attempts in a row the send is paused. Unless the transport is `idempotent`, staff are told when
    an earlier attempt was accepted too.
    A batch follows its newest attempt alone.
    """
    receipt = _as_text(receipt)
    edition, number = flight.claim.edition, flight.claim.batch
    batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    doubted = batch.state is BatchState.UNCERTAIN and batch.attempt == flight.attempt
    if doubted and receipt.outcome not in (Outcome.ACCEPTED, Outcome.UNCERTAIN) and _undo_doubt(session, flight):
        batch = session.execute(statements.LOCK_BATCH, {"in_edition": edition, "in_batch": number}).one()
    outcome = _consequence(session, flight, receipt, batch.failures, now)
    # A transport may hand over some of a batch before it fails; the attempt is then accepted, for those.
    partly = outcome.people is None and any(own.outcome is Outcome.ACCEPTED for own in receipt.people.values())
    answer = {
        "as_attempt": flight.attempt,
        "to": AttemptState.ACCEPTED if partly else outcome.attempt,
        "now": now,
        "said": without_addresses(receipt.reason),
        "provider_reference": receipt.reference,
    }
    if not count_changed(session, statements.ANSWER_ATTEMPT, answer):
        return False
    newest = batch.state is BatchState.IN_FLIGHT and batch.attempt == flight.attempt
    # The first fence is of the first claim: before it nothing of this batch went, unless it was cut from another.
    first = newest and flight.claim.fence == 1 and batch.cut_after is None
    if answer["to"] is AttemptState.ACCEPTED and not idempotent and not first:
        tell_if_accepted_twice(session, edition, number, flight.attempt, actor=actor, now=now)
    # Accepted beats what was thought of the batch before; a newer attempt that is on its way settles it, without those
    # who have the mail from this one.
    accepted_late = outcome.batch is BatchState.ACCEPTED and batch.state in _NOT_KNOWN_AS_SENT
    if not newest and outcome.batch is BatchState.ACCEPTED and not receipt.people:
        hand_over_all_of(session, session.get_one(Attempt, flight.attempt))
    elif accepted_late or (newest and not _accept_whole(session, flight, receipt)):
        _settle_people(session, flight, receipt, outcome, batch.deferrals, now)
        _settle_batch(session, edition, number, outcome)
    if newest or accepted_late:
        _settle_send(session, edition, receipt, outcome, actor, now, brake)
        told: Mapping[str, str | int] = {"attempt": flight.attempt, "people": flight.people}
        audit_batch(session, actor, now, f"batch {receipt.outcome.value}", edition, number, **told)
    else:
        told = {"attempt": flight.attempt, "outcome": receipt.outcome.value}
        audit_batch(session, actor, now, "late answer", edition, number, **told)
    if receipt.not_before:
        # Last of all: who claims a batch keeps it while waiting for the row of the pace.
        pacing.slow_down(session, session.get_one(Send, edition).transport, receipt.not_before)
    return True


def _undo_doubt(session: Session, flight: Flight) -> bool:
    """Put an uncertain batch back in flight, for its newest attempt has an answer after all; False when it had one."""
    edition, number = flight.claim.edition, flight.claim.batch
    if not count_changed(session, statements.EXPECT_ANSWER_AGAIN, {"as_attempt": flight.attempt}):
        return False
    session.execute(
        update(Delivery)
        .where(
            in_batch(edition, number),
            Delivery.state == DeliveryState.UNCERTAIN,
            Delivery.attempt == flight.attempt,
        )
        .values(state=DeliveryState.PLANNED, attempt=null(), reason=null())
        .execution_options(synchronize_session=False)
    )
    set_batch(session, edition, number, BatchState.UNCERTAIN, BatchState.IN_FLIGHT)
    count_anew(session, edition, number)
    return True


def _consequence(session: Session, flight: Flight, receipt: Receipt, failures: int, now: datetime) -> plan.Consequence:
    if receipt.outcome is Outcome.ACCEPTED:
        return plan.consequence_of(receipt, people=flight.people, failures=failures, now=now)
    edition = flight.claim.edition
    failing = session.scalar(select(Send.failing).where(Send.edition == edition)) or 0
    went = exists().where(Attempt.edition == edition, Attempt.state == AttemptState.ACCEPTED)
    return plan.consequence_of(
        receipt,
        people=flight.people,
        failures=max(failures, failing),
        now=now,
        went_before=bool(session.scalar(select(went))),
    )


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
    handed_over = count_changed(session, statements.HAND_OVER, this)
    if handed_over != flight.people:
        return False
    return count_changed(session, statements.ACCEPT_BATCH, {**this, "just_handed_over": handed_over}) == 1


def _settle_people(
    session: Session, flight: Flight, receipt: Receipt, outcome: plan.Consequence, deferrals: int, now: datetime
) -> None:
    edition, number = flight.claim.edition, flight.claim.batch
    apart: dict[tuple[DeliveryState | None, str], list[int]] = {}
    for name, answer in receipt.people.items():
        subscriber = read_delivery_id(name)[1]
        apart.setdefault((plan.state_of_person(answer.outcome, deferrals), answer.reason), []).append(subscriber)
    # Who is uncertain because of another attempt was not in this one, and stays so whatever became of it.
    of_this_attempt = and_(Delivery.state == DeliveryState.UNCERTAIN, Delivery.attempt == flight.attempt)
    still = and_(in_batch(edition, number), or_(Delivery.state == DeliveryState.PLANNED, of_this_attempt))
    later: list[int] = []
    for (state, reason), people in apart.items():
        if state is None:
            later.extend(people)
        else:
            set_people(session, and_(still, Delivery.subscriber.in_(people)), state, flight.attempt, reason)
    if later:
        again_at = now + plan.wait_after_deferral(deferrals)
        cut_off(session, edition, number, later, again_at=again_at, deferrals=deferrals + 1)
    if outcome.people is not None:
        named = {subscriber for people in apart.values() for subscriber in people}
        rest = and_(still, Delivery.subscriber.not_in(named)) if named else still
        set_people(session, rest, outcome.people, flight.attempt, receipt.reason)
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
        again_at = now if outcome.split or outcome.again_at is None else outcome.again_at
        # They may have been handed over meanwhile, by an event of an earlier try.
        if planned:
            cut_off(session, edition, number, planned[kept:], again_at=again_at, deferrals=deferrals)


def _settle_batch(session: Session, edition: int, number: int, outcome: plan.Consequence) -> None:
    counts = count_anew(session, edition, number)
    to = outcome.batch if counts[DeliveryState.PLANNED] else settled_state(counts)
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
    close_stopped(session, edition)


def _settle_send(
    session: Session,
    edition: int,
    receipt: Receipt,
    outcome: plan.Consequence,
    actor: Actor,
    now: datetime,
    brake: int,
) -> None:
    if outcome.attempt is AttemptState.ACCEPTED:
        session.execute(statements.FORGET_FAILURES, {"in_edition": edition})
        return
    if outcome.holds_send and outcome.again_at:
        hold_planned(session, edition, outcome.again_at)
    failing = _count_failure(session, edition) if outcome.failed else 0
    said = receipt.reason or receipt.outcome.value
    note = outcome.pause or (f"{failing} attempts in a row have failed, the last: {said}" if failing >= brake else "")
    if note:
        pause_send(session, edition, actor=actor, now=now, note=note)


def _count_failure(session: Session, edition: int) -> int:
    failing = session.scalar(
        update(Send)
        .where(Send.edition == edition)
        .values(failing=Send.failing + 1)
        .returning(Send.failing)
        .execution_options(synchronize_session=False)
    )
    return failing or 0


def expire_leases(
    session: Session, *, actor: Actor, now: datetime, dead: Collection[str] = (), all_of_them: bool = False
) -> int:
    """Batches whose worker did not get to send them are planned again; gives how many.

    The claims of workers who are `dead` end before their lease does. `all_of_them` is for a process that knows it is
    alone: every claim is then of a process that has ended.
    """
    over = Batch.state == BatchState.CLAIMED
    if not all_of_them:
        over = and_(over, or_(Batch.lease_until <= now, Batch.worker.in_(dead)))
    rows = session.execute(
        update(Batch)
        .where(over)
        .values(state=BatchState.PLANNED, lease_until=None)
        .returning(Batch.edition, Batch.number)
        .execution_options(synchronize_session=False)
    ).all()
    for row in rows:
        audit_batch(session, actor, now, "batch claim expired", row.edition, row.number)
    return len(rows)


def mark_stale(
    session: Session,
    *,
    actor: Actor,
    now: datetime,
    idempotent: str | None,
    stale_after: timedelta = plan.STALE_AFTER,
    dead: Collection[str] = (),
) -> int:
    """Attempts without an answer for too long become uncertain; gives how many.

    Those of workers who are `dead` do so at once. `idempotent` names the transport, if any, through which a repeat
    cannot reach anybody twice: a batch of a send that began with it is planned again at once.
    """
    rows = session.execute(
        select(Attempt.id, Attempt.edition, Attempt.batch)
        .where(
            Attempt.state == AttemptState.IN_FLIGHT,
            or_(Attempt.started_at <= now - stale_after, Attempt.worker.in_(dead)),
        )
        .order_by(Attempt.edition, Attempt.batch)
    ).all()
    marked = 0
    for attempt, edition, number in rows:
        batch = session.scalar(
            select(Batch)
            .where(is_batch(edition, number))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        assert batch is not None, "batches are never deleted"
        if not _set_attempt(session, attempt, AttemptState.UNCERTAIN, "the worker ended before an answer came", now):
            continue
        marked += 1
        if batch.attempt == attempt and batch.state is BatchState.IN_FLIGHT:
            send = lock_send(session, edition)
            # In a send that was stopped nothing is repeated, and what became of this try stays open.
            if idempotent is not None and send.transport == idempotent and send.state is not SendState.STOPPED:
                set_batch(session, edition, number, BatchState.IN_FLIGHT, BatchState.PLANNED)
            else:
                planned = and_(in_batch(edition, number), Delivery.state == DeliveryState.PLANNED)
                set_people(session, planned, DeliveryState.UNCERTAIN, attempt, "no answer came")
                # An older try may have been proved meanwhile, and nobody be left who is in doubt.
                to = settled_state(count_anew(session, edition, number))
                set_batch(session, edition, number, BatchState.IN_FLIGHT, to)
        audit_batch(session, actor, now, "batch uncertain", edition, number, attempt=attempt)
    return marked


def _set_attempt(session: Session, attempt: str, to: AttemptState, answer: str, now: datetime) -> bool:
    found = session.scalar(
        update(Attempt)
        .where(Attempt.id == attempt, Attempt.state == AttemptState.IN_FLIGHT)
        .values(state=to, answered_at=now, answer=answer)
        .returning(Attempt.id)
        .execution_options(synchronize_session=False)
    )
    return found is not None

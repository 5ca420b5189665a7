"""Whether the record of sends adds up: every sum, every state beside the others, and nobody accepted twice.

It reads and changes nothing. What it finds is never the ordinary end of an outage: rows were changed by hand, a backup
was mixed with newer rows, or we have made a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter.database.audit import AuditLine
from newsletter.delivery.lineage import count_accepted_twice
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState, Verdict
from newsletter.delivery.moves import WAITING
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.model import EditionState
from newsletter.editions.tables import Edition

_WENT = (
    DeliveryState.HANDED_OVER,
    DeliveryState.DELIVERED,
    DeliveryState.BOUNCED,
    DeliveryState.DROPPED,
    DeliveryState.DEFERRED,
)
_MENDED_BY_HAND = "Nothing more of it should go until this is understood: newsletter pause {edition}"
_NOT_REPEATED = "Nothing is repeated because of it; compare it with the provider before you say anything to readers"


@dataclass(frozen=True)
class LedgerFault:
    """What does not add up: in which edition and where in it, what it is, and what to do."""

    edition: str
    where: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.edition}, {self.where}" if self.where else self.edition
        return f"{place}: {self.problem}. {self.remedy}."


def find_ledger_faults(session: Session, *, idempotent: str | None = None) -> list[LedgerFault]:
    """Every fault in the record of all sends, by edition; none when all adds up.

    `idempotent` names the transport, if any, through which a repeat reaches nobody twice.
    """
    faults: list[LedgerFault] = []
    sends = session.execute(
        select(Send, Edition.id, Edition.state).join(Edition, Edition.serial == Send.edition).order_by(Send.edition)
    )
    for send, edition, edition_state in sends.all():
        for where, problem, remedy in (
            *_send_faults(session, send, edition, edition_state),
            *_batch_faults(session, send),
            *_attempt_faults(session, send, repeats=send.transport == idempotent),
            *_delivery_faults(session, send),
        ):
            faults.append(LedgerFault(edition, where, problem, remedy.format(edition=edition)))
    return faults


_Found = Iterator[tuple[str, str, str]]


def _send_faults(session: Session, send: Send, edition: str, edition_state: EditionState) -> _Found:
    undone = edition_state is EditionState.CANCELLED and _went_nowhere(session, send)
    if edition_state is not EditionState.SENDING and not undone:
        yield "", f"it has a send, and is {edition_state.value}", _MENDED_BY_HAND
    unfinished = (*WAITING, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)
    never = {SendState.FINISHED: unfinished, SendState.STOPPED: WAITING}.get(send.state, ())
    for number, state in session.execute(
        select(Batch.number, Batch.state).where(Batch.edition == send.edition, Batch.state.in_(never))
    ):
        yield f"batch {number}", f"it is {state.value} in a send that is {send.state.value}", _NOT_REPEATED
    if send.state is SendState.PLANNING:
        return
    people = session.scalar(select(func.count()).where(Delivery.edition == send.edition)) or 0
    in_batches = session.scalar(select(func.sum(Batch.people)).where(Batch.edition == send.edition)) or 0
    in_none = session.scalar(select(func.count()).where(Delivery.edition == send.edition, Delivery.batch == 0)) or 0
    if in_batches + in_none != people:
        yield (
            "",
            f"its batches have {in_batches} people and {in_none} were left out, but {people} have a delivery",
            _MENDED_BY_HAND,
        )
    frozen = session.scalars(
        select(AuditLine.details).where(AuditLine.subject == f"edition:{edition}", AuditLine.action == "send planned")
    ).all()
    if undone and not frozen:
        # It was stopped before its audience was fixed.
        return
    if len(frozen) != 1:
        yield "", f"the audit tells {len(frozen)} times that its audience was fixed", _MENDED_BY_HAND
    elif (total := int(frozen[0]["people"]) + int(frozen[0]["left_out"])) != people:
        yield "", f"its audience was fixed at {total} people, and {people} have a delivery", _MENDED_BY_HAND


def _went_nowhere(session: Session, send: Send) -> bool:
    """Whether a send was stopped, and nothing of it was ever tried."""
    tried = select(exists().where(Attempt.edition == send.edition))
    return send.state is SendState.STOPPED and not session.scalar(tried)


def _batch_faults(session: Session, send: Send) -> _Found:
    def count(*states: DeliveryState) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((Delivery.state.in_(states), 1), else_=0)), 0)

    counted = (
        select(
            Delivery.batch.label("number"),
            func.count().label("people"),
            count(DeliveryState.PLANNED).label("planned"),
            count(*_WENT).label("handed_over"),
            count(DeliveryState.REFUSED).label("refused"),
            count(DeliveryState.LEFT_OUT).label("left_out"),
            count(DeliveryState.UNCERTAIN).label("uncertain"),
        )
        .where(Delivery.edition == send.edition)
        .group_by(Delivery.batch)
    )
    found = {row.number: row for row in session.execute(counted)}
    for batch in session.scalars(select(Batch).where(Batch.edition == send.edition).order_by(Batch.number)):
        here = f"batch {batch.number}"
        row = found.pop(batch.number, None)
        if row is None:
            yield here, "nobody has a delivery in it", _MENDED_BY_HAND
            continue
        for name in ("people", "handed_over", "refused", "left_out", "uncertain"):
            if getattr(batch, name) != getattr(row, name):
                words = name.replace("_", " ")
                problem = f"it counts {getattr(batch, name)} {words}, and its deliveries {getattr(row, name)}"
                yield here, problem, _NOT_REPEATED
        if problem := _contradiction(batch.state, row.planned, row.handed_over, row.uncertain):
            yield here, problem, _MENDED_BY_HAND
    for number, row in found.items():
        if number:
            yield f"batch {number}", f"{row.people} people have a delivery in it, and it is not there", _MENDED_BY_HAND
        elif row.left_out != row.people:
            yield "", f"{row.people - row.left_out} people are in no batch and were not left out", _MENDED_BY_HAND


def _contradiction(state: BatchState, planned: int, handed_over: int, uncertain: int) -> str:
    """Why a batch of a state cannot hold such people; empty when it can."""
    goes_on = state in (*WAITING, BatchState.IN_FLIGHT)
    if goes_on and not planned:
        return f"it is {state.value}, and nobody in it is planned"
    if not goes_on and planned:
        return f"it is {state.value}, and {planned} people in it are still planned"
    if state is BatchState.UNCERTAIN and not uncertain:
        return "it is uncertain, and nobody in it is"
    if state in (BatchState.ACCEPTED, BatchState.EMPTY) and uncertain:
        return f"it is {state.value}, and {uncertain} people in it are uncertain"
    if state is BatchState.ACCEPTED and not handed_over:
        return "it is accepted, and nobody in it was handed over"
    if state is BatchState.EMPTY and handed_over:
        return f"it is empty, and {handed_over} people in it were handed over"
    return ""


def _attempt_faults(session: Session, send: Send, *, repeats: bool) -> _Found:
    mine = Attempt.edition == send.edition
    for number, attempt in session.execute(
        select(Batch.number, Batch.attempt)
        .outerjoin(Attempt, and_(Attempt.id == Batch.attempt, Attempt.edition == Batch.edition))
        .where(
            Batch.edition == send.edition,
            Batch.state == BatchState.IN_FLIGHT,
            or_(Attempt.id.is_(None), Attempt.state != AttemptState.IN_FLIGHT),
        )
    ):
        yield f"batch {number}", f"it is in flight, and its attempt {attempt} is not", _MENDED_BY_HAND
    for number, attempt in session.execute(
        select(Attempt.batch, Attempt.id)
        .join(Batch, and_(Batch.edition == Attempt.edition, Batch.number == Attempt.batch))
        .where(
            mine,
            Attempt.state == AttemptState.IN_FLIGHT,
            or_(Batch.state != BatchState.IN_FLIGHT, Batch.attempt != Attempt.id),
        )
    ):
        yield f"batch {number}, attempt {attempt}", "it is in flight, and its batch is not with it", _MENDED_BY_HAND
    if repeats:
        return
    for number, people in count_accepted_twice(session, send.edition).items():
        yield (
            f"batch {number}",
            f"its people were in more than one accepted attempt, so up to {people} may have it twice",
            "Nothing can call it back. See its attempts in the audit, and tell the readers if you must",
        )


def _delivery_faults(session: Session, send: Send) -> _Found:
    mine = Delivery.edition == send.edition
    in_doubt = select(Delivery.attempt).where(mine, Delivery.state == DeliveryState.UNCERTAIN)
    for state, attempt, its_state, people in session.execute(
        select(Delivery.state, Delivery.attempt, Attempt.state, func.count())
        .outerjoin(Attempt, and_(Attempt.id == Delivery.attempt, Attempt.edition == Delivery.edition))
        .where(mine, Delivery.state.in_((*_WENT, DeliveryState.UNCERTAIN, DeliveryState.REFUSED)))
        .group_by(Delivery.state, Delivery.attempt, Attempt.state)
    ).all():
        here = f"attempt {attempt}" if attempt else ""
        if its_state is None:
            yield here, f"{people} people are {state.value} by an attempt that is not there", _MENDED_BY_HAND
        elif its_state is AttemptState.IN_FLIGHT:
            yield here, f"{people} people are {state.value} by an attempt that has no answer yet", _MENDED_BY_HAND
        elif state in _WENT and its_state is not AttemptState.ACCEPTED:
            settled = exists().where(
                AuditLine.subject == f"attempt:{attempt}",
                AuditLine.action == f"attempt settled as {Verdict.SENT.value}",
            )
            # An attempt may be accepted for some and without an answer for others.
            partly = its_state is AttemptState.UNCERTAIN and attempt in session.scalars(in_doubt)
            if not partly and not session.scalar(select(settled)):
                problem = f"{people} people are {state.value}, and the attempt is {its_state.value}"
                yield here, problem, _NOT_REPEATED
    without_reason = session.scalar(
        select(func.count()).where(mine, Delivery.state == DeliveryState.LEFT_OUT, Delivery.reason.is_(None))
    )
    if without_reason:
        yield "", f"{without_reason} people were left out without a reason", _NOT_REPEATED

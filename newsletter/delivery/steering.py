"""What people say of a send: pause, resume, stop, and what became of an attempt without an answer; and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    exists,
    select,
    update,
)
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record
from newsletter.database.instance import require_unlocked
from newsletter.delivery import plan
from newsletter.delivery.model import (
    BEFORE_RUNNING,
    BatchState,
    DeliveryState,
    SendState,
    Verdict,
)
from newsletter.delivery.moves import (
    WAITING,
    audit_send,
    close_stopped,
    count_anew,
    cut_off,
    move_send,
    pause_send,
    set_batch,
    settled_state,
)
from newsletter.delivery.queries import get_send, list_uncertain
from newsletter.delivery.statements import in_batch
from newsletter.delivery.tables import Batch, Delivery, Send
from newsletter.editions import actions as editions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import get_edition
from newsletter.editions.tables import Edition
from newsletter.errors import Refused
from newsletter.staff.model import StaffActor, require
from newsletter.staff.roles import Act
from newsletter.subscribers.model import LeftOut

_UNDER_WAY = (SendState.RUNNING, SendState.PAUSED)
_UNFINISHED = (*WAITING, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)


def settle_uncertain(
    session: Session, edition: str, attempt: str, verdict: Verdict, *, actor: StaffActor, now: datetime
) -> None:
    """A named person says what became of an attempt without an answer, or that its people get it again.

    Several attempts of one batch may be without an answer, each with people of its own: those who left after the first
    were not in the second. Raises Refused when nobody is uncertain because of this attempt.
    """
    require(actor.person, Act.STEER)
    send = get_send(session, edition)
    rows = _batches_in_doubt(session, send.edition, attempt)
    if not rows or not all(_may_settle(row) for row in rows):
        raise Refused(f"{attempt} of {edition} is not uncertain; nothing was changed.")
    state = session.scalar(select(Send.state).where(Send.edition == send.edition).with_for_update(key_share=True))
    if verdict is Verdict.SEND_AGAIN and state is SendState.STOPPED:
        raise Refused(f"{edition} was stopped; nothing of it is sent again. Say whether it was sent or not.")
    people = sum(_settle_in_batch(session, row, attempt, verdict, now) for row in rows)
    if not people:
        raise Refused(f"{attempt} of {edition} is not uncertain; nothing was changed.")
    if verdict is Verdict.SEND_AGAIN:
        session.execute(update(Send).where(Send.edition == send.edition).values(asked_at=now))
    close_stopped(session, send.edition)
    record(session, actor, now, f"attempt settled as {verdict.value}", f"attempt:{attempt}")


def _batches_in_doubt(session: Session, edition: int, attempt: str) -> Sequence[Batch]:
    """The batches with people who are uncertain because of an attempt, locked: some may have been cut off since."""
    in_doubt = exists().where(_in_doubt(edition, Batch.number, attempt))
    return session.scalars(
        select(Batch)
        .where(Batch.edition == edition, Batch.uncertain > 0, in_doubt)
        .order_by(Batch.number)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _in_doubt(edition: int, number: Any, attempt: str) -> ColumnElement[bool]:
    uncertain = Delivery.state == DeliveryState.UNCERTAIN
    return and_(in_batch(edition, number), uncertain, Delivery.attempt == attempt)


def _settle_in_batch(session: Session, batch: Batch, attempt: str, verdict: Verdict, now: datetime) -> int:
    """Settle those of a batch who are uncertain because of an attempt; gives how many."""
    states: Mapping[Verdict, DeliveryState] = {
        Verdict.SENT: DeliveryState.HANDED_OVER,
        Verdict.NOT_SENT: DeliveryState.LEFT_OUT,
        Verdict.SEND_AGAIN: DeliveryState.PLANNED,
    }
    edition, number = batch.edition, batch.number
    people = session.scalars(
        update(Delivery)
        .where(_in_doubt(edition, number, attempt))
        .values(state=states[verdict], reason=LeftOut.NOT_SENT.value if verdict is Verdict.NOT_SENT else None)
        .returning(Delivery.subscriber)
        .execution_options(synchronize_session=False)
    ).all()
    if verdict is Verdict.SEND_AGAIN and batch.attempt != attempt and len(people) < batch.people:
        # Whoever is planned in a batch was in all of its attempts, and these were not in the newest one.
        cut_off(session, edition, number, people, again_at=now, deferrals=batch.deferrals, after=attempt)
    counts = count_anew(session, edition, number)
    if not counts[DeliveryState.PLANNED]:
        set_batch(session, edition, number, batch.state, settled_state(counts))
    elif batch.state not in WAITING:
        set_batch(session, edition, number, batch.state, BatchState.PLANNED)
    return len(people)


def settle_all_uncertain(
    session: Session, edition: str, verdict: Verdict, *, people: int, actor: StaffActor, now: datetime
) -> int:
    """As `settle_uncertain` for every attempt of a send that has no answer; gives how many attempts.

    `people` is how many the person has in mind. Raises Refused, with nothing changed, when it is another number.
    """
    require(actor.person, Act.STEER)
    uncertain = [(attempt.id, count) for attempt, count in list_uncertain(session, edition)]
    there = sum(count for _, count in uncertain)
    if not there:
        raise Refused(f"Nobody in {edition} is uncertain; nothing was changed.")
    if there != people:
        raise Refused(
            f"{there} people in {len(uncertain)} attempts of {edition} are uncertain; nothing was changed. If you mean "
            f"all of them: newsletter settle {edition} --all {verdict.value.replace(' ', '-')} --people {there} "
            "--as EMAIL"
        )
    for attempt, _ in uncertain:
        settle_uncertain(session, edition, attempt, verdict, actor=actor, now=now)
    return len(uncertain)


def _may_settle(batch: Batch) -> bool:
    # What is being built or sent just now has an answer to come, which settles it from what it finds.
    return batch.state not in (BatchState.CLAIMED, BatchState.IN_FLIGHT)


def pause(session: Session, edition: str, *, actor: Actor, now: datetime, note: str = "") -> None:
    """Let a running send wait; batches in flight are answered still. Raises Refused in any other state."""
    if isinstance(actor, StaffActor):
        require(actor.person, Act.STEER)
    send = get_send(session, edition)
    if not pause_send(session, send.edition, actor=actor, now=now, note=note):
        raise _cannot(session, edition, "paused")


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
    require_unlocked(session)
    send = get_send(session, edition)
    late = send.paused_at is not None and not plan.may_resume(send.paused_at, now, late_after)
    if send.state is SendState.PAUSED and late and not although_late:
        hours = late_after / timedelta(hours=1)
        raise Refused(
            f"{edition} has been paused for more than {hours:g} hours. Should the rest still get it now? "
            f"Then: newsletter resume {edition} --although-late"
        )
    if not move_send(
        session, send.edition, SendState.RUNNING, SendState.PAUSED, note="", paused_at=None, failing=0, asked_at=now
    ):
        raise _cannot(session, edition, "resumed")
    # Whoever resumes has seen to what the others waited for.
    session.execute(
        update(Batch)
        .where(Batch.edition == send.edition, Batch.state == BatchState.PLANNED)
        .values(not_before=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Batch)
        .where(Batch.edition == send.edition, Batch.state == BatchState.REJECTED)
        # What was rejected lets the others go first.
        .values(state=BatchState.PLANNED, not_before=now + plan.wait_after(0))
        .execution_options(synchronize_session=False)
    )
    audit_send(session, actor, now, "send resumed", send)


def stop(session: Session, edition: str, *, actor: StaffActor, now: datetime) -> int:
    """End a send for good; gives how many people it no longer goes to. Raises Refused when it has ended already.

    What is in flight cannot be called back; its answer is still recorded. Before the send runs nobody has it, and the
    edition is cancelled with it.
    """
    require(actor.person, Act.STEER)
    send = get_send(session, edition)
    # A batch that takes off at this moment does so before: who is in it is not left out.
    waiting = (Batch.edition == send.edition, Batch.state.in_(WAITING))
    session.execute(select(Batch.number).where(*waiting).order_by(Batch.number).with_for_update(key_share=True))
    undone = move_send(session, send.edition, SendState.STOPPED, *BEFORE_RUNNING, finished_at=now)
    if not undone and not move_send(session, send.edition, SendState.STOPPED, *_UNDER_WAY, finished_at=now):
        raise _cannot(session, edition, "stopped")
    out = close_stopped(session, send.edition)
    audit_send(session, actor, now, "send stopped", send, people=out)
    if undone:
        editions.undo_start(session, send.edition, actor=actor, now=now)
    return out


def cancel(session: Session, edition: str, *, actor: StaffActor, now: datetime) -> Edition:
    """End an edition for good of which nothing has gone: scheduled, held, or with a send that does not run yet.

    Raises Refused in any other state.
    """
    require(actor.person, Act.SCHEDULE)
    row = get_edition(session, edition)
    if row.state is not EditionState.SENDING:
        return editions.cancel(session, edition, actor=actor, now=now)
    if get_send(session, edition).state not in BEFORE_RUNNING:
        raise Refused(f"{edition} was not cancelled: it is going out or has gone out. See: newsletter status {edition}")
    stop(session, edition, actor=actor, now=now)
    return get_edition(session, edition)


def finish(session: Session, edition: int, *, actor: Actor, now: datetime) -> bool:
    """End a running send in which nobody waits, is in flight or is uncertain; False when it was not so."""
    unfinished = exists().where(Batch.edition == Send.edition, Batch.state.in_(_UNFINISHED))
    found = session.scalar(
        update(Send)
        .where(Send.edition == edition, Send.state == SendState.RUNNING, ~unfinished)
        .values(state=SendState.FINISHED, finished_at=now, note="")
        .returning(Send.edition)
        .execution_options(synchronize_session=False)
    )
    if found is None:
        return False
    audit_send(session, actor, now, "send finished", session.get_one(Send, edition))
    return True


def _cannot(session: Session, edition: str, what: str) -> Refused:
    state = get_send(session, edition).state.value
    return Refused(f"{edition} was not {what}: its send is {state}. See: newsletter status {edition}")

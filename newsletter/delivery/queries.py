"""Questions about sends; nothing is changed here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Select, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from newsletter.database.base import table_of
from newsletter.delivery import statements
from newsletter.delivery.model import (
    BEFORE_RUNNING,
    AttemptState,
    BatchState,
    DeliveryState,
    GoingSend,
    PersonInSend,
    Progress,
    SendState,
)
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.queries import get_edition
from newsletter.editions.tables import Edition
from newsletter.errors import NotFound
from newsletter.subscribers.model import LeftOut
from newsletter.subscribers.tables import Subscriber

_NAMES_AT_ONCE = 5_000
"""Names that one statement asks for; SQLite allows 32,766 values in one."""

_UNCERTAIN = literal(DeliveryState.UNCERTAIN, table_of(Delivery).c.state.type, literal_execute=True)
"""Written out in a statement: only when a database sees the word does it take the index of who is uncertain."""


def get_send(session: Session, edition: str) -> Send:
    """The send of an edition by the edition's id; raises NotFound when it has none, or there is no such edition."""
    found = session.scalar(select(Send).join(Edition, Edition.serial == Send.edition).where(Edition.id == edition))
    if found is None:
        get_edition(session, edition)
        raise NotFound(
            f"{edition} is not going out and has not gone out. See where it stands: newsletter editions list"
        )
    return found


def list_sends(session: Session, *states: SendState) -> Sequence[Send]:
    """The sends in some states, or all, oldest first."""
    statement = select(Send).order_by(Send.opened_at, Send.edition)
    return session.scalars(statement.where(Send.state.in_(states)) if states else statement).all()


def list_over(session: Session) -> set[int]:
    """The editions whose send has ended with an answer for everybody: nobody has to look after them."""
    open_batch = exists().where(
        Batch.edition == Send.edition, or_(Batch.uncertain > 0, Batch.state == BatchState.IN_FLIGHT)
    )
    ended = Send.state.in_((SendState.FINISHED, SendState.STOPPED))
    return set(session.scalars(select(Send.edition).where(ended, ~open_batch)))


def list_ends_of_waiting(session: Session, until: datetime) -> list[datetime]:
    """The instants at which the undo delay of a send is over, up to one, earliest first."""
    soon = (Send.state.in_(BEFORE_RUNNING), Send.wait_until <= until)
    times = session.scalars(select(Send.wait_until).where(*soon).order_by(Send.wait_until))
    return [time for time in times if time is not None]


def list_going(session: Session) -> list[GoingSend]:
    """The running sends of which a batch waits to be claimed, oldest first."""
    last = select(func.max(Attempt.started_at)).where(Attempt.edition == Send.edition).scalar_subquery()
    # Until then it waits because it was told to, and not because nobody looked after it.
    held = (
        select(func.max(Batch.not_before))
        .where(Batch.edition == Send.edition, Batch.state == BatchState.PLANNED)
        .scalar_subquery()
    )
    waits = exists().where(Batch.edition == Send.edition, Batch.state == BatchState.PLANNED)
    rows = session.execute(
        select(Edition.id, Send.transport, Edition.base_url, Send.opened_at, Send.asked_at, last, held)
        .join(Edition, Edition.serial == Send.edition)
        .where(Send.state == SendState.RUNNING, waits)
        .order_by(Send.opened_at, Send.edition)
    )
    return [
        GoingSend(edition, transport, base_url, max(time for time in times if time is not None))
        for edition, transport, base_url, *times in rows
    ]


def list_recipients(session: Session, edition: int, batch: int) -> dict[int, str]:
    """The people of a batch whose delivery is still planned: their addresses, by their numbers and in that order."""
    rows = session.execute(statements.LIST_RECIPIENTS, {"in_edition": edition, "in_batch": batch})
    return dict(rows.all())


def list_uncertain(session: Session, edition: str) -> Sequence[tuple[Attempt, int]]:
    """The attempts of a send without an answer, oldest first, each with how many are uncertain because of it."""
    send = get_send(session, edition)
    # Mostly there are none, and the batches know that without a look at everybody in the send.
    if not session.scalar(select(exists().where(Batch.edition == send.edition, Batch.uncertain > 0))):
        return []
    in_doubt = (
        select(Delivery.attempt, func.count().label("people"))
        .where(Delivery.edition == send.edition, Delivery.state == _UNCERTAIN)
        .group_by(Delivery.attempt)
        .subquery()
    )
    rows = session.execute(
        select(Attempt, in_doubt.c.people)
        .join(in_doubt, in_doubt.c.attempt == Attempt.id)
        .order_by(Attempt.started_at, Attempt.id)
    )
    return [(attempt, people) for attempt, people in rows]


def find_trouble(session: Session, edition: str) -> Attempt | None:
    """The newest attempt of a send that was answered and not accepted, while something still waits to go."""
    send = get_send(session, edition)
    return session.scalars(
        select(Attempt)
        .join(Batch, Batch.attempt == Attempt.id)
        .where(Attempt.edition == send.edition, Attempt.answer != "", Batch.state == BatchState.PLANNED)
        .order_by(Attempt.answered_at.desc())
    ).first()


def list_deliveries(session: Session, edition: str) -> Iterator[PersonInSend]:
    """Everybody in the send of an edition with what became of their mail, read as they come, never all at once."""
    send = get_send(session, edition)
    rows = session.execute(
        select(Subscriber.number, Subscriber.address, Delivery.state, Delivery.reason)
        .join(Subscriber, Subscriber.number == Delivery.subscriber)
        .where(Delivery.edition == send.edition)
        .order_by(Delivery.subscriber)
        .execution_options(yield_per=1_000)
    )
    for number, address, state, reason in rows:
        yield PersonInSend(number, address, state, reason or "")


def list_attempts(session: Session, edition: int) -> Sequence[Attempt]:
    """All attempts of a send, oldest first."""
    return session.scalars(select(Attempt).where(Attempt.edition == edition).order_by(Attempt.started_at)).all()


def mailed_since(since: datetime) -> Select[int]:
    """The people to whom an edition went, or may have gone, whose send began after an instant; as a statement."""
    not_mailed = (DeliveryState.PLANNED, DeliveryState.LEFT_OUT, DeliveryState.REFUSED)
    return (
        select(Delivery.subscriber)
        .join(Send, Send.edition == Delivery.edition)
        .where(Send.opened_at > since, Delivery.state.not_in(not_mailed))
    )


def get_progress(session: Session, edition: str) -> Progress:
    """How far the send of an edition is, read from the counters of its batches; raises NotFound."""
    send = get_send(session, edition)
    mine = Batch.edition == send.edition
    counters = (Batch.people, Batch.handed_over, Batch.refused, Batch.left_out, Batch.uncertain)
    sums = session.execute(select(*(func.coalesce(func.sum(counter), 0) for counter in counters)).where(mine)).one()
    people, handed_over, refused, left_out, uncertain = map(int, sums)
    reasons = session.execute(
        select(Delivery.reason, func.count())
        .where(
            Delivery.edition == send.edition,
            Delivery.state == DeliveryState.LEFT_OUT,
            # Whoever is left out has one; said here, it lets the database take the index of reasons.
            Delivery.reason.is_not(None),
        )
        .group_by(Delivery.reason)
        .order_by(Delivery.reason)
    )
    batches = session.execute(select(Batch.state, func.count()).where(mine).group_by(Batch.state))
    return Progress(
        edition=edition,
        state=send.state,
        note=send.note,
        planned=people - handed_over - refused - left_out - uncertain,
        handed_over=handed_over,
        refused=refused,
        uncertain=uncertain,
        left_out={LeftOut(str(reason)): count for reason, count in reasons},
        batches=dict(batches.all()),
        opened_at=send.opened_at,
        finished_at=send.finished_at,
        wait_until=send.wait_until if send.state in BEFORE_RUNNING else None,
    )


def find_attempts(session: Session, names: Collection[str]) -> dict[str, tuple[int, AttemptState]]:
    """Of the attempts with these names, those that are ours: the edition and the state of each."""
    found: dict[str, tuple[int, AttemptState]] = {}
    asked = sorted(names)
    for start in range(0, len(asked), _NAMES_AT_ONCE):
        some = asked[start : start + _NAMES_AT_ONCE]
        rows = session.execute(select(Attempt.id, Attempt.edition, Attempt.state).where(Attempt.id.in_(some)))
        found.update({attempt: (edition, state) for attempt, edition, state in rows})
    return found


def find_not_handed_over(session: Session, edition: int, people: Collection[int]) -> Sequence[int]:
    """Of these people, those of whom it is not known that an edition was handed over to them."""
    not_known = (DeliveryState.PLANNED, DeliveryState.UNCERTAIN, DeliveryState.LEFT_OUT, DeliveryState.REFUSED)
    return session.scalars(
        select(Delivery.subscriber).where(
            Delivery.edition == edition,
            Delivery.subscriber.in_(list(people)),
            Delivery.state.in_(not_known),
            Delivery.batch > 0,
        )
    ).all()

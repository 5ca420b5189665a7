"""Questions about what the provider told; nothing is changed here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.delivery.lineage import count_accepted_twice
from newsletter.delivery.model import AttemptState, DeliveryState, SendState
from newsletter.delivery.queries import find_attempts, get_send
from newsletter.delivery.tables import Attempt, Delivery, Send
from newsletter.provider_events.consequences import gaps_in
from newsletter.provider_events.model import PostState, Reconciliation
from newsletter.provider_events.tables import KeptEvent, ReceivedPost
from newsletter.providers.contract import EventKind, ProviderEvent
from newsletter.providers.sendgrid.transport import SendGridTransport

_A_DAY, _THREE_DAYS = timedelta(hours=24), timedelta(hours=72)


def find_waiting_post(session: Session) -> tuple[int, bytes] | None:
    """The oldest post that waits to be applied: its number and its bytes."""
    found = session.execute(
        select(ReceivedPost.number, ReceivedPost.body)
        .where(ReceivedPost.state == PostState.WAITING)
        .order_by(ReceivedPost.number)
        .limit(1)
    ).one_or_none()
    return (found.number, found.body or b"") if found else None


def find_unsettled(session: Session, events: Iterable[ProviderEvent]) -> Mapping[str, str]:
    """The attempts that events bear and that are not on record as accepted, each with the provider's name for it."""
    references = {event.attempt: event.reference for event in events if event.attempt}
    known = find_attempts(session, list(references))
    return {name: references[name] for name, (_, state) in known.items() if state is not AttemptState.ACCEPTED}


def count_posts(session: Session) -> Mapping[PostState, int]:
    """How many posts stand where."""
    rows = session.execute(select(ReceivedPost.state, func.count()).group_by(ReceivedPost.state))
    return dict(rows.all())


def list_set_aside(session: Session) -> Sequence[ReceivedPost]:
    """The posts that could not be applied, with the reason of each, oldest first."""
    statement = select(ReceivedPost).where(ReceivedPost.state == PostState.SET_ASIDE)
    return session.scalars(statement.order_by(ReceivedPost.number)).all()


def list_account_events(session: Session, since: datetime) -> Sequence[KeptEvent]:
    """What the provider told of the account itself since then, newest first."""
    statement = select(KeptEvent).where(KeptEvent.kind == EventKind.ACCOUNT, KeptEvent.at >= since)
    return session.scalars(statement.order_by(KeptEvent.at.desc())).all()


def list_events_of(session: Session, edition: int, subscriber: int) -> Sequence[KeptEvent]:
    """What is kept of one delivery, oldest first."""
    mine = (KeptEvent.edition == edition, KeptEvent.subscriber == subscriber)
    return session.scalars(select(KeptEvent).where(*mine).order_by(KeptEvent.at, KeptEvent.fingerprint)).all()


def list_reasons(session: Session, edition: str) -> Mapping[int, str]:
    """Why mails of an edition came back or were dropped, by the number of the person: the last that was told."""
    rows = session.execute(
        select(KeptEvent.subscriber, KeptEvent.reason, KeptEvent.status)
        .where(
            KeptEvent.edition == get_send(session, edition).edition,
            KeptEvent.kind.in_((EventKind.HARD_BOUNCE, EventKind.SOFT_BOUNCE, EventKind.DROPPED)),
            KeptEvent.subscriber.is_not(None),
        )
        .order_by(KeptEvent.at)
    )
    return {number: reason or status for number, reason, status in rows if number is not None}


def find_last_post(session: Session) -> datetime | None:
    """When the provider last posted events; None: never, or longer ago than posts are kept."""
    return session.scalar(select(func.max(ReceivedPost.received_at)))


def find_unheard(session: Session, now: datetime) -> datetime | None:
    """Since when the provider has been silent about what it accepted within a day; None: it is not."""
    heard = find_last_post(session)
    since = now - _A_DAY if heard is None else max(heard, now - _A_DAY)
    return session.scalar(
        select(func.min(Attempt.started_at))
        .join(Send, Send.edition == Attempt.edition)
        .where(
            Attempt.state == AttemptState.ACCEPTED,
            Attempt.started_at > since,
            Send.transport == SendGridTransport.name,
        )
    )


def tells_later(session: Session, edition: str) -> bool:
    """Whether the service that carries an edition tells what became of it; raises NotFound without a send."""
    return get_send(session, edition).transport == SendGridTransport.name


def reconcile(session: Session, edition: str, *, now: datetime) -> Reconciliation:
    """How what an edition handed over adds up with what the provider told of it; raises NotFound without a send."""
    send = get_send(session, edition)
    states = _count_states(session, send.edition)
    silent_since = _silent_since(session, send.edition)
    beside = _count_beside(session, send.edition)
    silent = states[DeliveryState.HANDED_OVER]
    last_post_at = find_last_post(session)
    found = Reconciliation(
        handed_over=sum(states.values()),
        delivered=states[DeliveryState.DELIVERED],
        bounced=states[DeliveryState.BOUNCED],
        dropped=states[DeliveryState.DROPPED],
        deferred=states[DeliveryState.DEFERRED],
        not_heard_of=silent,
        silent_for_a_day=sum(people for since, people in silent_since if now - since > _A_DAY),
        silent_for_three=sum(people for since, people in silent_since if now - since > _THREE_DAYS),
        complaints=beside.get(EventKind.COMPLAINT, 0),
        left=beside.get(EventKind.LEFT, 0) + beside.get(EventKind.LEFT_GROUP, 0),
        accepted_twice=count_accepted_twice(session, send.edition),
        last_post_at=last_post_at,
        gaps=(),
    )
    waits_since = min((since for since, _ in silent_since), default=None)
    going = send.state in (SendState.RUNNING, SendState.PAUSED, SendState.PLANNING)
    return gaps_in(found, waits_since=waits_since, going=going, now=now)


def _count_states(session: Session, edition: int) -> Mapping[DeliveryState, int]:
    after = (
        DeliveryState.HANDED_OVER,
        DeliveryState.DELIVERED,
        DeliveryState.BOUNCED,
        DeliveryState.DROPPED,
        DeliveryState.DEFERRED,
    )
    rows = session.execute(
        select(Delivery.state, func.count())
        .where(Delivery.edition == edition, Delivery.state.in_(after))
        .group_by(Delivery.state)
    )
    return {**dict.fromkeys(after, 0), **dict(rows.all())}


def _silent_since(session: Session, edition: int) -> Sequence[tuple[datetime, int]]:
    """Since when how many are not heard of, by attempt."""
    silent = (
        select(Delivery.attempt, func.count().label("people"))
        .where(Delivery.edition == edition, Delivery.state == DeliveryState.HANDED_OVER)
        .group_by(Delivery.attempt)
        .subquery()
    )
    rows = session.execute(select(Attempt.started_at, silent.c.people).join(silent, silent.c.attempt == Attempt.id))
    return [(since, people) for since, people in rows]


def _count_beside(session: Session, edition: int) -> Mapping[EventKind, int]:
    """How many people of an edition complained, and how many left."""
    rows = session.execute(
        select(KeptEvent.kind, func.count(KeptEvent.subscriber.distinct()))
        .where(
            KeptEvent.edition == edition,
            KeptEvent.kind.in_([EventKind.COMPLAINT, EventKind.LEFT, EventKind.LEFT_GROUP]),
        )
        .group_by(KeptEvent.kind)
    )
    return dict(rows.all())


def find_mailed_before(
    session: Session, subscriber: int, *, since: datetime, until: datetime
) -> Collection[tuple[int, DeliveryState]]:
    """The editions, with the state of their delivery, that went or may have gone to a person between two instants."""
    rows = session.execute(
        select(Delivery.edition, Delivery.state)
        .join(Attempt, Attempt.id == Delivery.attempt)
        .where(
            Delivery.edition.in_(select(Send.edition).where(Send.opened_at <= until)),
            Delivery.subscriber == subscriber,
            Delivery.state.not_in((DeliveryState.PLANNED, DeliveryState.LEFT_OUT, DeliveryState.REFUSED)),
            Attempt.started_at.between(since, until),
        )
    )
    return [(edition, state) for edition, state in rows]

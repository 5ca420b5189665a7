"""Applies what the provider told. Twice is once, and the order does not matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TypeVar

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import PROVIDER, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.delivery.evidence import DeliveryEvent, accept_people, follow_events
from newsletter.delivery.model import DeliveryState, read_delivery_id
from newsletter.delivery.queries import find_attempts, find_not_handed_over
from newsletter.delivery.tables import Delivery
from newsletter.errors import Refused
from newsletter.provider_events.consequences import (
    LATE_BOUNCE,
    SETTLED_AFTER,
    Consequence,
    bounces_for_good,
    consequence_of,
    edition_of_bounce,
)
from newsletter.provider_events.model import PostState, SoftBounceRule
from newsletter.provider_events.queries import find_mailed_before
from newsletter.provider_events.tables import KeptEvent, ReceivedPost
from newsletter.providers.contract import EventKind, ProviderEvent
from newsletter.providers.sendgrid.events import Reading
from newsletter.staff.model import StaffActor, require
from newsletter.staff.roles import Act
from newsletter.subscribers.actions import suppress, unsubscribe
from newsletter.subscribers.address import AddressRefused, address_key
from newsletter.subscribers.model import ConsentAct, SubscriberState, SuppressionReason
from newsletter.subscribers.tables import Consent, Subscriber

CHUNK = 5_000
"""Events that one statement is about; SQLite allows 32,766 values in one."""

SOURCE = "provider event"
_Item = TypeVar("_Item")
_HIGHEST = 2**63
_BOUNCES = (EventKind.HARD_BOUNCE, EventKind.SOFT_BOUNCE)
_MAILED = (SubscriberState.PENDING, SubscriberState.ACTIVE, SubscriberState.PAUSED)


@dataclass(frozen=True, slots=True)
class _Heard:
    """An event with what follows from it, and whom it is about: `edition` and `subscriber` are None while unknown."""

    event: ProviderEvent
    consequence: Consequence
    edition: int | None
    subscriber: int | None


def apply_post(session: Session, post: int, reading: Reading, *, suppression_key: str, now: datetime) -> bool:
    """Apply the events of a post that waits; False when another process has done so.

    The attempts that they bear must be settled before: see `queries.find_unsettled`.
    """
    if not _leave_waiting(session, post, PostState.APPLIED, now):
        return False
    foreign = 0
    for events in _chunks(reading.events):
        heard = _sort_out(session, events)
        foreign += len(events) - len(heard)
        _accept_those_named(session, heard, now)
        _follow(session, heard)
        _act_on(session, _keep_new(session, heard, suppression_key), suppression_key, now)
    counts = {"foreign": foreign, "unreadable": reading.unreadable, "unread": reading.unread}
    session.execute(
        update(ReceivedPost)
        .where(ReceivedPost.number == post)
        .values(events=len(reading.events) - foreign, **counts)
        .execution_options(synchronize_session=False)
    )
    return True


def set_aside(session: Session, post: int, reason: str, *, now: datetime) -> bool:
    """Let a post that cannot be applied wait no longer; its bytes are kept, for somebody to look at."""
    if not _leave_waiting(session, post, PostState.SET_ASIDE, now, problem=without_addresses(reason)):
        return False
    record(session, PROVIDER, now, "provider post set aside", f"provider post:{post}", reason=reason)
    return True


def try_again(session: Session, post: int, *, actor: StaffActor, now: datetime) -> None:
    """Let a post that was set aside wait once more; raises Refused for any other."""
    require(actor.person, Act.STEER)
    found = session.scalar(
        update(ReceivedPost)
        .where(ReceivedPost.number == post, ReceivedPost.state == PostState.SET_ASIDE)
        .values(state=PostState.WAITING, applied_at=None, problem="")
        .returning(ReceivedPost.number)
        .execution_options(synchronize_session=False)
    )
    if found is None:
        raise Refused(f"No post {post} was set aside; nothing was changed. See: newsletter events list")
    record(session, actor, now, "provider post tried again", f"provider post:{post}")


def assign_bounces(session: Session, *, now: datetime) -> int:
    """Find the mail of each late bounce that came without a name, where only one can be meant; gives how many.

    Asked again while it may change: what is known of a hand-over may come later than its bounce.
    """
    rows = session.execute(
        select(KeptEvent.fingerprint, KeptEvent.subscriber, KeptEvent.at)
        .where(
            KeptEvent.kind.in_(_BOUNCES),
            KeptEvent.at > now - 2 * LATE_BOUNCE,
            KeptEvent.edition.is_(None),
            KeptEvent.attempt.is_(None),
            KeptEvent.subscriber.is_not(None),
        )
        .order_by(KeptEvent.subscriber, KeptEvent.at)
    ).all()
    found: list[DeliveryEvent] = []
    for fingerprint, subscriber, at in rows:
        assert subscriber is not None, "so it was asked"
        edition = edition_of_bounce(find_mailed_before(session, subscriber, since=at - LATE_BOUNCE, until=at))
        if edition is None:
            continue
        session.execute(
            update(KeptEvent)
            .where(KeptEvent.fingerprint == fingerprint)
            .values(edition=edition)
            .execution_options(synchronize_session=False)
        )
        found.append(DeliveryEvent(edition, subscriber, DeliveryState.BOUNCED, at))
    follow_events(session, found)
    return len(found)


def suppress_soft_bounces(session: Session, rule: SoftBounceRule, *, suppression_key: str, now: datetime) -> int:
    """Suppress whoever bounced softly too often; gives how many addresses that is news for.

    Asked only of what happened more than a day ago, so that a delivery between two bounces that is told late still
    counts; and of what happened since a person joined.
    """
    until = now - SETTLED_AFTER
    lately = KeptEvent.at.between(until - 2 * rule.within, until)
    often = (
        select(KeptEvent.subscriber)
        .join(Subscriber, Subscriber.number == KeptEvent.subscriber)
        .where(KeptEvent.kind == EventKind.SOFT_BOUNCE, lately, Subscriber.state.in_(_MAILED))
        .where((Subscriber.joined_at.is_(None)) | (KeptEvent.at > Subscriber.joined_at))
        .group_by(KeptEvent.subscriber)
        .having(func.count() >= rule.bounces)
    )
    suppressed = 0
    for person in session.scalars(select(Subscriber).where(Subscriber.number.in_(often)).order_by(Subscriber.number)):
        soft = session.scalars(
            select(KeptEvent.at).where(
                KeptEvent.subscriber == person.number, KeptEvent.kind == EventKind.SOFT_BOUNCE, lately
            )
        ).all()
        since_joined = [at for at in soft if person.joined_at is None or at > person.joined_at]
        if person.address and bounces_for_good(since_joined, _delivered_to(session, person.number), rule):
            suppressed += _suppress(session, person.address, SuppressionReason.BOUNCED, suppression_key, now)
    return suppressed


def _delivered_to(session: Session, subscriber: int) -> Sequence[datetime]:
    rows = session.scalars(
        select(Delivery.event_at).where(Delivery.subscriber == subscriber, Delivery.state == DeliveryState.DELIVERED)
    )
    return [at for at in rows if at is not None]


def _leave_waiting(session: Session, post: int, to: PostState, now: datetime, problem: str = "") -> bool:
    values = {"state": to, "applied_at": now, "problem": problem}
    if to is PostState.APPLIED:
        # What was worth keeping is in rows without an address from here on.
        values["body"] = None
    found = session.scalar(
        update(ReceivedPost)
        .where(ReceivedPost.number == post, ReceivedPost.state == PostState.WAITING)
        .values(**values)
        .returning(ReceivedPost.number)
        .execution_options(synchronize_session=False)
    )
    return found is not None


def _sort_out(session: Session, events: Sequence[ProviderEvent]) -> list[_Heard]:
    """The events that are ours, each with whom it is about.

    One with a name that we did not give is of another system that shares the account, and so is one without any name
    that tells nothing of the address.
    """
    ours = find_attempts(session, {event.attempt for event in events if event.attempt})
    heard: list[_Heard] = []
    unnamed: list[tuple[ProviderEvent, Consequence]] = []
    for event in events:
        consequence = consequence_of(event)
        if event.attempt in ours:
            edition, subscriber = ours[event.attempt][0], _subscriber_in(event.delivery, ours[event.attempt][0])
            if subscriber is not None:
                heard.append(_Heard(event, consequence, edition, subscriber))
        elif consequence.by_address and not (event.attempt or event.delivery):
            unnamed.append((event, consequence))
    return heard + _by_address(session, unnamed)


def _subscriber_in(name: str, edition: int) -> int | None:
    try:
        its_edition, subscriber = read_delivery_id(name)
    except ValueError:
        return None
    return subscriber if its_edition == edition and subscriber < _HIGHEST else None


def _by_address(session: Session, unnamed: Sequence[tuple[ProviderEvent, Consequence]]) -> list[_Heard]:
    if not unnamed:
        return []
    keys = {address_key(event.address) for event, _ in unnamed if event.address}
    rows = session.execute(select(Subscriber.address_key, Subscriber.number).where(Subscriber.address_key.in_(keys)))
    numbers = dict(rows.all())
    return [_Heard(event, follows, None, numbers.get(address_key(event.address))) for event, follows in unnamed]


def _accept_those_named(session: Session, heard: Sequence[_Heard], now: datetime) -> None:
    """Whoever is named with an attempt was handed over by it, whatever is on record."""
    named: dict[int, dict[int, str]] = defaultdict(dict)
    for one in heard:
        if one.edition is not None and one.subscriber is not None:
            named[one.edition][one.subscriber] = one.event.attempt
    for edition, people in sorted(named.items()):
        if strays := find_not_handed_over(session, edition, people):
            accept_people(session, edition, {number: people[number] for number in strays}, actor=PROVIDER, now=now)


def _follow(session: Session, heard: Sequence[_Heard]) -> None:
    follow_events(
        session,
        (
            DeliveryEvent(one.edition, one.subscriber, one.consequence.delivery, one.event.at)
            for one in heard
            if one.consequence.delivery and one.edition is not None and one.subscriber is not None
        ),
    )


def _keep_new(session: Session, heard: Sequence[_Heard], key: str) -> list[_Heard]:
    """Add a row for each event that is worth one and has none yet; gives those."""
    by_fingerprint = {_fingerprint(one.event, key): one for one in heard if one.consequence.kept}
    if not by_fingerprint:
        return []
    known = set(session.scalars(select(KeptEvent.fingerprint).where(KeptEvent.fingerprint.in_(list(by_fingerprint)))))
    new = {name: one for name, one in by_fingerprint.items() if name not in known}
    if new:
        session.connection().execute(insert_or_skip(session, KeptEvent), [_row(name, one) for name, one in new.items()])
    return list(new.values())


def _row(fingerprint: str, heard: _Heard) -> dict[str, object]:
    event = heard.event
    return {
        "fingerprint": fingerprint,
        "kind": event.kind,
        "at": event.at,
        "edition": heard.edition,
        "subscriber": heard.subscriber,
        "attempt": event.attempt or event.notice or None,
        "reason": without_addresses(event.reason),
        "status": without_addresses(event.status),
        "classification": without_addresses(event.classification),
    }


def _fingerprint(event: ProviderEvent, key: str) -> str:
    """The same for every repetition of an event; the provider's own number for it may be missing or change.

    Keyed, so that no address can be found from it by trying.
    """
    about = (event.attempt, event.delivery) if event.attempt else ("", address_key(event.address))
    parts = (*about, event.kind.value, event.at.isoformat(), event.apart)
    return blake2b("\0".join(parts).encode(), digest_size=16, key=key.encode()[:64]).hexdigest()


def _act_on(session: Session, new: Collection[_Heard], key: str, now: datetime) -> None:
    """Suppress addresses and let people leave, in the order in which a batch locks people."""
    for one in sorted(new, key=lambda one: (one.subscriber or 0, one.event.address)):
        if one.consequence.leaves and one.subscriber is not None and not _had_left_before(session, one):
            unsubscribe(session, one.subscriber, source=SOURCE, actor=PROVIDER, now=now, edition=one.edition or 0)
        if one.consequence.suppress is not None:
            address = one.event.address or _address_of(session, one.subscriber)
            _suppress(session, address, one.consequence.suppress, key, now)


def _had_left_before(session: Session, one: _Heard) -> bool:
    """Whether an event tells only that somebody once left who has confirmed that they read.

    A mail is dropped for who is on the provider's list, and does not say since when: it may be we who put them there
    before they came back. Which word was the last is known when the list is read, with its dates, every night.
    """
    confirmed = exists().where(Consent.subscriber == one.subscriber, Consent.act == ConsentAct.CONFIRMED)
    return one.event.kind is EventKind.DROPPED and (session.scalar(select(confirmed)) or False)


def _address_of(session: Session, subscriber: int | None) -> str:
    found = session.scalar(select(Subscriber.address).where(Subscriber.number == subscriber))
    return found or ""


def _suppress(session: Session, address: str, reason: SuppressionReason, key: str, now: datetime) -> bool:
    try:
        return suppress(session, address, reason=reason, source=SOURCE, suppression_key=key, actor=PROVIDER, now=now)
    except AddressRefused:
        # What is no address cannot be mailed anyway.
        return False


def _chunks(items: Sequence[_Item]) -> Iterable[Sequence[_Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))

"""Questions about people; nothing is changed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import NotFound
from newsletter.subscribers.address import address_hash, address_key, check_address
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.tables import (
    Consent,
    ConsentTrace,
    ConsentWording,
    Subscriber,
    SubscriberTopic,
    Suppression,
)


def find_subscriber(session: Session, address: str) -> Subscriber | None:
    """The person with an address, however it is spelt; raises AddressRefused for what is no address."""
    key = address_key(check_address(address))
    return session.scalar(select(Subscriber).where(Subscriber.address_key == key))


def find_and_lock(session: Session, address: str) -> Subscriber | None:
    """As `find_subscriber`, and nobody else changes this person until the transaction ends.

    Whoever changes a person locks them before anything that refers to them: their suppression, their sign-ups. So two
    who come at the same moment never wait for each other.
    """
    key = address_key(check_address(address))
    found = select(Subscriber).where(Subscriber.address_key == key).with_for_update(key_share=True)
    return session.scalar(found.execution_options(populate_existing=True))


def get_subscriber(session: Session, address: str) -> Subscriber:
    """The person with an address; raises NotFound, or AddressRefused for what is no address."""
    found = find_subscriber(session, address)
    if found is None:
        raise NotFound(f"Nobody with the address {address} is here. See them all: newsletter subscribers list")
    return found


def find_suppression(session: Session, address: str, suppression_key: str) -> SuppressionReason | None:
    """Why an address must not be mailed, whether or not anybody with it is here; None when it may be."""
    hashed = address_hash(check_address(address), suppression_key)
    return session.scalar(select(Suppression.reason).where(Suppression.address_hash == hashed))


@dataclass(frozen=True)
class SuppressionCount:
    """How many addresses must not be mailed for a reason that came by one way."""

    reason: SuppressionReason
    source: str
    addresses: int


def count_suppressions(session: Session) -> list[SuppressionCount]:
    """How many addresses must not be mailed, by reason and source, the most frequent first.

    What staff have written about one person is left out of the source.
    """
    rows = session.execute(
        select(Suppression.reason, Suppression.source, func.count()).group_by(Suppression.reason, Suppression.source)
    )
    counts: Counter[tuple[SuppressionReason, str]] = Counter()
    for reason, source, addresses in rows:
        way = "staff" if reason is SuppressionReason.STAFF else source.partition(":")[0]
        counts[reason, way] += addresses
    return [SuppressionCount(reason, way, addresses) for (reason, way), addresses in counts.most_common()]


def refuses_every_mail(session: Session, address: str, suppression_key: str) -> bool:
    """Whether nothing at all may go to an address; whoever has only left the newsletter may get mail that is none."""
    return find_suppression(session, address, suppression_key) not in (None, SuppressionReason.UNSUBSCRIBED)


def list_subscribers(session: Session, state: SubscriberState | None = None) -> Sequence[Subscriber]:
    """Everybody in one state, or everybody who has not been erased, in the order in which they came."""
    wanted = Subscriber.state == state if state else Subscriber.state != SubscriberState.ERASED
    return session.scalars(select(Subscriber).where(wanted).order_by(Subscriber.number)).all()


def list_topics_of(session: Session, subscriber: int) -> list[str]:
    """The topics that a person chose; none means all."""
    mine = SubscriberTopic.subscriber == subscriber
    return list(session.scalars(select(SubscriberTopic.topic).where(mine).order_by(SubscriberTopic.topic)))


def list_consents_of(session: Session, subscriber: int) -> Sequence[Consent]:
    """What a person agreed to and withdrew, oldest first."""
    return session.scalars(select(Consent).where(Consent.subscriber == subscriber).order_by(Consent.number)).all()


def count_by_state(session: Session) -> dict[SubscriberState, int]:
    """How many people there are in each state."""
    rows = session.execute(select(Subscriber.state, func.count()).group_by(Subscriber.state))
    return dict(rows.all())


def list_wordings_of(session: Session, subscriber: int) -> dict[str, str]:
    """The texts that a person was shown, word for word, by their hash."""
    shown = select(Consent.wording_hash).where(Consent.subscriber == subscriber)
    rows = session.execute(select(ConsentWording.hash, ConsentWording.text).where(ConsentWording.hash.in_(shown)))
    return dict(rows.all())


def list_traces_of(session: Session, subscriber: int) -> dict[int, tuple[str, str]]:
    """Where a person's acts of consent came from, IP address and browser by the number of the act, while it is kept."""
    rows = session.execute(
        select(ConsentTrace.consent, ConsentTrace.ip, ConsentTrace.user_agent)
        .join(Consent, Consent.number == ConsentTrace.consent)
        .where(Consent.subscriber == subscriber)
    )
    return {number: (ip, user_agent) for number, ip, user_agent in rows}

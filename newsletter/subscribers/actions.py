"""The only writers of people, consent and suppressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record
from newsletter.database.base import insert_or_skip
from newsletter.errors import Refused
from newsletter.staff_files import read_language
from newsletter.subscribers.address import address_hash, address_key, check_address
from newsletter.subscribers.model import (
    ALLOWED_MOVES,
    NewSubscriber,
    SubscriberState,
    SuppressionReason,
    weaker_reasons,
)
from newsletter.subscribers.queries import find_subscriber
from newsletter.subscribers.tables import Consent, Subscriber, SubscriberTopic, Suppression

CHUNK = 5_000
"""People that one statement adds; SQLite allows 32,766 values in one."""


@dataclass(frozen=True)
class Imported:
    """What an import did: people added, and people who were there already and were not touched."""

    added: int
    already_here: int


def add_subscriber(
    session: Session,
    person: NewSubscriber,
    *,
    consent_source: str,
    suppression_key: str,
    actor: Actor,
    now: datetime,
    state: SubscriberState = SubscriberState.ACTIVE,
    wording: str | None = None,
) -> Subscriber:
    """Add one person, `active` when consent is proved already and `pending` when it must be confirmed.

    Raises Refused when the address is no address or is here already: nobody's consent is raised by adding them again;
    and for a language that is none.
    """
    address = check_address(person.address)
    language = _check_language(person.language)
    require_consent_source(consent_source)
    there = find_subscriber(session, address)
    if there is not None:
        raise Refused(f"{address} is here already, as {there.state.value}; nothing was changed.")
    if state not in (SubscriberState.ACTIVE, SubscriberState.PENDING):
        raise Refused(f"A person begins as active or pending, not as {state.value}.")
    row = Subscriber(
        state=state,
        address=address,
        address_key=address_key(address),
        address_hash=address_hash(address, suppression_key),
        language=language,
        text_only=person.text_only,
        added_at=now,
        joined_at=now if state is SubscriberState.ACTIVE else None,
    )
    session.add(row)
    session.flush()
    session.add_all(SubscriberTopic(subscriber=row.number, topic=topic) for topic in sorted(set(person.topics)))
    act = "confirmed" if state is SubscriberState.ACTIVE else "asked"
    session.add(Consent(subscriber=row.number, act=act, source=consent_source, wording=wording, at=now))
    record(session, actor, now, "subscriber added", f"subscriber:{row.number}", state=state.value)
    return row


def import_subscribers(
    session: Session,
    people: Sequence[NewSubscriber],
    *,
    consent_source: str,
    suppression_key: str,
    actor: Actor,
    now: datetime,
) -> Imported:
    """Add many people as active; whoever is here already, in whatever state, is not touched.

    `consent_source` says where their consent was given, and is kept with each of them. Raises Refused without it.
    """
    require_consent_source(consent_source)
    by_key = {address_key(person.address): person for person in reversed(people)}
    added = 0
    keys = list(by_key)[::-1]
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        there = set(session.scalars(select(Subscriber.address_key).where(Subscriber.address_key.in_(chunk))))
        rows = [
            {
                "state": SubscriberState.ACTIVE,
                "address": by_key[key].address,
                "address_key": key,
                "address_hash": address_hash(by_key[key].address, suppression_key),
                "language": by_key[key].language,
                "text_only": by_key[key].text_only,
                "added_at": now,
                "joined_at": now,
            }
            for key in chunk
            if key not in there
        ]
        if not rows:
            continue
        session.execute(insert(Subscriber), rows)
        new = session.execute(
            select(Subscriber.address_key, Subscriber.number).where(
                Subscriber.address_key.in_([row["address_key"] for row in rows])
            )
        ).all()
        session.execute(
            insert(Consent),
            [
                {"subscriber": n, "act": "imported", "source": consent_source, "wording": None, "at": now}
                for _, n in new
            ],
        )
        topics = [
            {"subscriber": number, "topic": topic}
            for key, number in new
            for topic in sorted(set(by_key[str(key)].topics))
        ]
        if topics:
            session.execute(insert(SubscriberTopic), topics)
        added += len(rows)
    record(session, actor, now, "subscribers imported", "subscribers", added=added, already_here=len(by_key) - added)
    return Imported(added, len(by_key) - added)


def confirm(session: Session, subscriber: int, *, source: str, actor: Actor, now: datetime) -> bool:
    """A pending person becomes active; False when they are active already. Raises Refused in any other state."""
    if _move(session, subscriber, SubscriberState.ACTIVE, {SubscriberState.PENDING}, joined_at=now):
        session.add(Consent(subscriber=subscriber, act="confirmed", source=source, wording=None, at=now))
        record(session, actor, now, "subscriber confirmed", f"subscriber:{subscriber}")
        return True
    state = _state(session, subscriber)
    if state is SubscriberState.ACTIVE:
        return False
    raise Refused(f"A person who is {state.value} cannot be confirmed. They can sign up again on the sign-up page.")


def unsubscribe(
    session: Session, subscriber: int, *, source: str, actor: Actor, now: datetime, edition: int = 0
) -> bool:
    """A person leaves, at once; False when there was nothing to leave any more. `edition` had the link, 0 for none."""
    moved = _move(
        session,
        subscriber,
        SubscriberState.UNSUBSCRIBED,
        {SubscriberState.PENDING, SubscriberState.ACTIVE, SubscriberState.PAUSED},
    )
    if moved:
        session.add(Consent(subscriber=subscriber, act="withdrawn", source=source, wording=None, at=now))
        record(session, actor, now, "subscriber left", f"subscriber:{subscriber}", edition=edition)
    return moved


def suppress(
    session: Session,
    address: str,
    *,
    reason: SuppressionReason,
    source: str,
    suppression_key: str,
    actor: Actor,
    now: datetime,
) -> bool:
    """An address is never mailed again, whether or not a person with it is here; False when it was so already.

    A heavier reason takes the place of a lighter one. Raises AddressRefused for what is no address.
    """
    address = check_address(address)
    hashed = address_hash(address, suppression_key)
    added = session.scalar(
        insert_or_skip(session, Suppression)
        .values(address_hash=hashed, reason=reason, source=source, at=now)
        .returning(Suppression.address_hash)
    ) or session.scalar(
        update(Suppression)
        .where(Suppression.address_hash == hashed, Suppression.reason.in_(weaker_reasons(reason)))
        .values(reason=reason, source=source, at=now)
        .returning(Suppression.address_hash)
    )
    there = find_subscriber(session, address)
    may_move = {state for state, next_ones in ALLOWED_MOVES.items() if SubscriberState.SUPPRESSED in next_ones}
    moved = there is not None and _move(session, there.number, SubscriberState.SUPPRESSED, may_move)
    if added is None and not moved:
        return False
    subject = f"subscriber:{there.number}" if there else f"address:{hashed[:12]}"
    record(session, actor, now, "address suppressed", subject, reason=reason.value)
    return True


def _move(
    session: Session, subscriber: int, to: SubscriberState, from_: set[SubscriberState], **values: datetime
) -> bool:
    """Change a state by naming the old one; whoever comes second changes nothing."""
    allowed = [state for state in from_ if to in ALLOWED_MOVES[state]]
    found = session.scalar(
        update(Subscriber)
        .where(Subscriber.number == subscriber, Subscriber.state.in_(allowed))
        .values(state=to, **values)
        .returning(Subscriber.number)
    )
    return found is not None


def _state(session: Session, subscriber: int) -> SubscriberState:
    state = session.scalar(select(Subscriber.state).where(Subscriber.number == subscriber))
    if state is None:
        raise Refused("That person is not here any more.")
    return state


def _check_language(text: str) -> str:
    try:
        return read_language(text)
    except ValueError as error:
        raise Refused(str(error).replace(" | ", " ")) from None


def require_consent_source(consent_source: str) -> None:
    """Raise Refused when nothing is said, or nothing that can be written down."""
    if not consent_source.strip():
        raise Refused("Say where consent was given, such as --consent-source 'paper form, front desk, 2026'.")
    try:
        consent_source.encode()
    except UnicodeEncodeError:
        raise Refused("The source of consent has letters that are not UTF-8. Type it again.") from None

"""The only writers of people, consent and suppressions, but for lists of them, which `subscriber_import` brings in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.errors import Refused
from newsletter.staff_files import read_language
from newsletter.subscribers.address import address_hash, address_key, check_address
from newsletter.subscribers.consent_ledger import delete_traces, write_consent
from newsletter.subscribers.model import (
    ALLOWED_MOVES,
    READING,
    Choices,
    ConsentAct,
    Evidence,
    NewSubscriber,
    SubscriberState,
    SuppressionReason,
    weaker_reasons,
)
from newsletter.subscribers.queries import find_and_lock, find_subscriber, find_suppression
from newsletter.subscribers.reader_notices import forget_reader_notices, withdraw_answers
from newsletter.subscribers.tables import Consent, SignUp, Subscriber, SubscriberTopic, Suppression

CHUNK = 5_000
"""People that one statement adds; SQLite allows 32,766 values in one."""

UNKNOWN_LANGUAGE = "und"
"""The code of a language that is not known (BCP 47, RFC 5646, 4.1)."""


def add_subscriber(
    session: Session,
    person: NewSubscriber,
    *,
    consent_source: str,
    suppression_key: str,
    actor: Actor,
    now: datetime,
    controller: str = "",
) -> Subscriber:
    """Add one person who has given their consent to the clinic by other means, such as on paper.

    `consent_source` says where that is kept. Raises Refused when the address is no address, is here already or must not
    be mailed: nobody's consent is raised by adding them again; and for a language that is none.
    """
    address = check_address(person.address)
    language = check_language(person.language)
    require_consent_source(consent_source)
    there = find_subscriber(session, address)
    if there is not None:
        raise Refused(f"{address} is here already, as {there.state.value}; nothing was changed.")
    if refused := find_suppression(session, address, suppression_key):
        raise Refused(
            f"{address} must not be mailed ({refused.value}); nothing was changed. Its owner can sign up again on the "
            f"sign-up page{'' if refused is SuppressionReason.UNSUBSCRIBED else ', once staff have lifted that'}."
        )
    row = Subscriber(
        state=SubscriberState.ACTIVE,
        address=address,
        address_key=address_key(address),
        address_hash=address_hash(address, suppression_key),
        language=language,
        text_only=person.text_only,
        added_at=now,
        joined_at=now,
    )
    session.add(row)
    session.flush()
    choices = Choices(language, person.topics, person.text_only)
    _choose_topics(session, row.number, choices.topics)
    evidence = Evidence(consent_source, controller=controller)
    write_consent(session, row.number, ConsentAct.GIVEN, evidence, by=actor, now=now, choices=choices)
    record(session, actor, now, "subscriber added", f"subscriber:{row.number}", state=row.state.value)
    return row


def become_active(session: Session, subscriber: int, choices: Choices, *, by: Actor, now: datetime) -> bool:
    """A person who has just proved that they ask for the newsletter reads it from now on; False when they must not.

    Called by `sign_up.confirm` alone: nothing else raises consent. That they had left is forgotten; no other
    suppression is.
    """
    refused = exists().where(
        Suppression.address_hash == Subscriber.address_hash, Suppression.reason != SuppressionReason.UNSUBSCRIBED
    )
    hashed = session.scalar(
        update(Subscriber)
        .where(
            Subscriber.number == subscriber,
            Subscriber.state.in_((SubscriberState.PENDING, SubscriberState.UNSUBSCRIBED)),
            ~refused,
        )
        .values(state=SubscriberState.ACTIVE, joined_at=now, language=choices.language, text_only=choices.text_only)
        .returning(Subscriber.address_hash)
        .execution_options(synchronize_session=False)
    )
    if hashed is None:
        return False
    left = Suppression.reason == SuppressionReason.UNSUBSCRIBED
    session.execute(delete(Suppression).where(Suppression.address_hash == hashed, left))
    _choose_topics(session, subscriber, choices.topics)
    return True


def unsubscribe(
    session: Session,
    subscriber: int,
    *,
    source: str,
    actor: Actor,
    now: datetime,
    edition: int = 0,
    reason: str = "",
) -> bool:
    """A person leaves, at once; False when there was nothing to leave any more. `edition` had the link, 0 for none.

    `reason` is what staff have to say about it when they do it in somebody's name.
    """
    hashed = _move(session, subscriber, SubscriberState.UNSUBSCRIBED, READING | {SubscriberState.PENDING})
    # Whoever had left may have asked again, and says now that they do not want it.
    withdraw_answers(session, subscriber)
    if hashed is None:
        return False
    _keep_suppression(session, hashed, SuppressionReason.UNSUBSCRIBED, source, now)
    told = without_addresses(reason)
    evidence = Evidence(source)
    write_consent(session, subscriber, ConsentAct.WITHDRAWN, evidence, by=actor, now=now, edition=edition, reason=told)
    record(session, actor, now, "subscriber left", f"subscriber:{subscriber}", edition=edition, reason=told)
    return True


def tell_why(session: Session, subscriber: int, why: str, *, actor: Actor, now: datetime) -> None:
    """Keep why somebody left, as they say themselves; only of who has left, and once each time."""
    last = select(Consent.act).where(Consent.subscriber == subscriber).order_by(Consent.number.desc()).limit(1)
    left = _state(session, subscriber) is SubscriberState.UNSUBSCRIBED
    if left and session.scalar(last) is not ConsentAct.TOLD_WHY:
        write_consent(session, subscriber, ConsentAct.TOLD_WHY, Evidence("leaving page"), by=actor, now=now, why=why)


def pause(session: Session, subscriber: int, until: datetime, *, source: str, actor: Actor, now: datetime) -> bool:
    """A person gets nothing until an instant; a second time moves it. False when they do not read at all."""
    if _move(session, subscriber, SubscriberState.PAUSED, READING, again=True, paused_until=until) is None:
        return False
    end = until.isoformat()
    write_consent(session, subscriber, ConsentAct.PAUSED, Evidence(source), by=actor, now=now, until=end)
    record(session, actor, now, "subscriber paused", f"subscriber:{subscriber}", until=end)
    return True


def resume(session: Session, subscriber: int, *, source: str, actor: Actor, now: datetime) -> bool:
    """A pause ends, because its time has come or the person says so; False when there was none."""
    if _move(session, subscriber, SubscriberState.ACTIVE, {SubscriberState.PAUSED}) is None:
        return False
    write_consent(session, subscriber, ConsentAct.RESUMED, Evidence(source), by=actor, now=now)
    record(session, actor, now, "subscriber resumed", f"subscriber:{subscriber}")
    return True


def resume_due(session: Session, *, actor: Actor, now: datetime, most: int = CHUNK) -> int:
    """End pauses whose time has come, `most` of them; gives how many."""
    over = select(Subscriber.number).where(Subscriber.state == SubscriberState.PAUSED, Subscriber.paused_until <= now)
    numbers = session.scalars(over.order_by(Subscriber.number).limit(most)).all()
    return sum(resume(session, number, source="end of the pause", actor=actor, now=now) for number in numbers)


def change_choices(
    session: Session, subscriber: int, choices: Choices, *, source: str, actor: Actor, now: datetime
) -> bool:
    """A reader chooses other topics, language or form of mail; False when nothing differs, or they do not read."""
    person = session.get(Subscriber, subscriber, populate_existing=True, with_for_update=True)
    if person is None or person.state not in READING:
        return False
    topics = session.scalars(select(SubscriberTopic.topic).where(SubscriberTopic.subscriber == subscriber)).all()
    before = Choices(person.language, tuple(sorted(topics)), person.text_only)
    choices = replace(choices, topics=tuple(sorted(set(choices.topics))))
    if choices == before:
        return False
    person.language, person.text_only = choices.language, choices.text_only
    _choose_topics(session, subscriber, choices.topics)
    write_consent(session, subscriber, ConsentAct.CHANGED, Evidence(source), by=actor, now=now, choices=choices)
    record(session, actor, now, "subscriber changed", f"subscriber:{subscriber}")
    return True


def erase(session: Session, subscriber: int, *, source: str, actor: Actor, now: datetime) -> bool:
    """Forget a person: address, topics, sign-ups, where requests came from; False when that was done before.

    The keyed hash of the address stays, so that it is not mailed again, and so does what was agreed to and when,
    without the address: the proof that mails were asked for (GDPR, Art. 17(3)(b) and (e)).
    """
    person = session.get(Subscriber, subscriber, populate_existing=True, with_for_update=True)
    if person is None or person.state is SubscriberState.ERASED:
        return False
    if person.address_hash:
        _keep_suppression(session, person.address_hash, SuppressionReason.ERASED, source, now)
    _forget(session, person)
    write_consent(session, subscriber, ConsentAct.ERASED, Evidence(source), by=actor, now=now)
    record(session, actor, now, "subscriber erased", f"subscriber:{subscriber}")
    return True


def lift_suppression(
    session: Session, address: str, *, reason: str, suppression_key: str, actor: Actor, now: datetime
) -> bool:
    """Staff take back that an address must not be mailed; False when it may be, or when its owner has left it so.

    Nobody is mailed because of it: the owner counts as somebody who has left, and may sign up and confirm again.
    """
    address = check_address(address)
    hashed = address_hash(address, suppression_key)
    there = find_and_lock(session, address)
    kept = find_suppression(session, address, suppression_key)
    if kept in (None, SuppressionReason.UNSUBSCRIBED):
        return False
    session.execute(
        update(Suppression)
        .where(Suppression.address_hash == hashed)
        .values(reason=SuppressionReason.UNSUBSCRIBED, source=f"lifted: {without_addresses(reason)}", at=now)
    )
    moved = there and _move(session, there.number, SubscriberState.UNSUBSCRIBED, {SubscriberState.SUPPRESSED})
    if there and moved:
        evidence = Evidence(without_addresses(reason))
        write_consent(session, there.number, ConsentAct.LIFTED, evidence, by=actor, now=now, before=str(kept))
    subject = f"subscriber:{there.number}" if there else f"address:{hashed[:12]}"
    record(session, actor, now, "suppression lifted", subject, before=str(kept), reason=reason)
    return True


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
    there = find_and_lock(session, address)
    kept = _keep_suppression(session, hashed, reason, source, now)
    may_move = {state for state, next_ones in ALLOWED_MOVES.items() if SubscriberState.SUPPRESSED in next_ones}
    moved = there is not None and _move(session, there.number, SubscriberState.SUPPRESSED, may_move) is not None
    if not kept and not moved:
        return False
    subject = f"subscriber:{there.number}" if there else f"address:{hashed[:12]}"
    record(session, actor, now, "address suppressed", subject, reason=reason.value)
    return True


def _keep_suppression(session: Session, hashed: str, reason: SuppressionReason, source: str, now: datetime) -> bool:
    """Put an address on the list, or a heavier reason in the place of a lighter one; False when it stood there so."""
    source = without_addresses(source)
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
    return added is not None


def _move(
    session: Session,
    subscriber: int,
    to: SubscriberState,
    from_: Collection[SubscriberState],
    *,
    again: bool = False,
    paused_until: datetime | None = None,
) -> str | None:
    """Change a state by naming the old one; gives the hash of the address, or None when nothing changed.

    Whoever comes second changes nothing, but for a move that may be made `again`.
    """
    allowed = [state for state in from_ if to in ALLOWED_MOVES[state] or (again and state is to)]
    return session.scalar(
        update(Subscriber)
        .where(Subscriber.number == subscriber, Subscriber.state.in_(allowed))
        .values(state=to, paused_until=paused_until)
        .returning(Subscriber.address_hash)
        .execution_options(synchronize_session=False)
    )


def _choose_topics(session: Session, subscriber: int, topics: Collection[str]) -> None:
    session.execute(delete(SubscriberTopic).where(SubscriberTopic.subscriber == subscriber))
    chosen = [{"subscriber": subscriber, "topic": topic} for topic in sorted(set(topics))]
    if chosen:
        session.execute(insert(SubscriberTopic), chosen)


def _forget(session: Session, person: Subscriber) -> None:
    """Take away all that says who a person is and what they chose; the row stays, for what refers to its number."""
    forget_reader_notices(session, [person.number])
    session.execute(delete(SignUp).where(SignUp.subscriber == person.number))
    _choose_topics(session, person.number, ())
    delete_traces(session, now=person.added_at, subscribers=[person.number])
    person.state, person.paused_until = SubscriberState.ERASED, None
    person.address = person.address_key = None
    person.language, person.text_only = UNKNOWN_LANGUAGE, False
    session.flush()


def _state(session: Session, subscriber: int) -> SubscriberState:
    state = session.scalar(select(Subscriber.state).where(Subscriber.number == subscriber))
    if state is None:
        raise Refused("That person is not here any more.")
    return state


def check_language(text: str) -> str:
    """A language code in its one form; raises Refused for what is none."""
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

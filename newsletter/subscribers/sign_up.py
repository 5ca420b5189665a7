"""Signing up with double opt-in: somebody asks, and the owner of the address confirms.

Whoever asks learns nothing about an address, and changes nothing for anybody who is here: what was chosen waits with
the sign-up until it is confirmed. Each act here is called in a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, Source, record
from newsletter.database.base import insert_or_skip
from newsletter.errors import Refused
from newsletter.languages import for_readers
from newsletter.subscribers.actions import become_active, check_language
from newsletter.subscribers.address import address_hash, address_key, check_address
from newsletter.subscribers.consent_ledger import keep_wording, write_consent
from newsletter.subscribers.model import (
    READING,
    Choices,
    ConsentAct,
    Evidence,
    ReaderNoticeKind,
    SubscriberState,
    SuppressionReason,
    Trace,
    Wording,
)
from newsletter.subscribers.queries import find_and_lock, find_subscriber, find_suppression
from newsletter.subscribers.reader_notices import AnswerLimits, are_too_many, want_reader_notice, was_answered
from newsletter.subscribers.tables import Consent, ConsentWording, ReaderNotice, SignUp, Subscriber, SubscriberTopic

CHUNK = 5_000
"""People that one transaction deletes, so that nobody else waits for long."""

VISITOR = Actor("visitor", Source.WEB)
"""Somebody at the sign-up page, of whom nothing is known."""


class SignUpRefused(Refused):
    """A sign-up cannot be confirmed: the link was used, has expired, or belongs to nobody any more."""


_GONE = for_readers("This sign-up is not here any more. Please sign up again.")


@dataclass(frozen=True)
class OpenSignUp:
    """A sign-up that waits for its owner: the address, what was chosen, and the text that was agreed to."""

    address: str
    choices: Choices
    wording: Wording


class Answer(Enum):
    """What becomes of a sign-up, as far as whoever asks may know."""

    TAKEN = auto()
    """A mail comes if there is anything to confirm; the answer for every address, in whatever state."""
    TOO_MANY = auto()
    """So many sign up at present that nobody is mailed; it may be tried again in an hour."""


def sign_up(
    session: Session,
    address: str,
    choices: Choices,
    evidence: Evidence,
    *,
    limits: AnswerLimits,
    suppression_key: str,
    now: datetime,
) -> Answer:
    """Somebody asks for the newsletter; its owner is mailed a link to confirm it, once in 24 hours.

    A reader is told that they are one already. An address that must not be mailed is not. `evidence` needs the wording
    that was shown. Raises Refused for what is no address, and for a language that is none.
    """
    address = check_address(address)
    choices = replace(choices, language=check_language(choices.language))
    if are_too_many(session, address, limits, suppression_key=suppression_key, now=now):
        return Answer.TOO_MANY
    # Before it is asked what stands against it: who is erased at this moment is waited for.
    person = find_and_lock(session, address)
    reason = find_suppression(session, address, suppression_key)
    if reason not in (None, SuppressionReason.UNSUBSCRIBED):
        record(session, VISITOR, now, "sign-up not answered", "sign-up", reason=str(reason))
        return Answer.TAKEN
    if was_answered(session, address, suppression_key=suppression_key, now=now):
        return Answer.TAKEN
    person = person or _add_pending(session, address, choices, suppression_key, now)
    if person.state in READING:
        kind = ReaderNoticeKind.HERE_ALREADY
        want_reader_notice(
            session, kind, person.number, address, person.language, suppression_key=suppression_key, now=now
        )
    else:
        expires_at = now + timedelta(days=limits.confirm_days)
        _ask(session, person.number, address, choices, evidence, expires_at, suppression_key, now)
    return Answer.TAKEN


def confirm(
    session: Session, subscriber: int, number: int, *, trace: Trace | None, suppression_key: str, now: datetime
) -> bool:
    """The owner of an address confirms a sign-up and reads from now on what they chose in it; the link works once.

    They are welcomed by a mail. False when this very sign-up was confirmed before and they read: a button pressed
    twice. Raises SignUpRefused, whose words pages show translated.
    """
    person = session.get(Subscriber, subscriber, populate_existing=True, with_for_update={"key_share": True})
    row = session.scalar(
        select(SignUp).where(SignUp.number == number, SignUp.subscriber == subscriber).with_for_update()
    )
    if row is None or person is None:
        raise SignUpRefused(_GONE)
    if not _is_open(row, person, now):
        return False
    choices = _choices(row)
    by = Actor.subscriber(subscriber)
    if not become_active(session, subscriber, choices, by=by, now=now):
        raise SignUpRefused(
            for_readers("This address cannot be signed up at present. Write to us, and a person will look at it.")
        )
    row.confirmed_at = now
    evidence = Evidence(
        source=row.source,
        method=f"double opt-in, sign-up {number}",
        wording=_wording(session, row.wording_hash),
        controller=row.controller,
        privacy_notice=row.privacy_notice,
        age_statement=row.age_statement,
        trace=trace,
    )
    write_consent(session, subscriber, ConsentAct.CONFIRMED, evidence, by=by, now=now, choices=choices)
    want_reader_notice(
        session,
        ReaderNoticeKind.WELCOME,
        subscriber,
        str(person.address),
        choices.language,
        suppression_key=suppression_key,
        now=now,
    )
    record(session, by, now, "subscriber confirmed", f"subscriber:{subscriber}", sign_up=number)
    return True


def find_open(session: Session, subscriber: int, number: int, *, now: datetime) -> OpenSignUp | None:
    """The sign-up that a link is to confirm; None when it was confirmed, or they read. Raises SignUpRefused."""
    row = session.scalar(select(SignUp).where(SignUp.number == number, SignUp.subscriber == subscriber))
    person = session.get(Subscriber, subscriber)
    if row is None or person is None:
        raise SignUpRefused(_GONE)
    if not _is_open(row, person, now):
        return None
    return OpenSignUp(str(person.address), _choices(row), _wording(session, row.wording_hash))


def delete_unconfirmed(session: Session, *, now: datetime, days: int, most: int = CHUNK) -> int:
    """Delete people whose sign-up nobody confirmed for days, and their addresses, `most` at once; gives how many.

    The sign-ups of people who are here for another reason go too.
    """
    old = now - timedelta(days=days)
    asked_lately = select(SignUp.subscriber).where(SignUp.asked_at > old)
    gone = select(Subscriber.number).where(
        Subscriber.state == SubscriberState.PENDING, Subscriber.added_at <= old, Subscriber.number.not_in(asked_lately)
    )
    people = session.scalars(gone.limit(most).with_for_update()).all()
    # Notices refer to sign-ups, and everything to the person.
    session.execute(delete(ReaderNotice).where(ReaderNotice.subscriber.in_(people)))
    never_confirmed = select(SignUp.number).where(SignUp.asked_at <= old, SignUp.confirmed_at.is_(None))
    session.execute(delete(ReaderNotice).where(ReaderNotice.sign_up.in_(never_confirmed)))
    session.execute(delete(SignUp).where(SignUp.asked_at <= old, SignUp.confirmed_at.is_(None)))
    for table in (Consent, SubscriberTopic):
        session.execute(delete(table).where(table.subscriber.in_(people)))
    session.execute(delete(Subscriber).where(Subscriber.number.in_(people)))
    if people:
        record(session, Actor("scheduler", Source.SCHEDULER), now, "sign-ups deleted", "sign-up", people=len(people))
    return len(people)


def _add_pending(session: Session, address: str, choices: Choices, suppression_key: str, now: datetime) -> Subscriber:
    number = session.scalar(
        insert_or_skip(session, Subscriber)
        .values(
            state=SubscriberState.PENDING,
            address=address,
            address_key=address_key(address),
            address_hash=address_hash(address, suppression_key),
            language=choices.language,
            text_only=choices.text_only,
            added_at=now,
        )
        .returning(Subscriber.number)
    )
    if number is not None:
        record(session, VISITOR, now, "subscriber added", f"subscriber:{number}", state=SubscriberState.PENDING.value)
    # Somebody else may have typed the same address at this very moment.
    person = find_subscriber(session, address)
    assert person is not None
    return person


def _ask(
    session: Session,
    subscriber: int,
    address: str,
    choices: Choices,
    evidence: Evidence,
    expires_at: datetime,
    suppression_key: str,
    now: datetime,
) -> None:
    assert evidence.wording is not None
    keep_wording(session, evidence.wording)
    row = SignUp(
        subscriber=subscriber,
        asked_at=now,
        expires_at=expires_at,
        language=choices.language,
        topics=sorted(choices.topics),
        text_only=choices.text_only,
        wording_hash=evidence.wording.hash,
        source=evidence.source,
        controller=evidence.controller,
        privacy_notice=evidence.privacy_notice,
        age_statement=evidence.age_statement,
    )
    session.add(row)
    session.flush()
    wanted = want_reader_notice(
        session,
        ReaderNoticeKind.CONFIRM,
        subscriber,
        address,
        choices.language,
        suppression_key=suppression_key,
        now=now,
        sign_up=row.number,
    )
    if not wanted:
        session.delete(row)
        return
    evidence = replace(evidence, method=f"sign-up {row.number}, not confirmed yet")
    write_consent(session, subscriber, ConsentAct.ASKED, evidence, by=VISITOR, now=now, choices=choices)


def _is_open(row: SignUp, person: Subscriber, now: datetime) -> bool:
    """Whether a sign-up can be confirmed; False when they read already. Raises SignUpRefused."""
    if person.state in READING:
        return False
    if row.confirmed_at is not None:
        raise SignUpRefused(for_readers("This link was used before. To come back, please sign up again."))
    if row.expires_at <= now:
        raise SignUpRefused(for_readers("This link has expired. Please sign up again."))
    return True


def _choices(row: SignUp) -> Choices:
    return Choices(row.language, tuple(row.topics), row.text_only)


def _wording(session: Session, hashed: str) -> Wording:
    row = session.get_one(ConsentWording, hashed)
    return Wording(row.name, row.language, row.text)

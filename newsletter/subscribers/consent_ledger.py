"""The consent ledger: what people agreed to, changed and withdrew. It only grows, and this is its only writer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.subscribers.model import Choices, ConsentAct, Evidence, Trace, Wording
from newsletter.subscribers.tables import Consent, ConsentTrace, ConsentWording

TRACE_DAYS = 60
"""Days for which it is kept from where a request came; a regulator's question comes within weeks."""

_USER_AGENT_LENGTH = 300


def write_consent(
    session: Session,
    subscriber: int,
    act: ConsentAct,
    evidence: Evidence,
    *,
    by: Actor,
    now: datetime,
    choices: Choices | None = None,
    **details: str | int,
) -> None:
    """Add what a person did, in the transaction of it. `choices` are what it was about, where it was about any."""
    if evidence.wording:
        keep_wording(session, evidence.wording)
    number = session.scalar(
        insert(Consent).returning(Consent.number),
        {
            "subscriber": subscriber,
            "act": act,
            "at": now,
            "by": by.who,
            "source": without_addresses(evidence.source),
            "method": evidence.method,
            "wording": evidence.wording.name if evidence.wording else None,
            "wording_hash": evidence.wording.hash if evidence.wording else None,
            "language": choices.language if choices else None,
            "topics": sorted(choices.topics) if choices else None,
            "controller": evidence.controller,
            "privacy_notice": evidence.privacy_notice,
            "age_statement": evidence.age_statement,
            "given_at": evidence.given_at,
            "tracking": False,
            "details": details or None,
        },
    )
    if evidence.trace and number is not None:
        _keep_trace(session, number, evidence.trace, now)


def keep_wording(session: Session, wording: Wording) -> None:
    """Keep a text word for word; a second time changes nothing."""
    session.execute(
        insert_or_skip(session, ConsentWording).values(
            hash=wording.hash, name=wording.name, language=wording.language, text=wording.text
        )
    )


def delete_traces(session: Session, *, now: datetime, subscribers: Sequence[int] = ()) -> None:
    """Delete from where requests came when it is old, and that of these subscribers at once."""
    old = now - timedelta(days=TRACE_DAYS)
    session.execute(delete(ConsentTrace).where(ConsentTrace.at < old))
    if subscribers:
        theirs = Consent.__table__.select().with_only_columns(Consent.number).where(Consent.subscriber.in_(subscribers))
        session.execute(delete(ConsentTrace).where(ConsentTrace.consent.in_(theirs)))


def _keep_trace(session: Session, consent: int, trace: Trace, now: datetime) -> None:
    session.execute(
        insert(ConsentTrace),
        {"consent": consent, "at": now, "ip": trace.ip, "user_agent": trace.user_agent[:_USER_AGENT_LENGTH]},
    )

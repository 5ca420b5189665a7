"""All that is kept about one person, as a copy for them: JSON for programs, CSV for a spreadsheet.

The right of access and of portability (GDPR, Art. 15(3) and 20). It holds the person's address, so it is given only to
somebody who has just proved that they read it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.delivery.tables import Attempt, Delivery, Send
from newsletter.editions.tables import Edition
from newsletter.errors import NotFound
from newsletter.provider_events.tables import KeptEvent
from newsletter.subscriber_import.spreadsheets import guarded
from newsletter.subscribers.queries import list_consents_of, list_topics_of, list_traces_of, list_wordings_of
from newsletter.subscribers.tables import Consent, ReaderNotice, SignUp, Subscriber, Suppression

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PersonalCopy:
    """The copy: who the person is to us, what they agreed to, what they were mailed, and what became of it."""

    about: Row
    consent: Sequence[Row]
    sign_ups: Sequence[Row]
    newsletters: Sequence[Row]
    other_mails: Sequence[Row]
    told_by_the_mail_service: Sequence[Row]

    def as_json(self) -> bytes:
        """The copy as one JSON object in UTF-8; instants are in UTC."""
        return orjson.dumps(self._parts(), option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)

    def as_csv(self) -> bytes:
        """The copy as a table of part, line in it, name and value, in UTF-8 that spreadsheets recognise."""
        table = io.StringIO()
        writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(("part", "line", "name", "value"))
        for part, rows in self._parts().items():
            for number, row in enumerate([rows] if isinstance(rows, Mapping) else rows, start=1):
                writer.writerows((part, number, name, _cell(value)) for name, value in row.items())
        return table.getvalue().encode("utf-8-sig")

    def _parts(self) -> dict[str, Row | Sequence[Row]]:
        return {
            "about you": self.about,
            "consent": self.consent,
            "sign-ups": self.sign_ups,
            "newsletters": self.newsletters,
            "other mails": self.other_mails,
            "told by the mail service": self.told_by_the_mail_service,
        }


def make_personal_copy(session: Session, subscriber: int) -> PersonalCopy:
    """The copy of what is kept about a person by the number of their row; raises NotFound."""
    person = session.get(Subscriber, subscriber)
    if person is None:
        raise NotFound("That person is not here any more; nothing is kept about them.")
    suppression = session.get(Suppression, person.address_hash) if person.address_hash else None
    return PersonalCopy(
        about={
            "address": person.address,
            "state": person.state.value,
            "language": person.language,
            "text only": person.text_only,
            "topics": list_topics_of(session, subscriber) or "all",
            "added": person.added_at,
            "reading since": person.joined_at,
            "paused until": person.paused_until,
            "not mailed because": suppression.reason.value if suppression else None,
            "not mailed since": suppression.at if suppression else None,
        },
        consent=_consent(session, subscriber),
        sign_ups=[
            {"asked": row.asked_at, "confirmed": row.confirmed_at, "page": row.source, "topics": row.topics}
            for row in session.scalars(select(SignUp).where(SignUp.subscriber == subscriber).order_by(SignUp.number))
        ],
        newsletters=_newsletters(session, subscriber),
        other_mails=[
            {"kind": row.kind.value, "wanted": row.wanted_at, "sent": row.sent_at}
            for row in session.scalars(
                select(ReaderNotice).where(ReaderNotice.subscriber == subscriber).order_by(ReaderNotice.number)
            )
        ],
        told_by_the_mail_service=[
            {"what": row.kind.value, "at": row.at, "reason": row.reason}
            for row in session.scalars(
                select(KeptEvent).where(KeptEvent.subscriber == subscriber).order_by(KeptEvent.at)
            )
        ],
    )


def _consent(session: Session, subscriber: int) -> list[Row]:
    texts, traces = list_wordings_of(session, subscriber), list_traces_of(session, subscriber)
    return [_consent_row(row, texts, traces) for row in list_consents_of(session, subscriber)]


def _consent_row(row: Consent, texts: Mapping[str, str], traces: Mapping[int, tuple[str, str]]) -> Row:
    ip, user_agent = traces.get(row.number, (None, None))
    return {
        "what": row.act.value,
        "at": row.at,
        "by": "you" if row.by == f"subscriber:{row.subscriber}" else row.by,
        "by which way": row.source,
        "made sure of by": row.method or None,
        "given at": row.given_at,
        "wording": row.wording,
        "its text": texts.get(row.wording_hash or ""),
        "SHA-256 of its text": row.wording_hash,
        "language": row.language,
        "topics": row.topics,
        "whom it was given to": row.controller or None,
        "privacy notice": row.privacy_notice or None,
        "age": row.age_statement or None,
        "agreed to be tracked": row.tracking,
        "IP address": ip,
        "browser": user_agent,
        "more": row.details,
    }


def _newsletters(session: Session, subscriber: int) -> list[Row]:
    rows = session.execute(
        select(Edition.id, Edition.subject, Delivery.state, Delivery.reason, Attempt.started_at, Send.opened_at)
        .join(Edition, Edition.serial == Delivery.edition)
        .join(Send, Send.edition == Delivery.edition)
        .outerjoin(Attempt, Attempt.id == Delivery.attempt)
        .where(Delivery.subscriber == subscriber)
        .order_by(Delivery.edition)
    )
    return [
        {"edition": edition, "subject": subject, "state": state.value, "reason": reason, "at": at or opened_at}
        for edition, subject, state, reason, at, opened_at in rows
    ]


def _cell(value: object) -> str:
    match value:
        case None:
            text = ""
        case datetime():
            text = value.isoformat()
        case list():
            text = " ".join(map(str, value))
        case dict():
            text = orjson.dumps(value).decode()
        case _:
            text = str(value)
    return guarded(text)

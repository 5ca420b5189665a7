"""An edition as a value: its states, its content, and the hash that approvals are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property

from newsletter.campaigns.model import AudienceRule
from newsletter.mail import Mailbox
from newsletter.rendering.model import MailPicture


class EditionState(StrEnum):
    """Where an edition stands."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    SENT_BACK = "sent back"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    """Its send exists; how far that is, the send tells."""
    HELD = "held"
    """Due, but it waits for a person."""
    CANCELLED = "cancelled"
    VOID = "void"
    """Its approval holds no more: the content changed, or the approval expired."""


_STATE = EditionState
ALLOWED_MOVES: Mapping[EditionState, frozenset[EditionState]] = {
    _STATE.SUBMITTED: frozenset({_STATE.APPROVED, _STATE.SENT_BACK}),
    _STATE.APPROVED: frozenset({_STATE.SCHEDULED, _STATE.VOID}),
    _STATE.SENT_BACK: frozenset(),
    _STATE.SCHEDULED: frozenset({_STATE.SENDING, _STATE.HELD, _STATE.CANCELLED, _STATE.APPROVED}),
    # Only while nothing of it went: its send was stopped before it ran.
    _STATE.SENDING: frozenset({_STATE.CANCELLED}),
    _STATE.HELD: frozenset({_STATE.SCHEDULED, _STATE.CANCELLED}),
    _STATE.CANCELLED: frozenset(),
    _STATE.VOID: frozenset(),
}

OPEN = frozenset({_STATE.SUBMITTED, _STATE.APPROVED, _STATE.SCHEDULED, _STATE.HELD})
"""The states of which a mailing may have one edition at a time: it has not gone out, and still may."""


@dataclass(frozen=True)
class Content:
    """All that an approval is bound to. `pictures` are the hashes of the pictures' bytes by file name."""

    sender: Mailbox
    reply_to: str
    subject: str
    preheader: str
    html: str
    text: str
    language: str
    audience: AudienceRule
    base_url: str
    pictures: Mapping[str, str]

    def hash(self) -> str:
        """SHA-256 over everything, as hexadecimal; two contents have the same only when they are the same."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        whole = {
            "from": [self.sender.name, self.sender.address],
            "reply_to": self.reply_to,
            "subject": self.subject,
            "preheader": self.preheader,
            "variants": {"html": {"html": self.html, "text": self.text}, "text": {"text": self.text}},
            "audience": {"language": self.language, **json.loads(audience_to_json(self.audience))},
            "base_url": self.base_url,
            "pictures": dict(self.pictures),
        }
        return hashlib.sha256(_canonical(whole).encode()).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """A mailing at the moment of `submit`: its content, where it came from, and its pictures with their bytes.

    `month` is `2026-11`; `send_at` is the instant in UTC that the campaign names, and no part of the content. `theme`
    stands in the letter too; `in_archive` says whether everybody may read it once it has gone out.
    """

    campaign: str
    month: str
    mailing: str
    send_at: datetime
    content: Content
    pictures: tuple[MailPicture, ...]
    theme: str = ""
    in_archive: bool = True


def edition_id(month: str, mailing: str, number: int) -> str:
    """How people call an edition, such as `2026-11-opening-2`."""
    return f"{month}-{mailing}-{number}"


def audience_to_json(rule: AudienceRule) -> str:
    """An audience rule as one line of JSON; the same rule always gives the same line."""
    return _canonical(
        {
            "topics": sorted(rule.topics),
            "joined_before": rule.joined_before.isoformat() if rule.joined_before else None,
            "not_mailed_within": rule.not_mailed_within,
            "any_language": rule.any_language,
        }
    )


def audience_from_json(text: str) -> AudienceRule:
    """The audience rule that `audience_to_json` wrote."""
    value = json.loads(text)
    day = value["joined_before"]
    return AudienceRule(
        topics=tuple(value["topics"]),
        joined_before=date.fromisoformat(day) if day else None,
        not_mailed_within=value["not_mailed_within"],
        any_language=value["any_language"],
    )


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

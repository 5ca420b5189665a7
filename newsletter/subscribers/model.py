"""People as values: the states of a subscriber, who receives an edition, and why somebody does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SubscriberState(StrEnum):
    """Where a person stands; only `active` people are mailed."""

    PENDING = "pending"
    """Asked for the newsletter and has not confirmed it yet."""
    ACTIVE = "active"
    PAUSED = "paused"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    """The address must not be mailed: it bounced, or somebody complained."""
    ERASED = "erased"
    """The person asked to be erased; the row has no address any more."""


READING = frozenset({SubscriberState.ACTIVE, SubscriberState.PAUSED})
"""The states of who has confirmed and gets the newsletter, or will again when a pause is over."""


_STATE = SubscriberState
ALLOWED_MOVES: Mapping[SubscriberState, frozenset[SubscriberState]] = {
    _STATE.PENDING: frozenset({_STATE.ACTIVE, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    _STATE.ACTIVE: frozenset({_STATE.PAUSED, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    _STATE.PAUSED: frozenset({_STATE.ACTIVE, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    # Who left comes back only by asking and confirming again. Until then they stay as they are: anybody may type an
    # address into the form.
    _STATE.UNSUBSCRIBED: frozenset({_STATE.ACTIVE, _STATE.SUPPRESSED, _STATE.ERASED}),
    # Staff have lifted the suppression; the person may sign up again.
    _STATE.SUPPRESSED: frozenset({_STATE.UNSUBSCRIBED, _STATE.ERASED}),
    _STATE.ERASED: frozenset(),
}


class SuppressionReason(StrEnum):
    """Why an address must not be mailed."""

    UNSUBSCRIBED = "unsubscribed"
    """Its owner has left. The only one that they lift themselves, by signing up and confirming it."""
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    STAFF = "staff"
    """A member of staff said so."""
    ERASED = "erased"


_REASON = SuppressionReason
WEAKEST_FIRST = (_REASON.UNSUBSCRIBED, _REASON.BOUNCED, _REASON.STAFF, _REASON.COMPLAINED, _REASON.ERASED)
"""The reasons by what they weigh: when there are two for one address, the heavier is the one that is kept."""


class ConsentAct(StrEnum):
    """What a person did, or what was done about them, on the record of consent."""

    ASKED = "asked"
    """Somebody typed the address into the sign-up page; this alone proves nothing."""
    CONFIRMED = "confirmed"
    """The person pressed the button behind the link that was mailed to them."""
    GIVEN = "given"
    """Given to the clinic by other means, such as on paper; a member of staff entered it, and where it is kept."""
    IMPORTED = "imported"
    """Given to another service or list, as whoever imported it has said."""
    CHANGED = "changed"
    """The person chose other topics, another language or another form of mail."""
    PAUSED = "paused"
    RESUMED = "resumed"
    """The pause has ended, as was chosen when it began, or earlier by the person."""
    WITHDRAWN = "withdrawn"
    TOLD_WHY = "told why"
    """The person said why they left."""
    LIFTED = "lifted"
    """Staff took back a suppression; this is no consent, the person may only sign up again."""
    UNDONE = "undone"
    """The import that brought the person was undone, and they with it."""
    ERASED = "erased"


class ReaderNoticeKind(StrEnum):
    """What a reader is told by a mail of their own."""

    CONFIRM = "confirm"
    """Somebody signed up with the address; the link in it confirms that it was the owner."""
    HERE_ALREADY = "here already"
    """Somebody signed up with the address of a reader; the link in it leads to what they chose."""
    WELCOME = "welcome"
    CHOICES = "choices"
    """A fresh link to what the person chose, as they asked for."""


def weaker_reasons(reason: SuppressionReason) -> tuple[SuppressionReason, ...]:
    """The reasons whose place another one takes."""
    return WEAKEST_FIRST[: WEAKEST_FIRST.index(reason)]


class LeftOut(StrEnum):
    """Why a person does not get an edition; the first that holds is the one that is told."""

    NOT_CONFIRMED = "not confirmed"
    LEFT = "left"
    PAUSED = "paused"
    SUPPRESSED = "suppressed"
    JOINED_LATER = "joined later"
    OTHER_LANGUAGE = "other language"
    OTHER_TOPIC = "other topic"
    MAILED_LATELY = "mailed lately"
    STOPPED = "send stopped"
    """The send was stopped before this person's turn."""
    NOT_SENT = "not sent"
    """Nobody knew whether it had gone out, and a named person said that it had not."""


EXPLANATIONS: Mapping[LeftOut, str] = {
    LeftOut.NOT_CONFIRMED: "they have not confirmed their sign-up",
    LeftOut.LEFT: "they have left",
    LeftOut.PAUSED: "they have paused",
    LeftOut.SUPPRESSED: "they have an address that must not be mailed",
    LeftOut.JOINED_LATER: "they joined later",
    LeftOut.OTHER_LANGUAGE: "they read another language",
    LeftOut.OTHER_TOPIC: "they chose other topics",
    LeftOut.MAILED_LATELY: "they were mailed lately",
    LeftOut.NOT_SENT: "they did not get it, as a member of staff has settled",
    LeftOut.STOPPED: "they were still waiting when the send was stopped",
}
"""Each reason as a sentence about those whom it is true of."""


@dataclass(frozen=True)
class Choices:
    """What a reader chooses: language as a code, ids of topics (none means all), mails without pictures."""

    language: str
    topics: tuple[str, ...] = ()
    text_only: bool = False


@dataclass(frozen=True)
class Wording:
    """A text that readers agree to, as it was shown: `name` is its number and language, `0001.en`."""

    name: str
    language: str
    text: str

    @property
    def hash(self) -> str:
        """SHA-256 of the text in UTF-8, in hex: the same words have the same hash."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Trace:
    """Where a request came from. It is personal and proves little for long, so it is deleted after weeks."""

    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True)
class Evidence:
    """How an act of consent is known.

    `source` is the channel: the sign-up page by its URL, a link, paper and where it is kept, an import and its row.
    `method` is how the act was made sure of, such as `double opt-in, sign-up 12`. `wording` is the text that was
    shown. `controller` is who was to use the address, `privacy_notice` the version of its notice, `age_statement` what
    was said about the person's age. `given_at` is when consent was given, where that is not now.
    """

    source: str
    method: str = ""
    wording: Wording | None = None
    controller: str = ""
    privacy_notice: str = ""
    age_statement: str = ""
    given_at: datetime | None = None
    trace: Trace | None = None


@dataclass(frozen=True)
class NewSubscriber:
    """A person to add: address as typed, language as a code, ids of topics (none means all)."""

    address: str
    language: str
    topics: tuple[str, ...] = ()
    text_only: bool = False

"""People as values: the states of a subscriber, who receives an edition, and why somebody does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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


_STATE = SubscriberState
ALLOWED_MOVES: Mapping[SubscriberState, frozenset[SubscriberState]] = {
    _STATE.PENDING: frozenset({_STATE.ACTIVE, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    _STATE.ACTIVE: frozenset({_STATE.PAUSED, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    _STATE.PAUSED: frozenset({_STATE.ACTIVE, _STATE.UNSUBSCRIBED, _STATE.SUPPRESSED, _STATE.ERASED}),
    # Who left comes back only by asking and confirming again.
    _STATE.UNSUBSCRIBED: frozenset({_STATE.PENDING, _STATE.SUPPRESSED, _STATE.ERASED}),
    _STATE.SUPPRESSED: frozenset({_STATE.UNSUBSCRIBED, _STATE.ERASED}),
    _STATE.ERASED: frozenset(),
}


class SuppressionReason(StrEnum):
    """Why an address must not be mailed."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    STAFF = "staff"
    """A member of staff said so."""
    ERASED = "erased"


_REASON = SuppressionReason
WEAKEST_FIRST = (_REASON.BOUNCED, _REASON.STAFF, _REASON.COMPLAINED, _REASON.ERASED)
"""The reasons by what they weigh: when there are two for one address, the heavier is the one that is kept."""


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


class Recipient(NamedTuple):
    """Somebody who gets an edition: number of the row, and address as typed."""

    number: int
    address: str


@dataclass(frozen=True)
class NewSubscriber:
    """A person to add: address as typed, language as a code, ids of topics (none means all)."""

    address: str
    language: str
    topics: tuple[str, ...] = ()
    text_only: bool = False

"""Provider events as values: where a post stands, what an event means, and how an edition's events add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class PostState(StrEnum):
    """Where one post of the provider stands."""

    WAITING = "waiting"
    APPLIED = "applied"
    SET_ASIDE = "set aside"
    """It cannot be applied; its bytes are kept with the reason until posts of its age are deleted."""


@dataclass(frozen=True)
class SoftBounceRule:
    """So many soft bounces within a time, with nothing delivered between, and an address is not mailed any more."""

    bounces: int = 3
    within: timedelta = timedelta(days=30)


@dataclass(frozen=True)
class Reconciliation:
    """What became of everybody to whom an edition was handed over: the five states add up to `handed_over`.

    `silent_for_a_day` and `silent_for_three` are how many of `not_heard_of` were handed over longer ago than 24 and
    72 hours. `complaints` and `left` are told beside the states. `accepted_twice` are batches, by number, whose people
    were in two accepted attempts, with how many that may be. `gaps` says in sentences what is missing.
    """

    handed_over: int
    delivered: int
    bounced: int
    dropped: int
    deferred: int
    not_heard_of: int
    silent_for_a_day: int
    silent_for_three: int
    complaints: int
    left: int
    accepted_twice: Mapping[int, int]
    last_post_at: datetime | None
    gaps: tuple[str, ...]

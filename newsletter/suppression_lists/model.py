"""SendGrid's lists as values: what an entry means here, where each person stands there, and what a sync did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsletter.providers.sendgrid.lists import ListName
from newsletter.subscribers.model import SuppressionReason

REASON_BY_LIST: Mapping[ListName, SuppressionReason] = {
    ListName.SPAM_REPORTS: SuppressionReason.COMPLAINED,
    ListName.BOUNCES: SuppressionReason.BOUNCED,
    ListName.INVALID_EMAILS: SuppressionReason.BOUNCED,
}
"""What an entry means for the address. Who is on the list of unsubscribes has left, and the address stays good."""


class EntryState(StrEnum):
    """Where a person stands on SendGrid's list of unsubscribes."""

    TO_ADD = "to add"
    """They left here, and SendGrid is to be told."""
    ADDED = "added"
    FOUND = "found"
    """SendGrid had them on the list without us; we take nobody off whom we did not put there."""
    TO_REMOVE = "to remove"
    """We put them there, and they have come back by their own confirmed act."""


class Change(StrEnum):
    """What a person's own state asks of their entry."""

    ADD = "add"
    REMOVE = "remove"
    FORGET = "forget"
    """They are here again, or erased, and nothing of ours stands on SendGrid's list."""


@dataclass(frozen=True)
class Waiting:
    """Somebody of whom SendGrid is to be told; `group` is where we put them, for those who are to be removed."""

    subscriber: int
    address: str
    group: int | None


@dataclass(frozen=True)
class Concerned:
    """Who of a page is here and not yet as the list says.

    `to_refuse` have a number and an address and must be unsubscribed or suppressed; `to_note` are the numbers of those
    who have left here and whom SendGrid need not be told of any more.
    """

    to_refuse: tuple[tuple[int, str], ...]
    to_note: tuple[int, ...]
    unknown: int


@dataclass(frozen=True)
class Page:
    """What a page of a list came to: people whose state changed, and addresses that nobody here has."""

    new: int = 0
    unknown: int = 0

    def __add__(self, other: Page) -> Page:
        return Page(self.new + other.new, self.unknown + other.unknown)


@dataclass(frozen=True)
class Pulled:
    """What reading one list came to; `trouble` says why it was not read to its end, and is empty when it was."""

    name: ListName
    new: int
    unknown: int
    trouble: str = ""


@dataclass(frozen=True)
class Pushed:
    """What telling SendGrid came to: how many people were added to its list and removed from it."""

    added: int = 0
    removed: int = 0


@dataclass(frozen=True)
class ListStanding:
    """How one list stands: read whole up to an instant (None: never), and why the last try failed, if it did."""

    name: ListName
    pulled_until: datetime | None
    tried_at: datetime | None
    trouble: str


@dataclass(frozen=True)
class Standing:
    """How the sync stands: every list, how many people wait to be told to SendGrid, and why the oldest waits."""

    lists: tuple[ListStanding, ...]
    waiting: int
    waiting_because: str

    @property
    def last_whole(self) -> datetime | None:
        """Up to when all lists have been read; None while one never was."""
        times = [standing.pulled_until for standing in self.lists]
        return min((time for time in times if time), default=None) if all(times) else None

    @property
    def has_failed(self) -> bool:
        """Whether the last try of any list failed."""
        return any(standing.trouble for standing in self.lists)

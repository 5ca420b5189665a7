"""SendGrid's lists of addresses that it does not mail, as values: their names, their entries, what may be asked.

Light to load, unlike `suppressions`, which asks through the `sendgrid` package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from newsletter.errors import NewsletterError


class ListName(StrEnum):
    """A list of SendGrid's, under its name in the API. Blocks are left out: SendGrid mails those again."""

    SPAM_REPORTS = "spam_reports"
    BOUNCES = "bounces"
    INVALID_EMAILS = "invalid_emails"
    UNSUBSCRIBES = "unsubscribes"


@dataclass(frozen=True)
class Listed:
    """An address on a list, as SendGrid spells it, and since when, in whole seconds."""

    address: str
    since: datetime


class ListsUnanswered(NewsletterError):
    """SendGrid gave no answer that can be used; asking again later does no harm, and not before `not_before`."""

    def __init__(self, message: str, not_before: datetime | None = None) -> None:
        super().__init__(message)
        self.not_before = not_before


class ListsRefused(ListsUnanswered):
    """SendGrid says that the request itself is wrong: of several addresses, one may be the reason."""


class SuppressionLists(Protocol):
    """The lists of one account. Everything that goes wrong is a ListsUnanswered; adding or removing twice is once."""

    def pages(self, name: ListName, since: datetime, until: datetime) -> Iterator[Sequence[Listed]]:
        """All that was listed between two instants, both included, a page at a time; an entry may come twice."""
        ...

    def add(self, addresses: Sequence[str], group: int | None) -> None:
        """Put addresses on the list of an unsubscribe group, or with None on that of all unsubscribes."""
        ...

    def remove(self, address: str, group: int | None) -> None:
        """Take an address from where `add` put it; nothing happens when it is not there."""
        ...

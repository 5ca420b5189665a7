"""The double's suppression lists: read in windows of time and pages, added to, taken from, as SendGrid describes it.

They are filled with {"bounces": [{"email": "a@example.org", "created": 1793620800}], "groups": [7]}. All is kept in
memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from newsletter.sendgrid_double.description import Email
from newsletter.sendgrid_double.rules import Error, error_body

LISTS = ("unsubscribes", "bounces", "spam_reports", "invalid_emails", "blocks")
MOST = 500
"""Entries in one page."""

_MORE: Mapping[str, Mapping[str, str]] = {
    "bounces": {"reason": "550 5.1.1 The email account does not exist.", "status": "5.1.1"},
    "spam_reports": {"ip": "192.0.2.1"},
    "invalid_emails": {"reason": "Mail domain mentioned in email address is unknown"},
    "blocks": {"reason": "no route to host", "status": "4.0.0"},
}
"""What an entry of a list says besides its address and its time."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Entry(_Part):
    """An address on a list, and when it came there, in seconds since 1970."""

    email: str
    created: int


class Filling(_Part):
    """Entries to put on the lists, and numbers of unsubscribe groups to have."""

    unsubscribes: list[Entry] = []
    bounces: list[Entry] = []
    spam_reports: list[Entry] = []
    invalid_emails: list[Entry] = []
    blocks: list[Entry] = []
    groups: list[int] = []


class _Recipients(BaseModel):
    recipient_emails: Annotated[list[Email], Field(min_length=1)]


class _Window(BaseModel):
    start_time: int = 0
    end_time: int = 2**62
    limit: Annotated[int, Field(ge=1, le=MOST)] = MOST
    offset: Annotated[int, Field(ge=0)] = 0
    email: str = ""


@dataclass(frozen=True)
class Said:
    """An answer: status and body."""

    status: int
    body: bytes = b""


@dataclass
class Lists:
    """The lists of the double's account; an address has one entry on each, however it is spelt."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {name: {} for name in LISTS})
    groups: dict[int, dict[str, Entry]] = field(default_factory=dict)

    def fill(self, body: bytes) -> Said:
        """Put on the lists what a test or a person wants there."""
        try:
            filling = Filling.model_validate_json(body)
        except ValidationError as error:
            return _refused(error)
        for name in LISTS:
            _put(self.entries[name], getattr(filling, name))
        for group in filling.groups:
            self.groups.setdefault(group, {})
        return self.show()

    def show(self) -> Said:
        """All that is on the lists."""
        lists = {name: [entry.model_dump() for entry in of.values()] for name, of in self.entries.items()}
        groups = {str(group): [entry.email for entry in of.values()] for group, of in self.groups.items()}
        return _json({**lists, "groups": groups})

    def page(self, name: str, query: Mapping[str, str]) -> Said:
        """A page of a list, newest entries first, as its window says."""
        try:
            window = _Window.model_validate(query)
        except ValidationError as error:
            return _refused(error)
        found = sorted(
            (
                entry
                for entry in self.entries[name].values()
                if window.start_time <= entry.created <= window.end_time and entry.email.startswith(window.email)
            ),
            key=lambda entry: (-entry.created, entry.email),
        )[window.offset : window.offset + window.limit]
        return _json([{**entry.model_dump(), **_MORE.get(name, {})} for entry in found])

    def add(self, body: bytes, now: int, group: int | None = None) -> Said:
        """Add addresses to a group; to the list of all unsubscribes when it is not there, as SendGrid does."""
        try:
            wanted = _Recipients.model_validate_json(body, strict=True).recipient_emails
        except ValidationError as error:
            return _refused(error)
        _put(self._place(group), [Entry(email=address, created=now) for address in wanted])
        return _json({"recipient_emails": wanted}, 201)

    def remove(self, address: str, group: int | None = None) -> Said:
        """Take an address off."""
        gone = self._place(group).pop(address.lower(), None)
        return Said(204) if gone else Said(404, error_body(Error("not found")))

    def find(self, address: str) -> Said:
        """The address when it is on the list of all unsubscribes; else nothing, and that is no error."""
        entry = self.entries["unsubscribes"].get(address.lower())
        return _json({"recipient_email": entry.email} if entry else {})

    def group(self, group: int) -> Said:
        """A group, or 404."""
        if group not in self.groups:
            return Said(404, error_body(Error("not found")))
        about = {"name": "Newsletter", "description": "Our newsletter", "is_default": False}
        return _json({"id": group, **about, "unsubscribes": len(self.groups[group])})

    def _place(self, group: int | None) -> dict[str, Entry]:
        return self.entries["unsubscribes"] if group is None else self.groups.get(group, self.entries["unsubscribes"])


def _put(place: dict[str, Entry], entries: Iterable[Entry]) -> None:
    for entry in entries:
        place.setdefault(entry.email.lower(), entry)


def _refused(error: ValidationError) -> Said:
    found = [Error(one["msg"], ".".join(map(str, one["loc"]))) for one in error.errors()]
    return Said(400, error_body(*found))


def _json(value: object, status: int = 200) -> Said:
    return Said(status, orjson.dumps(value))

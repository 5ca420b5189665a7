"""Signed links: who a link is for and what it may do, unforgeable, short, and with nothing to look up.

A token is a MAC and then its numbers, all in hexadecimal and read whatever its capitals are; no mail program leaves its
last sign out of the link. A link to leave never expires.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from newsletter.errors import Refused
from newsletter.languages import for_readers

_MAC_BYTES = 16
_TOKEN = re.compile(r"([0-9a-f]{32})(([0-9a-f]{1,16})\.([0-9a-f]{1,16})(?:\.([0-9a-f]{1,12}))?)")


class Purpose(StrEnum):
    """What a link may do; a token made for one purpose is worth nothing for another."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    CONFIRM = "confirm"
    CHOICES = "choices"
    """All that a person may see and change: it is mailed when they ask for it, and holds for half an hour."""
    FORM = "form"
    """When a sign-up form was shown; it belongs to nobody."""


class LinkRefused(Refused):
    """A link is not ours, is damaged, or has expired; pages show the message translated."""


@dataclass(frozen=True)
class Bearer:
    """Whom a link is for: the subscriber's number, and the edition that it stood in (0 for none).

    A link to confirm has the number of the sign-up in the place of the edition's.
    """

    subscriber: int
    edition: int = 0


class LinkExpired(LinkRefused):
    """A link was ours, for `bearer`, and has expired."""

    def __init__(self, bearer: Bearer) -> None:
        super().__init__(for_readers("This link has expired. Ask for a new one."))
        self.bearer = bearer


class Tokens:
    """Signs with the first key and accepts every one, so that a key can be changed while old mails are about."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [
            {purpose: _Mac(key.strip().encode(), purpose) for purpose in Purpose} for key in keys if key.strip()
        ]
        if not self._keys:
            raise Refused("SECRET_KEY is not set, so links cannot be signed. `newsletter init` writes one to .env.")

    def sign(self, purpose: Purpose, bearer: Bearer, *, expires: datetime | None = None) -> str:
        """A token; without `expires` it is good for ever."""
        numbers = [bearer.subscriber, bearer.edition] + ([int(expires.timestamp())] if expires else [])
        payload = ".".join(f"{number:x}" for number in numbers)
        return self._keys[0][purpose].sign(payload) + payload

    def sign_each(
        self, one: Purpose, other: Purpose, subscribers: Iterable[int], edition: int
    ) -> Iterator[tuple[str, str]]:
        """Two tokens of each subscriber of an edition, in their order: as `sign`, at a third of its time."""
        sign_one, sign_other = self._keys[0][one].sign, self._keys[0][other].sign
        for subscriber in subscribers:
            payload = f"{subscriber:x}.{edition:x}"
            yield sign_one(payload) + payload, sign_other(payload) + payload

    def read(self, purpose: Purpose, token: str, *, now: datetime) -> Bearer:
        """Whom a token is for; raises LinkRefused when it is not ours or for another purpose, LinkExpired."""
        found = _TOKEN.fullmatch(token.lower())
        # Every key is tried, in constant time, whether or not one has fitted.
        fits = [hmac.compare_digest(key[purpose].sign(found[2]), found[1]) for key in self._keys if found]
        if not found or not any(fits):
            raise LinkRefused(for_readers("This link is not complete. Open it again from the mail, or copy all of it."))
        bearer = Bearer(int(found[3], 16), int(found[4], 16))
        if found[5] and datetime.fromtimestamp(int(found[5], 16), UTC) <= now:
            raise LinkExpired(bearer)
        return bearer


class _Mac:
    """BLAKE2b with a key (RFC 7693, 2.9) and a personalisation for each purpose: its state is made once, and copied.

    Two signatures for each reader are much of what a send does, and HMAC takes two hashes for each.
    """

    def __init__(self, key: bytes, purpose: Purpose) -> None:
        # A key is 64 bytes at most.
        key = key if len(key) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(key).digest()
        self._state = hashlib.blake2b(key=key, digest_size=_MAC_BYTES, person=purpose.value.encode())

    def sign(self, payload: str) -> str:
        """The MAC, in hexadecimal."""
        state = self._state.copy()
        state.update(payload.encode())
        return state.hexdigest()

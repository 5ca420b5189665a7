"""Signed links: who a link is for and what it may do, unforgeable, short, and with nothing to look up.

A token is 22 signs of a MAC and then its numbers; it ends in a letter or digit, so that no mail program leaves its
last sign out of the link. A link to leave never expires.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from newsletter.errors import Refused

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAC_SIGNS = 22  # 128 bits in base64url
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})([0-9a-z]{1,13})\.([0-9a-z]{1,13})(?:\.([0-9a-z]{1,9}))?")


class Purpose(StrEnum):
    """What a link may do; a token made for one purpose is worth nothing for another."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    CONFIRM = "confirm"


class LinkRefused(Refused):
    """A link is not ours, is damaged, or has expired."""


@dataclass(frozen=True)
class Bearer:
    """Whom a link is for: the subscriber's number, and the edition that it stood in (0 for none)."""

    subscriber: int
    edition: int = 0


class Tokens:
    """Signs with the first key and accepts every one, so that a key can be changed while old mails are about."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_begun(key.strip().encode()) for key in keys if key.strip()]
        if not self._keys:
            raise Refused("SECRET_KEY is not set, so links cannot be signed. `newsletter init` writes one to .env.")

    def sign(self, purpose: Purpose, bearer: Bearer, *, expires: datetime | None = None) -> str:
        """A token; without `expires` it is good for ever."""
        numbers = [bearer.subscriber, bearer.edition] + ([int(expires.timestamp())] if expires else [])
        payload = ".".join(map(_to_text, numbers))
        return _mac(self._keys[0], purpose, payload) + payload

    def read(self, purpose: Purpose, token: str, *, now: datetime) -> Bearer:
        """Whom a token is for; raises LinkRefused when it is not ours, for another purpose, or expired."""
        found = _TOKEN.fullmatch(token)
        payload = token[_MAC_SIGNS:]
        # Every key is tried, in constant time, whether or not one has fitted.
        fits = [hmac.compare_digest(_mac(key, purpose, payload), token[:_MAC_SIGNS]) for key in self._keys if found]
        if not found or not any(fits):
            raise LinkRefused("This link is not complete. Open it again from the mail, or copy all of it.")
        if found[4] and datetime.fromtimestamp(int(found[4], 36), UTC) <= now:
            raise LinkRefused("This link has expired. Ask for a new one.")
        return Bearer(int(found[2], 36), int(found[3], 36))


def _begun(key: bytes) -> dict[Purpose, hmac.HMAC]:
    # Reading the key in is most of the work of a MAC; a copy of what is begun is four times as fast.
    return {purpose: hmac.new(key, f"{purpose.value}:".encode(), hashlib.sha256) for purpose in Purpose}


def _mac(begun: dict[Purpose, hmac.HMAC], purpose: Purpose, payload: str) -> str:
    mac = begun[purpose].copy()
    mac.update(payload.encode())
    return base64.urlsafe_b64encode(mac.digest()[:16])[:_MAC_SIGNS].decode()


def _to_text(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text

"""Addresses: checked as typed, and brought to the one form in which two spellings are the same person."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress

from email_validator import EmailNotValidError, validate_email

from newsletter.errors import Refused


class AddressRefused(Refused):
    """What was given is no e-mail address."""


def check_address(text: str) -> str:
    """An address without surrounding space; raises AddressRefused that says what is wrong with it."""
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise AddressRefused(f"`{text.strip()}` is not an e-mail address. {error}") from None


def address_key(address: str) -> str:
    """The form by which an address is unique: lower case, the domain as it stands in DNS.

    RFC 5321 lets a server tell `Ann@` from `ann@`; none that people use does, and mailing one person twice is worse.
    """
    local, _, domain = address.strip().rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}".casefold()


def address_hash(address: str, suppression_key: str) -> str:
    """The keyed hash under which a suppression remembers an address without holding it."""
    return hmac.digest(suppression_key.encode(), address_key(address).encode(), hashlib.sha256).hex()

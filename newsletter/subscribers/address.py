"""Addresses: checked as typed, and brought to the one form in which two spellings are the same person."""

from __future__ import annotations

import hashlib
import hmac

from email_validator import EmailNotValidError, validate_email

from newsletter.errors import Refused


class AddressRefused(Refused):
    """What was given is no e-mail address."""


def check_address(text: str) -> str:
    """An address as typed, its domain as it stands in DNS; raises AddressRefused that says what is wrong with it.

    Letters beyond ASCII before the @ need SMTPUTF8 on the whole way (RFC 6531), which SendGrid and most others lack.
    """
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise AddressRefused(f"`{text.strip()}` is not an e-mail address. {error}") from None
    if not found.local_part.isascii():
        raise AddressRefused(
            f"`{text.strip()}` cannot be reached: before the @, most mail services take plain letters only."
        )
    return f"{found.local_part}@{found.ascii_domain}"


def address_key(address: str) -> str:
    """The form by which an address that `check_address` gave is unique: lower case.

    What was typed must be checked first: only so has every domain one form, that of IDNA 2008.
    RFC 5321 lets a server tell `Ann@` from `ann@`; none that people use does, and mailing one person twice is worse.
    """
    return address.casefold()


def address_hash(address: str, suppression_key: str) -> str:
    """The keyed hash under which a suppression remembers an address without holding it."""
    return hmac.digest(suppression_key.encode(), address_key(address).encode(), hashlib.sha256).hex()

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
    return _keyed_hash(address_key(address), suppression_key)


def mailbox_hash(address: str, suppression_key: str) -> str:
    """The same for all spellings that reach one mailbox, as far as they can be known; without holding any."""
    return _keyed_hash(f"mailbox {mailbox_key(address)}", suppression_key)


def domain_hash(address: str, suppression_key: str) -> str:
    """The same for all addresses of a domain, without holding it."""
    return _keyed_hash(f"domain {address_key(address).rpartition('@')[2]}", suppression_key)


def _keyed_hash(text: str, key: str) -> str:
    return hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()


def mailbox_key(address: str) -> str:
    """One form for all spellings that reach one mailbox, for limits alone: never to find or to merge people by.

    Most services take what follows a plus for a tag (RFC 5233), and Gmail ignores dots
    (https://support.google.com/mail/answer/7436150).
    """
    local, _, domain = address_key(address).rpartition("@")
    local = local.partition("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"

"""The cell of an address: cleaned of what comes with copying, checked, and looked at for slips."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from newsletter.subscriber_import.model import Doubt, Reason
from newsletter.subscriber_import.words import listed
from newsletter.subscribers.address import AddressRefused, check_address

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_NAMED = re.compile(r"[^<>]*<([^<>]*)>\s*")
_GUARDED = re.compile(r"'(?=[=+\-@\t\r\0＝＋－＠'])")
"""The mark that keeps a spreadsheet from taking a cell for a formula; see `spreadsheets`."""

_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
LONGEST_PLAIN = 200

_ROLES = frozenset(
    listed(
        "abuse|admin|administrator|contact|enquiries|hello|help|hostmaster|info|mail|mailer-daemon|marketing|no-reply"
        "|noreply|office|postmaster|reception|root|sales|security|spam|support|team|webmaster"
    )
)
_SLIPS = {
    slip: right
    for right, slips in {
        "gmail.com": "gmial.com gmai.com gmal.com gamil.com gmil.com gmaill.com gmali.com gnail.com gmail.co gmail.cm "
        "gmail.om gmaol.com gmsil.com ggmail.com gmail.comm gmail.net",
        "hotmail.com": "hotmial.com hotmal.com hotmai.com hotmil.com hotmaill.com hotnail.com homail.com hotmail.co",
        "yahoo.com": "yaho.com yahooo.com yhoo.com yaoo.com yahho.com yahoo.co",
        "outlook.com": "outlok.com outloo.com outlook.co oulook.com outllook.com",
        "icloud.com": "iclod.com icoud.com iclould.com icloud.co",
    }.items()
    for slip in slips.split()
}
_SLIPS_OF_ENDINGS = {"con": "com", "cmo": "com", "ocm": "com", "vom": "com", "comm": "com", "ogr": "org", "nte": "net"}


class ReadAddress(NamedTuple):
    """An address in the form of `check_address`, or why there is none; what is doubtful about it, and why."""

    address: str | None
    reason: Reason | None = None
    doubt: Doubt | None = None
    note: str = ""


def read_address(cell: str) -> ReadAddress:
    """The one address in a cell: `mailto:`, a name around it, spaces and invisible letters are taken away.

    Two addresses are not chosen from; letters beyond ASCII before the @ are not made into others.
    """
    local, at, domain = cell.partition("@")
    if at and len(cell) <= LONGEST_PLAIN and _PLAIN_LOCAL.fullmatch(local) and (known := _known_domain(domain)):
        # Nine in ten cells are as plain as this, and asking in full costs thirty times as much.
        checked = f"{local}@{known}"
        return ReadAddress(checked, None, *_doubts(local, known)) if len(local) <= 64 else _read_with_care(cell)
    return _read_with_care(cell)


def _read_with_care(cell: str) -> ReadAddress:
    text = clean(cell)
    if not text:
        return ReadAddress(None, Reason.NO_ADDRESS)
    if named := _NAMED.fullmatch(text):
        text = named[1].strip()
    text = _GUARDED.sub("", text, count=1) if text.startswith("'") else text
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0].strip()
    if len(text) > 1_000:
        return ReadAddress(None, Reason.NO_EMAIL)
    several = [part for part in re.split(r"[\s,;|/]+", text) if part.strip("<>").count("@") == 1]
    if len(several) > 1:
        return ReadAddress(None, Reason.TWO_ADDRESSES)
    try:
        address = check_address(text)
    except AddressRefused:
        reason = Reason.UNREACHABLE if text.count("@") == 1 and _is_beyond_ascii(text) else Reason.NO_EMAIL
        return ReadAddress(None, reason)
    local, _, domain = address.rpartition("@")
    return ReadAddress(address, None, *_doubts(local, domain))


def clean(cell: str) -> str:
    """A cell without what cannot be seen: spaces of any kind around it, letters of no width anywhere."""
    return _INVISIBLE.sub("", cell).strip()


def _is_beyond_ascii(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local) and not local.isascii() and _known_domain(domain) is not None


@lru_cache(20_000)
def _known_domain(domain: str) -> str | None:
    """A domain as it stands in DNS; None for what is none."""
    try:
        return check_address(f"a@{domain}").partition("@")[2]
    except AddressRefused:
        return None


def _doubts(local: str, domain: str) -> tuple[Doubt | None, str]:
    if meant := _meant(domain):
        return Doubt.TYPO, f"{domain}: did they mean {meant}?"
    if local.lower() in _ROLES:
        return Doubt.ROLE, ""
    return None, ""


@lru_cache(20_000)
def _meant(domain: str) -> str:
    """The domain that was probably meant; empty when there is nothing to doubt."""
    if domain in _SLIPS:
        return _SLIPS[domain]
    name, _, ending = domain.rpartition(".")
    return f"{name}.{_SLIPS_OF_ENDINGS[ending]}" if ending in _SLIPS_OF_ENDINGS else ""

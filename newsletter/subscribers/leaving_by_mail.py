"""What a mail that came in asks for: whether somebody wants to leave, and how that is known. Pure.

A signed token is all that is needed, wherever it stands that its writer or their mail program put it. Without one the
sender is believed only when their own domain vouches for the mail, since anybody can write any address into From.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

_TOKEN = re.compile(r"(?<![\w-])[0-9a-f]{33,48}\.[0-9a-f]{1,16}(?![\w-])", re.IGNORECASE | re.ASCII)
_MOST_TOKENS = 3

_LEAVE = frozenset(
    {"unsubscribe", "unsubscribe me", "please unsubscribe me", "remove me", "opt out", "stop"}
    | {"abmelden", "abmeldung", "abbestellen", "bitte abmelden", "newsletter abbestellen", "austragen"}
)
"""What people write who have no token, whole and in any case."""

_ANSWERED = re.compile(r"^(?:(?:re|aw|fwd|wg)\s*:\s*)+", re.IGNORECASE)
_BY_MACHINE = frozenset({"auto_reply", "bulk", "junk"})


def find_tokens(texts: Iterable[str]) -> list[str]:
    """What may be tokens in these texts, in their order; a few at most."""
    # Some programs put the subject of a mailto address into the mail as it stands there, with %20 for its space.
    found = dict.fromkeys(token for text in texts for token in _TOKEN.findall(text.replace("%20", " ")))
    return list(found)[:_MOST_TOKENS]


def is_automatic_reply(headers: Mapping[str, str], *, return_path: str | None) -> bool:
    """Whether a program answered, and nobody asks for anything: an absence note, a bounce (RFC 3834, 2 and 5).

    `headers` have lower-case names. A program that acts for somebody (`auto-generated`) does not answer.
    """
    submitted = headers.get("auto-submitted", "no").partition(";")[0].strip().lower()
    return (
        submitted == "auto-replied"
        or return_path in ("", "<>")
        or headers.get("precedence", "").strip().lower() in _BY_MACHINE
        or any(name in headers for name in ("x-autoreply", "x-autorespond", "x-auto-response-for"))
        or headers.get("content-type", "").lower().startswith("multipart/report")
    )


def asks_to_leave(subject: str, first_lines: Sequence[str]) -> bool:
    """Whether somebody says in plain words, and in no others, that they want to leave."""
    said = [_ANSWERED.sub("", subject), *first_lines[:1]]
    return any(re.sub(r"[\s.!]+", " ", text).strip().lower() in _LEAVE for text in said)


def is_vouched_for(address: str, domains: Collection[str]) -> bool:
    """Whether the domain of an address, or one above it, is among those that have proved the mail to be theirs.

    Stricter than DMARC (RFC 9989), which lets a domain below speak too: that needs to know whose domains end where.
    """
    labels = address.rpartition("@")[2].lower().split(".")
    # The last label alone is nobody's.
    return any(".".join(labels[start:]) in domains for start in range(len(labels) - 1))

"""A mail as a value, and as the bytes that stand on the wire."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import quote


class WirePolicy(EmailPolicy):
    """CRLF, lines of 76 signs (RFC 2045, 6.7; RFC 2047, 2), and the headers of RFC 2369 and 2919 in one piece.

    Python writes a long header without spaces as encoded-words, which no mailbox reads in List-Unsubscribe; a line may
    have 998 signs (RFC 5322, 2.1.1). And where it needs several encoded-words it loses spaces between them, so words
    beyond ASCII are left to its older class Header, which does not.
    """

    def fold(self, name: str, value: str) -> str:
        """The header as it stands in a mail, with its line end."""
        if str(value).isascii():
            return f"{name}: {value}{self.linesep}" if name.startswith("List-") else str(super().fold(name, value))
        addresses = getattr(value, "addresses", None)
        if addresses is None:
            return f"{name}: {self._encoded(name, str(value))}{self.linesep}"
        people = (
            f"{self._encoded(name, one.display_name)} <{one.addr_spec}>" if one.display_name else one.addr_spec
            for one in addresses
        )
        return f"{name}: {', '.join(people)}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        """As `fold`, in bytes; ASCII, but for an address beyond it, which stands in UTF-8 (RFC 6532, 3.2)."""
        return self.fold(name, value).encode("utf-8")

    def _encoded(self, name: str, words: str) -> str:
        return Header(words, "utf-8", 76, name).encode(linesep=self.linesep)


WIRE = WirePolicy(linesep="\r\n", max_line_length=76)


class Mailbox(NamedTuple):
    """A name and an address, as in From and To; a tuple, since each reader of a send is one."""

    address: str
    name: str = ""


@dataclass(frozen=True)
class OutgoingEmail:
    """One mail to one person: complete, nothing left to fill in.

    `html` is None for readers who chose text only; `headers` are those beyond the ordinary ones.
    """

    sender: Mailbox
    recipient: Mailbox
    reply_to: Mailbox
    subject: str
    text: str
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def one_click_headers(unsubscribe_url: str, by_mail: str = "") -> dict[str, str]:
    """The two headers that let a mailbox provider unsubscribe by one POST (RFC 2369, RFC 8058).

    `by_mail` is a mailto address for programs that leave by mail; the web address stands first, as the preferred one.
    """
    ways = f"<{unsubscribe_url}>, <{by_mail}>" if by_mail else f"<{unsubscribe_url}>"
    return {"List-Unsubscribe": ways, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def leaving_by_mail(address: str) -> str:
    """How the mailto address begins by which somebody leaves (RFC 6068, 2); their token follows, as it is."""
    return f"mailto:{quote(address, safe='@')}?subject=unsubscribe%20"


def list_id(sender: Mailbox) -> str:
    """The List-Id of a clinic's newsletter: the same for ever, so that readers can sort by it (RFC 2919)."""
    return f"<newsletter.{sender.address.rpartition('@')[2]}>"


def to_wire(email: OutgoingEmail, *, date: datetime, message_id: str) -> bytes:
    """The mail as RFC 5322 bytes with CRLF; the same arguments give the same bytes.

    `date` is aware; `message_id` is without angle brackets. Raises ValueError on a line break or another
    control character in a header.
    """
    for value in (email.subject, email.sender.name, email.recipient.name, email.reply_to.name, *email.headers.values()):
        if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", value):
            raise ValueError("A header of a mail may not have a line break or a control character.")
    message = EmailMessage(policy=WIRE)
    message["From"] = _header_address(email.sender)
    message["To"] = _header_address(email.recipient)
    message["Reply-To"] = _header_address(email.reply_to)
    message["Subject"] = email.subject
    message["Date"] = format_datetime(date)
    message["Message-ID"] = f"<{message_id}>"
    for name, value in email.headers.items():
        message[name] = value
    message.set_content(email.text, cte="quoted-printable")
    if email.html is not None:
        message.add_alternative(email.html, subtype="html", cte="quoted-printable")
        # A boundary drawn at random would make two writings of one mail differ.
        message.set_boundary(f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}")
    return message.as_bytes()


def _header_address(mailbox: Mailbox) -> Address:
    local, _, domain = mailbox.address.rpartition("@")
    return Address(mailbox.name, local, domain)

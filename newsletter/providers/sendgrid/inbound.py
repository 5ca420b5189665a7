"""What SendGrid's Inbound Parse posts, read while it comes in: of each mail only what may say who wants to leave.

Fields and formats: SendGrid's page on its Inbound Parse webhook. It posts a mail either taken apart (`subject`, `text`,
`headers` …) or whole (`email`); both come as multipart/form-data, with attachments that nobody looks at here. Of every
field only its beginning is kept, and of the others nothing, so that a mail of 30 MB costs no more than a short one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from typing import Any

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

LIMIT = 40_000_000
"""Bytes of the largest post that is taken: SendGrid takes mails of up to 30 MB, and what it adds is little."""

_KEPT = {"headers", "from", "subject", "text", "envelope", "charsets", "SPF", "dkim", "email"}
_BEGINNING = 65_536
"""Bytes that are kept of a field: the headers of a mail, and the first lines of its text."""
_NAME_LENGTH = 200
_MOST_PARTS = 1_000
_LINES = 5
_PASSED = re.compile(r"@([a-z0-9.-]+)\s*:\s*pass", re.IGNORECASE)


class UnreadableMail(ValueError):
    """A post is not what SendGrid documents; the text says how, and nothing of the mail."""


@dataclass(frozen=True)
class InboundMail:
    """What is known of a mail that came in.

    `sender` is the address in From; `recipients` and `return_path` are of the SMTP envelope, the latter empty for
    bounces and None when nobody said. `first_lines` are those that its writer wrote, without what they quote.
    `headers` have lower-case names. `vouched_domains` are those that have proved, by SPF or DKIM as SendGrid looked at
    them, that the mail is theirs.
    """

    sender: str
    recipients: tuple[str, ...]
    return_path: str | None
    subject: str
    first_lines: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    vouched_domains: frozenset[str] = frozenset()


class InboundReader:
    """Takes a post in pieces, as they come, and gives its mail in the end."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise UnreadableMail("it is not multipart/form-data")
        self._fields: dict[str, bytearray] = {}
        self._current: bytearray | None = None
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._parts = 0
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._read_header_name,
                    "on_header_value": self._read_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_content,
                    "on_part_data": self._read_content,
                    "on_end": self._end,
                },
            )
        except (FormParserError, ValueError):
            raise UnreadableMail("its boundary is none") from None

    def feed(self, chunk: bytes) -> None:
        """Take the next piece; raises UnreadableMail."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise UnreadableMail("its parts cannot be told from each other") from None

    def finish(self) -> InboundMail:
        """The mail; raises UnreadableMail when the post has no end, or has none of the fields of a mail."""
        if not self._is_whole:
            raise UnreadableMail("it breaks off")
        try:
            if "email" in self._fields:
                return _whole_mail(self._fields)
            if "headers" in self._fields or "envelope" in self._fields:
                return _taken_apart(self._fields)
        except RecursionError:
            # Python's parser goes down into parts as deep as they are.
            raise UnreadableMail("it has parts within parts without end") from None
        raise UnreadableMail("it has no mail")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise FormParserError
        self._disposition = b""
        self._header_name, self._header_value = bytearray(), bytearray()

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        if len(self._header_name) > _NAME_LENGTH:
            raise FormParserError

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end][:_BEGINNING]
        if len(self._header_value) > _BEGINNING:
            raise FormParserError

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("latin-1")
        # What has the name of a file is an attachment, whatever field it says it is.
        wanted = name in _KEPT and b"filename" not in options and name not in self._fields
        self._current = self._fields.setdefault(name, bytearray()) if wanted else None

    def _read_content(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            room = _BEGINNING - len(self._current)
            self._current += data[start : min(end, start + room)] if room > 0 else b""

    def _end(self) -> None:
        self._is_whole = True


def _taken_apart(fields: Mapping[str, bytearray]) -> InboundMail:
    charsets = _json_object(fields.get("charsets", b""))

    def text_of(name: str) -> str:
        return _decode(bytes(fields.get(name, b"")), str(charsets.get(name, "utf-8")))

    headers = _headers_of(message_from_bytes(bytes(fields.get("headers", b"")), policy=policy.compat32))
    return _mail(fields, text_of("from"), text_of("subject"), text_of("text"), headers)


def _whole_mail(fields: Mapping[str, bytearray]) -> InboundMail:
    message = message_from_bytes(bytes(fields["email"]), policy=policy.compat32)
    headers = _headers_of(message)
    return _mail(fields, headers.get("from", ""), headers.get("subject", ""), _text_in(message), headers)


def _mail(
    fields: Mapping[str, bytearray], sender: str, subject: str, text: str, headers: Mapping[str, str]
) -> InboundMail:
    envelope = _json_object(fields.get("envelope", b""))
    to = envelope.get("to")
    recipients = tuple(str(one) for one in to if isinstance(one, str)) if isinstance(to, list) else ()
    return_path = envelope.get("from")
    vouched = {found.lower() for found in _PASSED.findall(_decode(bytes(fields.get("dkim", b"")), "utf-8"))}
    if isinstance(return_path, str) and bytes(fields.get("SPF", b"")).strip().lower() == b"pass":
        vouched.add(return_path.rpartition("@")[2].lower())
    return InboundMail(
        sender=parseaddr(sender)[1],
        recipients=recipients,
        return_path=return_path if isinstance(return_path, str) else None,
        subject=" ".join(subject.split()),
        first_lines=tuple(_first_lines(text)),
        headers=headers,
        vouched_domains=frozenset(vouched - {""}),
    )


def _first_lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    written: list[str] = []
    for line in lines:
        # What follows was written by somebody else, and may have a link of somebody else.
        if line.startswith((">", "-----")) or len(written) == _LINES:
            break
        if line:
            written.append(line)
    return written


def _headers_of(message: Message) -> dict[str, str]:
    """The first of each header, its encoded words read."""
    headers: dict[str, str] = {}
    for name, value in message.items():
        headers.setdefault(name.lower(), _decode_words(str(value)))
    return headers


def _decode_words(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, ValueError, LookupError):
        return value


def _text_in(message: Message) -> str:
    for part in message.walk():
        if part.get_content_type() == "text/plain" and not part.is_multipart() and not part.get_filename():
            content = part.get_payload(decode=True)
            return _decode(content if isinstance(content, bytes) else b"", part.get_content_charset("utf-8"))
    return ""


def _decode(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset, "replace")
    except (LookupError, ValueError, UnicodeError):
        return content.decode("utf-8", "replace")


def _json_object(content: bytes | bytearray) -> dict[str, Any]:
    try:
        found = orjson.loads(bytes(content))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

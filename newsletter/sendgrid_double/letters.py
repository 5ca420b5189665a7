"""The mails of an accepted request as SendGrid would send them: one .eml for each recipient. Pure.

Substitutions reach the subject, the reply-to and the content, by plain replacement, and neither headers nor custom
arguments (SendGrid's description of `substitutions`). Tracking, footers and templates are not applied.
"""

from __future__ import annotations

import json
from binascii import b2a_qp
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.headerregistry import Address, HeaderRegistry
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import lru_cache
from textwrap import wrap
from urllib.parse import quote

from newsletter.mail import WIRE
from newsletter.sendgrid_double.description import (
    Attachment,
    MailSend,
    Personalization,
    Recipient,
    Sender,
    is_address,
)

# A header that the sender chose is written as it is, whatever its name promises about its form.
_FREE = WIRE.clone(max_line_length=998, header_factory=HeaderRegistry(use_default_map=False))


def write_letters(request: MailSend, message_id: str, now: datetime) -> Iterator[tuple[str, bytes]]:
    """A name, unlike that of any other request, and the bytes of each mail; a recipient of bcc has one too."""
    number = 0
    for person in request.personalizations:
        parts = _body(request, person, boundary=f"=_{message_id}")
        for _ in person.recipients:
            yield f"{message_id}-{number}", _head(request, person, f"{number}.{message_id}", now) + parts
            number += 1


def substitute(text: str, substitutions: Mapping[str, str]) -> str:
    """A text with every tag replaced by its value, in the order in which they are given."""
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text


def _head(request: MailSend, person: Personalization, identity: str, now: datetime) -> bytes:
    sender = request.from_of(person)
    own = {"From": _address(sender), "To": ", ".join(map(_address, person.to))}
    if person.cc:
        own["Cc"] = ", ".join(map(_address, person.cc))
    if answers := [_address(to) for to in _replies_to(request, person)]:
        own["Reply-To"] = ", ".join(answers)
    own["Subject"] = _one_line(substitute(person.subject or request.subject, person.substitutions)) or "(no subject)"
    own["Date"] = format_datetime(now)
    own["Message-ID"] = f"<{identity}@{sender.email.rpartition('@')[2]}>"
    own["MIME-Version"] = "1.0"
    given = {name.lower(): (name, value) for name, value in (*request.headers.items(), *person.headers.items())}
    # These SendGrid writes itself.
    given = {key: pair for key, pair in given.items() if key not in {name.lower() for name in own}}
    lines = [_line(name, value, WIRE) for name, value in own.items()]
    lines += [_line(name, _one_line(value), _FREE) for name, value in given.values()]
    return "".join(lines).encode("ascii")


def _replies_to(request: MailSend, person: Personalization) -> Iterator[Sender]:
    for sender in request.replies_to():
        filled = substitute(sender.email, person.substitutions)
        # Where the values make no address of it, what was given is shown.
        yield Sender.model_construct(
            email=filled if is_address(filled) else sender.email,
            name=_one_line(substitute(sender.name, person.substitutions)),
        )


# Most of the head is the same for everybody in a request.
@lru_cache(maxsize=256)
def _line(name: str, value: str, form: EmailPolicy) -> str:
    return str(form.fold(name, form.header_factory(name, value)))


def _address(person: Sender | Recipient) -> str:
    local, _, domain = person.email.rpartition("@")
    return str(Address(_one_line(person.name), local, domain))


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _body(request: MailSend, person: Personalization, boundary: str) -> bytes:
    parts = [_text_part(kind, substitute(text, person.substitutions)) for kind, text in _texts(request, person)]
    body = parts[0] if len(parts) == 1 else _multipart("alternative", parts, boundary)
    if request.attachments:
        body = _multipart("mixed", [body, *map(_file_part, request.attachments)], f"{boundary}m")
    return body


def _texts(request: MailSend, person: Personalization) -> list[tuple[str, str]]:
    if request.template_id:
        data = json.dumps(person.dynamic_template_data, ensure_ascii=False, indent=2)
        return [("text/plain", f"Here SendGrid puts its template {request.template_id}, filled with:\n\n{data}\n")]
    return [(content.type, content.value) for content in request.content]


def _text_part(kind: str, text: str) -> bytes:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    quoted = b2a_qp(plain.encode("utf-8"), istext=True).replace(b"\n", b"\r\n")
    head = f'Content-Type: {kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode("ascii") + quoted


def _file_part(file: Attachment) -> bytes:
    fields = {
        "Content-Type": file.type or "application/octet-stream",
        "Content-Transfer-Encoding": "base64",
        # RFC 2231 (4): any name in any letters.
        "Content-Disposition": f"{file.disposition}; filename*=utf-8''{quote(file.filename, safe='')}",
        **({"Content-ID": f"<{_one_line(file.content_id)}>"} if file.content_id else {}),
    }
    lines = [_line(name, value, _FREE) for name, value in fields.items()]
    return ("".join(lines) + "\r\n" + "\r\n".join(wrap(file.content, 76))).encode("ascii")


def _multipart(subtype: str, parts: list[bytes], boundary: str) -> bytes:
    fence = boundary.encode("ascii")
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode("ascii")
    return head + b"".join(b"--" + fence + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + fence + b"--\r\n"

"""Whether SendGrid would take a request, and what it would answer. Pure.

Sources as in `description`; the statuses and the shape of errors are those of SendGrid's list of mail/send errors. One
bad personalization refuses the whole request, and `field` says which: `personalizations.3.substitutions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import ValidationError

from newsletter.sendgrid_double.description import (
    MOST_BYTES_OF_VALUES,
    MOST_RECIPIENTS,
    NOBODY,
    MailSend,
    byte_size,
)

TOO_LARGE = 30_000_000
"""A request must be smaller than 30 MB."""
HORIZON = timedelta(hours=72)

TOO_LARGE_PAGE = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

_KEYED = frozenset({"substitutions", "custom_args", "headers", "dynamic_template_data"})


@dataclass(frozen=True)
class Error:
    """One thing that is wrong; `field` is None for the request as a whole."""

    message: str
    field: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What SendGrid answers; `request` is there when it takes the mails (202) or only tries them (200)."""

    status: int
    errors: tuple[Error, ...] = ()
    request: MailSend | None = None

    @property
    def content_type(self) -> str:
        """Too large is said by the web server in front, which does not speak JSON."""
        return "text/html" if self.status == 413 else "application/json"

    def body(self) -> bytes:
        """The bytes of the answer; none when all is well."""
        if self.status == 413:
            return TOO_LARGE_PAGE
        return error_body(*self.errors) if self.errors else b""


def error_body(*errors: Error) -> bytes:
    """Errors as SendGrid writes them."""
    return orjson.dumps({"errors": [{"message": e.message, "field": e.field, "help": None} for e in errors]})


def judge(body: bytes, content_type: str, now: datetime, *, unique_addresses: bool = True) -> Verdict:
    """The answer to a request with a good key.

    SendGrid's pages differ on whether an address may stand in two personalizations; with `unique_addresses` it may not.
    """
    if len(body) >= TOO_LARGE:
        return Verdict(413)
    if not _is_json_type(content_type):
        return Verdict(415, (Error("Content-Type should be application/json."),))
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return Verdict(415, (Error("Invalid UTF8 in request"),))
    try:
        request = MailSend.model_validate_json(body)
    except ValidationError as refused:
        return Verdict(400, tuple(_errors(refused.errors(include_url=False, include_input=False))))
    if errors := tuple(_between_fields(request, now, unique_addresses)):
        return Verdict(400, errors)
    return Verdict(200 if request.mail_settings.sandbox_mode.enable else 202, (), request)


def _is_json_type(text: str) -> bool:
    kind, _, parameters = text.partition(";")
    return kind.strip().lower() == "application/json" and parameters.strip().lower() in ("", "charset=utf-8")


def _errors(faults: Sequence[Any]) -> Iterator[Error]:
    # A list is also called too short when one of its items is wrong: only the item is worth a word.
    around = {fault["loc"][:depth] for fault in faults for depth in range(1, len(fault["loc"]))}
    return (_error(fault) for fault in faults if fault["loc"] not in around)


def _error(fault: Any) -> Error:
    if fault["type"] == "json_invalid" or not fault["loc"]:
        return Error("Bad Request")
    path: list[str] = []
    for step in fault["loc"]:
        path.append(str(step))
        # A bad value is named by the object it is in.
        if step in _KEYED:
            break
    return Error(str(fault["msg"]).removeprefix("Value error, "), ".".join(path))


def _between_fields(request: MailSend, now: datetime, unique_addresses: bool) -> Iterator[Error]:
    yield from _recipients(request, unique_addresses)
    yield from _subjects(request)
    yield from _senders(request)
    yield from _times(request, now)
    yield from _custom_args(request)
    yield from _template(request)
    yield from _bypasses(request)


def _recipients(request: MailSend, unique_addresses: bool) -> Iterator[Error]:
    if sum(len(person.recipients) for person in request.personalizations) > MOST_RECIPIENTS:
        yield Error(f"A request may have {MOST_RECIPIENTS} recipients in all of to, cc and bcc.", "personalizations")
    seen: set[str] = set()
    for index, person in enumerate(request.personalizations):
        if not unique_addresses:
            seen = set()
        for place in ("to", "cc", "bcc"):
            for recipient in getattr(person, place):
                address = recipient.email.lower()
                if address in seen:
                    # SendGrid names the address too; nobody needs it in a log.
                    yield Error(
                        "Each email address in the personalization block should be unique between to, cc, and bcc.",
                        f"personalizations.{index}.{place}",
                    )
                seen.add(address)


def _subjects(request: MailSend) -> Iterator[Error]:
    if request.template_id or request.subject or all(person.subject for person in request.personalizations):
        return
    yield Error(
        "The subject is required. You can get around this requirement if you use a template with a subject defined "
        "or if every personalization has a subject defined.",
        "subject",
    )


def _senders(request: MailSend) -> Iterator[Error]:
    domain = _domain(request.sender.email)
    for index, person in enumerate(request.personalizations):
        if person.sender is not NOBODY and _domain(person.sender.email) != domain:
            yield Error("The from domain must be that of the message.", f"personalizations.{index}.from")
    if request.reply_to is not NOBODY and request.reply_to_list:
        yield Error("Use reply_to or reply_to_list, not both.", "reply_to_list")


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _times(request: MailSend, now: datetime) -> Iterator[Error]:
    latest = (now + HORIZON).timestamp()
    message = "Scheduling more than 72 hours in advance is forbidden."
    if request.send_at > latest:
        yield Error(message, "send_at")
    for index, person in enumerate(request.personalizations):
        if person.send_at > latest:
            yield Error(message, f"personalizations.{index}.send_at")


def _custom_args(request: MailSend) -> Iterator[Error]:
    if not request.custom_args:
        return
    for index, person in enumerate(request.personalizations):
        if byte_size(request.custom_args_of(person)) > MOST_BYTES_OF_VALUES:
            yield Error(
                "The combined size of both global and personalization custom arguments may not exceed "
                f"{MOST_BYTES_OF_VALUES} bytes per personalization.",
                f"personalizations.{index}.custom_args",
            )


def _template(request: MailSend) -> Iterator[Error]:
    if not request.template_id and not request.content:
        yield Error(
            "The content param is required unless you are using a transactional template and have defined a "
            "template_id.",
            "content",
        )
    if request.template_id.startswith("d-"):
        for index, person in enumerate(request.personalizations):
            if person.substitutions:
                yield Error(
                    "Substitutions may not be used with dynamic templating", f"personalizations.{index}.substitutions"
                )


def _bypasses(request: MailSend) -> Iterator[Error]:
    settings = request.mail_settings
    others = (
        settings.bypass_spam_management,
        settings.bypass_bounce_management,
        settings.bypass_unsubscribe_management,
    )
    if settings.bypass_list_management.enable and any(other.enable for other in others):
        yield Error(
            "bypass_list_management cannot be combined with any other bypass filter.",
            "mail_settings.bypass_list_management",
        )

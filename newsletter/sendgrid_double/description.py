"""What `POST /v3/mail/send` takes: every key, its type, and the limits that one value can break alone.

The rules are SendGrid's: its OpenAPI description (github.com/twilio/sendgrid-oai), its list of mail/send errors and its
page of limitations. Where these leave a doubt, the stricter reading stands. What only an account knows (whether a
suppression group, a template, an IP pool or a batch exists) is taken as true. `null` is no value: leave the key out.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import orjson
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_RECIPIENTS = 1_000
MOST_BYTES_OF_VALUES = 10_000
"""Of the substitutions, and of the custom arguments, of one personalization: counted as compact JSON in UTF-8."""

RESERVED_HEADERS = frozenset(
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    }
)

_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,320}}\Z)(?P<local>{_LOCAL})@(?P<domain>(?:{_LABEL}\.)+{_LABEL})")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_TEMPLATE = re.compile(r"(?:d-)?[A-Za-z0-9-]{32,}")


def byte_size(values: object) -> int:
    """How many bytes these values have as compact JSON."""
    return len(orjson.dumps(values))


_V = TypeVar("_V")


def _rule(holds: Callable[[Any], object], message: str) -> AfterValidator:
    def check(value: _V) -> _V:
        if not holds(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def is_address(text: str) -> bool:
    """Whether this is an e-mail address that goes through every mail server: ASCII, dots and a domain with a dot."""
    found = _ADDRESS.fullmatch(text)
    if not found or len(found["local"]) > 64 or len(found["domain"]) > 253:
        return False
    return "--" not in found["domain"] or _is_known_to_idna(text)


def _is_known_to_idna(text: str) -> bool:
    # Such a label says that it is an international name; SendGrid's description wants it to be one, in small letters.
    try:
        known = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return known.ascii_domain == text.rpartition("@")[2]


def _is_base64(text: str) -> bool:
    try:
        return bool(b64decode(text, validate=True))
    except Base64Error:
        return False


def _is_one_line(text: str) -> bool:
    return "\r" not in text and "\n" not in text


def _are_unlike(texts: Iterable[str]) -> bool:
    seen = [text.lower() for text in texts]
    return len(set(seen)) == len(seen)


def _are_header_names(headers: dict[str, str]) -> bool:
    return all(map(_HEADER_NAME.fullmatch, headers))


def _are_free(headers: dict[str, str]) -> bool:
    return RESERVED_HEADERS.isdisjoint(name.lower() for name in headers)


def _are_mime_types(parts: Sequence[Content]) -> bool:
    return _is_in_order([part.type.lower() for part in parts])


def _is_in_order(types: list[str]) -> bool:
    rank = {"text/plain": 0, "text/html": 1}
    return types == sorted(types, key=lambda name: rank.get(name, 2)) and _are_unlike(
        name for name in types if name in rank
    )


ONE_LINE = _rule(_is_one_line, "Cannot contain CRLF characters.")

Email = Annotated[str, _rule(is_address, "Does not contain a valid address.")]
Line = Annotated[str, ONE_LINE]
RecipientName = Annotated[
    Line, _rule(lambda name: "," not in name and ";" not in name, "The name cannot contain `,` or `;`.")
]
Subject = Annotated[Line, Field(min_length=1)]
MimeType = Annotated[
    str,
    Field(min_length=1),
    _rule(re.compile(r"[!-~]+/[!-~]+").fullmatch, "The type must be a MIME type, such as text/plain."),
    _rule(lambda text: not set(text) & set(";,"), "Cannot contain ';', ',' or CRLF characters."),
]
Substitutions = Annotated[
    dict[Annotated[str, Field(min_length=1)], str],
    Field(max_length=10_000),
    _rule(
        lambda values: byte_size(values) <= MOST_BYTES_OF_VALUES,
        f"Substitutions are limited to {MOST_BYTES_OF_VALUES} bytes per personalization block.",
    ),
]
CustomArgs = Annotated[
    dict[str, Annotated[str, Field(min_length=1)]],
    _rule(len, "custom_args cannot be empty."),
    Field(max_length=10_000),
    _rule(
        lambda values: byte_size(values) <= MOST_BYTES_OF_VALUES,
        f"The combined size of custom arguments may not exceed {MOST_BYTES_OF_VALUES} bytes per personalization.",
    ),
]
Headers = Annotated[
    dict[str, Line],
    _rule(_are_header_names, "Header keys cannot contain non-ASCII characters or empty spaces."),
    _rule(_are_free, "Header cannot be one of the reserved keys."),
    _rule(_are_unlike, "The headers cannot contain duplicate keys."),
]
Category = Annotated[str, Field(max_length=255), _rule(str.isascii, "Categories can not contain non-ASCII characters.")]
FileWord = Annotated[str, _rule(lambda text: not set(text) & set(";,\r\n"), "Cannot contain ';', ',' or CRLF.")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Sender(_Part):
    """Who it is from, or where answers go."""

    email: Email
    name: Line = ""


class Recipient(_Part):
    """Who gets it."""

    email: Email
    name: RecipientName = ""


NOBODY = Sender.model_construct(email="", name="")
"""Stands where no sender was given."""


class Personalization(_Part):
    """One message: who gets it, and what is theirs alone."""

    to: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MOST_RECIPIENTS)]
    cc: Annotated[tuple[Recipient, ...], Field(max_length=MOST_RECIPIENTS)] = ()
    bcc: Annotated[tuple[Recipient, ...], Field(max_length=MOST_RECIPIENTS)] = ()
    sender: Annotated[Sender, Field(alias="from")] = NOBODY
    subject: Subject = ""
    headers: Headers = {}
    substitutions: Substitutions = {}
    dynamic_template_data: dict[str, Any] = {}
    custom_args: CustomArgs = {}
    send_at: int = 0

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Everybody who gets it, in whichever field."""
        return (*self.to, *self.cc, *self.bcc)


class Content(_Part):
    """The mail in one form."""

    type: MimeType
    value: Annotated[str, Field(min_length=1)]


class Attachment(_Part):
    """A file that goes with the mail."""

    content: Annotated[str, Field(min_length=1), _rule(_is_base64, "The attachment content must be base64 encoded.")]
    filename: FileWord
    type: MimeType = ""
    disposition: Literal["inline", "attachment"] = "attachment"
    content_id: FileWord = ""


class SuppressionGroup(_Part):
    """Which group of unsubscribes it belongs to."""

    group_id: int
    groups_to_display: Annotated[tuple[int, ...], Field(max_length=25)] = ()


class Switch(_Part):
    """Something that is on or off."""

    enable: bool = False


class Footer(Switch):
    """What would be added at the end of every mail."""

    text: str = ""
    html: str = ""


class MailSettings(_Part):
    """How this request is handled."""

    bypass_list_management: Switch = Switch()
    bypass_spam_management: Switch = Switch()
    bypass_bounce_management: Switch = Switch()
    bypass_unsubscribe_management: Switch = Switch()
    footer: Footer = Footer()
    sandbox_mode: Switch = Switch()


class ClickTracking(Switch):
    """Whether links are rewritten."""

    enable_text: bool = False


class OpenTracking(Switch):
    """Whether a pixel is added."""

    substitution_tag: str = ""


class SubscriptionTracking(Switch):
    """Whether SendGrid adds a link of its own to leave."""

    text: str = ""
    html: str = ""
    substitution_tag: str = ""


class Analytics(Switch):
    """What is added to links for Google Analytics."""

    utm_source: str = ""
    utm_medium: str = ""
    utm_term: str = ""
    utm_content: str = ""
    utm_campaign: str = ""


class TrackingSettings(_Part):
    """How readers are watched."""

    click_tracking: ClickTracking = ClickTracking()
    open_tracking: OpenTracking = OpenTracking()
    subscription_tracking: SubscriptionTracking = SubscriptionTracking()
    ganalytics: Analytics = Analytics()


class MailSend(_Part):
    """The body of one request."""

    personalizations: Annotated[tuple[Personalization, ...], Field(min_length=1, max_length=MOST_RECIPIENTS)]
    sender: Annotated[Sender, Field(alias="from")]
    reply_to: Sender = NOBODY
    reply_to_list: Annotated[
        tuple[Sender, ...],
        Field(min_length=1, max_length=MOST_RECIPIENTS),
        _rule(lambda people: _are_unlike(person.email for person in people), "Each address may be there once."),
    ] = ()
    subject: Subject = ""
    content: Annotated[
        tuple[Content, ...],
        _rule(len, "There must be at least one defined content block."),
        _rule(
            _are_mime_types,
            "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: "
            "text/plain needs to be first, followed by text/html, followed by any other content.",
        ),
    ] = ()
    attachments: tuple[Attachment, ...] = ()
    template_id: Annotated[str, _rule(_TEMPLATE.fullmatch, "The template ID must be a valid template id.")] = ""
    headers: Headers = {}
    categories: Annotated[
        tuple[Category, ...],
        Field(max_length=10),
        _rule(lambda names: len(set(names)) == len(names), "The categories must be a unique list."),
    ] = ()
    custom_args: CustomArgs = {}
    send_at: int = 0
    batch_id: Line = ""
    asm: SuppressionGroup = SuppressionGroup(group_id=0)
    ip_pool_name: Annotated[Line, Field(min_length=2, max_length=64)] = ""
    mail_settings: MailSettings = MailSettings()
    tracking_settings: TrackingSettings = TrackingSettings()

    def from_of(self, person: Personalization) -> Sender:
        """Who a personalization is from: its own sender where it has one."""
        return person.sender if person.sender is not NOBODY else self.sender

    def replies_to(self) -> tuple[Sender, ...]:
        """Where answers go; nobody when they go to the sender."""
        return self.reply_to_list or (() if self.reply_to is NOBODY else (self.reply_to,))

    def custom_args_of(self, person: Personalization) -> dict[str, str]:
        """The custom arguments of a personalization: its own before those of the message."""
        return {**self.custom_args, **person.custom_args}

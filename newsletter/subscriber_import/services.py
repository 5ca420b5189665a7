"""The services that lists come from: how the files of each are known, and what their columns mean.

A service is known by titles that no other has. Collected from public importers and the services' own help pages; where
a title is missing here, the synonyms of `columns` serve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from newsletter.subscriber_import.columns import Column
from newsletter.subscriber_import.model import Wish
from newsletter.subscriber_import.words import plain

LISTS_APART = "{} keeps who left, bounced or complained in lists of their own. Export and import those too."


@dataclass(frozen=True)
class Service:
    """One kind of file. `known_by` has sets of titles of which one must be there whole.

    `columns` wins over the synonyms; None means that the column is not read, whatever its title seems to say.
    `wish` is what the file as a whole says, when it says so.
    """

    name: str
    known_by: tuple[Set[str], ...]
    columns: Mapping[str, Column | None] = field(default_factory=dict)
    wish: Wish = Wish.WANTS
    advice: str = ""


OWN_FORMAT = "Newsletter"

SERVICES = (
    Service(OWN_FORMAT, ({"address", "state", "suppressed because", "text only"},), {"state": Column.STATUS}),
    # The three lists of Mailchimp's archive differ by one column.
    Service(
        "Mailchimp, unsubscribed",
        ({"email address", "unsub time", "leid"},),
        {"unsub time": Column.REFUSED_AT},
        Wish.LEFT,
    ),
    Service(
        "Mailchimp, cleaned",
        ({"email address", "clean time", "leid"},),
        {"clean time": Column.REFUSED_AT},
        Wish.BOUNCED,
    ),
    Service("Mailchimp", ({"email address", "member rating"}, {"email address", "leid", "euid"})),
    Service(
        "Substack",
        ({"email", "active subscription", "expiry"}, {"email", "active subscription", "plan"}),
        # Whether they pay is not whether they read.
        {"active subscription": None, "created at": Column.GIVEN_AT, "email disabled": Column.REFUSED},
    ),
    Service(
        "SendGrid, contacts",
        ({"email", "alternate emails"}, {"email", "contact id", "unique name"}),
        advice=LISTS_APART.format("SendGrid"),
    ),
    Service(
        "SendGrid, spam reports",
        ({"email", "ip", "created"},),
        {"created": Column.REFUSED_AT, "status": None, "reason": None},
        Wish.COMPLAINED,
    ),
    Service(
        "SendGrid, bounces",
        ({"email", "reason", "created"}, {"email", "reason", "status"}),
        {"created": Column.REFUSED_AT, "status": None, "reason": None},
        Wish.BOUNCED,
    ),
    Service("SendGrid, unsubscribes", ({"email", "created", "group id"},), {"created": Column.REFUSED_AT}, Wish.LEFT),
    Service(
        "Constant Contact",
        ({"email address", "email status"}, {"email address", "email permission status"}),
        {"confirmed opt out date": Column.REFUSED},
    ),
    Service(
        "Brevo",
        ({"contact id", "email"}, {"email", "landline number"}, {"email", "added time", "modified time"}),
        {"added time": Column.GIVEN_AT},
        advice="Where Brevo's file has no column for who is blocklisted, export and import those contacts too.",
    ),
    Service("listmonk", ({"email", "name", "attributes"},), {"created at": Column.GIVEN_AT}),
    Service(
        "Kit",
        ({"email", "state", "created at"}, {"email", "status", "created at", "tags"}),
        {"created at": Column.GIVEN_AT, "state": Column.STATUS},
    ),
    Service(
        "MailerLite",
        (
            {"subscriber", "subscribed", "opened"},
            {"email", "subscribed", "unsubscribed", "location"},
            {"subscriber", "sent"},
        ),
        {"subscribed": Column.GIVEN_AT, "unsubscribed": Column.REFUSED},
    ),
    Service("Cliniko", ({"accepted email marketing"}, {"accepted privacy policy"})),
    Service("Jane, patients", ({"medical alerts"},), wish=Wish.NOT_ASKED),
    Service("SimplePractice", ({"client", "primary clinician"},), wish=Wish.NOT_ASKED),
)

GENERAL = Service("a list", ())

PATIENTS = (
    "This is a list of patients, and it does not say who asked for the newsletter: being a patient is no consent. "
    "Bring the list of those who agreed, or ask them to sign up."
)

_NAMES_THAT_TELL = (
    (re.compile(r"\b(spam reports?|complaints?|complained)\b"), Wish.COMPLAINED),
    (re.compile(r"\b(bounces|bounced|invalid emails?)\b|^cleaned email"), Wish.BOUNCED),
    (
        re.compile(r"\b(unsubscribe[ds]?|opt(ed)? outs?|suppressions?|(block|black) ?list(ed)?|abgemeldet)\b"),
        Wish.LEFT,
    ),
    (re.compile(r"\bnon ?subscribed\b"), Wish.NOT_ASKED),
)
_REFUSED_ROWS = re.compile(r" refused \d+ (csv|xlsx)$")
"""Our own file of refused rows is named after the first of several files; what each said stands in its rows."""


def find_service(titles: Set[str]) -> Service:
    """The service whose file has these titles (in the form of `plain`), or `GENERAL`."""
    for service in SERVICES:
        if any(known <= titles for known in service.known_by):
            return service
    return GENERAL


def wish_by_name(name: str) -> Wish:
    """What the name of a file or a sheet says of everybody in it: `unsubscribed_email_audience_export_1.csv`."""
    words = plain(PurePosixPath(name.replace("\\", "/")).name)
    if _REFUSED_ROWS.search(words):
        return Wish.WANTS
    for pattern, wish in _NAMES_THAT_TELL:
        if pattern.search(words):
            return wish
    return Wish.WANTS

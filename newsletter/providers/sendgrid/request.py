"""A batch as the body of one `POST /v3/mail/send`, in SendGrid's words.

Built as a plain dict and not with the classes of the `sendgrid` package: the same JSON (a test compares the two) at a
sixtieth of the time.
"""

from __future__ import annotations

from typing import Any

import orjson

from newsletter.mail import Mailbox, list_id
from newsletter.providers.contract import OutgoingBatch, PersonalMail

# Readers are not tracked. Each is named, since the defaults of an account may be on; with subscription tracking on,
# SendGrid would add a footer and headers of its own beside ours.
NO_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
    "ganalytics": {"enable": False},
}

# Its list of unsubscribes alone is passed over; bounces and complaints hold.
TO_WHO_LEFT = {"bypass_unsubscribe_management": {"enable": True}}


def request_body(batch: OutgoingBatch) -> bytes:
    """The JSON of one request for everybody in a batch, up to 1,000 people."""
    return orjson.dumps(request_fields(batch))


def request_fields(batch: OutgoingBatch) -> dict[str, Any]:
    """The fields of the request; text/plain stands before text/html, as SendGrid demands."""
    of_list = list_id(batch.sender)
    content = [{"type": "text/plain", "value": batch.text}]
    if batch.html is not None:
        content.append({"type": "text/html", "value": batch.html})
    return {
        "personalizations": [_personalization(person, of_list) for person in batch.people],
        "from": _address(batch.sender),
        "reply_to": _address(batch.reply_to),
        "subject": batch.subject,
        "content": content,
        "tracking_settings": NO_TRACKING,
        **({"mail_settings": TO_WHO_LEFT} if batch.to_who_left else {}),
    }


def _personalization(person: PersonalMail, of_list: str) -> dict[str, Any]:
    # Substitutions reach the content and not the headers, so the link to leave is written out in each person's own.
    # All headers stand here, since those of one person may take the place of those for everybody.
    return {
        "to": [{"email": person.recipient.address}],
        "headers": {**person.headers, "List-Id": of_list},
        "substitutions": person.substitutions,
        "custom_args": person.custom_args,
    }


def _address(mailbox: Mailbox) -> dict[str, str]:
    return {"email": mailbox.address, "name": mailbox.name} if mailbox.name else {"email": mailbox.address}

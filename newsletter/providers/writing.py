"""One person's mail of a batch, written out in full; for transports whose provider fills in nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.mail import OutgoingEmail, list_id, to_wire
from newsletter.providers.contract import OutgoingBatch, PersonalMail


def write_mail(batch: OutgoingBatch, person: PersonalMail) -> bytes:
    """The mail as RFC 5322 bytes, the same for every try; raises ValueError on a line break in a header."""
    email = OutgoingEmail(
        batch.sender,
        person.recipient,
        batch.reply_to,
        batch.subject,
        substitute(batch.text, person.substitutions),
        None if batch.html is None else substitute(batch.html, person.substitutions),
        {**person.headers, "List-Id": list_id(batch.sender)},
    )
    domain = batch.sender.address.rpartition("@")[2]
    return to_wire(email, date=batch.date, message_id=f"{person.delivery}@{domain}")


def substitute(text: str, substitutions: Mapping[str, str]) -> str:
    """A text with each tag replaced by its value, as every provider does it: plain and once."""
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text

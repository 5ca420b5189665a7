"""Batches to hand to transports."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape as html_of

from newsletter.mail import Mailbox, one_click_headers
from newsletter.providers.contract import OutgoingBatch, PersonalMail
from newsletter.rendering.model import LinkTag

LEAVE = LinkTag.UNSUBSCRIBE.link("https://news.clinic.example.org/a&b")


def make_batch(people: int, *, html: bool = True, attempt: str = "na1") -> OutgoingBatch:
    """A batch of so many made-up people, each with links of their own."""
    return OutgoingBatch(
        attempt=attempt,
        sender=Mailbox("news@clinic.example.org", "Willow Läne"),
        reply_to=Mailbox("hello@clinic.example.org"),
        subject="Sleep well — naïve and 😀",
        html=f'<p>Hello</p><a href="{html_of(LEAVE)}">Leave</a>' if html else None,
        text=f"Hello\n\n{LEAVE}\n",
        date=datetime(2026, 11, 3, 9, 0, tzinfo=UTC),
        people=tuple(make_person(number, attempt) for number in range(1, people + 1)),
    )


def make_person(number: int, attempt: str = "na1") -> PersonalMail:
    """One made-up person of a batch."""
    token = f"token{number}"
    return PersonalMail(
        delivery=f"nd1x{number}",
        recipient=Mailbox(f"reader{number}@example.org"),
        substitutions={LinkTag.UNSUBSCRIBE.value: token},
        headers=one_click_headers(LEAVE.replace(LinkTag.UNSUBSCRIBE.value, token)),
        custom_args={"newsletter_delivery": f"nd1x{number}", "newsletter_attempt": attempt},
    )

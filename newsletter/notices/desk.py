"""The desk at which notices are written and handed over, to staff and to readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from newsletter.clock import Clock
from newsletter.database.session import Database
from newsletter.log import get_log
from newsletter.mail import Mailbox
from newsletter.notices.letters import Letter
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalMail, Receipt, Transport

_log = get_log(__name__)


@dataclass(frozen=True)
class Desk:
    """What notices are written and sent with; `workspace` has their templates and the brand.

    `suppression_key` finds who must not be mailed; without one nobody was ever suppressed.
    """

    database: Database
    transport: Transport
    clock: Clock
    workspace: Path
    clinic: str
    sender: Mailbox
    reply_to: Mailbox
    suppression_key: str = ""


def send_notice(desk: Desk, batch: OutgoingBatch) -> Receipt:
    """Hand over a notice, once; a transport that fails may have got it through, so that counts as uncertain."""
    try:
        return desk.transport.send(batch)
    except Exception as error:
        _log.error("transport failed", notice=batch.attempt, error=type(error).__name__)
        return Receipt(Outcome.UNCERTAIN, f"the transport failed: {type(error).__name__}")


def make_batch(
    desk: Desk,
    name: str,
    letter: Letter,
    people: Sequence[tuple[str, Mailbox]],
    *,
    date: datetime,
    headers: Mapping[str, str] | None = None,
    to_who_left: bool = False,
) -> OutgoingBatch:
    """A notice for people, each with the name of their own mail; `name` is that of the notice.

    Events about it come back with that name, and so do not pass for events of an edition.
    """
    return OutgoingBatch(
        attempt=name,
        sender=desk.sender,
        reply_to=desk.reply_to,
        subject=letter.subject,
        html=letter.html,
        text=letter.text,
        date=date,
        people=tuple(
            PersonalMail(
                delivery=delivery,
                recipient=recipient,
                substitutions={},
                headers={"Auto-Submitted": "auto-generated", **(headers or {})},  # RFC 3834, 5.1
                custom_args={"newsletter_notice": name},
            )
            for delivery, recipient in people
        ),
        to_who_left=to_who_left,
    )

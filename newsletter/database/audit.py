"""The audit: who did what, when, to which thing and on which hash. Rows are only ever added.

Each line is told in the log too, when its transaction has been committed.

No line holds an e-mail address: people are named by the number of their row, so that erasing a person leaves the
audit as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, Text, event, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from newsletter.database.base import Base, Instant, Serial, table_of, words
from newsletter.log import get_log
from newsletter.log import without_addresses as without_addresses

_log = get_log(__name__)

_EVERY_BATCH = frozenset({"batch claimed", "batch in flight"})
"""Steps that come for every batch and lead to another: told to those who look closely."""

_WANTS_A_LOOK = frozenset({"batch uncertain", "send paused", "edition held", "sending locked"})

_TO_TELL = "audit lines to tell"


class Source(StrEnum):
    """By which door somebody acted."""

    SHELL = "shell"
    WEB = "web"
    SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Actor:
    """Who acts, and by which door: `who` is `staff:3`, `subscriber:17`, or a part of the product such as `scheduler`.

    A line from the shell says so, because anybody there can claim any name.
    """

    who: str
    source: Source

    @classmethod
    def subscriber(cls, number: int) -> Actor:
        """A subscriber on the public pages."""
        return cls(f"subscriber:{number}", Source.WEB)


SHELL = Actor("shell", Source.SHELL)
"""Somebody at the server's shell who was not asked for a name."""

SCHEDULER = Actor("scheduler", Source.SCHEDULER)
"""The product itself, acting when it is time."""

PROVIDER = Actor("provider", Source.WEB)
"""The service that carries mails, by what it posts to the webhook."""


class AuditLine(Base):
    """One line of the audit; `subject` is `edition:2026-11-opening-2`, `subscriber:17` and the like."""

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(Text)
    source: Mapped[Source] = mapped_column(words(Source))
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, index=True)
    content_hash: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, str | int]] = mapped_column(JSON)


# As a prepared statement: three lines are written for each batch, and as objects of a session they cost 1.5 ms CPU.
# Inline, because nobody asks for the number of a line.
_ADD_LINE = insert(table_of(AuditLine)).inline()


def record(
    session: Session,
    actor: Actor,
    now: datetime,
    action: str,
    subject: str,
    *,
    content_hash: str | None = None,
    **details: str | int,
) -> None:
    """Add a line to the audit, in the transaction of what it tells; addresses in details are cut out."""
    told = {k: without_addresses(v) if isinstance(v, str) else v for k, v in details.items()}
    session.execute(
        _ADD_LINE,
        {
            "at": now,
            "actor": actor.who,
            "source": actor.source,
            "action": action,
            "subject": subject,
            "content_hash": content_hash,
            "details": told,
        },
    )
    session.info.setdefault(_TO_TELL, []).append((action, {**told, "subject": subject, "actor": actor.who}))


@event.listens_for(Session, "after_commit")
def _tell(session: Session) -> None:
    for action, told in session.info.pop(_TO_TELL, ()):
        tell = _log.debug if action in _EVERY_BATCH else _log.warning if action in _WANTS_A_LOOK else _log.info
        tell(action, **told)

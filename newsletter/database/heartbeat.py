"""Signs of life of the parts that work alone.

They change nothing that anybody decided, so the audit has no line of them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from newsletter.database.base import Base, Instant, insert_or_skip


class Heartbeat(Base):
    """When a part of the product was last seen at work."""

    __tablename__ = "heartbeat"

    part: Mapped[str] = mapped_column(Text, primary_key=True)
    worker: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)


def record_heartbeat(session: Session, *, part: str, worker: str, now: datetime) -> None:
    """Say that a part of the product is at work."""
    session.execute(insert_or_skip(session, Heartbeat).values(part=part, worker=worker, at=now))
    session.execute(update(Heartbeat).where(Heartbeat.part == part).values(worker=worker, at=now))


def find_heartbeat(session: Session, part: str) -> datetime | None:
    """When a part was last seen at work, or None when it never was."""
    row = session.get(Heartbeat, part)
    return row.at if row else None

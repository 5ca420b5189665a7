"""Whether the scheduler lives; nothing is changed here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from newsletter.schedule.tables import Heartbeat


def find_heartbeat(session: Session, part: str) -> datetime | None:
    """When a part was last seen at work, or None when it never was."""
    row = session.get(Heartbeat, part)
    return row.at if row else None

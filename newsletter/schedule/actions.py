"""The only writer of heartbeats. They change nothing that anybody decided, so the audit has no line of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from newsletter.database.base import insert_or_skip
from newsletter.schedule.tables import Heartbeat


def record_heartbeat(session: Session, *, part: str, worker: str, now: datetime) -> None:
    """Say that a part of the product is at work."""
    session.execute(insert_or_skip(session, Heartbeat).values(part=part, worker=worker, at=now))
    session.execute(update(Heartbeat).where(Heartbeat.part == part).values(worker=worker, at=now))

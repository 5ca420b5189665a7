"""Signs of life of the parts that work alone.

They change nothing that anybody decided, so the audit has no line of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Text, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from newsletter.database.base import Base, Instant, insert_or_skip

SCHEDULER_PART = "scheduler"
"""The part that leads: what is due, and who sends."""

BACKUP_PART = "backup"
"""The part that was last at work when the last backup was made."""

WORKER_PART = "worker "
"""How the part of a worker on one of several machines begins; its name follows."""


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


def record_worker(session: Session, name: str) -> None:
    """Say that a worker is at work, by the database's clock: those of several machines differ."""
    record_heartbeat(session, part=WORKER_PART + name, worker=name, now=_database_time(session))


def forget_worker(session: Session, name: str) -> None:
    """A worker ends, and nothing that it does is waited for."""
    session.execute(delete(Heartbeat).where(Heartbeat.part == WORKER_PART + name))


def list_workers(session: Session) -> Sequence[Heartbeat]:
    """The workers that have begun and not ended, those that died among them, by name."""
    return session.scalars(
        select(Heartbeat).where(Heartbeat.part.startswith(WORKER_PART)).order_by(Heartbeat.part)
    ).all()


def find_dead_workers(session: Session, silent_after: timedelta) -> list[str]:
    """The names of the workers that have not been seen for so long."""
    workers = list_workers(session)
    now = _database_time(session) if workers else None
    return [worker.worker for worker in workers if now and now - worker.at > silent_after]


def forget_long_dead_workers(session: Session, silent_after: timedelta) -> None:
    """Forget the workers that have not been seen for so long."""
    for name in find_dead_workers(session, silent_after):
        forget_worker(session, name)


def _database_time(session: Session) -> datetime:
    now: datetime = session.execute(select(func.now(type_=Instant()))).scalar_one()
    return now

"""Which database is the real one, and whether editions may be sent from it.

A database that was copied elsewhere holds the same readers and the same plans, and two that send would mail everybody
twice. So each database knows its place, and one that finds itself in another is locked until a person decides.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

from sqlalchemy import Text, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from newsletter.database.audit import SCHEDULER, Actor, record
from newsletter.database.base import Base, Instant, insert_or_skip
from newsletter.errors import Refused

_MACHINE_ID = Path("/etc/machine-id")
"""A name that systemd gives a machine once (machine-id(5)); a copy of the whole machine may have the same."""

_ONLY = 1

HOW_TO_UNLOCK = "When this server is the real one: newsletter database unlock --as EMAIL"


class Instance(Base):
    """The one row about the database itself: its name, its place, and why nothing may be sent from it.

    An empty `locked` means that editions may be sent.
    """

    __tablename__ = "instance"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text)
    locked: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)
    """Since when it stands there, locked or not."""


class SendingLocked(Refused):
    """Nothing may be sent from this database until a person says that it is the real one."""


def find_lock(session: Session) -> str:
    """Why nothing may be sent from this database; empty when editions may be sent."""
    return session.scalar(select(Instance.locked).where(Instance.number == _ONLY)) or ""


def require_unlocked(session: Session) -> None:
    """Raise SendingLocked when nothing may be sent from this database."""
    if reason := find_lock(session):
        raise SendingLocked(f"Nothing is sent from this database: {reason}. {HOW_TO_UNLOCK}")


def keep_to_its_place(session: Session, now: datetime) -> str:
    """Lock the database when it was copied to another place; gives why it is locked, empty when it is not.

    A new database takes the place where it is first used. Told once in the audit, when it is locked.
    """
    row, here = _row(session, now), _place(session)
    if row.place != here and not row.locked:
        lock(session, f"it was copied from {row.place} to {here}", actor=SCHEDULER, now=now)
    return row.locked


def lock(session: Session, reason: str, *, actor: Actor, now: datetime) -> None:
    """See to it that nothing is sent from this database any more."""
    row = _row(session, now)
    row.locked, row.at = reason, now
    record(session, actor, now, "sending locked", f"instance:{row.id}", reason=reason)


def unlock(session: Session, *, actor: Actor, now: datetime) -> str:
    """Let editions be sent from this database, at the place where it is now; gives its id."""
    row = _row(session, now)
    row.locked, row.place, row.at = "", _place(session), now
    record(session, actor, now, "sending unlocked", f"instance:{row.id}", place=row.place)
    return row.id


def require_same_instance(session: Session, file: Path) -> None:
    """Raise SendingLocked when the workspace belongs to another database; a workspace of none is taken by this one.

    `file` is where the workspace keeps the id of its database.
    """
    mine = session.scalar(select(Instance.id).where(Instance.number == _ONLY)) or ""
    try:
        known = file.read_text("utf-8").strip()
    except FileNotFoundError:
        remember_instance(file, mine)
        return
    if known != mine:
        raise SendingLocked(
            f"This workspace belongs to the database {known}, and DATABASE_URL leads to {mine}. {HOW_TO_UNLOCK}"
        )


def remember_instance(file: Path, id: str) -> None:
    """Write down in the workspace to which database it belongs."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(f"{id}\n", encoding="utf-8")


def _row(session: Session, now: datetime) -> Instance:
    named = {"number": _ONLY, "id": secrets.token_hex(8), "place": _place(session), "locked": "", "at": now}
    session.execute(insert_or_skip(session, Instance).values(named))
    return session.get_one(Instance, _ONLY, with_for_update=True, populate_existing=True)


def _place(session: Session) -> str:
    """Where a database is: machine and file, or the PostgreSQL cluster and the number of the database in it."""
    engine = session.get_bind().engine
    if engine.dialect.name == "sqlite":
        machine = _MACHINE_ID.read_text("utf-8").strip() if _MACHINE_ID.is_file() else ""
        file = Path(str(engine.url.database)).resolve()
        return f"{file} on machine {machine[:8]}" if machine else str(file)
    cluster, number = session.execute(
        text(
            "SELECT (SELECT system_identifier FROM pg_control_system()), oid FROM pg_database "
            "WHERE datname = current_database()"
        )
    ).one()
    return f"PostgreSQL cluster {cluster}, database {number}"

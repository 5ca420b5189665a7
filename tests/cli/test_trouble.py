"""At the shell when something went wrong: what is uncertain, what staff were told, what could not be applied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter.clock import SystemClock
from newsletter.database.audit import AuditLine
from newsletter.database.session import Database, open_database
from newsletter.delivery.tables import Attempt
from newsletter.provider_events.inbox import keep_post
from newsletter.provider_events.tables import ReceivedPost
from newsletter.settings import read_settings
from tests.cli.test_editions import EDITION, Shell
from tests.cli.test_editions import shell as shell
from tests.node import ROOT
from tests.sendgrid_double.running import RunningDouble, running_double

MAX = ("--as", "max@example.org")


@pytest.fixture(scope="module")
def shared_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    """A double of SendGrid for this module."""
    with running_double(tmp_path_factory.mktemp("double"), "--no-mails") as double:
        yield double


@pytest.fixture
def double(shared_double: RunningDouble, monkeypatch: pytest.MonkeyPatch) -> RunningDouble:
    """A double that the workspace sends to."""
    shared_double.reset()
    named = {"TRANSPORT": "sendgrid", "SENDGRID_HOST": shared_double.host, "SENDGRID_API_KEY": shared_double.key}
    for name, value in named.items():
        monkeypatch.setenv(f"NEWSLETTER_{name}", value)
    return shared_double


@pytest.fixture
def rows(workspace: Path) -> Iterator[Database]:
    """The workspace's database, to look into."""
    database = open_database(read_settings(workspace).database_url)
    yield database
    database.close()


def schedule_once(code: int = 0) -> str:
    """What the scheduler says that does what is due, as a process; fails unless it exits with this code."""
    command = [sys.executable, "-m", "newsletter", "scheduler", "--once"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def send_without_answers(shell: Shell, double: RunningDouble) -> str:
    """Two batches that are accepted, and no answer comes back; gives what the scheduler said."""
    double.fail("cut-after*2")
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    shell("approve", EDITION, "--as", "rhea@example.org")
    shell("schedule", EDITION, *MAX, "--at", "now")
    return schedule_once(1)


def test_one_person_settles_all_that_is_uncertain_knowing_how_many_it_is_about(
    shell: Shell, double: RunningDouble, rows: Database
) -> None:
    assert "of 2 people nobody knows whether they have it" in send_without_answers(shell, double)
    command = f"newsletter settle {EDITION} --all sent|not-sent|send-again --people 2 --as EMAIL"
    assert command in shell("status", EDITION)
    for words, told in (
        (("2026-11-opening-9", "--all", "sent", *MAX), "2026-11-opening-9"),
        ((EDITION, "na0", "sent", *MAX), "na0 of 2026-11-opening-1 is not uncertain"),
        ((EDITION, "na0", "perhaps", *MAX), "`perhaps` is not a verdict"),
        ((EDITION, *MAX), "Name an attempt and a verdict, or say --all VERDICT"),
        ((EDITION, "na0", "sent", "--all", "sent", *MAX), "Name an attempt and a verdict, or say --all VERDICT"),
        ((EDITION, "--all", "perhaps", *MAX), "`perhaps` is not a verdict"),
        ((EDITION, "--all", "sent", "--people", "2"), "Say who you are"),
        ((EDITION, "--all", "sent", "--people", "2", "--as", "ada@example.org"), "takes a manager"),
        ((EDITION, "--all", "sent", *MAX), "2 people in 2 attempts of 2026-11-opening-1 are uncertain"),
        ((EDITION, "--all", "not-sent", "--people", "3", *MAX), "--all not-sent --people 2 --as EMAIL"),
    ):
        assert told in shell.refused("settle", *words), words

    said = shell("settle", EDITION, "--all", "sent", "--people", "2", *MAX)

    assert said == f"2 attempts of {EDITION}, 2 people, are settled as sent, in your name.\n"
    with rows.read() as session:
        line = select(AuditLine.subject).where(AuditLine.action == "attempt settled as sent")
        assert len(set(session.scalars(line))) == 2
    assert "Nobody in" in shell.refused("settle", EDITION, "--all", "sent", "--people", "2", *MAX)
    schedule_once()
    assert "Send finished" in shell("status", EDITION)
    assert "every send adds up" in shell("database", "check")


def test_a_send_that_was_stopped_is_shown_until_nobody_is_uncertain(shell: Shell, double: RunningDouble) -> None:
    send_without_answers(shell, double)
    shell("stop", EDITION, *MAX)
    assert f"{EDITION}  stopped, " in shell("status")
    shell("settle", EDITION, "--all", "sent", "--people", "2", *MAX)
    assert EDITION not in shell("status")
    assert f"{EDITION}  stopped, " in shell("status", EDITION)


def test_sent_again_after_all_the_second_try_alone_counts(shell: Shell, double: RunningDouble, rows: Database) -> None:
    send_without_answers(shell, double)
    shell("settle", EDITION, "--all", "send-again", "--people", "2", *MAX)
    schedule_once()
    assert "Handed over to 2 people, 0 to go." in shell("status", EDITION)
    assert double.accepted()["requests"] == 4

    with rows.read() as session:
        first = session.scalars(select(Attempt).order_by(Attempt.started_at)).first()
        assert first is not None
        event = {"email": "ann@example.org", "event": "processed", "timestamp": 1600112502, "sg_event_id": "e1"}
        event |= {"newsletter_delivery": "nd1x1", "newsletter_attempt": first.id}
    with rows.write() as session:
        keep_post(session, json.dumps([event]).encode(), now=SystemClock().now())
    schedule_once()
    said = shell("status", EDITION)
    assert "was accepted twice: 1 person may have the mail two times." in said
    assert "accepted twice: up to 1 person may have it two times (batch" in said
    [row] = json.loads(shell("status", EDITION, "--json"))
    assert [notice["kind"] for notice in row["notices"]] == ["accepted twice"]
    assert row["notices"][0]["told_at"]


def test_notices_that_could_not_be_sent_say_why(shell: Shell, double: RunningDouble) -> None:
    double.fail("401*50")
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    shell("approve", EDITION, "--as", "rhea@example.org")
    shell("schedule", EDITION, *MAX, "--at", "now")
    schedule_once(1)
    said = shell("status", EDITION)
    assert "Send paused: the provider refuses us" in said
    assert "Staff could not be told: " in said
    [row] = json.loads(shell("status", EDITION, "--json"))
    [notice] = row["notices"]
    assert (notice["kind"], notice["told_at"]) == ("paused", None)
    assert "@" not in notice["trouble"] + notice["reason"]
    double.fail()


def test_a_post_that_was_set_aside_is_shown_without_addresses_and_tried_again(
    shell: Shell, rows: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("events", "list") == "No post was set aside; 0 wait to be applied.\n"
    with rows.write() as session:
        keep_post(session, b'{"email": "ann@example.org"', now=SystemClock().now())
    schedule_once()
    assert "1 posts could not be applied" in shell("status")
    said = shell("events", "list")
    assert said.startswith("1  came ")
    assert "newsletter events retry --as EMAIL" in said
    assert "ann@" not in said
    [post] = json.loads(shell("events", "list", "--json"))["set_aside"]
    assert (post["number"], post["bytes"]) == (1, 27)
    assert "No post 7 was set aside" in shell.refused("events", "retry", "7", *MAX)
    assert "is not a member of staff" in shell.refused("events", "retry", "--as", "eve@example.org")
    with pytest.raises(AssertionError):
        shell("events", "retry", *MAX)
    with rows.write() as session:
        session.execute(update(ReceivedPost).values(body=b"[]"))
    monkeypatch.setenv("NEWSLETTER_SUPPRESSION_KEY", "")
    assert "SUPPRESSION_KEY is not set" in shell.refused("events", "retry", *MAX)
    monkeypatch.delenv("NEWSLETTER_SUPPRESSION_KEY")
    assert shell("events", "retry", "1", *MAX) == "Applied: 1 of 1.\n"
    with rows.read() as session:
        lines = session.scalars(select(AuditLine.action).where(AuditLine.subject == "provider post:1")).all()
    assert lines.count("provider post tried again") == 2


def test_events_that_wait_for_a_key_are_told(shell: Shell, rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with rows.write() as session:
        keep_post(session, b"[]", now=SystemClock().now())
    monkeypatch.setenv("NEWSLETTER_SUPPRESSION_KEY", "")
    told = "Provider events: 1 posts wait, because SUPPRESSION_KEY is not set. Put NEWSLETTER_SUPPRESSION_KEY back"
    assert told in shell("status")

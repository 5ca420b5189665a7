"""The demo: the whole way in one command, and a second time without anything sent twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from newsletter.cli.demo import BOUNCED, FOLDER, LEFT, PENDING, REVIEWER, SUPPRESSED
from newsletter.providers.mailbox import list_mails
from newsletter.sendgrid_double.record import read_record
from tests.node import ROOT

RECEIVING = {f"{name}@example.org" for name in ("ana", "bashir", "chloe", "dmitri", "elif", "farah", "ivo")}


def run_demo(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "newsletter", "demo", "--once"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_month_reaches_those_who_asked_for_it_once(tmp_path: Path) -> None:
    told = run_demo(tmp_path)
    mailbox = tmp_path / FOLDER / "var" / "mailbox"
    record = tmp_path / FOLDER / "var" / "requests.jsonl"
    recipients = [mail.recipient for mail in list_mails(mailbox)]
    # Who has not confirmed yet is mailed the link for it, and no newsletter.
    assert sorted(recipients) == sorted([*RECEIVING, PENDING])
    for address, reason in ((PENDING, "not confirmed"), (LEFT, "left"), (SUPPRESSED, "suppressed")):
        assert any(address in line and f"({reason})" in line for line in told.splitlines())
    assert "  Of these: 6 delivered, 1 bounced, 0 not heard of yet." in told
    assert any(BOUNCED in line and "bounced (550 5.1.1 no such mailbox)" in line for line in told.splitlines())
    accepted = [entry for entry in read_record(record) if entry.accepted]
    # One request for those who read HTML, one for those who read text, one to confirm.
    assert sorted(len(entry.people) for entry in accepted) == [1, 1, 6]

    again = run_demo(tmp_path)
    assert "Nothing is sent twice" in again
    assert len(list_mails(mailbox)) == len(RECEIVING) + 1
    assert len([entry for entry in read_record(record) if entry.accepted]) == 3


def interrupt_demo(folder: Path, step: str) -> None:
    """Run the demo and press Ctrl-C as soon as it types a step."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "newsletter", "demo", "--once"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with demo:
        assert demo.stdout is not None
        assert any(line.startswith(f"$ newsletter {step}") for line in demo.stdout), step
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()


def test_a_demo_that_was_interrupted_goes_on_from_where_it_was(tmp_path: Path) -> None:
    for step in (f"staff add {REVIEWER}", f"subscribers unsubscribe {LEFT}", "approve", "schedule ", "serve"):
        interrupt_demo(tmp_path, step)
    run_demo(tmp_path)
    recipients = [mail.recipient for mail in list_mails(tmp_path / FOLDER / "var" / "mailbox")]
    assert sorted(recipients) == sorted([*RECEIVING, PENDING])

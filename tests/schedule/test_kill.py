"""Killed at any moment and started again: nobody gets it twice, nobody is forgotten."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL, AuditLine
from newsletter.database.session import Database
from newsletter.delivery.model import AttemptState, DeliveryState, SendState, delivery_id
from newsletter.delivery.queries import get_progress
from newsletter.delivery.tables import Attempt, Delivery
from newsletter.editions.queries import get_edition
from newsletter.providers.mailbox import list_mails
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.queries import get_subscriber
from tests.factories import add_cast, add_people, scheduled_edition
from tests.node import ROOT

PEOPLE = 600
KILLS = 10


def test_ten_kills_at_random_moments_lose_nobody_and_double_nobody(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    mailbox = tmp_path / "mailbox"
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, PEOPLE)
    edition = scheduled_edition(database, cast, datetime.now(UTC))
    left: list[int] = []
    kills = 0
    chance = random.Random()
    leaving = chance.sample(range(1, PEOPLE + 1), KILLS + 1)
    while _run(database_url, mailbox, kill_after=chance.uniform(0.0, 0.2) if kills < KILLS else None):
        kills += 1
        # Somebody leaves while nothing runs; whether they have it by then is theirs to know, not ours to repeat.
        with database.write() as session:
            who = get_subscriber(session, f"reader{leaving.pop()}@example.org").number
            has_it = (mailbox / f"{delivery_id(1, who)}.eml").exists()
            unsubscribe(session, who, source="link", actor=SHELL, now=SystemClock().now())
        if not has_it:
            left.append(who)
    # What the last killed process had claimed is freed when its lease runs out.
    while _planned(database, edition):
        _run(database_url, mailbox, kill_after=None)

    with database.read() as session:
        serial = get_edition(session, edition).serial
        progress = get_progress(session, edition)
        everybody = dict(session.execute(select(Delivery.subscriber, Delivery.state)).all())
        opened = session.scalar(select(func.count()).where(AuditLine.action == "send opened"))
        cut = session.scalar(select(func.count()).where(Attempt.state == AttemptState.UNCERTAIN))
    sys.stdout.write(f"{kills} kills, {cut} attempts cut in flight, {len(left)} left before they had it; {progress}\n")
    mails = Counter(mail.recipient for mail in list_mails(mailbox))
    assert opened == 1, "the send was opened once"
    assert len(everybody) == PEOPLE, "everybody has one row"
    assert max(mails.values()) == 1, "nobody has it twice"
    assert not [who for who in left if (mailbox / f"{delivery_id(serial, who)}.eml").exists()], "nobody after leaving"
    for who, state in everybody.items():
        there = (mailbox / f"{delivery_id(serial, who)}.eml").exists()
        if state is DeliveryState.HANDED_OVER:
            assert there, f"{who} is recorded and has nothing"
        elif state is DeliveryState.LEFT_OUT:
            assert not there, f"{who} has it and is recorded as left out"
        else:
            # Only who left after an attempt whose answer nobody knows.
            assert state is DeliveryState.UNCERTAIN
    assert progress.planned == 0
    assert progress.handed_over >= PEOPLE - kills
    assert progress.state is (SendState.RUNNING if progress.uncertain else SendState.FINISHED)


def _planned(database: Database, edition: str) -> int:
    with database.read() as session:
        return get_progress(session, edition).planned


def _run(url: str, mailbox: Path, kill_after: float | None) -> bool:
    """Run a worker; True when it was killed before it was done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.schedule.kill_worker", url, str(mailbox)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    timer = None
    if kill_after is not None:
        timer = threading.Timer(kill_after, process.send_signal, (signal.SIGKILL,))
        timer.start()
    code = process.wait()
    process.stdout.close()
    if timer:
        timer.cancel()
        timer.join()
    assert code in (0, -signal.SIGKILL)
    return code != 0

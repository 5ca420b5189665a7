"""Killed in the middle of SMTP batches, with a server that fails too: what it took is compared with the ledger."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import DeliveryState, SendState, delivery_id
from newsletter.delivery.queries import get_progress, get_send, list_sends, list_uncertain
from newsletter.delivery.tables import Delivery
from tests.chaos.lives import Life, begin, end
from tests.factories import RULES, Cast, add_cast, add_people, scheduled_edition
from tests.providers.smtp.running import HANG_UP, TAKE_AND_HANG_UP, running_smtp

PEOPLE = 120
KILLS = 6
BATCH = 6
CHANCES = {("MAIL", HANG_UP): 0.04, ("DOT", HANG_UP): 0.02, ("DOT", TAKE_AND_HANG_UP): 0.02}
REFUSED = {f"reader{n}@example.org" for n in range(10, PEOPLE, 30)}


def test_kills_in_the_middle_of_smtp_batches_double_nobody_and_hide_nothing(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    seed = random.getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    chance, at_the_server = random.Random(seed), random.Random(seed)
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, PEOPLE)
    edition = scheduled_edition(database, cast, datetime.now(UTC))

    def say(step: str, recipient: str) -> str | None:
        if step == "RCPT" and recipient in REFUSED:
            return "550 5.1.1 no such user"
        fails = [said for (at, said), p in CHANCES.items() if at == step and at_the_server.random() < p]
        return fails[0] if fails else None

    kills = 0
    with running_smtp(tmp_path / "kept") as smtp:
        smtp.say, smtp.delay = say, 0.01
        life = Life(database_url, f"smtp://localhost:{smtp.port}", batch_limit=BATCH)
        while kills < KILLS and _is_open(database, edition):
            process = begin(life)
            enough = len(smtp.record.taken) + chance.randint(0, 2 * BATCH)
            while process.is_alive() and len(smtp.record.taken) < enough:
                threading.Event().wait(0.001)
            kills += end(process, kill=True)
            _go_on(database, cast)
        while _is_open(database, edition):
            assert not end(begin(life))
            _go_on(database, cast)
        before = list(smtp.record.taken)
        assert not end(begin(life))
        assert smtp.record.taken == before, "what is uncertain is not repeated"
    with database.read() as session:
        serial = get_send(session, edition).edition
        states = dict(session.execute(select(Delivery.subscriber, Delivery.state)).all())
        progress = get_progress(session, edition)
        attempts = list_uncertain(session, edition)
    taken = Counter(before)
    doubts = smtp.record.steps["DOT"] - sum(taken.values())
    sys.stdout.write(f"{kills} kills, {doubts} mails dropped, {len(attempts)} attempts in doubt; {progress}\n")
    assert [name for name, times in taken.items() if times > 1] == [], "nobody has it twice"
    for who, state in states.items():
        if state is not DeliveryState.UNCERTAIN:
            has_it = delivery_id(serial, who) in taken
            assert state is (DeliveryState.HANDED_OVER if has_it else DeliveryState.REFUSED)
    assert len(states) == progress.handed_over + progress.refused + progress.uncertain == PEOPLE
    assert progress.refused <= len(REFUSED)
    assert all(people <= BATCH for _, people in attempts)
    assert progress.uncertain == sum(people for _, people in attempts)
    assert progress.state is (SendState.RUNNING if attempts else SendState.FINISHED)


def _is_open(database: Database, edition: str) -> bool:
    with database.read() as session:
        return not list_sends(session) or get_progress(session, edition).planned > 0


def _go_on(database: Database, cast: Cast) -> None:
    """A manager lets the send go on when the brake has stopped it."""
    with database.write() as session:
        if list_sends(session, SendState.PAUSED):
            now = SystemClock().now()
            steering.resume(session, "2026-11-opening-1", actor=cast.max, now=now, late_after=RULES.late_after)

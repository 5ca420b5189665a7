"""Killed while it writes into the mailbox, which may take a mail twice: all is written and nothing is uncertain."""

from __future__ import annotations

import random
import sys
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
from tests.chaos.lives import Life, begin, end, is_under_way, watch
from tests.factories import add_cast, add_people, scheduled_edition

PEOPLE = 600
KILLS = 10


def test_kills_while_mails_are_written_lose_nobody_and_double_nobody(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    mailbox = tmp_path / "mailbox"
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, PEOPLE)
    edition = scheduled_edition(database, cast, datetime.now(UTC))
    with database.read() as session:
        serial = get_edition(session, edition).serial
    chance = random.Random()
    leaving = chance.sample(range(1, PEOPLE + 1), KILLS)
    left: list[int] = []
    kills = 0
    while is_under_way(database):
        process = begin(Life(database_url, str(mailbox)))
        if kills < KILLS:
            watch([process], chance.uniform(0.0, 0.2))
        if not end(process, kill=kills < KILLS):
            continue
        kills += 1
        # Somebody leaves while nothing runs; whether they have it by then is theirs to know, not ours to repeat.
        who = leaving.pop()
        with database.write() as session:
            unsubscribe(session, who, source="link", actor=SHELL, now=SystemClock().now())
        if not (mailbox / f"{delivery_id(serial, who)}.eml").exists():
            left.append(who)

    with database.read() as session:
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

"""A limit of people a day: a send waits for the next day by itself, and still reaches everybody once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import Claim, DailyLimit, Limits, SendState
from newsletter.delivery.queries import get_progress, list_recipients
from newsletter.delivery.worker import Worker
from newsletter.schedule import jobs
from newsletter.subscribers.tokens import Tokens
from tests.factories import (
    KEY,
    LONDON,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    edition_for,
    scheduled_edition,
    snapshot,
    worker,
)


def limited(database: Database, transport: FakeTransport, clock: StillClock, people: int) -> Worker:
    """A worker that sends to so many people a day."""
    limits = Limits(daily=DailyLimit(people, LONDON))
    return Worker("w1", database, transport, Tokens([KEY]), clock, limits=limits)


def scheduled(database: Database, people: int) -> str:
    """An edition for so many people, due now."""
    return edition_for(database, people)


@pytest.mark.parametrize(("a_day", "each_day"), [(4, [4, 4, 3]), (10, [10, 1]), (15, [11]), (1, [1] * 11)])
def test_each_day_so_many_get_it_and_the_send_goes_on_by_itself(
    database: Database, a_day: int, each_day: list[int]
) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=5)
    edition = scheduled(database, 11)
    boss = limited(database, transport, clock, a_day)
    got: list[int] = []
    for _ in each_day:
        for _ in range(3):
            jobs.run_until_idle(boss, RULES)
            clock.go(hours=7)
        got.append(len(transport.accepted) - sum(got))
        clock.go(hours=3)
    assert got == each_day
    with database.snapshot() as session:
        progress = get_progress(session, edition)
        assert find_ledger_faults(session) == []
    assert (progress.state, progress.handed_over, progress.note) == (SendState.FINISHED, 11, "")
    assert len(set(transport.accepted)) == 11


def test_status_says_when_it_goes_on(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=5)
    edition = scheduled(database, 11)
    jobs.run_until_idle(limited(database, transport, clock, 3), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.state is SendState.RUNNING
    assert progress.note == "today's 3 people have it; it goes on by itself on 2026-11-04 12:00"


def test_two_sends_share_a_day(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=5)
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 4)
    scheduled_edition(database, cast)
    scheduled_edition(database, cast, given=snapshot(mailing="later"))
    boss = limited(database, transport, clock, 6)
    jobs.run_until_idle(boss, RULES)
    assert len(transport.accepted) == 6
    clock.go(days=1)
    jobs.run_until_idle(boss, RULES)
    assert len(set(transport.accepted)) == 8


def test_two_workers_at_once_keep_to_one_day_together(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=5)
    scheduled(database, 20)
    jobs.reconcile(worker(database, transport, clock), RULES)
    people: list[int] = []
    begin = threading.Barrier(4)

    def claim() -> None:
        begin.wait(10)
        with database.write() as session:
            daily = DailyLimit(7, LONDON)
            made: Claim | None = batches.claim(
                session, worker="w", transport="fake", actor=SCHEDULER, now=NOON, daily=daily
            )
            people.append(len(list_recipients(session, made.edition, made.batch)) if made else 0)

    workers = [threading.Thread(target=claim) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(30)
    assert sum(people) == 7


def test_a_day_is_one_of_the_clinics_clock_also_when_clocks_change() -> None:
    limit = DailyLimit(1, ZoneInfo("Europe/London"))
    before_the_change = datetime(2026, 10, 24, 8, 0, tzinfo=UTC)
    assert limit.next_day(before_the_change, before_the_change) == datetime(2026, 10, 25, 9, 0, tzinfo=UTC)
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert limit.begin_of_day(late) == datetime(2026, 7, 1, 23, 0, tzinfo=UTC)
    assert limit.next_day(late, late) - late == timedelta(days=1)

"""The scheduler wakes at the time, one process leads, and what is in memory is never the truth."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from newsletter.clock import SystemClock
from newsletter.database.heartbeat import SCHEDULER_PART, find_heartbeat
from newsletter.database.session import Database, open_database
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress
from newsletter.delivery.worker import Worker
from newsletter.editions import actions
from newsletter.providers.contract import OutgoingBatch, Receipt
from newsletter.schedule import due
from newsletter.schedule.leader import leader_lock
from newsletter.schedule.runner import Runner
from newsletter.subscribers.tokens import Tokens
from tests.factories import KEY, NOON, RULES, FakeTransport, add_cast, add_people, approved_edition


class Telling(FakeTransport):
    """Tells when it has sent, so that no test waits for a guessed time."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = threading.Event()

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Take a batch and tell."""
        receipt = super().send(batch)
        self.sent.set()
        return receipt


def test_an_edition_scheduled_ahead_goes_out_by_itself(database: Database) -> None:
    transport = Telling()
    clock = SystemClock()
    with database.write() as session:
        cast = add_cast(session, clock.now())
        add_people(session, 3)
        edition = approved_edition(session, cast, clock.now())
        actions.schedule(session, edition, actor=cast.max, now=clock.now(), at=clock.now() + timedelta(seconds=1))
    runner = Runner(Worker("w", database, transport, Tokens([KEY]), clock), RULES)
    runner.start()
    assert runner.is_alive
    assert transport.sent.wait(60), "the wake-up came"
    runner.stop()
    assert not runner.is_alive
    with database.read() as session:
        assert not due.is_silent(find_heartbeat(session, SCHEDULER_PART), clock.now())
        progress = get_progress(session, edition)
    assert progress.handed_over == 3
    assert progress.opened_at < datetime.now(UTC)
    assert progress.state in (SendState.RUNNING, SendState.FINISHED)


def test_one_process_leads_until_it_lets_go(database: Database, database_url: str) -> None:
    other = open_database(database_url)
    first, second = leader_lock(database), leader_lock(other)
    assert first.acquire()
    assert first.acquire(), "taking what one has is no fault"
    assert not second.acquire()
    assert (first.is_held(), second.is_held()) == (True, False)
    first.release()
    assert second.acquire()
    second.release()
    other.close()


def test_a_lock_whose_connection_is_gone_is_held_no_more(database: Database, tmp_path: Path) -> None:
    lock = leader_lock(database)
    assert lock.acquire()
    if not database.is_sqlite:
        with database.write() as session:
            session.connection().exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert not lock.is_held()
    lock.release()
    assert not lock.is_held()


@given(st.lists(st.integers(-100, 10_000)), st.sets(st.integers(-100, 10_000)))
def test_wakeups_are_ahead_within_the_horizon_and_new(times: list[int], known: set[int]) -> None:
    def instant(seconds: int) -> datetime:
        return NOON + timedelta(seconds=seconds)

    found = due.new_wakeups(map(instant, times), set(map(instant, known)), NOON)
    assert found == sorted({instant(s) for s in times if 0 < s <= 3_600 and s not in known})


def test_a_scheduler_is_silent_after_three_missed_beats() -> None:
    assert due.is_silent(None, NOON)
    assert not due.is_silent(NOON - timedelta(seconds=45), NOON)
    assert due.is_silent(NOON - timedelta(seconds=46), NOON)


def test_a_clock_went_back_when_it_is_more_than_a_period_before_the_last_beat() -> None:
    assert not due.went_back(NOON + timedelta(seconds=15), NOON)
    assert due.went_back(NOON + timedelta(seconds=16), NOON)

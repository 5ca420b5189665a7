"""Whoever sends the batches, one process or workers on several machines: a send goes the same way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from newsletter.clock import SystemClock
from newsletter.database.audit import SCHEDULER
from newsletter.database.heartbeat import Heartbeat, list_workers, record_worker
from newsletter.database.session import Database
from newsletter.delivery import batches, steering
from newsletter.delivery.model import AttemptState, BatchState, SendState
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_uncertain
from newsletter.delivery.tables import Batch
from newsletter.delivery.worker import Step, Worker, send_batch
from newsletter.editions import actions
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.schedule import jobs
from newsletter.schedule.executors.procrastinate import ProcrastinateExecutor
from newsletter.schedule.queue_worker import QueueWorker, Rhythm
from newsletter.schedule.runner import Runner
from newsletter.subscribers.tokens import Tokens
from tests.factories import (
    KEY,
    RULES,
    Cast,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    approved_edition,
    scheduled_edition,
    worker,
)
from tests.schedule.looks import wait_for_looks

PERIOD = timedelta(seconds=0.2)
LEASE = timedelta(seconds=2)
RHYTHM = Rhythm(poll=0.1, beat=0.2, begin_again=0.1)
PEOPLE = 45
KINDS = [("sqlite", "embedded"), ("postgresql", "embedded"), ("postgresql", "procrastinate")]
each_kind = pytest.mark.parametrize(("database_url", "kind"), KINDS, indirect=["database_url"])
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@dataclass
class SlowTransport(FakeTransport):
    """Answers only when it may."""

    has_it: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Take a batch, and keep it waiting."""
        self.has_it.set()
        assert self.may_answer.wait(30)
        return super().send(batch)


@contextmanager
def at_work(kind: str, database: Database, transport: FakeTransport, workers: int = 2) -> Iterator[None]:
    """A scheduler, and what sends for it."""
    clock = SystemClock()
    leader = Worker("leader", database, transport, Tokens([KEY]), clock, lease=LEASE)
    others: list[QueueWorker] = []
    runner = Runner(leader, RULES, period=PERIOD)
    if kind == "procrastinate":
        runner = Runner(leader, RULES, executor=ProcrastinateExecutor(leader, RULES), period=PERIOD)
        for number in range(workers):
            one = Worker(f"worker {number}", database, transport, Tokens([KEY]), clock, lease=LEASE)
            others.append(QueueWorker(one, RULES, concurrency=2, rhythm=RHYTHM))
    parts: list[Runner | QueueWorker] = [runner, *others]
    for part in parts:
        part.start()
    assert all(part.is_alive for part in parts)
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()
    assert not any(other.is_alive for other in others)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def state_of(database: Database, edition: str) -> SendState:
    with database.read() as session:
        return get_send(session, edition).state


def cast_and_people(database: Database, people: int = PEOPLE) -> Cast:
    with database.write() as session:
        add_people(session, people)
        return add_cast(session)


@each_kind
def test_everybody_gets_it_once_and_the_send_ends(kind: str, database: Database) -> None:
    transport = FakeTransport()
    cast = cast_and_people(database)
    with database.write() as session:
        edition = approved_edition(session, cast, SystemClock().now())
    with at_work(kind, database, transport):
        now = SystemClock().now()
        with database.write() as session:
            actions.schedule(session, edition, actor=cast.max, now=now, at=now + timedelta(seconds=0.5))
        until(lambda: _is_finished(database, edition))
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE
    assert [len(batch.people) for batch in transport.batches].count(10) == 4
    with database.read() as session:
        assert list_workers(session) == []


@each_kind
def test_what_the_provider_wants_otherwise_or_later_goes_too(kind: str, database: Database) -> None:
    later = SystemClock().now() + timedelta(seconds=1)
    transport = FakeTransport(
        answers=[
            Receipt(Outcome.TOO_LARGE),
            Receipt(Outcome.TRY_AGAIN, not_before=later),
            Receipt(Outcome.UNCERTAIN),
        ]
    )
    edition = scheduled_edition(database, cast_and_people(database), SystemClock().now())
    with at_work(kind, database, transport):
        until(lambda: len(transport.accepted) >= PEOPLE - 10 and _planned(database, edition) == 0)
    with database.read() as session:
        progress = get_progress(session, edition)
        uncertain = sum(people for _, people in list_uncertain(session, edition))
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE - uncertain == progress.handed_over
    assert uncertain > 0
    assert progress.state is SendState.RUNNING


@each_kind
def test_a_paused_send_waits_and_goes_on_when_resumed(kind: str, database: Database) -> None:
    transport = SlowTransport()
    cast = cast_and_people(database)
    edition = scheduled_edition(database, cast, SystemClock().now())
    with at_work(kind, database, transport, workers=1):
        assert transport.has_it.wait(30)
        with database.write() as session:
            steering.pause(session, edition, actor=cast.max, now=SystemClock().now())
        transport.may_answer.set()
        until(lambda: _batches(database, BatchState.IN_FLIGHT) == 0)
        before = len(transport.accepted)
        assert 0 < before <= 20
        wait_for_looks(database, 3)
        if kind == "procrastinate":
            until(lambda: _jobs(database) == [])
        assert len(transport.accepted) == before
        with database.write() as session:
            now = SystemClock().now()
            steering.resume(session, edition, actor=cast.max, now=now, late_after=RULES.late_after)
        until(lambda: _is_finished(database, edition))
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE


@each_kind
def test_told_to_end_it_records_what_is_on_its_way_and_begins_nothing(kind: str, database: Database) -> None:
    transport = SlowTransport()
    edition = scheduled_edition(database, cast_and_people(database), SystemClock().now())
    answering = threading.Timer(1, transport.may_answer.set)
    with at_work(kind, database, transport, workers=1):
        assert transport.has_it.wait(30)
        answering.start()
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.batches.keys() == {BatchState.ACCEPTED, BatchState.PLANNED}
    assert progress.handed_over == len(transport.accepted) <= 20
    assert progress.uncertain == 0


def test_a_batch_that_is_asked_for_twice_goes_once(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    edition = scheduled_edition(database, cast_and_people(database))
    one = worker(database, transport, clock)
    jobs.reconcile(one, RULES)
    with database.read() as session:
        serial = get_send(session, edition).edition
    assert send_batch(one, serial, 3) is Step.SENT
    assert send_batch(one, serial, 3) is Step.NOTHING_TO_DO
    assert send_batch(one, serial, 99) is Step.NOTHING_TO_DO
    assert len(transport.accepted) == 10
    with database.write() as session:
        session.execute(update(Batch).where(Batch.number == 4).values(not_before=clock.now() + timedelta(minutes=1)))
    assert send_batch(one, serial, 4) is Step.NOTHING_TO_DO, "it may not go yet"


def test_what_a_dead_worker_held_is_freed_and_what_it_sent_is_uncertain(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    edition = scheduled_edition(database, cast_and_people(database))
    dead, living, unknown = (worker(database, transport, clock, name) for name in ("dead", "living", "unknown"))
    jobs.reconcile(living, RULES)
    with database.write() as session:
        for one in (dead, living, unknown):
            claims = [
                batches.claim(session, worker=one.name, transport="fake", actor=SCHEDULER, now=clock.now())
                for _ in range(1 if one is unknown else 2)
            ]
            assert claims[0]
            batches.put_in_flight(session, claims[0], actor=SCHEDULER, now=clock.now())
        record_worker(session, dead.name)
        record_worker(session, living.name)
        session.execute(
            update(Heartbeat)
            .where(Heartbeat.worker == dead.name)
            .values(at=SystemClock().now() - RULES.dead_after - timedelta(seconds=5))
        )
    jobs.reconcile(living, RULES)
    with database.read() as session:
        attempts = {row.worker: row.state for row in list_attempts(session, get_send(session, edition).edition)}
        held = session.execute(text("SELECT worker FROM batch WHERE state = 'claimed'")).scalars().all()
    assert attempts == {
        "dead": AttemptState.UNCERTAIN,
        "living": AttemptState.IN_FLIGHT,
        "unknown": AttemptState.IN_FLIGHT,
    }
    assert held == ["living"]


@on_postgresql
def test_each_batch_that_waits_has_one_job_with_its_name_and_no_more(database: Database) -> None:
    executor, edition = _planned_with_jobs(database)
    assert _jobs(database) == [
        (f"batch:{edition}/{number}", {"edition": edition, "number": number}, None, None) for number in range(1, 6)
    ]
    for _ in range(2):
        executor.send_what_may_go()
    assert len(_jobs(database)) == 5, "looking again makes no more"


@on_postgresql
def test_jobs_come_with_the_transaction_in_which_batches_become_ready(database: Database) -> None:
    executor, _ = _planned_with_jobs(database)
    _lose_jobs(database)

    class Interrupted(Exception):
        pass

    def announce() -> None:
        with database.write() as session:
            executor.announce(session)
            raise Interrupted

    with pytest.raises(Interrupted):
        announce()
    assert _jobs(database) == []
    with database.write() as session:
        executor.announce(session)
    assert len(_jobs(database)) == 5


@on_postgresql
def test_a_lost_job_is_made_again_and_one_for_later_waits_for_its_time(database: Database) -> None:
    executor, edition = _planned_with_jobs(database)
    later = SystemClock().now() + timedelta(minutes=1)
    with database.write() as session:
        session.execute(update(Batch).where(Batch.number == 2).values(not_before=later))
        session.execute(update(Batch).where(Batch.number == 3).values(state=BatchState.ACCEPTED))
    _lose_jobs(database)
    executor.send_what_may_go()
    assert [(name, at) for name, _, _, at in _jobs(database)] == [
        (f"batch:{edition}/{number}", later if number == 2 else None) for number in (1, 2, 4, 5)
    ]


@on_postgresql
def test_jobs_of_a_worker_that_died_are_dropped_and_made_again(database: Database) -> None:
    executor, edition = _planned_with_jobs(database)
    with database.write() as session:
        session.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')"))
        session.execute(
            text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1 WHERE queueing_lock LIKE '%/1'")
        )
    executor.send_what_may_go()
    assert _statuses(database) == [(f"batch:{edition}/{number}", "todo") for number in range(1, 6)]


@on_postgresql
def test_a_batch_that_waits_while_a_job_of_a_living_worker_has_not_ended_in_writing_gets_another(
    database: Database,
) -> None:
    executor, edition = _planned_with_jobs(database)
    with database.write() as session:
        session.execute(text("INSERT INTO procrastinate_workers DEFAULT VALUES"))
        session.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1"))
        session.execute(update(Batch).where(Batch.number > 1).values(state=BatchState.CLAIMED))
    for _ in range(2):
        executor.send_what_may_go()
    still = [(f"batch:{edition}/{number}", "doing") for number in range(1, 6)]
    assert _statuses(database) == sorted([*still, (f"batch:{edition}/1", "todo")])


@on_postgresql
def test_a_send_that_a_person_must_look_at_gets_no_jobs(database: Database) -> None:
    executor, _ = _planned_with_jobs(database)
    _lose_jobs(database)
    with database.write() as session:
        session.execute(text("UPDATE send SET transport = 'another'"))
    executor.send_what_may_go()
    assert _jobs(database) == []
    with database.read() as session:
        assert session.execute(text("SELECT state FROM send")).scalar_one() == "paused"


def _planned_with_jobs(database: Database) -> tuple[ProcrastinateExecutor, int]:
    clock = SystemClock()
    edition = scheduled_edition(database, cast_and_people(database), clock.now())
    leader = Worker("leader", database, FakeTransport(), Tokens([KEY]), clock)
    executor = ProcrastinateExecutor(leader, RULES)
    jobs.reconcile(leader, RULES, executor.announce)
    with database.read() as session:
        return executor, get_send(session, edition).edition


def _jobs(database: Database) -> list[tuple[Any, ...]]:
    with database.read() as session:
        rows = session.execute(
            text("SELECT queueing_lock, args, lock, scheduled_at FROM procrastinate_jobs ORDER BY id")
        )
        return [tuple(row) for row in rows]


def _statuses(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(text("SELECT queueing_lock, status::text FROM procrastinate_jobs ORDER BY 1, 2"))
        return [(lock, status) for lock, status in rows]


def _lose_jobs(database: Database) -> None:
    with database.write() as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))


def _is_finished(database: Database, edition: str) -> bool:
    with database.read() as session:
        row = session.execute(text("SELECT count(*) FROM send")).scalar_one()
    return bool(row) and state_of(database, edition) is SendState.FINISHED


def _planned(database: Database, edition: str) -> int:
    with database.read() as session:
        return get_progress(session, edition).planned


def _batches(database: Database, state: BatchState) -> int:
    with database.read() as session:
        found: int = session.execute(
            text("SELECT count(*) FROM batch WHERE state = :state"), {"state": state.value}
        ).scalar_one()
        return found

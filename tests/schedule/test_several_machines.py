"""Several hosts send one edition while hosts, PostgreSQL and the provider fail: 0 twice, 0 lost, all doubt shown."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.clock import SystemClock
from newsletter.database.heartbeat import find_dead_workers, list_workers
from newsletter.database.session import Database, open_database
from newsletter.delivery import steering
from newsletter.delivery.model import BatchState, DeliveryState, SendState, read_delivery_id
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_sends, list_uncertain
from newsletter.delivery.tables import Delivery
from newsletter.editions.queries import list_editions
from newsletter.migrations.steps import upgrade
from newsletter.sendgrid_double.record import read_record
from tests.chaos.lives import is_under_way
from tests.database_fixtures import PostgresServer, running_postgres
from tests.factories import RULES, Cast, add_cast, add_many, edition_for, scheduled_edition
from tests.node import ROOT
from tests.schedule.machine import SOON, Machine, Role, boot
from tests.sendgrid_double.running import running_double

PEOPLE = 2_400
FAULTS = (
    "429-retry-after:0@0.03",
    "503@0.02",
    "503-after@0.02",
    "cut-before@0.02",
    "cut-after@0.02",
    "slow-after:0.3@0.8",
)
HAPPENINGS = ["kill a worker"] * 3 + ["freeze a worker"] * 2 + ["one leaves, one joins"] * 2
HAPPENINGS += ["kill the scheduler", "kill PostgreSQL", "add a serve"]


@dataclass
class Clinic:
    """The hosts of a clinic, and what happens to them."""

    server: PostgresServer
    url: str
    host: str
    database: Database
    chance: random.Random
    cast: Cast
    workers: list[BaseProcess] = field(default_factory=list)
    others: list[BaseProcess] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def boot(self, role: Role) -> BaseProcess:
        """One host more."""
        process = boot(Machine(role, self.url, self.host))
        (self.workers if role is Role.WORKER else self.others).append(process)
        return process

    def let_happen(self, what: str) -> None:
        """One of the happenings."""
        self.happened[what] += 1
        match what:
            case "kill a worker":
                _kill(self._any_worker())
                self.boot(Role.WORKER)
            case "kill the scheduler":
                _kill(self.others.pop(0))
                self.boot(Role.SCHEDULER)
            case "freeze a worker":
                frozen = self._any_worker()
                assert frozen.pid
                until(lambda: name_of(frozen) in workers_seen(self.database), self.database)
                # Until the others take it for dead.
                os.kill(frozen.pid, signal.SIGSTOP)
                until(lambda: name_of(frozen) in dead_workers(self.database), self.database)
                os.kill(frozen.pid, signal.SIGCONT)
                self.workers.append(frozen)
            case "one leaves, one joins":
                self.boot(Role.WORKER)
                _leave(self._any_worker())
            case "kill PostgreSQL":
                self.server.stop(signal.SIGQUIT)
                # That is how long it is away, and nobody can see in the rows what happens meanwhile.
                time.sleep(1)
                self.server.start()
            case "add a serve":
                self.boot(Role.SERVE)

    def go_on(self) -> None:
        """A manager lets the send go on when it has paused itself."""
        with self.database.write() as session:
            for send in list_sends(session, SendState.PAUSED):
                self.happened["paused by the brake, resumed"] += 1
                now = SystemClock().now()
                edition = get_edition_id(self.database, send.edition)
                steering.resume(session, edition, actor=self.cast.max, now=now, late_after=RULES.late_after)

    def leave(self) -> None:
        """Every host ends as it should."""
        for process in (*self.workers, *self.others):
            _leave(process)

    def kill(self) -> None:
        """Nothing is left, however the story ends."""
        for process in (*self.workers, *self.others):
            process.kill()
            process.join()

    def _any_worker(self) -> BaseProcess:
        return self.workers.pop(self.chance.randrange(len(self.workers)))


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _leave(process: BaseProcess) -> None:
    process.terminate()
    process.join()
    assert process.exitcode == 0, "told to end, it ends in order"


def get_edition_id(database: Database, serial: int) -> str:
    with database.read() as session:
        return next(row.id for row in list_editions(session) if row.serial == serial)


def test_hosts_that_die_freeze_join_and_leave_and_a_database_that_dies_lose_nobody_and_double_nobody(
    tmp_path: Path,
) -> None:
    seed = random.getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    with (
        ExitStack() as ending,
        running_postgres() as server,
        running_double(tmp_path, "--no-mails", "--seed", str(seed), faults=FAULTS) as double,
    ):
        url = server.url.format("postgres")
        database = open_database(url)
        upgrade(database.engine)
        with database.write() as session:
            cast = add_cast(session)
            add_many(session, PEOPLE)
        clinic = Clinic(server, url, double.host, database, chance, cast)
        ending.callback(clinic.kill)
        clinic.boot(Role.SCHEDULER)
        for _ in range(3):
            clinic.boot(Role.WORKER)
        edition = scheduled_edition(database, cast, datetime.now(UTC))
        until(lambda: bool(read_record(double.record)), database)
        for what in chance.sample(HAPPENINGS, len(HAPPENINGS)):
            time.sleep(chance.uniform(0, 0.3))
            clinic.let_happen(what)
            clinic.go_on()
        until(lambda: not _is_moving(clinic), database)
        clinic.leave()
        _check(clinic, edition, double.record)
        database.close()


def until(holds: Callable[[], bool], database: Database) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 90
    while not holds():
        with database.read() as session:
            assert time.monotonic() < end, [get_progress(session, e.id) for e in list_editions(session)]
        time.sleep(0.1)


def name_of(host: BaseProcess, role: Role = Role.WORKER) -> str:
    """How a host is called in the rows."""
    return f"{role} {host.pid}"


def workers_seen(database: Database) -> set[str]:
    """The workers who gave a sign and did not say that they end."""
    with database.read() as session:
        return {worker.worker for worker in list_workers(session)}


def dead_workers(database: Database) -> set[str]:
    """The workers of whom there was no sign for too long."""
    with database.read() as session:
        return set(find_dead_workers(session, SOON))


def _is_moving(clinic: Clinic) -> bool:
    clinic.go_on()
    return is_under_way(clinic.database)


def accepted_people(record: Path) -> Counter[int]:
    """How often the provider accepted each person's mail."""
    return Counter(
        read_delivery_id(mail["newsletter_delivery"])[1] for entry in read_record(record) for mail in entry.people
    )


def _check(clinic: Clinic, edition: str, record: Path) -> None:
    accepted = accepted_people(record)
    with clinic.database.read() as session:
        serial = get_send(session, edition).edition
        states = dict(
            session.execute(select(Delivery.subscriber, Delivery.state).where(Delivery.edition == serial)).all()
        )
        attempts = list_attempts(session, serial)
        shown = sum(people for _, people in list_uncertain(session, edition))
        progress = get_progress(session, edition)
        left = [worker.worker for worker in list_workers(session)]
    senders = Counter(attempt.worker for attempt in attempts)
    sys.stdout.write(f"{dict(clinic.happened)}\n{dict(senders)}\n{progress}\nrows of dead workers: {left}\n")
    assert len(senders) >= 4, "several hosts sent"
    assert [who for who, times in accepted.items() if times > 1] == [], "nobody has it twice"
    assert len(states) == PEOPLE
    for who, state in states.items():
        # Nobody is lost: who is not recorded as having it is shown as uncertain.
        assert state in (DeliveryState.HANDED_OVER, DeliveryState.UNCERTAIN), (who, state)
        assert who in accepted or state is DeliveryState.UNCERTAIN, f"{who} is recorded and has nothing"
    assert shown == progress.uncertain == list(states.values()).count(DeliveryState.UNCERTAIN)
    assert progress.handed_over + progress.uncertain == PEOPLE
    assert progress.handed_over > PEOPLE / 2
    assert progress.state is (SendState.RUNNING if shown else SendState.FINISHED)
    assert progress.batches.keys() <= {BatchState.ACCEPTED, BatchState.UNCERTAIN}


def run(workspace: Path, *words: str, **settings: str) -> subprocess.Popen[str]:
    """A command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "newsletter", *words],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), **{f"NEWSLETTER_{key}": value for key, value in settings.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_that_is_told_to_end_records_the_batch_in_flight_first(
    database: Database, database_url: str, workspace: Path, tmp_path: Path
) -> None:
    now = SystemClock().now()
    edition = edition_for(database, 3, now)
    with running_double(tmp_path, faults=("slow-after:2",)) as double:
        settings = {
            "BASE_URL": "https://news.example.org",
            "DATABASE_URL": database_url,
            "TRANSPORT": "sendgrid",
            "SENDGRID_API_KEY": double.key,
            "SENDGRID_HOST": double.host,
        }
        scheduler, worker = run(workspace, "scheduler", **settings), run(workspace, "worker", **settings)
        try:
            until(lambda: _in_flight(database) == 1, database)
            for process in (worker, scheduler):
                process.send_signal(signal.SIGTERM)
            told = [process.communicate(timeout=30)[0] for process in (worker, scheduler)]
            assert [worker.returncode, scheduler.returncode] == [0, 0], told
        finally:
            for process in (worker, scheduler):
                process.kill()
                process.communicate()
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.batches == {BatchState.ACCEPTED: 1}
    assert (progress.handed_over, progress.uncertain) == (3, 0)


def _in_flight(database: Database) -> int:
    with database.read() as session:
        sends = list_sends(session)
        return len([a for s in sends for a in list_attempts(session, s.edition) if a.answered_at is None])


def test_beside_sqlite_a_worker_says_what_to_run_instead(workspace: Path) -> None:
    process = run(workspace, "worker")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Run that one: newsletter serve" in told

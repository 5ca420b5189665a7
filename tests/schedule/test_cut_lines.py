"""Hosts that lose their line to PostgreSQL: nothing goes twice, nobody is lost, and what they know comes late."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.database.audit import AuditLine
from newsletter.database.heartbeat import SCHEDULER_PART, Heartbeat
from newsletter.database.session import Database
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import AttemptState, SendState
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_sends
from newsletter.delivery.tables import Attempt
from newsletter.sendgrid_double.record import read_record
from tests.factories import add_cast, add_many, scheduled_edition
from tests.schedule.line import Cut, Line, running_lines
from tests.schedule.looks import wait_for_looks
from tests.schedule.machine import Machine, Role, boot
from tests.schedule.test_several_machines import accepted_people, dead_workers, name_of, until
from tests.sendgrid_double.running import running_double

PEOPLE = 400
IN_FLIGHT, RECORDED = b"INSERT INTO attempt", b"UPDATE attempt SET"
BEFORE_IT_IS_ON_RECORD = Cut(IN_FLIGHT)
AFTER_IT_IS_ON_RECORD = Cut(IN_FLIGHT, arrives=True)
BEFORE_THE_ANSWER_IS_RECORDED = Cut(b"SELECT batch.state, batch.attempt, batch.failures", at_commit=False)
AFTER_THE_ANSWER_IS_RECORDED = Cut(RECORDED, arrives=True)
MOMENTS = (
    BEFORE_IT_IS_ON_RECORD,
    AFTER_IT_IS_ON_RECORD,
    BEFORE_THE_ANSWER_IS_RECORDED,
    AFTER_THE_ANSWER_IS_RECORDED,
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("ending", [Line.mend, Line.break_connections])
def test_workers_cut_off_in_mid_send_say_late_what_they_know_and_nobody_stays_in_doubt(
    database: Database, database_url: str, tmp_path: Path, ending: Callable[[Line], None]
) -> None:
    with database.write() as session:
        cast = add_cast(session)
        add_many(session, PEOPLE)
    with (
        ExitStack() as at_the_end,
        running_double(tmp_path, "--no-mails") as double,
        running_lines(database_url, *MOMENTS) as lines,
    ):
        edition = scheduled_edition(database, cast, datetime.now(UTC))
        scheduler = boot(Machine(Role.SCHEDULER, database_url, double.host))
        at_the_end.callback(end, [scheduler])
        workers = [boot(Machine(Role.WORKER, line.url, double.host, concurrency=1)) for line in lines]
        at_the_end.callback(end, workers)
        names = [name_of(worker) for worker in workers]
        for line in lines:
            assert line.was_cut.wait(30), "every worker came to its moment"
        until(lambda: set(names) <= dead_workers(database), database)
        before_record, after_record, before_answer, after_answer = lines
        # PostgreSQL keeps what the first has locked until it is back, or until it gives it up, and the look at the
        # rows waits for that.
        ending(before_record)
        ending(after_answer)
        # A look that had begun before they fell silent finds only some of them.
        until(lambda: set(names[1:3]) <= {attempt.worker for attempt in _doubted(database, edition)}, database)
        ending(after_record)
        ending(before_answer)
        until(lambda: _state(database, edition) is SendState.FINISHED, database)
        _check(database, edition, double.record)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_leader_that_is_cut_off_schedules_no_more_and_another_leads(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.write() as session:
        cast = add_cast(session)
        add_many(session, 40)
    with (
        ExitStack() as at_the_end,
        running_double(tmp_path, "--no-mails") as double,
        running_lines(database_url, None) as (line,),
    ):
        first = boot(Machine(Role.SCHEDULER, line.url, double.host))
        at_the_end.callback(end, [first])
        until(lambda: _leader(database) == name_of(first, Role.SCHEDULER), database)
        others = [boot(Machine(role, database_url, double.host)) for role in (Role.SCHEDULER, Role.WORKER)]
        at_the_end.callback(end, others)
        line.cut()
        line.let_postgresql_give_up()
        until(lambda: _leader(database) == name_of(others[0], Role.SCHEDULER), database)
        edition = scheduled_edition(database, cast, datetime.now(UTC))
        line.break_connections()
        until(lambda: _state(database, edition) is SendState.FINISHED, database)
        # For several of its periods it has its line again, and still leaves it to the other.
        for _ in range(3):
            wait_for_looks(database, 1)
            assert _leader(database) == name_of(others[0], Role.SCHEDULER)
        assert set(accepted_people(double.record).values()) == {1}
        others[0].kill()
        until(lambda: _leader(database) == name_of(first, Role.SCHEDULER), database)


def _leader(database: Database) -> str:
    """The scheduler that looked at the rows last."""
    with database.read() as session:
        row = session.get(Heartbeat, SCHEDULER_PART)
        return row.worker if row else ""


def _doubted(database: Database, edition: str) -> list[Attempt]:
    """The attempts that were ever uncertain, as they are now."""
    with database.read() as session:
        lines = session.scalars(select(AuditLine.details).where(AuditLine.action == "batch uncertain"))
        ever = {details["attempt"] for details in lines}
        return [one for one in list_attempts(session, get_send(session, edition).edition) if one.id in ever]


def _check(database: Database, edition: str, record: Path) -> None:
    accepted = accepted_people(record)
    went = {mail["newsletter_attempt"] for entry in read_record(record) for mail in entry.people}
    doubted = _doubted(database, edition)
    with database.read() as session:
        progress = get_progress(session, edition)
        attempts = list_attempts(session, get_send(session, edition).edition)
        faults = [str(fault) for fault in find_ledger_faults(session)]
    sys.stdout.write(f"{progress}\n{[(one.batch, one.state.value, one.answer) for one in doubted]}\n")
    assert faults == []
    assert len(accepted) == PEOPLE, "nobody is lost"
    assert set(accepted.values()) == {1}, "nobody has it twice"
    assert (progress.handed_over, progress.uncertain) == (PEOPLE, 0)
    for attempt in attempts:
        # Also of those that were uncertain, it is known in the end what became of them.
        assert attempt.state is (AttemptState.ACCEPTED if attempt.id in went else AttemptState.NOT_SENT), attempt.batch
    assert {one.state for one in doubted} == {AttemptState.ACCEPTED, AttemptState.NOT_SENT}


def _state(database: Database, edition: str) -> SendState | None:
    with database.read() as session:
        return get_progress(session, edition).state if list_sends(session) else None


def end(hosts: list[BaseProcess]) -> None:
    """Every host ends, however the story ends."""
    for host in hosts:
        host.kill()
        host.join()

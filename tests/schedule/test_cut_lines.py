"""Hosts that lose their line to PostgreSQL: nothing goes twice, nobody is lost, and what they know comes late."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.database.heartbeat import SCHEDULER_PART, Heartbeat
from newsletter.database.session import Database
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import AttemptState, DeliveryState, SendState
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_sends, list_uncertain
from newsletter.delivery.tables import Delivery
from tests.chaos.lives import is_under_way
from tests.factories import add_cast, add_many, scheduled_edition
from tests.schedule.line import Cut, Line, running_lines
from tests.schedule.machine import SOON, Machine, Role, boot
from tests.schedule.test_several_machines import accepted_people, until
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
def test_workers_cut_off_in_mid_send_record_late_what_they_know_and_send_nothing_twice(
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
        hosts = [boot(Machine(Role.SCHEDULER, database_url, double.host))]
        hosts += [boot(Machine(Role.WORKER, line.url, double.host, concurrency=1)) for line in lines]
        at_the_end.callback(end, hosts)
        for line in lines:
            assert line.was_cut.wait(30), "every worker came to its moment"
        # For longer than its lease, and than the others wait for a sign of it.
        time.sleep(SOON.total_seconds() + 0.5)
        before_record, after_record, before_answer, after_answer = lines
        # PostgreSQL keeps what these two have locked until they are back, or until it gives them up.
        ending(before_record)
        ending(after_answer)
        until(lambda: len(_uncertain(database, edition)) >= 2, database)
        doubted = _uncertain(database, edition)
        ending(after_record)
        ending(before_answer)
        until(lambda: not is_under_way(database) and doubted > _uncertain(database, edition), database)
        _check(database, edition, accepted_people(double.record))


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
        until(lambda: _leader(database) == _name(first), database)
        others = [boot(Machine(role, database_url, double.host)) for role in (Role.SCHEDULER, Role.WORKER)]
        at_the_end.callback(end, others)
        line.cut()
        line.let_postgresql_give_up()
        until(lambda: _leader(database) == _name(others[0]), database)
        edition = scheduled_edition(database, cast, datetime.now(UTC))
        line.break_connections()
        until(lambda: _state(database, edition) is SendState.FINISHED, database)
        # For several of its periods it has its line again, and still leaves it to the other.
        for _ in range(10):
            assert _leader(database) == _name(others[0])
            time.sleep(0.15)
        assert set(accepted_people(double.record).values()) == {1}
        others[0].kill()
        until(lambda: _leader(database) == _name(first), database)


def _leader(database: Database) -> str:
    """The scheduler that looked at the rows last."""
    with database.read() as session:
        row = session.get(Heartbeat, SCHEDULER_PART)
        return row.worker if row else ""


def _name(scheduler: BaseProcess) -> str:
    return f"{Role.SCHEDULER} {scheduler.pid}"


def _state(database: Database, edition: str) -> SendState | None:
    with database.read() as session:
        return get_progress(session, edition).state if list_sends(session) else None


def _uncertain(database: Database, edition: str) -> set[str]:
    """The attempts that a person is asked about."""
    with database.read() as session:
        return {attempt.id for attempt, _ in list_uncertain(session, edition)}


def _check(database: Database, edition: str, accepted: Counter[int]) -> None:
    with database.read() as session:
        serial = get_send(session, edition).edition
        states = dict(
            session.execute(select(Delivery.subscriber, Delivery.state).where(Delivery.edition == serial)).all()
        )
        attempts = Counter(attempt.state for attempt in list_attempts(session, serial))
        shown = sum(people for _, people in list_uncertain(session, edition))
        progress = get_progress(session, edition)
        faults = [str(fault) for fault in find_ledger_faults(session)]
    sys.stdout.write(f"{progress}\n{attempts}\n")
    assert faults == []
    assert [who for who, times in accepted.items() if times > 1] == [], "nobody has it twice"
    assert len(states) == PEOPLE
    for who, state in states.items():
        assert state in (DeliveryState.HANDED_OVER, DeliveryState.UNCERTAIN), (who, state)
        # Here nothing was accepted that was not recorded in the end: the answer of the one that was cut off came late.
        assert (who in accepted) == (state is DeliveryState.HANDED_OVER), (who, state)
    # What came on record while its worker could not know it, and was then too late to go.
    assert shown == progress.uncertain
    assert 1 <= attempts[AttemptState.UNCERTAIN] <= 2
    assert attempts[AttemptState.IN_FLIGHT] == 0


def end(hosts: list[BaseProcess]) -> None:
    """Every host ends, however the story ends."""
    for host in hosts:
        host.kill()
        host.join()

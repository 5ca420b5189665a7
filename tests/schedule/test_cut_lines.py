"""A leader that loses its line to PostgreSQL: another leads, and nothing goes twice."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from newsletter.database.heartbeat import SCHEDULER_PART, Heartbeat
from newsletter.database.session import Database
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress, list_sends
from tests.factories import add_cast, add_many, scheduled_edition
from tests.schedule.line import running_lines
from tests.schedule.machine import Machine, Role, boot
from tests.schedule.test_several_machines import accepted_people, until
from tests.sendgrid_double.running import running_double


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


def end(hosts: list[BaseProcess]) -> None:
    """Every host ends, however the story ends."""
    for host in hosts:
        host.kill()
        host.join()

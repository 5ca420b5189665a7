"""An upgrade keeps everything, also in the middle of a send, and program and tables must be of one version."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from newsletter.cli.rows import opened
from newsletter.clock import SystemClock
from newsletter.database.backup import count_on_from, count_rows, list_tables, load_rows, read_head, read_rows
from newsletter.database.heartbeat import SCHEDULER_PART, find_heartbeat
from newsletter.database.integrity import find_broken
from newsletter.database.schema import VERSION_TABLE
from newsletter.database.session import Database, open_database
from newsletter.delivery.queries import get_progress
from newsletter.delivery.worker import send_next_batch
from newsletter.errors import Refused
from newsletter.migrations import list_steps, pending
from newsletter.migrations.steps import upgrade
from newsletter.schedule.jobs import run_until_idle
from newsletter.schedule.runner import Runner
from newsletter.settings import read_settings
from tests.factories import RULES, FakeTransport, StillClock, worker
from tests.operations.test_restore import begin_a_send


def put_rows_of(source: Database, target: Database) -> None:
    """What an older version would have: the rows of a database, without tables and columns that came later."""
    with source.read() as session, target.engine.begin() as there:
        here = session.connection()
        olds = {table.name: table for table in list_tables(there)}
        for table in list_tables(here):
            if table.name not in olds:
                continue
            names = [column.name for column in olds[table.name].columns]
            places = [list(table.columns.keys()).index(name) for name in names]
            head = read_head(there, olds[table.name])
            load_rows(there, olds[table.name], head, [[row[at] for at in places] for row in read_rows(here, table)])
            count_on_from(there, olds[table.name], read_head(here, table).counted_to)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("step", ["0001", "0004"])
def test_an_upgrade_in_the_middle_of_a_send_keeps_everything(
    database: Database, empty_database_url: str, step: str
) -> None:
    edition, transport, clock = begin_a_send(database)
    send_next_batch(worker(database, transport, clock))
    old = open_database(empty_database_url)
    upgrade(old.engine, step)
    put_rows_of(database, old)
    with old.engine.begin() as connection:
        before = count_rows(connection)

    upgrade(old.engine)

    assert upgrade(old.engine) == []
    with old.read() as session:
        after = count_rows(session.connection())
        assert {table: after[table] for table in before} == before
        assert find_broken(session) == []
        assert (get_progress(session, edition).handed_over, get_progress(session, edition).planned) == (10, 20)
    run_until_idle(worker(old, transport, clock), RULES)
    assert len(transport.accepted) == len(set(transport.accepted)) == 30
    old.close()


def test_two_who_upgrade_at_the_same_time_take_each_step_once(empty_database_url: str) -> None:
    hosts = [open_database(empty_database_url) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda host: upgrade(host.engine), hosts))
    assert sorted(taken) == [[], list_steps()]
    for host in hosts:
        host.close()


def test_an_older_program_refuses_newer_tables_and_a_newer_one_older_tables(
    database: Database, database_url: str, workspace: Path
) -> None:
    settings = read_settings(workspace, {"NEWSLETTER_DATABASE_URL": database_url})
    _set_step(database, "9999")
    with pytest.raises(Refused, match=f"taken step 9999, and this program knows {list_steps()[-1]}"), opened(settings):
        pass
    with pytest.raises(Refused, match="newer than this program"):
        upgrade(database.engine)
    _set_step(database, list_steps()[-2])
    assert pending(database.engine) == list_steps()[-1:]
    with pytest.raises(Refused, match="older than this program: it lacks 1 step"), opened(settings):
        pass


def test_a_program_whose_tables_are_changed_under_it_ends(database: Database) -> None:
    now = StillClock(SystemClock().now())
    runner = Runner(worker(database, FakeTransport(), now), RULES, period=timedelta(seconds=0.2))
    runner.start()
    until = time.monotonic() + 60
    while _last_look(database) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert runner.is_alive
    _set_step(database, "9999")
    while runner.is_alive:
        assert time.monotonic() < until
        time.sleep(0.05)
    runner.stop()


def _last_look(database: Database) -> datetime | None:
    with database.read() as session:
        return find_heartbeat(session, SCHEDULER_PART)


def _set_step(database: Database, step: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :step"), {"step": step})

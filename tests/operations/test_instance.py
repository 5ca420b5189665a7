"""A database that was copied does not send until a person says that it is the real one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text

from newsletter.clock import SystemClock
from newsletter.database.audit import AuditLine
from newsletter.database.instance import Instance, SendingLocked, find_lock, keep_to_its_place, lock, unlock
from newsletter.database.session import Database, open_database
from newsletter.delivery.worker import Step, send_next_batch
from newsletter.operations.move import move
from newsletter.schedule.jobs import run_until_idle
from newsletter.settings import read_settings
from newsletter.wiring import make_worker
from tests.factories import NOON, RULES, FakeTransport, StillClock, edition_for, find_cast, worker
from tests.operations.test_restore import begin_a_send, rows_of


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copied_file_is_locked_and_the_real_one_goes_on(database: Database, tmp_path: Path) -> None:
    edition_for(database, 3)
    real, clone, clock = FakeTransport(), FakeTransport(), StillClock()
    run_until_idle(worker(database, FakeTransport(name="another"), StillClock(NOON.replace(hour=9))), RULES)
    copied = tmp_path / "elsewhere.sqlite3"
    with sqlite3.connect(str(database.file)) as source, sqlite3.connect(copied) as target:
        source.backup(target)
    source.close()
    target.close()
    copy = open_database(f"sqlite:///{copied}")

    run_until_idle(worker(copy, clone, clock), RULES)
    run_until_idle(worker(database, real, clock), RULES)

    assert (len(real.accepted), len(clone.accepted)) == (3, 0)
    with copy.read() as session:
        told = find_lock(session)
        assert str(database.file) in told
        assert str(copied) in told
        assert session.scalars(select(AuditLine.action).order_by(AuditLine.number.desc())).first() == "sending locked"
    copy.close()


def test_a_database_that_knows_another_place_is_locked(database: Database) -> None:
    begin_a_send(database, 3)
    with database.write() as session:
        assert keep_to_its_place(session, NOON) == ""
        session.get_one(Instance, 1).place = "another place"
    transport = FakeTransport()
    run_until_idle(worker(database, transport, StillClock()), RULES)
    assert transport.batches == []


def test_nothing_is_claimed_from_a_locked_database(database: Database) -> None:
    _, transport, clock = begin_a_send(database)
    sender = worker(database, transport, clock)
    assert send_next_batch(sender) is Step.SENT
    with database.write() as session:
        most = find_cast(session).max
        lock(session, "it was moved", actor=most, now=NOON)
    assert send_next_batch(sender) is Step.NOTHING_TO_DO
    with database.write() as session:
        unlock(session, actor=most, now=NOON)
    assert send_next_batch(sender) is Step.SENT


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_workspace_of_another_database_does_not_send(database: Database, database_url: str, workspace: Path) -> None:
    settings = read_settings(workspace, {"NEWSLETTER_DATABASE_URL": database_url})
    make_worker(settings, database, SystemClock())
    make_worker(settings, database, SystemClock())
    settings.instance_file.write_text("0123456789abcdef\n")
    with pytest.raises(SendingLocked, match="belongs to the database 0123456789abcdef"):
        make_worker(settings, database, SystemClock())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_a_database_moves_to_postgresql_and_the_old_one_never_sends_again(
    database: Database, empty_database_url: str
) -> None:
    _, transport, clock = begin_a_send(database)
    sender = worker(database, transport, clock)
    send_next_batch(sender)
    with database.read() as session:
        most = find_cast(session).max
    before = rows_of(database)
    target = open_database(empty_database_url)

    copied = move(database, target, actor=most, now=NOON)

    after = rows_of(target)
    assert copied == {table: len(rows) for table, rows in before.items()}
    for table in set(before) - {"instance", "audit", "batch", "send"}:
        assert len(after[table]) == len(before[table]), table
    assert send_next_batch(sender) is Step.NOTHING_TO_DO
    run_until_idle(worker(target, transport, clock), RULES)
    assert len(transport.accepted) == len(set(transport.accepted)) == 30
    with target.read() as session:
        assert find_lock(session) == ""
    with database.read() as session:
        assert find_lock(session) == "it was moved to PostgreSQL"
    target.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_nothing_moves_while_a_batch_is_uncertain(database: Database, empty_database_url: str) -> None:
    _, transport, clock = begin_a_send(database)
    transport.answers.append(RuntimeError("cut"))
    send_next_batch(worker(database, transport, clock))
    target = open_database(empty_database_url)
    with database.read() as session:
        most = find_cast(session).max
    with pytest.raises(Exception, match="1 batches are on their way or uncertain"):
        move(database, target, actor=most, now=NOON)
    assert rows_of(target) == {}
    with database.read() as session:
        assert find_lock(session) == ""
    target.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_ordinary_user_of_postgresql_may_ask_where_it_is(database: Database) -> None:
    with database.write() as session:
        session.execute(text("DROP ROLE IF EXISTS plain"))
        session.execute(text("CREATE ROLE plain"))
        session.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain"))
        session.execute(text("SET LOCAL ROLE plain"))
        assert keep_to_its_place(session, NOON) == ""

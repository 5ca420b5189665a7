"""Transactions lose nothing, instants keep their zone, and a wrong URL is told in a sentence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from newsletter.database.audit import SHELL, AuditLine, record
from newsletter.database.heartbeat import Heartbeat
from newsletter.database.session import Database, DatabaseBusy, DatabaseUnusable, open_database
from newsletter.errors import Refused

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def test_an_instant_comes_back_in_utc_whatever_its_zone_was(database: Database) -> None:
    with database.write() as session:
        there = NOON.astimezone(timezone(timedelta(hours=-5)))
        session.add(Heartbeat(part="here", worker="w", at=there))
    with database.read() as session:
        found = session.scalar(select(Heartbeat.at))
        assert found == NOON
        assert found is not None
        assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    def write_naive() -> None:
        with database.write() as session:
            session.add(Heartbeat(part="here", worker="w", at=NOON.replace(tzinfo=None)))

    with pytest.raises(Exception, match="no time zone"):
        write_naive()


def test_what_is_raised_in_a_transaction_leaves_nothing_behind(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as session:
            record(session, SHELL, NOON, "tried", "nothing")
            session.flush()
            raise Refused("no")

    with pytest.raises(Refused):
        write_and_fail()
    with database.read() as session:
        assert session.scalars(select(AuditLine)).all() == []


def test_nothing_written_while_reading_stays(database: Database) -> None:
    with database.read() as session:
        record(session, SHELL, NOON, "tried", "nothing")
        session.flush()
    with database.read() as session:
        assert session.scalars(select(AuditLine)).all() == []


def test_two_who_read_and_then_write_lose_no_update(database: Database) -> None:
    with database.write() as session:
        session.add(Heartbeat(part="count", worker="0", at=NOON))

    def count_up(_: int) -> None:
        with database.write() as session:
            row = session.scalars(select(Heartbeat).with_for_update()).one()
            row.worker = str(int(row.worker) + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(80)))
    with database.read() as session:
        assert session.scalar(select(Heartbeat.worker)) == "80"


def test_the_audit_holds_no_address(database: Database) -> None:
    with database.write() as session:
        record(session, SHELL, NOON, "told", "nothing", reason="550 <ann@example.org> unknown", people=3)
    with database.read() as session:
        assert session.scalars(select(AuditLine.details)).one() == {"reason": "550 <(address)> unknown", "people": 3}


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_no_use_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(Refused, match=r"sqlite:///path or postgresql://"):
        open_database(url)


def test_a_server_that_does_not_answer_is_told_in_a_sentence(tmp_path: object) -> None:
    database = open_database(f"postgresql://nobody@/none?host={tmp_path}")

    def read() -> None:
        with database.read() as session:
            session.scalar(select(Heartbeat.worker))

    with pytest.raises(DatabaseUnusable, match="cannot be reached"):
        read()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_that_the_server_has_closed_are_replaced_unnoticed(database: Database, database_url: str) -> None:
    with database.read() as session:
        session.scalar(select(Heartbeat.worker))
    other = open_database(database_url)
    with other.write() as session:
        session.connection().exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    other.close()
    with database.write() as session:
        assert session.scalar(select(Heartbeat.worker)) is None


def test_a_database_with_all_connections_in_use_is_busy_and_told_as_such(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/n.sqlite3", pool_size=1, max_overflow=0, pool_timeout=0.1)
    database = Database(engine)
    with database.read() as taken:
        taken.connection()
        for transaction in (database.write, database.read):
            with pytest.raises(DatabaseBusy, match="in use"), transaction() as session:
                session.connection()
    database.close()

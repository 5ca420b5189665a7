"""The disk fills up in the middle of a send: nothing goes that is not on record, and with room again it ends right."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from newsletter.database.session import Database, DatabaseFull
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress
from newsletter.delivery.tables import Attempt
from newsletter.schedule import jobs
from newsletter.schedule.executors.embedded import EmbeddedExecutor
from tests.factories import RULES, FakeTransport, StillClock, edition_for, worker

PEOPLE = 400
NO_LIMIT = 2**31 - 2
"""SQLite's own."""


@dataclass
class Disk:
    """The room that a database has: as much as it likes, until it is full, and none from then on."""

    pages: int = NO_LIMIT

    def fill(self, connection: Connection) -> None:
        """From now on no page more."""
        self.pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        self._limit(connection)

    def watch(self, database: Database, fill_before: str, which: int) -> None:
        """Fill up just before a statement that begins so comes for the nth time."""
        seen: Counter[str] = Counter()

        @event.listens_for(database.engine, "begin")
        def began(connection: Connection) -> None:
            self._limit(connection)

        @event.listens_for(database.engine, "before_cursor_execute")
        def comes(connection: Connection, cursor: Any, statement: str, *more: Any) -> None:
            if statement.startswith(fill_before):
                seen[fill_before] += 1
                if seen[fill_before] == which:
                    self.fill(connection)

    def _limit(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self.pages}")


def _until(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not what():
        assert time.monotonic() < give_up, "it did not come to this"
        time.sleep(0.02)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fill_before", "which"), [("INSERT INTO attempt", 1), ("UPDATE attempt", 2), ("INSERT INTO attempt", 9)]
)
def test_a_send_waits_for_room_and_goes_on_where_it_was(
    database: Database, caplog: pytest.LogCaptureFixture, fill_before: str, which: int
) -> None:
    clock, transport, disk = StillClock(), FakeTransport(), Disk()
    edition = edition_for(database, PEOPLE)
    works = worker(database, transport, clock)
    jobs.reconcile(works, RULES)
    disk.watch(database, fill_before, which)
    executor = EmbeddedExecutor(works, RULES)
    executor.start()
    executor.send_what_may_go()

    _until(lambda: caplog.text.count("DatabaseFull") > 2)
    with database.read() as session:
        on_record = set(session.scalars(select(Attempt.id)))
        assert get_progress(session, edition).state is SendState.RUNNING
    assert {batch.attempt for batch in transport.batches} <= on_record
    assert len(transport.accepted) < PEOPLE
    with pytest.raises(DatabaseFull, match="Make room there"), database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE more (x TEXT)")

    disk.pages = NO_LIMIT

    def ended() -> bool:
        # A batch whose take-off found no room stays claimed until its lease is over.
        clock.go(seconds=30)
        jobs.reconcile(works, RULES)
        executor.send_what_may_go()
        with database.read() as session:
            return get_progress(session, edition).state is SendState.FINISHED

    _until(ended)
    executor.stop()
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE
    with database.read() as session:
        assert find_ledger_faults(session) == []

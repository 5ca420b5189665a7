"""The way of a batch that goes well: few statements, each through its index, and counted anew where it must be."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from sqlalchemy import event, select, update

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches
from newsletter.delivery.model import BatchState, DeliveryState
from newsletter.delivery.queries import list_uncertain
from newsletter.delivery.tables import Batch, Delivery
from newsletter.delivery.worker import Step, send_next_batch
from newsletter.editions.tables import Edition
from newsletter.providers.contract import Outcome, Receipt
from newsletter.providers.writing import substitute
from newsletter.rendering.model import LinkTag
from newsletter.schedule import jobs
from tests.factories import RULES, FakeTransport, StillClock, add_cast, add_people, scheduled_edition, snapshot, worker


def planned(database: Database, transport: FakeTransport, base_url: str = "https://news.example.org") -> StillClock:
    """A send to six people, planned."""
    clock = StillClock()
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 6)
    scheduled_edition(database, cast, given=snapshot(base_url=base_url))
    jobs.reconcile(worker(database, transport, clock), RULES)
    return clock


# PostgreSQL chooses its plan by what is in the tables; SQLite's is the same for six people and for a million.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_batch_makes_the_database_read_the_whole_edition(database: Database) -> None:
    transport = FakeTransport(batch_limit=3)
    clock = planned(database, transport)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def asks(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "delivery" in statement:
            asked.append((statement, parameters))

    assert send_next_batch(worker(database, transport, clock)) is Step.SENT
    event.remove(database.engine, "before_cursor_execute", asks)
    assert len(asked) == 3
    with database.engine.connect() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert any("ix_delivery_edition_batch" in row.detail for row in rows), (statement, rows)


def test_an_edition_is_read_once_for_each_batch_where_it_is_put_in_flight(database: Database) -> None:
    transport = FakeTransport(batch_limit=3)
    clock = planned(database, transport)
    told: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def asks(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        told.append(statement)

    @event.listens_for(database.engine, "commit")
    def commits(connection: Any) -> None:
        told.append("COMMIT")

    for _ in range(2):
        told.clear()
        assert send_next_batch(worker(database, transport, clock)) is Step.SENT
        read = [number for number, said in enumerate(told) if "edition.html" in said]
        flies = [number for number, said in enumerate(told) if said.startswith("INSERT INTO attempt")]
        assert len(read) == len(flies) == 1
        assert "COMMIT" not in told[read[0] : flies[0]]
    event.remove(database.engine, "before_cursor_execute", asks)
    event.remove(database.engine, "commit", commits)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_uncertain_is_found_without_reading_the_whole_edition(database: Database) -> None:
    transport = FakeTransport(batch_limit=3, answers=[Receipt(Outcome.UNCERTAIN, "no answer")])
    clock = planned(database, transport)
    assert send_next_batch(worker(database, transport, clock)) is Step.SENT
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def asks(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "delivery" in statement:
            asked.append((statement, parameters))

    with database.read() as session:
        edition = session.scalars(select(Edition.id)).one()
        assert [people for _, people in list_uncertain(session, edition)] == [3]
    event.remove(database.engine, "before_cursor_execute", asks)
    with database.engine.connect() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert any("ix_delivery_edition_attempt" in row.detail for row in rows), (statement, rows)


def test_a_batch_whose_counters_do_not_add_up_is_counted_anew(database: Database) -> None:
    clock = planned(database, FakeTransport())
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
        assert flight is not None
        session.execute(update(Batch).values(people=99, refused=7))
    with database.write() as session:
        assert batches.record_answer(session, flight, Receipt(Outcome.ACCEPTED), actor=SCHEDULER, now=clock.now())
    with database.read() as session:
        batch = session.scalars(select(Batch)).one()
        assert (batch.state, batch.people, batch.handed_over, batch.refused) == (BatchState.ACCEPTED, 6, 6, 0)
        attempts = session.execute(select(Delivery.state, Delivery.attempt).distinct()).all()
        assert attempts == [(DeliveryState.HANDED_OVER, flight.attempt)]


def test_links_are_escaped_where_they_stand_in_html(database: Database) -> None:
    transport = FakeTransport()
    base_url = "https://news.example.org/a&b"
    clock = planned(database, transport, base_url=base_url)
    assert send_next_batch(worker(database, transport, clock)) is Step.SENT
    (batch,) = transport.batches
    for person in batch.people:
        text, letter = substitute(batch.text, person.substitutions), substitute(batch.html or "", person.substitutions)
        leave, choose = (f"{base_url}/{path}/" for path in ("unsubscribe", "preferences"))
        assert set(person.substitutions) == {tag.value for tag in LinkTag}
        for start in (leave, choose):
            (link,) = re.findall(re.escape(start) + r"\S+", text)
            assert f'href="{html.escape(link)}"' in letter
            if start == leave:
                assert person.headers["List-Unsubscribe"] == f"<{link}>"

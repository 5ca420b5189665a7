"""The steps lead to the tables that the code knows, on both databases, and back."""

from __future__ import annotations

from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from procrastinate.schema import SchemaManager
from sqlalchemy import inspect, text

from newsletter import migrations
from newsletter.database.session import open_database
from newsletter.migrations.steps import downgrade, upgrade
from newsletter.migrations.tables import METADATA, is_ours
from tests.chaos.lives import FORKS


def test_the_steps_make_exactly_the_tables_of_the_code(database_url: str) -> None:
    database = open_database(database_url)
    with database.engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, METADATA) == []
    database.close()


def test_every_check_of_the_code_is_in_the_database(database_url: str) -> None:
    database = open_database(database_url)
    inspector = inspect(database.engine.execution_options(read=True))
    there = {(table, check["name"]) for table in METADATA.tables for check in inspector.get_check_constraints(table)}
    expected = {
        (table.name, constraint.name)
        for table in METADATA.tables.values()
        for constraint in table.constraints
        if constraint.__visit_name__ == "check_constraint"
    }
    assert expected <= there, expected - there
    database.close()


def test_every_step_can_be_taken_back_and_taken_again(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    assert migrations.is_empty(database.engine)
    steps = migrations.pending(database.engine)
    assert upgrade(database.engine) == steps
    assert migrations.pending(database.engine) == []
    assert upgrade(database.engine) == []

    downgrade(database.engine, "base")

    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    assert upgrade(database.engine) == steps
    database.close()


def test_the_queue_has_all_the_steps_of_the_version_that_is_installed() -> None:
    own = sorted(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    taken = import_module("newsletter.migrations.versions.0003_queue").UP_TO
    assert own[-1].startswith(taken), "a step of ours must take those that are new"


def _start_first(url: str, steps: Connection) -> None:
    database = open_database(url)
    steps.send(upgrade(database.engine))
    database.close()


def test_of_first_starts_at_once_one_makes_the_tables_and_the_others_find_them(empty_database_url: str) -> None:
    pipes = [FORKS.Pipe(duplex=False) for _ in range(3)]
    starts = [FORKS.Process(target=_start_first, args=(empty_database_url, theirs)) for _, theirs in pipes]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert [start.exitcode for start in starts] == [0, 0, 0]
    taken = sorted(ours.recv() for ours, _ in pipes)
    for ours, theirs in pipes:
        ours.close()
        theirs.close()
    database = open_database(empty_database_url)
    assert taken == [[], [], migrations.list_steps()]
    assert migrations.pending(database.engine) == []
    database.close()


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_nothing_of_the_queue_is_left_when_its_step_is_taken_back(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    upgrade(database.engine)
    downgrade(database.engine, "0002")
    with database.engine.connect() as connection:
        for catalogue, name in (("pg_class", "relname"), ("pg_proc", "proname"), ("pg_type", "typname")):
            left = connection.execute(text(f"SELECT {name} FROM {catalogue} WHERE {name} LIKE '%procrastinate%'"))
            assert left.all() == []
    database.close()


def test_people_from_before_the_whole_of_consent_keep_what_they_said(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    upgrade(database.engine, "0011")
    people = {1: "unsubscribed", 2: "active", 3: "active"}
    acts = [(1, "asked"), (1, "confirmed"), (1, "withdrawn"), (2, "confirmed"), (3, "imported")]
    with database.write() as session:
        for number, state in people.items():
            session.execute(
                text(
                    "INSERT INTO subscriber (number, state, address, address_key, address_hash, language, text_only, "
                    "added_at) VALUES (:number, :state, :address, :address, :hash, 'en', FALSE, '2026-10-01 09:00:00')"
                ),
                {"number": number, "state": state, "address": f"r{number}@example.org", "hash": f"h{number}"},
            )
        for subscriber, act in acts:
            session.execute(
                text(
                    "INSERT INTO consent (subscriber, act, source, at) "
                    "VALUES (:subscriber, :act, 'form', '2026-10-01 09:00:00')"
                ),
                {"subscriber": subscriber, "act": act},
            )

    upgrade(database.engine)

    with database.read() as session:
        assert [tuple(row) for row in session.execute(text("SELECT address_hash, reason FROM suppression"))] == [
            ("h1", "unsubscribed")
        ]
        kept = session.execute(text("SELECT subscriber, act, method FROM consent ORDER BY number")).all()
        assert [tuple(row) for row in kept] == [
            (1, "asked", ""),
            (1, "confirmed", ""),
            (1, "withdrawn", ""),
            # Nobody had asked them: staff entered it.
            (2, "given", ""),
            (3, "imported", ""),
        ]
    if database.is_sqlite:
        with database.read() as session:
            made = session.scalars(text("SELECT sql FROM sqlite_master WHERE name IN ('subscriber', 'sign_up')")).all()
        assert len(made) == 2
        assert all("AUTOINCREMENT" in sql for sql in made), "numbers are in links and never come again"
    downgrade(database.engine, "0011")
    assert upgrade(database.engine)
    database.close()

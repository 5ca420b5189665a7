"""Readers who are written out come back as the same people, and no cell of the file is ever a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from sqlalchemy import select

from newsletter.database.audit import SHELL, AuditLine
from newsletter.database.session import Database, open_database
from newsletter.errors import Refused
from newsletter.subscriber_import.export import export_readers
from newsletter.subscriber_import.spreadsheets import RISKY
from newsletter.subscribers.actions import add_subscriber, unsubscribe
from newsletter.subscribers.model import NewSubscriber, SubscriberState
from newsletter.subscribers.queries import list_subscribers, list_topics_of
from tests.factories import KEY, NOON, StillClock
from tests.subscriber_import.lists import Lists

LOCAL = st.text("abz09'+-=.{}|!#$%&*/?^_`~", min_size=1, max_size=12)
PEOPLE = st.lists(
    st.tuples(
        LOCAL,
        st.sampled_from(["en", "de", "pt-BR"]),
        st.lists(st.sampled_from(["pain", "sleep"]), unique=True),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
)
Person = tuple[str | None, str, tuple[str, ...], bool]


def _readers(database: Database) -> Iterator[Person]:
    with database.read() as session:
        for row in list_subscribers(session, SubscriberState.ACTIVE):
            yield row.address, row.language, tuple(list_topics_of(session, row.number)), row.text_only


def _cells(file: Path) -> list[str]:
    """What a spreadsheet shows; a formula would be a cell of another kind."""
    if file.suffix == ".xlsx":
        rows = load_workbook(file).worksheets[0].iter_rows()
        cells = [cell for row in rows for cell in row if cell.value is not None]
        assert {cell.data_type for cell in cells} == {"s"}
        return [str(cell.value) for cell in cells]
    with file.open(encoding="utf-8-sig", newline="") as text:
        return [cell for row in csv.reader(text) for cell in row]


@settings(max_examples=30, deadline=None)
@given(people=PEOPLE, ending=st.sampled_from([".csv", ".xlsx"]))
def test_who_is_written_out_comes_back_as_the_same_people(
    sqlite_template: Path, people: list[tuple[str, str, list[str], bool, bool]], ending: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        databases = [open_database(f"sqlite:///{copy(sqlite_template, folder / place)}") for place in ("here", "there")]
        here, there = databases
        for local, language, topics, text_only, leaves in people:
            try:
                with here.write() as session:
                    person = NewSubscriber(f"{local}@example.org", language, tuple(topics), text_only)
                    row = add_subscriber(
                        session, person, consent_source="form", suppression_key=KEY, actor=SHELL, now=NOON
                    )
                    if leaves:
                        unsubscribe(session, row.number, source="link", actor=SHELL, now=NOON)
            except Refused:
                continue
        file = folder / f"readers{ending}"
        written = export_readers(here, file, state=None, actor=SHELL, clock=StillClock())
        cells = _cells(file)
        assert not [cell for cell in cells if cell.startswith(tuple(mark for mark in RISKY if mark != "'"))]
        lists = Lists(there, folder, StillClock())
        if written:
            lists.importer.apply(lists.stage_file(file).number)
        assert sorted(_readers(there), key=repr) == sorted(_readers(here), key=repr)
        with here.read() as session:
            gone = [str(row.address) for row in list_subscribers(session, SubscriberState.UNSUBSCRIBED)]
        assert lists.suppressed(*gone) == ["unsubscribed"] * len(gone)
        for database in databases:
            database.close()


def test_a_file_that_is_no_table_is_not_written(database: Database, tmp_path: Path) -> None:
    for name in ("readers", "readers.xls", "readers.ods"):
        with pytest.raises(Refused, match=r"neither \.csv nor \.xlsx"):
            export_readers(database, tmp_path / name, state=None, actor=SHELL, clock=StillClock())
    assert [path for path in tmp_path.iterdir() if path.name.startswith(("readers", "."))] == []


def test_an_export_is_on_record_and_writes_over_nothing(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "readers.csv"
    export_readers(database, file, state=SubscriberState.ACTIVE, actor=SHELL, clock=StillClock())
    before = file.read_bytes()
    for taken in (file, tmp_path / "no folder" / "readers.csv"):
        with pytest.raises(Refused, match=r"is there already|cannot be written"):
            export_readers(database, taken, state=None, actor=SHELL, clock=StillClock())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".csv", ".part")] == ["readers.csv"]
    with database.read() as session:
        lines = session.execute(select(AuditLine.action, AuditLine.details)).all()
    assert [tuple(line) for line in lines] == [("subscribers exported", {"people": 0, "state": "active"})]

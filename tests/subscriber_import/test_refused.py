"""A refused row that is mended in its file comes in; nobody's consent is raised on that way."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.database.session import Database
from newsletter.subscriber_import.columns import find_column
from newsletter.subscriber_import.export import REFUSED_COLUMNS, write_refused
from newsletter.subscriber_import.model import Reason, Verdict, Wish
from tests.factories import StillClock
from tests.subscriber_import.lists import Lists
from tests.subscriber_import.reading import read_bytes, wishes

Row = dict[str, str]


@pytest.fixture
def lists(database: Database, tmp_path: Path) -> Lists:
    """Lists for an empty database of each kind."""
    return Lists(database, tmp_path, StillClock())


def _mended(lists: Lists, number: int, file: Path, mend: Callable[[Row], Row]) -> Path:
    """The file of refused rows of an import, with each row mended, as staff save it again."""
    write_refused(lists.database, number, file)
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = [mend(row) for row in csv.DictReader(text)]
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _with_address(row: Row) -> Row:
    return row | {"address": f"{row['address'].replace(' at ', '@')}.org"}


@pytest.mark.parametrize(
    "text",
    [
        "email,language,topics\nzoe at example,de,sleep\n",
        "email,status,language,topics\nzoe at example,active,de,sleep\n",
        "email,consent,language,topics\nzoe at example,ja,de,sleep\n",
        "email,status,consent,language,topics\nzoe at example,,ja,de,sleep\n",
        "email,unsubscribed,language,topics\nzoe at example,,de,sleep\n",
    ],
)
def test_whose_address_is_mended_in_the_file_of_refused_rows_comes_in(lists: Lists, text: str) -> None:
    refused = lists.stage(text)
    assert refused.counts["reasons"] == {"refused": {"not an address": 1}}
    file = _mended(lists, refused.number, lists.folder / "people-refused-1.csv", _with_address)
    assert lists.stage_file(file).counts["verdicts"] == {"new": 1}
    assert lists.importer.apply(2).outcome["added"] == 1
    assert lists.states() == {"zoe@example.org": "active"}


def test_a_row_too_long_comes_in_by_its_own_columns_alone(lists: Lists) -> None:
    plain = lists.stage("email,language\nann@example.org,de,more\n")
    file = _mended(lists, plain.number, lists.folder / "plain-refused-1.csv", lambda row: row)
    assert lists.stage_file(file).counts["verdicts"] == {"new": 1}
    shifted = lists.stage("email,notes,unsubscribed\nbob@example.org,one,,2024-01-01\n")
    file = _mended(lists, shifted.number, lists.folder / "shifted-refused-3.csv", lambda row: row)
    assert lists.stage_file(file).counts["reasons"] == {"refused": {"did not ask for it": 1}}


@pytest.mark.parametrize(
    ("name", "text", "said", "becomes"),
    [
        ("people.csv", "email,status\nann at example,spam\n", Wish.WANTS, {"taken off": 1}),
        ("people.csv", "email,newsletter\nann at example,no\n", Wish.WANTS, {"taken off": 1}),
        ("people.csv", "email,status,consent\nann at example,happy,no\n", Wish.WANTS, {"taken off": 1}),
        ("people.csv", "email\nann at example\n", Wish.LEFT, {"taken off": 1}),
        ("people.csv", "email,status\nann at example,active\n", Wish.NOT_ASKED, {"refused": 1}),
        ("unsubscribed.csv", "email\nann at example\n", Wish.WANTS, {"taken off": 1}),
        ("people.csv", "email,date of birth\nann at example,1980\n", Wish.WANTS, {"refused": 1}),
        ("people.csv", "email,status,consent\nann at example,,\n", Wish.WANTS, {"refused": 1}),
    ],
)
def test_a_mended_address_raises_nobodys_consent(
    lists: Lists, name: str, text: str, said: Wish, becomes: dict[str, int]
) -> None:
    refused = lists.stage(text, wish=said, name=name)
    assert refused.counts["reasons"] == {"refused": {"not an address": 1}}
    file = _mended(lists, refused.number, lists.folder / "people-refused-1.csv", _with_address)
    assert lists.stage_file(file).counts["verdicts"] == becomes


def test_the_file_of_several_is_not_judged_by_the_name_of_the_first(lists: Lists) -> None:
    refused = lists.stage("email\nann at example\n")
    file = _mended(lists, refused.number, lists.folder / "unsubscribed-refused-1.csv", _with_address)
    assert lists.stage_file(file).counts["verdicts"] == {"new": 1}


def test_a_status_that_nobody_knows_is_mended_where_it_stands(lists: Lists) -> None:
    refused = lists.stage("email,status\nann@example.org,happy\n")

    def mend(row: Row) -> Row:
        assert row["status"] == "happy"
        return row | {"status": "subscribed"}

    file = _mended(lists, refused.number, lists.folder / "people-refused-1.csv", mend)
    assert lists.stage_file(file).counts["verdicts"] == {"new": 1}


def test_a_blank_status_is_silent_beside_a_yes_and_beside_nothing_else(tmp_path: Path) -> None:
    rows, _ = read_bytes(
        tmp_path,
        b"address,status,consent,language\nyes@example.org,,ja,de\nblank@example.org,,,de\nno@example.org,,nein,de\n"
        b"out@example.org,abgemeldet,ja,de\nnever@example.org,aktiv,,de\n",
    )
    assert wishes(rows) == {
        "yes@example.org": "wants it",
        "blank@example.org": "not asked",
        "no@example.org": "left",
        "out@example.org": "left",
        "never@example.org": "not asked",
    }
    assert (rows[0].verdict, rows[1].reason) == (Verdict.NEW, Reason.NOT_ASKED)


def test_what_is_written_of_refused_rows_is_read_again() -> None:
    assert [find_column(column.value) for column in REFUSED_COLUMNS] == list(REFUSED_COLUMNS)

"""Tables of text are read whatever wrote them, and a bad row costs itself and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import ImportRefused
from newsletter.subscriber_import.model import Reason, Verdict
from tests.subscriber_import.reading import read_bytes, read_files, wishes

TEXT = 'E-Mail{s}Straße{s}Status\nann@example.org{s}"1 Road\nTown"{s}yes\nbob@example.org{s}"a ""quoted"" cell"{s}no\n'
EXPECTED = {"ann@example.org": "wants it", "bob@example.org": "left"}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("windows-1252", b""),
    ],
)
def test_every_separator_line_end_and_encoding_is_found(
    tmp_path: Path, separator: str, end: str, encoding: str, mark: bytes
) -> None:
    text = TEXT.format(s=separator).replace("\n", end)
    rows, tables = read_bytes(tmp_path, mark + text.encode(encoding))
    assert wishes(rows) == EXPECTED
    assert tables[0].dropped == ("Straße",)


def test_excels_own_first_line_names_the_separator(tmp_path: Path) -> None:
    rows, _ = read_bytes(tmp_path, b'sep=|\r\nemail|status|a,b\r\nann@example.org|yes|"1|2"\r\n')
    assert wishes(rows) == {"ann@example.org": "wants it"}


def test_a_title_above_the_header_and_blank_rows_and_columns_are_passed_over(tmp_path: Path) -> None:
    content = b"Readers of the clinic,,,\n,,,\n\nemail,status,,\n,,,\nann@example.org,yes,,\n\n"
    rows, _ = read_bytes(tmp_path, content)
    assert [(row.row, row.line, row.address) for row in rows] == [(1, 6, "ann@example.org")]


def test_rows_that_are_too_short_or_too_long_cost_nobody_else(tmp_path: Path) -> None:
    content = (
        b"name,email,status\nAnn,ann@example.org,yes,,\nBob,bob@example.org\nCid,x,cid@example.org,yes\nDi\n"
        b"E,e@example.org,yes\n"
    )
    rows, _ = read_bytes(tmp_path, content)
    assert [(row.address, row.reason) for row in rows] == [
        ("ann@example.org", None),
        ("bob@example.org", Reason.NOT_ASKED),
        (None, Reason.TOO_LONG),
        (None, Reason.NO_ADDRESS),
        ("e@example.org", None),
    ]


@pytest.mark.parametrize("bad", ['"open@example.org,yes', '"x"y@example.org,yes', 'a@example.org,"', '"'])
def test_a_quotation_mark_in_the_wrong_place_costs_its_own_row_alone(tmp_path: Path, bad: str) -> None:
    lines = [
        "email,status",
        "a1@example.org,yes",
        bad,
        "b2@example.org,yes",
        '"c3@example.org",yes',
        "d4@example.org,no",
    ]
    rows, _ = read_bytes(tmp_path, "\n".join(lines).encode())
    good = {
        "a1@example.org": "wants it",
        "b2@example.org": "wants it",
        "c3@example.org": "wants it",
        "d4@example.org": "left",
    }
    assert wishes(rows).items() >= good.items()
    assert {row.line: row.reason for row in rows}[3] in (Reason.BROKEN, None)
    assert [row.line for row in rows if row.address == "d4@example.org"] == [6]


def test_nothing_of_a_broken_row_is_kept(tmp_path: Path) -> None:
    rows, _ = read_bytes(tmp_path, b'email,Diagnosis\n"x"y@example.org,a secret\n')
    assert rows[0].reason is Reason.BROKEN
    assert "secret" not in repr(rows)


def test_zeros_and_half_letters_are_refused_in_their_row_alone(tmp_path: Path) -> None:
    content = b"email\nann\0@example.org\nbob@example.org\n" + b"\xed\xa0\x80@example.org\n"
    rows, _ = read_bytes(tmp_path, content)
    assert [row.address for row in rows] == [None, "bob@example.org", None]
    assert all("\0" not in repr(row.cells) for row in rows)


def test_a_cell_of_a_column_that_is_not_read_may_be_long(tmp_path: Path) -> None:
    rows, _ = read_bytes(tmp_path, b"email,notes\nann@example.org," + b"x" * 200_000 + b"\nbob@example.org,\n")
    assert [row.address for row in rows] == ["ann@example.org", "bob@example.org"]


def test_a_line_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"people\.csv has a line of more than 1,000,000 letters: line 2"):
        read_bytes(tmp_path, b"email\n" + b"x" * 1_000_001)


def test_so_many_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="more than 1,000 columns"):
        read_bytes(tmp_path, b"email" + b",x" * 1_001 + b"\nann@example.org\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"name\nAnn\n", "no column of e-mail addresses"),
        (b"%PDF-1.7", "is not a table"),
        (b'{"email": "ann@example.org"}', "is a web page or JSON"),
        (b"<html>", "is a web page or JSON"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "of the old kind"),
    ],
)
def test_a_file_of_no_use_is_told_with_what_to_do(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(ImportRefused, match=told) as refused:
        read_bytes(tmp_path, content)
    assert "Nothing was imported." in str(refused.value)


CELLS = st.text(st.characters(exclude_characters="\r\n"), max_size=12)


@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6))
def test_no_content_is_answered_with_a_crash_and_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    file = tmp_path_factory.mktemp("any") / "people.csv"
    lines = [",".join(row) for row in rows]
    file.write_bytes("\n".join(["email,topics", *lines, "last@example.org"]).encode("utf-8", "replace"))
    found, _ = read_files(file)
    assert found[-1].address == "last@example.org" or found[-1].verdict is Verdict.REFUSED
    assert [row.row for row in found] == list(range(1, len(found) + 1))
    quoted = any('"' in line for line in lines)
    blank = sum(not line.replace(",", "").strip() for line in lines)
    assert quoted or len(found) == len(lines) + 1 - blank or any("\x85" in line or "\u2028" in line for line in lines)

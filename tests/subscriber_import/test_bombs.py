"""What would burst is refused with a sentence before it does, in little memory; nothing is unpacked onto the disk."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from newsletter.errors import ImportRefused
from tests.subscriber_import.reading import read_bytes, read_files, wishes

SHEET = "xl/worksheets/sheet1.xml"
XML = '<?xml version="1.0" encoding="UTF-8"?>'
SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
ADDRESS_ROW = '<row r="1"><c r="A1" t="inlineStr"><is><t>email</t></is></c></row>'


def workbook(**sheets: list[list[object]]) -> bytes:
    """A workbook as Excel would save it."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_part(content: bytes, **parts: bytes) -> bytes:
    """A workbook with some of its parts replaced; `sheet` is its first sheet."""
    names = {"sheet": SHEET, "styles": "xl/styles.xml"}
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        replaced = {names[name]: part for name, part in parts.items()}
        for member in old.namelist():
            new.writestr(member, replaced.get(member, old.read(member)))
    return out.getvalue()


def packed(*members: tuple[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def sheet_of(rows: str) -> bytes:
    """A workbook whose sheet has these rows."""
    return with_part(
        workbook(People=[["email"]]),
        sheet=f"{XML}<worksheet {SPACE}><sheetData>{ADDRESS_ROW}{rows}</sheetData></worksheet>".encode(),
    )


def test_a_workbook_is_read_sheet_by_sheet_as_it_was_last_shown(tmp_path: Path) -> None:
    content = workbook(
        Notes=[["just", "words"]],
        People=[
            ["My readers"],
            [],
            ["Name", "E-Mail", "Status"],
            ["Ann", "ann@example.org", "yes"],
            [None, None, None],
        ],
        Unsubscribed=[["email"], ["bob@example.org"], [12345]],
    )
    rows, tables = read_bytes(tmp_path, content, "people.xlsx")
    assert [(table.name, table.format) for table in tables] == [
        ("people.xlsx, sheet Notes", "not read"),
        ("people.xlsx, sheet People", "a list"),
        ("people.xlsx, sheet Unsubscribed", "a list"),
    ]
    assert wishes(rows) == {"ann@example.org": "wants it", "bob@example.org": "left"}
    assert [row.line for row in rows] == [4, 2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_file_with_the_name_of_a_workbook_is_read(tmp_path: Path, encoding: str) -> None:
    content = "email;name\nann@example.org;Müller\n".encode(encoding)
    rows, _ = read_bytes(tmp_path, content, "people.xlsx")
    assert wishes(rows) == {"ann@example.org": "wants it"}


def test_a_formula_is_not_run_and_a_date_is_a_time(tmp_path: Path) -> None:
    row = (
        '<row r="2"><c r="A2" t="str"><f>HYPERLINK("http://evil.example")</f><v>ann@example.org</v></c></row>'
        '<row r="3"><c r="A3"><f>1+1</f></c></row>'
    )
    rows, _ = read_bytes(tmp_path, sheet_of(row), "people.xlsx")
    assert [one.address for one in rows] == ["ann@example.org"]


def test_what_a_sheet_says_of_its_own_size_is_not_believed(tmp_path: Path) -> None:
    lie = '<dimension ref="A1:XFD1048576"/>'
    content = with_part(
        workbook(People=[["email"]]),
        sheet=(
            f"{XML}<worksheet {SPACE}>{lie}<sheetData>{ADDRESS_ROW}"
            '<row r="2"><c r="A2" t="inlineStr"><is><t>ann@example.org</t></is></c></row></sheetData></worksheet>'
        ).encode(),
    )
    rows, _ = read_bytes(tmp_path, content, "people.xlsx")
    assert [row.address for row in rows] == ["ann@example.org"]


def _nested() -> bytes:
    return packed(("people.csv", b"email\nann@example.org\n"), ("more.zip", packed(("x.csv", b"email\n"))))


def _encrypted() -> bytes:
    content = bytearray(packed(("people.csv", b"email\nann@example.org\n")))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + at
        content[place : place + 2] = struct.pack("<H", 1)
    return bytes(content)


def _of_deflate64() -> bytes:
    """As Windows packs large files: method 9, in the header of the file and in that of the directory."""
    content = bytearray(packed(("people.csv", b"email\nann@example.org\n")))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.index(mark) + offset, 9)
    return bytes(content)


def _lies() -> bytes:
    """An archive that says that 30 MB are 30 bytes."""
    content = bytearray(packed(("people.csv", b"email\n" + b"x@example.org\n" * 2_000_000)))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + at
        content[place : place + 4] = struct.pack("<I", 30)
    return bytes(content)


def _entities() -> bytes:
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    body = f"<!DOCTYPE x [<!ENTITY e0 'ha'>{bomb}]><worksheet {SPACE}><sheetData>{ADDRESS_ROW}"
    return with_part(
        workbook(People=[["email"]]),
        sheet=f'{XML}{body}<row r="2"><c r="A2" t="str"><v>&e9;</v></c></row></sheetData></worksheet>'.encode(),
    )


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zeros.zip": (lambda: packed(("people.csv", b"\0" * 50_000_000)), "far too large by unpacking"),
    "rows.zip": (lambda: packed(("people.csv", b"email\n" + b"\n" * 60_000_000)), "far too large by unpacking"),
    "zeros.csv.gz": (lambda: gzip.compress(b"email\n" + b"\n" * 60_000_000), "far too large by unpacking"),
    "lies.zip": (_lies, "is damaged, or is not all of it"),
    "nested.zip": (_nested, "has another archive in it, more.zip"),
    "encrypted.zip": (_encrypted, "is locked with a password"),
    "slip.zip": (lambda: packed(("../../people.csv", b"email\n")), "whose name leads elsewhere"),
    "absolute.zip": (lambda: packed(("/etc/people.csv", b"email\n")), "whose name leads elsewhere"),
    "many.zip": (lambda: packed(*((f"{n}.csv", b"") for n in range(20_001))), "has 20,001 files in it"),
    "none.zip": (lambda: packed(("readme.md", b"hello")), "has no CSV file in it"),
    "windows.zip": (_of_deflate64, "packed in a way that cannot be read here"),
    "cut.zip": (lambda: packed(("people.csv", os.urandom(5_000)))[:-40], "is damaged"),
    "cut.csv.gz": (lambda: gzip.compress(b"email\n" + os.urandom(9_000).hex().encode())[:-900], "is damaged"),
    "entities.xlsx": (_entities, "cannot be read as an Excel workbook"),
    "blank.xlsx": (lambda: sheet_of('<row r="1000000000"><c r="A1000000000"/></row>'), "millions of blank rows"),
    "far.xlsx": (
        lambda: sheet_of('<row r="2"><c r="ZZZZZZZ2" t="str"><v>x</v></c></row>'),
        "cannot be read as an Excel workbook",
    ),
    "cells.xlsx": (lambda: sheet_of(f"<row r='2'>{'<c/>' * 3_000_000}</row>"), "more in it than a list|far too large"),
    "styles.xlsx": (
        lambda: with_part(workbook(People=[["email"]]), styles=os.urandom(10_500_000).hex().encode()),
        "more in it than a list",
    ),
    "word.docx": (
        lambda: packed(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>")),
        "is a Word document",
    ),
    "bare.zip": (lambda: packed(("word/document.xml", b"<x/>")), "is a Word document"),
    "noise.docx": (lambda: os.urandom(5_000), "is a Word document"),
    "noise.xlsx": (lambda: b"\x01" + os.urandom(5_000), "is not an Excel workbook, or is damaged"),
    "spoilt.xlsx": (lambda: b"XX" + workbook(People=[["email"]])[2:], "is not an Excel workbook, or is damaged"),
    "cut.xlsx": (lambda: workbook(People=[["email"]])[:-200], "is damaged, or is not all of it"),
    "packed.xlsx": (lambda: packed(("people.csv", b"email\n")), "is not an Excel workbook, or is damaged"),
    "empty.xlsx": (lambda: b"", "is empty"),
    "calc.ods": (lambda: packed(("mimetype", b"application/vnd.oasis")), "is an OpenDocument file"),
    "broken.xlsx": (lambda: packed(("[Content_Types].xml", b"<x/>")), "cannot be read as an Excel workbook"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_burst_or_cannot_be_had_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    make, told = BOMBS[name]
    file = tmp_path / name
    file.write_bytes(make())
    tracemalloc.start()
    with pytest.raises(ImportRefused, match=told) as refused:
        read_files(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "Nothing was imported." in str(refused.value)
    assert most < 100_000_000, f"{most:,} bytes"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_thing_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "pipe"):
        with pytest.raises(ImportRefused, match="is not a file"):
            read_files(path)
    with pytest.raises(ImportRefused, match="is not there"):
        read_files(tmp_path / "none.csv")

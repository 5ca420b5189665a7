"""Excel workbooks (.xlsx), sheet by sheet, row by row; macros and formulas are not run, only what they last showed."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import BinaryIO

import openpyxl

from newsletter.errors import ImportRefused
from newsletter.subscriber_import.model import (
    MAX_BLANK_ROWS,
    MAX_COLUMNS,
    Record,
    Table,
    refuse,
)

MAX_STRINGS = 64_000_000
"""Bytes of the texts that all sheets share; they are kept in memory."""
MAX_STRING_COUNT = 2_000_000
MAX_PART = 20_000_000
"""Bytes of any other part, such as styles."""
MAX_ROW_BYTES = 8_000_000
"""Bytes of a sheet in which a row must end: a row is in memory as a whole. Excel's 65,530 links take 4 million."""
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_STRINGS = re.compile(r"xl/sharedstrings[^/]*\.xml", re.IGNORECASE)
_READ = (".xml", ".rels")
_CHUNK = 1 << 20


def read_sheets(file: BinaryIO, name: str) -> Iterator[Table]:
    """Every sheet that people see, as a table; raises ImportRefused for none, or one that would burst."""
    with _explained(name):
        with zipfile.ZipFile(file) as archive:
            _require_measure(archive, name)
        file.seek(0)
        with warnings.catch_warnings():
            # Of what it leaves out, such as pictures and rules for input.
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    for sheet in workbook.worksheets:
        if sheet.sheet_state == "visible":
            yield Table(f"{name}, sheet {sheet.title}", _read_rows(sheet, name))


def _read_rows(sheet: object, name: str) -> Iterator[Record]:
    with _explained(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What a sheet says of its own size may be wrong: then rows are made up, or left out.
        sheet.reset_dimensions()  # type: ignore[attr-defined]
        blank = 0
        rows = sheet.iter_rows(values_only=True)  # type: ignore[attr-defined]
        for number, values in enumerate(rows, 1):
            cells = [_as_text(value) for value in values[: MAX_COLUMNS + 1]]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                blank = 0
                yield Record(number, cells)
                continue
            blank += 1
            if blank > MAX_BLANK_ROWS:
                raise refuse(name, "has millions of blank rows.", "Delete them in Excel, and save it again.")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _require_measure(archive: zipfile.ZipFile, name: str) -> None:
    """Raise ImportRefused when what is in a workbook is too much to be taken into memory."""
    for member in archive.infolist():
        lower = member.filename.lower()
        if not lower.endswith(_READ):
            continue
        if _SHEET.fullmatch(lower):
            _require_short_rows(archive, member, name)
        elif _STRINGS.fullmatch(lower):
            if member.file_size > MAX_STRINGS or _count(archive, member, b"<si") > MAX_STRING_COUNT:
                raise _too_large(name)
        elif member.file_size > MAX_PART:
            raise _too_large(name)


def _require_short_rows(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    since = 0
    with archive.open(member) as sheet:
        tail = b""
        while chunk := sheet.read(_CHUNK):
            seen = tail + chunk
            if b"<!--" in seen or b"<![CDATA[" in seen:
                # Excel writes neither, and in them a row could seem to end that does not.
                raise refuse(name, "has comments in its XML.", "Open it in Excel, and save it again.")
            end = max(seen.rfind(b"row>"), seen.rfind(b"<row"))
            since = len(seen) - end if end >= 0 else since + len(chunk)
            if since > MAX_ROW_BYTES:
                raise _too_large(name)
            tail = seen[-8:]


def _count(archive: zipfile.ZipFile, member: zipfile.ZipInfo, mark: bytes) -> int:
    with archive.open(member) as part:
        return sum(chunk.count(mark) for chunk in iter(lambda: part.read(_CHUNK), b""))


def _too_large(name: str) -> Exception:
    return refuse(name, "has more in it than a list of readers can have.", "Save the list alone, as CSV.")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever openpyxl stumbles over in a damaged file into one sentence."""
    try:
        yield
    except ImportRefused:
        raise
    except Exception as error:
        # Of the disk, and not of openpyxl, which raises OSError without a number for a workbook without its parts.
        if isinstance(error, OSError) and error.errno:
            raise
        raise refuse(
            name, "cannot be read as an Excel workbook.", "Open it in Excel, and save it again or as CSV."
        ) from error

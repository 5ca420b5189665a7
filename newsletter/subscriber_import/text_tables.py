"""CSV and TSV as people's programs write them: encoding, separator and line ends are found, not asked for."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO

from newsletter.subscriber_import.columns import Column, find_column
from newsletter.subscriber_import.model import (
    MAX_BLANK_ROWS,
    MAX_CELL,
    Record,
    refuse,
)

SEPARATORS = ",;\t|"
LINES_LOOKED_AT = 20
"""Lines in which a header is looked for; some programs write a title above it."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?\s*')
"""Excel's own first line, which says what separates the cells."""

# Of the whole program: Python knows no limit for one reader. Other readers of CSV are only given more room by it.
csv.field_size_limit(MAX_CELL)


def read_text_records(open_again: Callable[[], BinaryIO], name: str) -> Iterator[Record]:
    """The records of a table of text, blank ones left out; `open_again` opens it from its beginning.

    A row whose quotation marks do not close loses itself and no other: the lines after it are read anew. Raises
    ImportRefused for what is no text, and for lines, cells or blank rows beyond all measure.
    """
    with open_again() as raw:
        encoding = find_encoding(raw, name)
    with open_again() as raw:
        text = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
        yield from _read_records(_Lines(text, name), name)


def find_encoding(raw: BinaryIO, name: str) -> str:
    """The encoding of a file: by its mark, by where its zeros stand (UTF-16), UTF-8 when all of it is, or Windows-1252.

    Raises ImportRefused for what is no text at all.
    """
    head = raw.read(4_096)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    _require_text(head, name)
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while head:
            decoder.decode(head)
            head = raw.read(1 << 20)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def _require_text(head: bytes, name: str) -> None:
    start = head.lstrip()[:16].lower()
    if not start:
        raise refuse(name, "is empty.", "Export the list again.")
    if start.startswith((b"%pdf", b"\x89png", b"\xff\xd8\xff", b"rar!", b"7z\xbc\xaf", b"{\\rtf")):
        raise refuse(name, "is not a table.", "Export the list as CSV or as an Excel workbook (.xlsx).")
    if start.startswith((b"<", b"{", b"[")):
        raise refuse(name, "is a web page or JSON, not a table.", "Export the list as CSV.")


class _Lines:
    """The lines of a text, their ends on them, with the power to read some again. Numbers count from 1."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self._again: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(MAX_CELL)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == MAX_CELL:
            raise refuse(
                self._name,
                f"has a line of more than {MAX_CELL:,} letters: line {self.number}.",
                "Is it the right file? Export the list as CSV again.",
            )
        self.taken.append(line)
        return line

    def give_back(self, keep: int) -> None:
        """Take back what was taken, but for so many lines at its beginning."""
        back = self.taken[keep:]
        self._again.extendleft(reversed(back))
        self.number -= len(back)
        del self.taken[keep:]


def _read_records(lines: _Lines, name: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=_find_separator(lines), strict=True)
    blank = 0
    while True:
        first = lines.number + 1
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # The marks of this line are wrong. What was swallowed while its end was looked for is read again.
            lines.give_back(1)
            yield Record(first, lines.taken[:], whole=False)
            continue
        if not cells or (not cells[0] and not any(cells)):
            blank += 1
            if blank > MAX_BLANK_ROWS:
                raise refuse(name, "has millions of blank rows.", "Delete them, and save it again.")
            continue
        blank = 0
        yield Record(first, cells)


def _find_separator(lines: _Lines) -> str:
    """The separator by which a header with an address comes out, and of several the one with most columns."""
    for _ in range(LINES_LOOKED_AT):
        if next(lines, None) is None:
            break
    head = lines.taken[:]
    named = _NAMED_SEPARATOR.fullmatch(head[0]) if head else None
    if named:
        lines.give_back(1)
        return named[1]
    lines.give_back(0)

    def columns(separator: str) -> tuple[bool, int]:
        rows = list(csv.reader(head, delimiter=separator))
        headers = [row for row in rows if any(find_column(title) is Column.ADDRESS for title in row)]
        return bool(headers), max((len(row) for row in headers or rows), default=0)

    return max(SEPARATORS, key=columns)

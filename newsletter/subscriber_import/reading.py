"""From files to rows of an import, one after the other, with what is read of each table; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from newsletter.errors import ImportRefused
from newsletter.subscriber_import.files import read_tables
from newsletter.subscriber_import.layout import Layout, lay_out
from newsletter.subscriber_import.model import (
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_TABLES,
    Record,
    StagedRow,
    Table,
    TableUse,
    Wish,
    refuse,
)
from newsletter.subscriber_import.rows import RowReader, Terms

HEADER_WITHIN = 10
"""Rows in which a header is looked for: some programs write a title above it."""
NOT_READ = "not read"
"""The format of a table that has no column of addresses."""


class Reading:
    """Files on their way to rows; `tables` grows as they are read, with what was used of each."""

    def __init__(self, files: Sequence[Path], terms: Terms, now: datetime, wish: Wish = Wish.WANTS) -> None:
        self._files = files
        self._terms = terms
        self._now = now
        self._wish = wish
        self.tables: list[TableUse] = []

    def rows(self) -> Iterator[StagedRow]:
        """Every row that is not blank, counted from 1; raises ImportRefused when no table has a column of addresses."""
        number = 0
        for table in chain.from_iterable(map(read_tables, self._files)):
            if len(self.tables) == MAX_TABLES:
                raise refuse(
                    table.name, f"is one of more than {MAX_TABLES} tables.", "Import them one after the other."
                )
            layout = find_layout(table, self._wish)
            if layout is None:
                self.tables.append(TableUse(table.name, NOT_READ, Wish.NOT_ASKED))
                continue
            self.tables.append(layout.use)
            reader = RowReader(layout, len(self.tables) - 1, self._terms, self._now)
            for record in table.records:
                row = reader.read(number + 1, record)
                if row is None:
                    continue
                number += 1
                if number > MAX_ROWS:
                    raise refuse(table.name, f"has more than {MAX_ROWS:,} rows.", "Divide the list into several.")
                yield row
        if all(table.format == NOT_READ for table in self.tables):
            raise ImportRefused(
                f"{', '.join(file.name for file in self._files)}: there is no column of e-mail addresses. Nothing was "
                "imported. Name the columns in the first row, such as email, language."
            )


def find_layout(table: Table, wish: Wish) -> Layout | None:
    """How a table is read, by its header, which may stand below a title; its records begin behind it then."""
    for record in _first(table.records, HEADER_WITHIN):
        if len(record.cells) > MAX_COLUMNS:
            raise refuse(table.name, f"has more than {MAX_COLUMNS:,} columns.", "Is it the list of readers?")
        if layout := lay_out(record.cells, table.name, wish):
            return layout
    return None


def _first(records: Iterator[Record], count: int) -> Iterator[Record]:
    for _ in range(count):
        record = next(records, None)
        if record is None:
            return
        yield record

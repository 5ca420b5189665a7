"""One row of a table, read by its layout: what is kept of it, and what it comes to as far as the file can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial

from newsletter.subscriber_import.cells import clean, read_address
from newsletter.subscriber_import.choices import find_language, find_topics
from newsletter.subscriber_import.columns import Column
from newsletter.subscriber_import.layout import TELLS_WISH, Layout
from newsletter.subscriber_import.model import (
    REFUSALS,
    Doubt,
    Reason,
    Record,
    StagedRow,
    Verdict,
    Wish,
    strongest,
)
from newsletter.subscriber_import.words import is_yes, read_status, read_time, says_nothing
from newsletter.subscribers.address import address_hash, address_key

LONGEST_NOTE = 200
LONGEST_CELL_KEPT = 320
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Terms:
    """What rows are read against: the clinic's language for who names none, `choices.spell_topics`, the hashing key."""

    language: str
    topics: Mapping[str, str]
    suppression_key: str


class RowReader:
    """Reads the rows of one table; `table` is its place in the import, from 0."""

    def __init__(self, layout: Layout, table: int, terms: Terms, now: datetime) -> None:
        self._layout = layout
        self._table = table
        self._terms = terms
        self._now = now
        self._wishes = [(index, _READERS[column], column) for index, column in layout.columns if column in TELLS_WISH]
        self._agreed = [index for index, column in layout.columns if column is Column.AGREED]
        self._address = layout.place(Column.ADDRESS)
        self._language = layout.place(Column.LANGUAGE)
        self._topics = layout.place(Column.TOPICS)
        # Many people have chosen the same.
        self._find_topics = lru_cache(4_096)(partial(find_topics, spelled=terms.topics))
        self._text_only = layout.place(Column.TEXT_ONLY)
        times = (Column.CONFIRMED_AT, Column.GIVEN_AT)
        self._given_at = [place for column in times if (place := layout.place(column)) is not None]
        self._refused_at = layout.place(Column.REFUSED_AT)

    def read(self, number: int, record: Record) -> StagedRow | None:
        """The row of a record, under its number in the import; None for a blank one."""
        cells = list(record.cells)
        width = self._layout.width
        if not record.whole:
            # The line itself is not kept: nobody knows which of its cells is which.
            return self._refused(number, record, Reason.BROKEN)
        if len(cells) < width:
            cells += [""] * (width - len(cells))
        elif any(cell.strip() for cell in cells[width:]):
            return self._refused(number, record, Reason.TOO_LONG, note=f"{len(cells)} values, {width} columns")
        assert self._address is not None
        found = read_address(cells[self._address])
        if found.address is None:
            if found.reason is Reason.NO_ADDRESS and not any(cell.strip() for cell in cells):
                return None
            return self._refused(number, record, found.reason or Reason.NO_EMAIL, wish=self._read_wish(cells)[0])
        wish, unknown = self._read_wish(cells)
        doubts = [(found.doubt, found.note)] if found.doubt else []
        topics: list[str] = []
        language = self._terms.language
        if wish is Wish.WANTS:
            if self._topics is not None:
                chosen, unheard = self._find_topics(cells[self._topics])
                if unheard:
                    return self._refused(
                        number, record, Reason.UNKNOWN_TOPIC, wish=wish, note=printable("; ".join(unheard))
                    )
                topics = sorted(chosen)
            if self._language is not None and (text := cells[self._language].strip()):
                if known := find_language(text, self._terms.language):
                    language = known
                else:
                    doubts.append((Doubt.LANGUAGE, f"{Doubt.LANGUAGE}: {printable(text)}"))
        given_at, unreadable = self._read_when(cells, wish)
        if unreadable:
            doubts.append((Doubt.TIME, f"{Doubt.TIME}: {printable(unreadable)}"))
        verdict, reason = _judge(wish)
        key = address_key(found.address)
        return StagedRow(
            number,
            self._table,
            record.line,
            found.address,
            key,
            address_hash(found.address, self._terms.suppression_key),
            wish,
            verdict,
            Reason.UNKNOWN_STATUS if unknown else reason,
            printable(unknown) if unknown else "; ".join(note or doubt.value for doubt, note in doubts),
            doubts[0][0] if doubts else None,
            language,
            topics or None,
            self._text_only is not None and is_yes(cells[self._text_only]),
            given_at,
            self.cells_read(cells) if reason else None,
        )

    def cells_read(self, cells: list[str]) -> Mapping[str, str]:
        """The cells that are read, by what they tell, cut short and without what cannot be shown."""
        kept: dict[str, str] = {}
        for index, column in self._layout.columns:
            if index < len(cells) and (text := printable(cells[index])):
                kept.setdefault(column.value, text)
        return kept

    def _read_wish(self, cells: list[str]) -> tuple[Wish, str]:
        """What the row says beside its table, and the word that nobody knows, which counts as not asked.

        A blank status says nothing beside a consent that is a yes.
        """
        wish, unknown = self._layout.wish, ""
        for index, read, column in self._wishes:
            text = cells[index].strip()
            if not text and column is Column.STATUS and any(is_yes(cells[place]) for place in self._agreed):
                continue
            said = read(text)
            if said is None:
                said, unknown = Wish.NOT_ASKED, cells[index]
            if said is not wish:
                wish = strongest(wish, said)
        return wish, unknown if wish is Wish.NOT_ASKED else ""

    def _read_when(self, cells: list[str], wish: Wish) -> tuple[datetime | None, str]:
        """When it was said, by the file; and the text of a time that cannot be read, or is yet to come."""
        places = self._given_at if wish not in REFUSALS else [self._refused_at] if self._refused_at is not None else []
        for place in places:
            text = cells[place].strip()
            if not text:
                continue
            instant = read_time(text)
            if instant is None or instant > self._now:
                return None, text
            return instant, ""
        return None, ""

    def _wish_of_table(self) -> Wish:
        """What is known of a row whose cells are not in their places: no yes where a column would have to say it."""
        return strongest(self._layout.wish, Wish.NOT_ASKED) if self._wishes else self._layout.wish

    def _refused(
        self, number: int, record: Record, reason: Reason, *, wish: Wish | None = None, note: str = ""
    ) -> StagedRow:
        """A row that cannot be used; `wish` is what it says, where its cells are in their places."""
        cells = self.cells_read(list(record.cells)) if record.whole else None
        return StagedRow(
            number,
            self._table,
            record.line,
            None,
            None,
            None,
            wish or self._wish_of_table(),
            Verdict.REFUSED,
            reason,
            note[:LONGEST_NOTE],
            cells=cells,
        )


def printable(text: str) -> str:
    """A text that every database takes and every terminal shows: no control characters, not too long."""
    return _UNPRINTABLE.sub("\ufffd", clean(text[: LONGEST_NOTE * 10]))[:LONGEST_CELL_KEPT]


def _judge(wish: Wish) -> tuple[Verdict, Reason | None]:
    if wish is Wish.WANTS:
        return Verdict.NEW, None
    if wish is Wish.NOT_ASKED:
        return Verdict.REFUSED, Reason.NOT_ASKED
    return Verdict.TAKEN_OFF, None


def _flag(wish: Wish) -> Callable[[str], Wish | None]:
    return lambda text: Wish.WANTS if says_nothing(text) else wish


_READERS: Mapping[Column, Callable[[str], Wish | None]] = {
    Column.STATUS: read_status,
    Column.SUPPRESSED_BECAUSE: lambda text: read_status(text) if text else Wish.WANTS,
    Column.AGREED: read_status,
    Column.REFUSED: _flag(Wish.LEFT),
    Column.BOUNCED: _flag(Wish.BOUNCED),
    Column.COMPLAINED: _flag(Wish.COMPLAINED),
}

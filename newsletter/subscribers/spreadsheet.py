"""A CSV file of people as values: rows and their faults, nothing written.

The first line names the columns: `address` (or `email`), and if wanted `language`, `topics` (apart by `;` or spaces)
and `text_only` (yes or no). Other columns are not read and are named, so that no names or notes come in by accident.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass

from newsletter.errors import Fault
from newsletter.staff_files import FileFaults, decode_text, read_language
from newsletter.subscribers.address import AddressRefused, address_key, check_address
from newsletter.subscribers.model import NewSubscriber

_COLUMNS = {"address": "address", "email": "address", "e-mail": "address"} | {
    name: name for name in ("language", "topics", "text_only")
}
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Sheet:
    """What a file says: the people in it, each once, all that is wrong with it, and the columns that were not read."""

    people: tuple[NewSubscriber, ...]
    faults: tuple[Fault, ...]
    dropped: tuple[str, ...] = ()


def read_sheet(content: bytes, name: str, *, language: str, topics: Collection[str]) -> Sheet:
    """The people in a CSV file; `language` is for rows that name none, `topics` are the ids there are."""
    try:
        text = decode_text(content, name)
    except FileFaults as error:
        return Sheet((), tuple(error.faults))
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        return _read_rows(rows, name, language, topics)
    except csv.Error as error:
        return Sheet((), (Fault(name, rows.line_num, "", f"is not a CSV file: {error}.", "Save it as CSV again."),))


def _read_rows(rows: csv._reader, name: str, language: str, topics: Collection[str]) -> Sheet:  # type: ignore[name-defined]
    titles = [title.strip().lower() for title in next(rows, [])]
    columns = [_COLUMNS.get(title) for title in titles]
    if "address" not in columns:
        problem = "has no column `address`." if any(titles) else "is empty."
        return Sheet(
            (), (Fault(name, 1, "", problem, "Name the columns in the first line, such as address,language."),)
        )
    dropped = tuple(title for title, column in zip(titles, columns, strict=True) if column is None and title)
    kept = [column for column in columns if column]
    if len(set(kept)) < len(kept):
        return Sheet((), (Fault(name, 1, "", "names one column twice.", "Keep one of them."),))
    people: dict[str, NewSubscriber] = {}
    faults: list[Fault] = []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = rows.line_num
        if len(row) != len(columns):
            faults.append(
                Fault(
                    name, line, "", f"has {len(row)} values for {len(columns)} columns.", "Check its commas and quotes."
                )
            )
            continue
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=True) if column}
        chosen = tuple(cells.get("topics", "").replace(";", " ").split())
        try:
            address = check_address(cells["address"])
        except AddressRefused as error:
            faults.append(Fault(name, line, "address", str(error), "Mend or remove the line."))
            continue
        unknown = [topic for topic in chosen if topic not in topics]
        if unknown:
            there = ", ".join(topics) or "none; write subscribers/topics.yaml"
            faults.append(Fault(name, line, "topics", f"`{unknown[0]}` is not a topic.", f"Topics: {there}."))
            continue
        text_only = _YES_OR_NO.get(cells.get("text_only", "").lower())
        if text_only is None:
            faults.append(
                Fault(name, line, "text_only", f"`{cells['text_only']}` is neither yes nor no.", "Write yes or no.")
            )
            continue
        try:
            reads = read_language(cells.get("language") or language)
        except ValueError as error:
            problem, _, remedy = str(error).partition(" | ")
            faults.append(Fault(name, line, "language", problem, remedy))
            continue
        person = NewSubscriber(address, reads, chosen, text_only)
        people.setdefault(address_key(address), person)
    return Sheet(tuple(people.values()), tuple(faults), dropped)

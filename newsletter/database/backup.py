"""All rows of a database as one file, from either kind of database and into either.

The file is gzip around lines of JSON: a head, then for each table its name and columns and one line for each row, and
at the end how many rows there are and the SHA-256 of all that stands before. Rows are streamed, so that memory stays
the same whatever their number. Tables are read from the database itself, so an older one can be kept as it is.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Date,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    func,
    insert,
    select,
    text,
)
from sqlalchemy import inspect as inspect_database

from newsletter.database.schema import VERSION_TABLE, read_step
from newsletter.database.session import Database
from newsletter.errors import Refused

FORMAT = 1
ROWS_AT_ONCE = 2_000
"""Rows that are read and written at once."""

Row = Sequence[Any]


@dataclass(frozen=True)
class Contents:
    """What a backup holds: when it was made, at which step of the tables, and how many rows of each table."""

    made_at: datetime
    step: str
    rows: Mapping[str, int]


@dataclass(frozen=True)
class TableHead:
    """A table's name and columns, and how far its numbers have been given out (0 where they are not counted)."""

    table: str
    columns: tuple[str, ...]
    counted_to: int


def write_backup(database: Database, target: Path, now: datetime) -> Contents:
    """Write all rows as they are at this instant into a new file, while others go on; raises Refused when it is there.

    The file has its name only when it is whole, and only its owner may read it.
    """
    with database.snapshot() as session, _new_file(target) as raw:
        connection = session.connection()
        step = read_step(connection)
        rows: dict[str, int] = {}
        digest = hashlib.sha256()
        with gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0) as packed:

            def put(value: Any) -> None:
                line = orjson.dumps(value, default=_as_text, option=orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE)
                digest.update(line)
                packed.write(line)

            put({"newsletter_backup": FORMAT, "made_at": now, "step": step})
            for table in list_tables(connection):
                head = read_head(connection, table)
                put({"table": head.table, "columns": head.columns, "counted_to": head.counted_to})
                rows[head.table] = 0
                for row in read_rows(connection, table):
                    put(tuple(row))
                    rows[head.table] += 1
            packed.write(orjson.dumps({"rows": rows, "sha256": digest.hexdigest()}) + b"\n")
    return Contents(now, step, rows)


def check_backup(file: Path) -> Contents:
    """Read a backup to its end and compare its checksum and its counts; raises Refused when it is not whole."""
    try:
        head, end, counted, digest = _read_through(file)
        whole = end["sha256"] == digest and end["rows"] == counted
        contents = Contents(datetime.fromisoformat(head["made_at"]), str(head["step"]), counted)
        known = head["newsletter_backup"] == FORMAT
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{file} is not a backup of the newsletter, or not all of it. Take another one.") from None
    if not whole:
        raise Refused(f"{file} is damaged: its checksum does not fit. Take another one.")
    if not known:
        raise Refused(f"{file} was made by a newer version of this program. Use that version to restore it.")
    return contents


def _read_through(file: Path) -> tuple[Any, Any, dict[str, int], str]:
    """The head and the end of a backup, the rows of each table, and the SHA-256 of all but the end."""
    digest = hashlib.sha256()
    counted: dict[str, int] = {}
    lines = _lines(file)
    first = last = next(lines, b"")
    table = ""
    for line in lines:
        digest.update(last)
        if line.startswith(b"["):
            counted[table] += 1
        elif b"table" in line[:10]:
            table = orjson.loads(line)["table"]
            counted[table] = 0
        last = line
    return orjson.loads(first), orjson.loads(last), counted, digest.hexdigest()


def load_backup(connection: Connection, file: Path) -> None:
    """Put every row of a checked backup into tables of the same step, in the caller's transaction."""
    lines = _lines(file)
    next(lines)
    head: TableHead | None = None
    waiting: list[Row] = []
    tables = {table.name: table for table in list_tables(connection)}
    for line in lines:
        value = orjson.loads(line)
        if isinstance(value, list):
            waiting.append(value)
        if head is not None and (isinstance(value, dict) or len(waiting) == ROWS_AT_ONCE):
            load_rows(connection, tables[head.table], head, waiting)
            waiting = []
        if isinstance(value, dict) and "table" in value:
            head = TableHead(value["table"], tuple(value["columns"]), value["counted_to"])
            count_on_from(connection, tables[head.table], head.counted_to)


def list_tables(connection: Connection) -> list[Table]:
    """The newsletter's tables as the database has them, each after those that it refers to.

    What the job queue keeps is left out: its jobs only wake, and are made anew from the rows.
    """
    names = inspect_database(connection).get_table_names()
    ours = [name for name in names if name != VERSION_TABLE and not name.startswith("procrastinate")]
    metadata = MetaData()
    metadata.reflect(connection, only=ours)
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return metadata.sorted_tables


def read_head(connection: Connection, table: Table) -> TableHead:
    """The columns of a table, and the highest number that it has given out."""
    return TableHead(
        str(table.name), tuple(str(column.name) for column in table.columns), _counted_to(connection, table)
    )


def read_rows(connection: Connection, table: Table) -> Iterator[Row]:
    """Every row of a table, some at a time."""
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(*table.columns))
    yield from found


def load_rows(connection: Connection, table: Table, head: TableHead, rows: Iterable[Row]) -> int:
    """Put rows into a table, some at a time; values may come as they stand in a backup. Gives how many there were."""
    naive = connection.dialect.name == "sqlite"
    readers = [_reader(table.columns[name], naive=naive) for name in head.columns]
    values = (
        {
            name: reader(value) if reader and value is not None else value
            for name, reader, value in zip(head.columns, readers, row, strict=True)
        }
        for row in rows
    )
    loaded = 0
    while some := list(islice(values, ROWS_AT_ONCE)):
        connection.execute(insert(table), some)
        loaded += len(some)
    return loaded


def count_on_from(connection: Connection, table: Table, number: int) -> None:
    """Let a table never give out again a number that it has given out before."""
    if not number:
        return
    if connection.dialect.name == "postgresql":
        if sequence := _sequence(connection, table):
            connection.execute(text("SELECT setval(:sequence, :number)"), {"sequence": sequence, "number": number})
    elif _counts_for_ever(connection, table):
        there = {"table": table.name, "number": number}
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), there)
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"), there)


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        str(table.name): connection.scalar(select(func.count()).select_from(table)) or 0
        for table in list_tables(connection)
    }


def _counted_to(connection: Connection, table: Table) -> int:
    if connection.dialect.name == "postgresql":
        if sequence := _sequence(connection, table):
            asked = text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608 - its own name
            return connection.scalar(asked) or 0
    elif _counts_for_ever(connection, table):
        given = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
        return connection.scalar(given, {"table": table.name}) or 0
    key = list(table.primary_key.columns)
    if len(key) == 1 and key[0].type.python_type is int:
        return connection.scalar(select(func.max(key[0]))) or 0
    return 0


def _sequence(connection: Connection, table: Table) -> str | None:
    key = list(table.primary_key.columns)
    if len(key) != 1:
        return None
    asked = text("SELECT pg_get_serial_sequence(:table, :column)")
    found: str | None = connection.scalar(asked, {"table": f'"{table.name}"', "column": key[0].name})
    return found


def _counts_for_ever(connection: Connection, table: Table) -> bool:
    made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table.name})
    return "AUTOINCREMENT" in (made or "")


def _as_text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(type(value).__name__)


def _reader(column: Column[Any], *, naive: bool) -> Callable[[Any], Any] | None:
    """What turns a value of a backup into one for the column; None where it is one already."""
    if isinstance(column.type, LargeBinary):
        return lambda value: base64.b64decode(value) if isinstance(value, str) else value
    if isinstance(column.type, DateTime):
        return lambda value: _instant(value, naive=naive)
    if isinstance(column.type, Date):
        return lambda value: date.fromisoformat(value) if isinstance(value, str) else value
    return None


def _instant(value: str | datetime, *, naive: bool) -> datetime:
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    return instant.replace(tzinfo=None) if naive else instant


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file, "rb") as packed:
            yield from packed
    except FileNotFoundError:
        raise Refused(f"{file} is not there. Check its name.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Refused(f"{file} is not a backup of the newsletter, or not all of it. Take another one.") from None
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror}). Check its name.") from None


@contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    if target.exists():
        raise Refused(f"{target} is there already; nothing was changed. Name another file.")
    if not target.parent.is_dir():
        raise Refused(f"The folder {target.parent} is not there. Make it, or name another.")
    part = target.with_name(f".{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            yield raw
            raw.flush()
            os.fsync(raw.fileno())
        part.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()

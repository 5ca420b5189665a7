"""How tables are declared: names of keys, time, words of a fixed set, and inserts that may come twice."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, Enum, FromClause, Integer, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

# Named keys, so that a later migration can find them on both databases.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Serial = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit whole number; SQLite counts up only a column that is called INTEGER, which has 64 bits there too."""


class Base(DeclarativeBase):
    """What every table is declared on."""

    metadata = MetaData(naming_convention=NAMES)


class Instant(TypeDecorator[datetime]):
    """An instant: aware going in and coming out, UTC in the row; raises ValueError for a time without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The instant in UTC, without a zone where the database knows none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; rows keep instants. Pass an aware datetime.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The instant as an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def words(kind: type[StrEnum], *, checked: bool = True) -> Enum:
    """A column that holds one word of a fixed set, as text with a check, so that rows can be read without us.

    Without `checked` the check is another's to make: see `is_one_of`.
    """
    return Enum(
        kind,
        native_enum=False,
        create_constraint=checked,
        length=20,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


def is_one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """The check of `words` for a table of a million rows.

    It is written as ORs: for an IN of nine words SQLite takes as long as for all the rest of changing a row.
    """
    return CheckConstraint(" OR ".join(f"{column} = '{word.value}'" for word in kind), name=kind.__name__.lower())


def table_of(rows: type[Base]) -> Table:
    """The table of a class of rows, for statements that are to go past the session's own bookkeeping."""
    table: FromClause = rows.__table__
    assert isinstance(table, Table)
    return table


def insert_or_skip(session: Session, table: type[Base]) -> Any:
    """An INSERT into a table that leaves a row with the same key as it is."""
    target = table_of(table)
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(target).on_conflict_do_nothing()
    return postgresql.insert(target).on_conflict_do_nothing()

"""Rows of imports: each import for good, what was read of its files only until it can no longer be undone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, is_one_of, words
from newsletter.subscriber_import.model import Doubt, ImportState, Reason, Verdict, Wish


class Import(Base):
    """One import. `tables` says what is read of each table, `counts` what the dry run found, `outcome` what was done.

    `done_up_to` is the last row that was applied, or undone, when it is under way.
    """

    __tablename__ = "import"
    # The numbers stand in the record of consent and must never come again.
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    state: Mapped[ImportState] = mapped_column(words(ImportState), index=True)
    files: Mapped[str] = mapped_column(Text)
    consent_source: Mapped[str] = mapped_column(Text)
    controller: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(Text)
    tables: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
    outcome: Mapped[dict[str, int]] = mapped_column(JSON)
    rows: Mapped[int]
    done_up_to: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Instant)
    shown_at: Mapped[datetime | None] = mapped_column(Instant)
    applied_at: Mapped[datetime | None] = mapped_column(Instant)
    undone_at: Mapped[datetime | None] = mapped_column(Instant)


class ImportRow(Base):
    """One row of an import, until it can no longer be undone; see `model.StagedRow`.

    `subscriber` is whom it added. The address goes when the row has been applied.
    """

    __tablename__ = "import_row"
    __table_args__ = (
        is_one_of("wish", Wish),
        is_one_of("verdict", Verdict),
        is_one_of("reason", Reason),
        is_one_of("doubt", Doubt),
        {"sqlite_with_rowid": False},
    )

    import_number: Mapped[int] = mapped_column(ForeignKey("import.number"), primary_key=True)
    row: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=False)
    table: Mapped[int]
    line: Mapped[int] = mapped_column(Serial)
    address: Mapped[str | None] = mapped_column(Text)
    address_key: Mapped[str | None] = mapped_column(Text)
    address_hash: Mapped[str | None] = mapped_column(Text)
    wish: Mapped[Wish] = mapped_column(words(Wish, checked=False))
    verdict: Mapped[Verdict] = mapped_column(words(Verdict, checked=False))
    reason: Mapped[Reason | None] = mapped_column(words(Reason, checked=False))
    note: Mapped[str] = mapped_column(Text)
    doubt: Mapped[Doubt | None] = mapped_column(words(Doubt, checked=False))
    language: Mapped[str] = mapped_column(Text)
    topics: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    text_only: Mapped[bool]
    given_at: Mapped[datetime | None] = mapped_column(Instant)
    cells: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    subscriber: Mapped[int | None] = mapped_column(Serial)

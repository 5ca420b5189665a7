"""Questions about imports; nothing is changed here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import NotFound
from newsletter.subscriber_import.model import KEPT_DAYS, Counts, ImportState, Verdict
from newsletter.subscriber_import.tables import Import, ImportRow


def get_import(session: Session, number: int) -> Import:
    """An import by its number; raises NotFound."""
    found = session.get(Import, number, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no import {number}. See them all: newsletter subscribers imports")
    return found


def list_imports(session: Session) -> Sequence[Import]:
    """Every import, the newest first."""
    return session.scalars(select(Import).order_by(Import.number.desc())).all()


def count_rows(session: Session, number: int) -> Counts:
    """How many rows of an import there are of each kind; every row once."""
    counts = Counts()
    rows = select(ImportRow.verdict, ImportRow.reason, func.count()).where(ImportRow.import_number == number)
    for verdict, reason, count in session.execute(rows.group_by(ImportRow.verdict, ImportRow.reason)):
        counts.rows += count
        counts.verdicts[verdict.value] = counts.verdicts.get(verdict.value, 0) + count
        if reason:
            counts.reasons.setdefault(verdict.value, {})[reason.value] = count
    used = Verdict.NEW, Verdict.TAKEN_OFF
    doubts = select(ImportRow.doubt, func.count()).where(
        ImportRow.import_number == number, ImportRow.doubt.is_not(None), ImportRow.verdict.in_(used)
    )
    counts.doubts = {doubt.value: count for doubt, count in session.execute(doubts.group_by(ImportRow.doubt)) if doubt}
    return counts


def list_rows(
    session: Session,
    number: int,
    *,
    verdicts: Collection[Verdict] = (),
    doubtful: bool = False,
    limit: int | None = None,
) -> Iterator[ImportRow]:
    """The rows of an import in their order, some at a time: of some verdicts, or those that are new and doubtful."""
    statement = select(ImportRow).where(ImportRow.import_number == number).order_by(ImportRow.row).limit(limit)
    if verdicts:
        statement = statement.where(ImportRow.verdict.in_(verdicts))
    if doubtful:
        statement = statement.where(ImportRow.verdict == Verdict.NEW, ImportRow.doubt.is_not(None))
    yield from session.scalars(statement.execution_options(yield_per=1_000))


def find_lapsed(session: Session, now: datetime) -> Sequence[int]:
    """The imports that nobody has applied in the days for which their rows are kept."""
    lapsed = select(Import.number).where(
        Import.state.in_((ImportState.READING, ImportState.SHOWN)), Import.started_at < now - timedelta(days=KEPT_DAYS)
    )
    return session.scalars(lapsed).all()


def find_with_old_rows(session: Session, now: datetime) -> Sequence[int]:
    """The imports whose rows serve nothing any more: lapsed, undone, or applied too long ago to be undone."""
    old = (Import.state == ImportState.APPLIED) & (Import.applied_at < now - timedelta(days=KEPT_DAYS))
    over = Import.state.in_((ImportState.LAPSED, ImportState.UNDONE)) | old
    has_rows = select(ImportRow.row).where(ImportRow.import_number == Import.number).limit(1).exists()
    return session.scalars(select(Import.number).where(over, has_rows)).all()

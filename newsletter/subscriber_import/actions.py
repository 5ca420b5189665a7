"""The only writers of imports: each step is one transaction, which its caller opens.

A step names the state that it starts from and the row up to which was done before, so that two who do the same, or one
who was killed and comes again, do nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.errors import Refused
from newsletter.subscriber_import import statements
from newsletter.subscriber_import.model import ALLOWED_MOVES, KEPT_DAYS, ImportState, StagedRow, TableUse, Verdict
from newsletter.subscriber_import.queries import count_rows, get_import
from newsletter.subscriber_import.statements import Stretch
from newsletter.subscriber_import.tables import Import, ImportRow
from newsletter.subscribers.actions import require_consent_source

PART = 20_000
"""Rows of one transaction: it holds the database for half a second or less."""


def begin(
    session: Session, files: Sequence[str], *, consent_source: str, controller: str, actor: Actor, now: datetime
) -> int:
    """Begin an import; gives its number. `consent_source` says where these people agreed; raises Refused without it."""
    require_consent_source(consent_source)
    row = Import(
        state=ImportState.READING,
        files=without_addresses(", ".join(files)),
        consent_source=without_addresses(consent_source.strip()),
        controller=controller,
        by=actor.who,
        tables=[],
        counts={},
        outcome={},
        rows=0,
        done_up_to=0,
        started_at=now,
    )
    session.add(row)
    session.flush()
    return row.number


def keep_rows(session: Session, number: int, rows: list[StagedRow]) -> None:
    """Keep the next rows that were read."""
    statements.add_rows(session, number, rows)
    _change(session, number, {ImportState.READING}, rows=rows[-1].row)


def merge(session: Session, number: int, rows: Sequence[int]) -> None:
    """Say of rows that `statements.find_to_merge` gave that another one has the same address and counts."""
    statements.merge(session, number, rows)


def judge(session: Session, number: int, after: int) -> None:
    """Compare the rows behind one with who is here."""
    statements.judge(session, Stretch(number, after, after + PART))


def show(session: Session, number: int, tables: Sequence[TableUse], *, actor: Actor, now: datetime) -> Import:
    """End the dry run: what would happen is counted, and from now on the import may be applied."""
    counts = count_rows(session, number)
    _change(
        session,
        number,
        {ImportState.READING},
        state=ImportState.SHOWN,
        shown_at=now,
        tables=[asdict(table) for table in tables],
        counts=asdict(counts),
    )
    told: dict[str, Any] = {verdict.replace(" ", "_"): count for verdict, count in counts.verdicts.items()}
    record(session, actor, now, "import shown", f"import:{number}", rows=counts.rows, **told)
    return get_import(session, number)


def begin_applying(session: Session, number: int, *, actor: Actor, now: datetime) -> None:
    """Apply what was shown from now on, or go on with it; raises Refused when it is no longer to be applied."""
    row = get_import(session, number)
    if row.state is ImportState.APPLYING:
        return
    _require(row, ImportState.APPLYING, now)
    _change(session, number, {ImportState.SHOWN}, state=ImportState.APPLYING)
    record(session, actor, now, "import begun", f"import:{number}", rows=row.rows)


def apply_part(session: Session, number: int, *, actor: Actor, now: datetime) -> Import:
    """Apply the next rows; with the last of them the import is applied."""
    row = get_import(session, number)
    stretch = Stretch(number, row.done_up_to, min(row.done_up_to + PART, row.rows))
    if row.state is not ImportState.APPLYING or not _claim(session, row, stretch):
        return row
    told: dict[str, Any] = {"by": actor.who, "controller": row.controller, "now": now}
    statements.take_off(session, stretch, source=f"import {number}", **told)
    names = [table["name"] for table in row.tables]
    added = statements.add_people(session, stretch, tables=names, source=row.consent_source, **told)
    statements.forget_addresses(session, stretch)
    outcome: dict[str, Any] = {"added": row.outcome.get("added", 0) + added}
    values: dict[str, Any] = {"outcome": outcome}
    if stretch.last == row.rows:
        verdicts = count_rows(session, number).verdicts
        outcome["taken_off"] = verdicts.get(Verdict.TAKEN_OFF.value, 0)
        outcome["came_meanwhile"] = row.counts["verdicts"].get(Verdict.NEW.value, 0) - outcome["added"]
        values |= {"state": ImportState.APPLIED, "applied_at": now}
        record(session, actor, now, "import applied", f"import:{number}", **outcome)
    _change(session, number, {ImportState.APPLYING}, **values)
    return get_import(session, number)


def begin_undoing(session: Session, number: int, *, actor: Actor, now: datetime) -> None:
    """Undo an import from now on, applied or half applied, or go on with that; raises Refused when it is too late."""
    row = get_import(session, number)
    if row.state is ImportState.UNDOING:
        return
    _require(row, ImportState.UNDOING, now)
    rows = row.done_up_to if row.state is ImportState.APPLYING else row.rows
    _change(session, number, {row.state}, state=ImportState.UNDOING, rows=rows, done_up_to=0)
    record(session, actor, now, "import undo begun", f"import:{number}")


def undo_part(session: Session, number: int, *, actor: Actor, now: datetime) -> Import:
    """Take away the next people whom the import added and who have done nothing since; refusals stay as they are."""
    row = get_import(session, number)
    stretch = Stretch(number, row.done_up_to, min(row.done_up_to + PART, row.rows))
    if row.state is not ImportState.UNDOING or not _claim(session, row, stretch):
        return row
    removed = statements.remove_people(
        session, stretch, by=actor.who, source=f"import {number} undone", controller=row.controller, now=now
    )
    stayed = statements.count_added(session, stretch) - removed
    outcome = {
        **row.outcome,
        "removed": row.outcome.get("removed", 0) + removed,
        "stayed": row.outcome.get("stayed", 0) + stayed,
    }
    values: dict[str, Any] = {"outcome": outcome}
    if stretch.last == row.rows:
        values |= {"state": ImportState.UNDONE, "undone_at": now}
        told: dict[str, Any] = {"removed": outcome["removed"], "stayed": outcome["stayed"]}
        record(session, actor, now, "import undone", f"import:{number}", **told)
    _change(session, number, {ImportState.UNDOING}, **values)
    return get_import(session, number)


def lapse(session: Session, number: int, *, actor: Actor, now: datetime) -> None:
    """Give up an import that nobody has applied."""
    _change(session, number, {ImportState.READING, ImportState.SHOWN}, state=ImportState.LAPSED)
    record(session, actor, now, "import lapsed", f"import:{number}")


def delete_rows(session: Session, number: int) -> bool:
    """Delete the next rows of an import that serve nothing any more; False when there were none."""
    mine = ImportRow.import_number == number
    first = session.query(ImportRow.row).where(mine).order_by(ImportRow.row).limit(1).scalar()
    if first is None:
        return False
    session.execute(delete(ImportRow).where(mine, ImportRow.row < first + PART))
    return True


def _require(row: Import, to: ImportState, now: datetime) -> None:
    over = row.applied_at or row.started_at
    if to not in ALLOWED_MOVES[row.state]:
        raise Refused(f"Import {row.number} is {row.state.value}; {_CANNOT[to]}.")
    if row.state is not ImportState.APPLYING and over < now - timedelta(days=KEPT_DAYS):
        raise Refused(
            f"Import {row.number} is older than {KEPT_DAYS} days, and what was read of its file is no longer kept. "
            f"{'Import the file again.' if to is ImportState.APPLYING else 'Its people can only leave or be erased.'}"
        )


_CANNOT = {
    ImportState.APPLYING: "only one whose dry run has been shown can be applied",
    ImportState.UNDOING: "only one that was applied can be undone",
}


def _claim(session: Session, row: Import, stretch: Stretch) -> bool:
    """Take the next rows for this transaction; False when somebody else has taken them."""
    taken = session.scalar(
        update(Import)
        .where(Import.number == row.number, Import.state == row.state, Import.done_up_to == stretch.after)
        .values(done_up_to=stretch.last)
        .returning(Import.number)
        .execution_options(synchronize_session=False)
    )
    return taken is not None


def _change(session: Session, number: int, from_: Collection[ImportState], **values: Any) -> None:
    changed = session.scalar(
        update(Import)
        .where(Import.number == number, Import.state.in_(from_))
        .values(**values)
        .returning(Import.number)
        .execution_options(synchronize_session=False)
    )
    if changed is None:
        raise Refused(
            f"Import {number} has been changed by somebody else. See where it stands: newsletter subscribers imports"
        )

"""Readers and refused rows as files that staff open in a spreadsheet and can import again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.clock import Clock
from newsletter.database.audit import Actor, record
from newsletter.database.session import Database
from newsletter.subscriber_import.columns import Column
from newsletter.subscriber_import.model import EXPLANATIONS, Verdict, Wish
from newsletter.subscriber_import.queries import get_import, list_rows
from newsletter.subscriber_import.spreadsheets import write_table
from newsletter.subscriber_import.words import read_status
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Subscriber, SubscriberTopic, Suppression

READERS_HEADER = ("address", "state", "suppressed because", "language", "topics", "text only", "joined at")
REFUSED_COLUMNS = (
    Column.ADDRESS,
    Column.STATUS,
    Column.CONFIRMED_AT,
    Column.GIVEN_AT,
    Column.LANGUAGE,
    Column.TOPICS,
    Column.TEXT_ONLY,
)
"""What is written of a refused row. Whatever told its wish, and be it the name of the file, is in its status."""
REFUSED_HEADER = ("file", "row", "reason", "detail", *(column.value for column in REFUSED_COLUMNS))


def export_readers(
    database: Database, target: Path, *, state: SubscriberState | None, actor: Actor, clock: Clock
) -> int:
    """Write everybody who has an address, or those in one state, into a new .csv or .xlsx file; gives how many.

    It is on record before the file is there. Raises Refused as `spreadsheets.write_table`.
    """

    def on_record(people: int) -> None:
        with database.write() as session:
            told = {"state": state.value if state else "all"}
            record(session, actor, clock.now(), "subscribers exported", "subscribers", people=people, **told)

    with database.snapshot() as session:
        return write_table(target, READERS_HEADER, _readers(session, state), before=on_record)


def _readers(session: Session, state: SubscriberState | None) -> Iterator[tuple[str, ...]]:
    sqlite = session.get_bind().dialect.name == "sqlite"
    gather = func.group_concat(SubscriberTopic.topic, " ") if sqlite else func.string_agg(SubscriberTopic.topic, " ")
    topics = select(gather).where(SubscriberTopic.subscriber == Subscriber.number).scalar_subquery()
    statement = (
        select(
            Subscriber.address,
            Subscriber.state,
            Suppression.reason,
            Subscriber.language,
            topics,
            Subscriber.text_only,
            Subscriber.joined_at,
        )
        .outerjoin(Suppression, Suppression.address_hash == Subscriber.address_hash)
        .where(Subscriber.address.is_not(None))
        .order_by(Subscriber.number)
    )
    if state:
        statement = statement.where(Subscriber.state == state)
    for address, there, reason, language, chosen, text_only, joined_at in session.execute(
        statement.execution_options(yield_per=2_000)
    ):
        yield (
            address or "",
            there.value,
            reason.value if reason else "",
            language,
            " ".join(sorted((chosen or "").split())),
            "yes" if text_only else "no",
            _time(joined_at),
        )


def _time(instant: datetime | None) -> str:
    return instant.isoformat(" ", "seconds") if instant else ""


def write_refused(database: Database, number: int, target: Path) -> int:
    """Write the rows that an import refused into a new .csv or .xlsx file, each with its reason; gives how many.

    Mended, the file can be imported as it is. Of each row it has only what is read of any. Raises Refused as
    `spreadsheets.write_table`.
    """
    with database.snapshot() as session:
        names = [table["name"] for table in get_import(session, number).tables]
        return write_table(target, REFUSED_HEADER, _refused(session, number, names), before=lambda count: None)


def _refused(session: Session, number: int, names: list[str]) -> Iterator[tuple[str, ...]]:
    for row in list_rows(session, number, verdicts=[Verdict.REFUSED]):
        cells = row.cells or ({Column.ADDRESS.value: row.address} if row.address else {})
        cells = {**cells, Column.STATUS.value: _status(row.wish, cells.get(Column.STATUS.value, ""))}
        why = EXPLANATIONS[row.reason] if row.reason else ""
        told = (cells.get(column.value, "") for column in REFUSED_COLUMNS)
        yield names[row.table], str(row.line), why, row.note, *told


def _status(wish: Wish, text: str) -> str:
    """A status by which a row is read as it was: its own when that says all, or is to be mended, else one of ours."""
    said = read_status(text) if text else None
    if said is wish or (text and said is None and wish is Wish.NOT_ASKED):
        return text
    return "subscribed" if wish is Wish.WANTS else wish.value

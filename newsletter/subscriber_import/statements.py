"""The SQL of an import, each over a stretch of its rows: what they come to, whom they add, whom they take off.

A stretch is some thousands of rows, so that a statement over it takes a fraction of a second and nobody who leaves
meanwhile waits for longer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    SQLColumnExpression,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from newsletter.database.base import Instant, table_of, words
from newsletter.delivery.model import BatchState, DeliveryState
from newsletter.delivery.tables import Batch, Delivery, Send
from newsletter.subscriber_import.model import REFUSALS, WEAKEST_FIRST, Reason, StagedRow, Verdict, Wish
from newsletter.subscriber_import.tables import ImportRow
from newsletter.subscribers.model import (
    ALLOWED_MOVES,
    ConsentAct,
    SubscriberState,
    SuppressionReason,
    weaker_reasons,
)
from newsletter.subscribers.tables import Consent, ReaderNotice, Subscriber, SubscriberTopic, Suppression

MAY_LEAVE = tuple(
    state
    for state in (SubscriberState.PENDING, SubscriberState.ACTIVE, SubscriberState.PAUSED)
    if SubscriberState.UNSUBSCRIBED in ALLOWED_MOVES[state]
)
"""The states out of which a person leaves; a suppressed one comes to `unsubscribed` only when staff lift that."""
MAY_BE_SUPPRESSED = tuple(state for state, moves in ALLOWED_MOVES.items() if SubscriberState.SUPPRESSED in moves)
TAKEN_FROM = {
    Wish.LEFT: MAY_LEAVE,
    Wish.BOUNCED: MAY_BE_SUPPRESSED,
    Wish.COMPLAINED: MAY_BE_SUPPRESSED,
}
LEAVES_FOR = {
    Wish.LEFT: SubscriberState.UNSUBSCRIBED,
    Wish.BOUNCED: SubscriberState.SUPPRESSED,
    Wish.COMPLAINED: SubscriberState.SUPPRESSED,
}


class Stretch(NamedTuple):
    """Rows of one import: those behind `after`, up to and with `last`."""

    number: int
    after: int
    last: int

    def holds(self) -> ColumnElement[bool]:
        """Whether the statement's ImportRow is one of them."""
        return and_(ImportRow.import_number == self.number, ImportRow.row > self.after, ImportRow.row <= self.last)


_ROW = ("import_number", *StagedRow._fields)
_NAMES = ", ".join(f'"{name}"' for name in _ROW)


def add_rows(session: Session, number: int, rows: list[StagedRow]) -> None:
    """Keep rows of an import, past SQLAlchemy: a million of them would cost it half a minute to prepare.

    On PostgreSQL by COPY, as its documentation advises for many rows.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(_ROW))
        values = [_as_stored(number, row, _sqlite_instant) for row in rows]
        connection.exec_driver_sql(f"INSERT INTO import_row ({_NAMES}) VALUES ({marks})", values)  # noqa: S608 - our own names
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY import_row ({_NAMES}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(_as_stored(number, row, lambda instant: instant))


def _as_stored(number: int, row: StagedRow, instant: Callable[[datetime], object]) -> tuple[object, ...]:
    """The values of a row as the driver takes them, in the order of `_ROW`."""
    return (
        number,
        *row[:6],
        row.wish.value,
        row.verdict.value,
        row.reason.value if row.reason else None,
        row.note,
        row.doubt.value if row.doubt else None,
        row.language,
        json.dumps(row.topics) if row.topics else None,
        row.text_only,
        instant(row.given_at) if row.given_at else None,
        json.dumps(row.cells) if row.cells else None,
    )


def _sqlite_instant(instant: datetime) -> str:
    """An instant as SQLAlchemy keeps it in SQLite: in UTC, which StagedRow has, without saying so."""
    return instant.isoformat(" ", "microseconds").partition("+")[0]


def judge(session: Session, stretch: Stretch) -> None:
    """Compare rows with who is here; see `Verdict`. A claim is only ever weakened."""
    is_new = and_(stretch.holds(), ImportRow.verdict == Verdict.NEW)
    here = select(Subscriber.state).where(Subscriber.address_key == ImportRow.address_key).scalar_subquery()
    has_left = here.in_((SubscriberState.UNSUBSCRIBED, SubscriberState.SUPPRESSED))
    _set(
        session,
        and_(is_new, here.is_not(None)),
        Verdict.UNCHANGED,
        case((has_left, Reason.HAS_LEFT.value), else_=Reason.IS_HERE.value),
    )
    kept = select(Suppression.reason).where(Suppression.address_hash == ImportRow.address_hash).scalar_subquery()
    _set(
        session,
        and_(is_new, kept.is_not(None)),
        Verdict.REFUSED,
        case((kept == SuppressionReason.UNSUBSCRIBED, Reason.HAS_LEFT.value), else_=Reason.SUPPRESSED.value),
    )
    for wish, reason in REFUSALS.items():
        _set(
            session,
            and_(
                stretch.holds(),
                ImportRow.verdict == Verdict.TAKEN_OFF,
                ImportRow.wish == wish,
                kept.is_not(None),
                kept.not_in(weaker_reasons(reason)),
                or_(here.is_(None), here.not_in(TAKEN_FROM[wish])),
            ),
            Verdict.UNCHANGED,
            literal(Reason.IS_OUT.value),
        )


def find_to_merge(session: Session, number: int) -> Sequence[int]:
    """The rows of an import that have the address of another whose wish is stronger, or the same and first.

    One sorting of them all: an index of addresses would be written at random, and cost a million rows half their time.
    """
    weight = {wish: place for place, wish in enumerate(WEAKEST_FIRST)}
    place = func.row_number().over(
        partition_by=ImportRow.address_key, order_by=(case(weight, value=ImportRow.wish).desc(), ImportRow.row)
    )
    placed = (
        select(ImportRow.row, place.label("place"))
        .where(ImportRow.import_number == number, ImportRow.address_key.is_not(None))
        .subquery()
    )
    return session.scalars(select(placed.c.row).where(placed.c.place > 1).order_by(placed.c.row)).all()


def merge(session: Session, number: int, rows: Sequence[int]) -> None:
    """Say of these rows that another one counts."""
    _set(session, and_(ImportRow.import_number == number, ImportRow.row.in_(rows)), Verdict.MERGED, null())


def _set(session: Session, which: ColumnElement[bool], verdict: Verdict, reason: ColumnElement[Any]) -> None:
    session.execute(
        update(ImportRow)
        .where(which)
        .values(verdict=verdict, reason=cast(reason, Text))
        .execution_options(synchronize_session=False)
    )


def take_off(session: Session, stretch: Stretch, *, source: str, by: str, controller: str, now: datetime) -> None:
    """Take over refusals: the addresses are suppressed, and whoever has one of them here leaves or is suppressed."""
    for wish, reason in REFUSALS.items():
        rows = and_(stretch.holds(), ImportRow.verdict == Verdict.TAKEN_OFF, ImportRow.wish == wish)
        concerned = and_(
            Subscriber.address_key.in_(select(ImportRow.address_key).where(rows)),
            Subscriber.state.in_(TAKEN_FROM[wish]),
        )
        # People first, then their suppressions, as everywhere: who leaves at this moment would wait for us, and we for
        # them.
        session.execute(
            select(Subscriber.number).where(concerned).order_by(Subscriber.number).with_for_update(key_share=True)
        )
        _suppress(session, rows, reason, source, now)
        if wish is Wish.LEFT:
            leaving = (
                select(*_consent(ConsentAct.WITHDRAWN, source, by, controller, now), ImportRow.given_at)
                .join_from(Subscriber, ImportRow, ImportRow.address_key == Subscriber.address_key)
                .where(rows, Subscriber.state.in_(TAKEN_FROM[wish]))
            )
            session.execute(insert(table_of(Consent)).from_select([*_CONSENT, "given_at"], leaving))
        session.execute(
            update(Subscriber)
            .where(concerned)
            .values(state=LEAVES_FOR[wish], paused_until=None)
            .execution_options(synchronize_session=False)
        )


def _suppress(
    session: Session, rows: ColumnElement[bool], reason: SuppressionReason, source: str, now: datetime
) -> None:
    kept = select(
        ImportRow.address_hash, literal(reason, words(SuppressionReason)), literal(source), literal(now, Instant)
    ).where(rows)
    target = table_of(Suppression)
    kind = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = kind.insert(target).from_select(["address_hash", "reason", "source", "at"], kept)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[target.c.address_hash],
            set_={name: statement.excluded[name] for name in ("reason", "source", "at")},
            where=target.c.reason.in_(weaker_reasons(reason)),
        )
    )


def add_people(
    session: Session, stretch: Stretch, *, source: str, by: str, controller: str, now: datetime, tables: list[str]
) -> int:
    """Add whoever is new, active, with the consent that the file tells of; gives how many.

    Nobody is changed who has come here since the dry run, and no address is added that is suppressed meanwhile.
    """
    highest = session.scalar(select(func.coalesce(func.max(Subscriber.number), 0))) or 0
    is_new = and_(stretch.holds(), ImportRow.verdict == Verdict.NEW)
    suppressed = exists().where(Suppression.address_hash == ImportRow.address_hash)
    people = (
        select(
            literal(SubscriberState.ACTIVE, words(SubscriberState)),
            ImportRow.address,
            ImportRow.address_key,
            ImportRow.address_hash,
            ImportRow.language,
            ImportRow.text_only,
            literal(now, Instant),
            literal(now, Instant),
        )
        .where(is_new, ~suppressed)
        .order_by(ImportRow.row)
    )
    kind = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    columns = ["state", "address", "address_key", "address_hash", "language", "text_only", "added_at", "joined_at"]
    session.execute(kind.insert(table_of(Subscriber)).from_select(columns, people).on_conflict_do_nothing())
    # Whom this very statement has added: active already, and with nothing yet on the record of consent. Everybody else
    # who is active has something there, and whoever has signed up at this moment is pending.
    added = (
        select(Subscriber.number)
        .where(
            Subscriber.address_key == ImportRow.address_key,
            Subscriber.number > highest,
            Subscriber.state == SubscriberState.ACTIVE,
            ~exists().where(Consent.subscriber == Subscriber.number),
        )
        .scalar_subquery()
    )
    session.execute(
        update(ImportRow)
        .where(is_new)
        .values(subscriber=added, address=None, address_key=None, address_hash=None)
        .execution_options(synchronize_session=False)
    )
    now_here = and_(is_new, ImportRow.subscriber.is_not(None))
    name = case(dict(enumerate(tables)), value=ImportRow.table)
    method = literal(f"import {stretch.number}, ") + name + literal(", row ") + cast(ImportRow.line, Text)
    consents = select(
        *_consent(ConsentAct.IMPORTED, source, by, controller, now, subscriber=ImportRow.subscriber, method=method),
        ImportRow.given_at,
        ImportRow.language,
        ImportRow.topics,
    ).where(now_here)
    session.execute(insert(table_of(Consent)).from_select([*_CONSENT, "given_at", "language", "topics"], consents))
    chosen = session.execute(
        select(ImportRow.subscriber, ImportRow.topics).where(now_here, ImportRow.topics.is_not(None))
    )
    topics = [{"subscriber": number, "topic": topic} for number, names in chosen for topic in sorted(set(names or ()))]
    if topics:
        session.execute(insert(table_of(SubscriberTopic)), topics)
    _set(session, and_(is_new, ImportRow.subscriber.is_(None)), Verdict.UNCHANGED, literal(Reason.CAME_MEANWHILE.value))
    return count_added(session, stretch)


_CONSENT = (
    "subscriber",
    "act",
    "at",
    "by",
    "source",
    "method",
    "controller",
    "privacy_notice",
    "age_statement",
    "tracking",
)


def _consent(
    act: ConsentAct,
    source: str,
    by: str,
    controller: str,
    now: datetime,
    *,
    subscriber: SQLColumnExpression[Any] = Subscriber.number,
    method: ColumnElement[str] | None = None,
) -> tuple[SQLColumnExpression[Any], ...]:
    """The values of a line of consent, in the order of `_CONSENT`."""
    return (
        subscriber,
        literal(act, words(ConsentAct)),
        literal(now, Instant),
        literal(by),
        literal(source),
        literal("") if method is None else method,
        literal(controller),
        literal(""),
        literal(""),
        literal(False, Boolean),
    )


def forget_addresses(session: Session, stretch: Stretch) -> None:
    """Take the addresses out of rows that have been applied; only of refused ones is still told."""
    session.execute(
        update(ImportRow)
        .where(stretch.holds(), ImportRow.verdict != Verdict.REFUSED, ImportRow.address.is_not(None))
        .values(address=None, address_key=None, address_hash=None)
        .execution_options(synchronize_session=False)
    )


def remove_people(session: Session, stretch: Stretch, *, by: str, source: str, controller: str, now: datetime) -> int:
    """Take away whom these rows added, if they have done nothing since and no mail went out to them; gives how many.

    Their row stays without an address, for what refers to its number.
    """
    added = and_(
        Subscriber.number.in_(select(ImportRow.subscriber).where(stretch.holds(), ImportRow.subscriber.is_not(None))),
        Subscriber.state == SubscriberState.ACTIVE,
    )
    # Who puts a batch in flight locks its people: only what is read behind these locks is sure to be the last word.
    session.execute(select(Subscriber.number).where(added).order_by(Subscriber.number).with_for_update())
    untouched = (
        ~exists().where(Consent.subscriber == Subscriber.number, Consent.act != ConsentAct.IMPORTED),
        ~exists().where(ReaderNotice.subscriber == Subscriber.number),
        ~_was_mailed(),
    )
    going = session.scalars(select(Subscriber.number).where(added, *untouched)).all()
    mine = Subscriber.number.in_(going)
    undone = select(*_consent(ConsentAct.UNDONE, source, by, controller, now)).where(mine)
    session.execute(insert(table_of(Consent)).from_select(_CONSENT, undone))
    session.execute(delete(SubscriberTopic).where(SubscriberTopic.subscriber.in_(going)))
    session.execute(
        update(Subscriber)
        .where(mine)
        .values(state=SubscriberState.ERASED, address=None, address_key=None, address_hash=None, text_only=False)
        .execution_options(synchronize_session=False)
    )
    return len(going)


def _was_mailed() -> ColumnElement[bool]:
    """Whether a mail was handed over for the statement's Subscriber, or is under way."""
    waits = exists().where(
        Batch.edition == Delivery.edition,
        Batch.number == Delivery.batch,
        Batch.state.in_((BatchState.PLANNED, BatchState.CLAIMED)),
    )
    spared = or_(Delivery.state == DeliveryState.LEFT_OUT, and_(Delivery.state == DeliveryState.PLANNED, waits))
    # By way of the sends, which are few: deliveries have no index by person alone.
    of_any_send = Delivery.edition.in_(select(Send.edition))
    return exists().where(of_any_send, Delivery.subscriber == Subscriber.number, ~spared)


def count_added(session: Session, stretch: Stretch) -> int:
    """How many people these rows added."""
    added = select(func.count()).select_from(ImportRow).where(stretch.holds(), ImportRow.subscriber.is_not(None))
    return session.scalar(added) or 0

"""Questions about people and SendGrid's lists; nothing is changed here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter.providers.sendgrid.lists import Listed, ListName
from newsletter.subscribers.address import AddressRefused, address_key, check_address
from newsletter.subscribers.audience import is_suppressed
from newsletter.subscribers.model import (
    ALLOWED_MOVES,
    READING,
    ConsentAct,
    SubscriberState,
    SuppressionReason,
    weaker_reasons,
)
from newsletter.subscribers.tables import Consent, Subscriber, Suppression
from newsletter.suppression_lists.model import (
    REASON_BY_LIST,
    Change,
    Concerned,
    EntryState,
    ListStanding,
    Standing,
    Waiting,
)
from newsletter.suppression_lists.rules import has_come_back
from newsletter.suppression_lists.tables import ListEntry, PulledList

MAY_LEAVE = tuple(state for state, moves in ALLOWED_MOVES.items() if SubscriberState.UNSUBSCRIBED in moves)
MAY_BE_SUPPRESSED = tuple(state for state, moves in ALLOWED_MOVES.items() if SubscriberState.SUPPRESSED in moves)


def find_concerned(session: Session, name: ListName, page: Sequence[Listed]) -> Concerned:
    """Who of a page is here and not as the list says; what nobody here has is counted and not kept."""
    since = _since_by_key(page)
    reason = REASON_BY_LIST.get(name)
    if reason is None:
        return _find_leaving(session, since, unknown_besides=len(page) - len(since))
    rows = session.execute(
        select(Subscriber.number, Subscriber.address, Subscriber.state, Suppression.reason)
        .outerjoin(Suppression, Suppression.address_hash == Subscriber.address_hash)
        .where(Subscriber.address_key.in_(since))
    ).all()
    to_refuse = tuple(
        (number, str(address))
        for number, address, state, kept in rows
        if kept is None or kept in weaker_reasons(reason) or state in MAY_BE_SUPPRESSED
    )
    return Concerned(to_refuse, (), len(page) - len(rows))


def _find_leaving(session: Session, since: dict[str, datetime], *, unknown_besides: int) -> Concerned:
    rows = session.execute(
        select(Subscriber.number, Subscriber.address, Subscriber.address_key, Subscriber.state, ListEntry.state)
        .outerjoin(ListEntry, ListEntry.subscriber == Subscriber.number)
        .where(Subscriber.address_key.in_(since))
    ).all()
    words = _last_words(session, [number for number, _, _, state, _ in rows if state in MAY_LEAVE])
    leaving = tuple(
        (number, str(address))
        for number, address, key, state, _ in rows
        if state in MAY_LEAVE and not has_come_back(since[str(key)], words.get(number))
    )
    left_before = (
        number
        for number, _, _, state, entry in rows
        if state in (SubscriberState.UNSUBSCRIBED, SubscriberState.SUPPRESSED) and entry in (None, EntryState.TO_ADD)
    )
    to_note = (*(number for number, _ in leaving), *left_before)
    return Concerned(leaving, to_note, unknown_besides + len(since) - len(rows))


def _since_by_key(page: Sequence[Listed]) -> dict[str, datetime]:
    """The latest entry for each address that can be one of ours."""
    found: dict[str, datetime] = {}
    for entry in page:
        try:
            key = address_key(check_address(entry.address))
        except AddressRefused:
            continue
        found[key] = max(entry.since, found.get(key, entry.since))
    return found


def _last_words(session: Session, people: Sequence[int]) -> dict[int, datetime]:
    """When each of these people last asked for the newsletter by an act of their own.

    What staff enter or import is no act of the person. A question alone counts only for who is pending and so not
    mailed: anybody may ask in the name of another.
    """
    rows = session.execute(
        select(Consent.subscriber, func.max(Consent.at))
        .join(Subscriber, Subscriber.number == Consent.subscriber)
        .where(
            Consent.subscriber.in_(people),
            or_(
                Consent.act == ConsentAct.CONFIRMED,
                and_(Consent.act == ConsentAct.ASKED, Subscriber.state == SubscriberState.PENDING),
            ),
        )
        .group_by(Consent.subscriber)
    )
    return dict(rows.all())


def find_changes(session: Session, limit: int, people: Sequence[int] | None = None) -> list[tuple[int, Change]]:
    """The next people, of all or of those given, whose entry is not what their state asks for, and what to do."""
    change = _change()
    statement = (
        select(Subscriber.number, change)
        .outerjoin(ListEntry, ListEntry.subscriber == Subscriber.number)
        .where(change.is_not(None))
        .order_by(Subscriber.number)
        .limit(limit)
    )
    rows = session.execute(statement if people is None else statement.where(Subscriber.number.in_(people)))
    return [(number, Change(word)) for number, word in rows if word is not None]


def _change() -> ColumnElement[str | None]:
    here_again = _is_here_again()
    erased = Subscriber.state == SubscriberState.ERASED
    return case(
        (and_(ListEntry.subscriber.is_(None), _left_here()), Change.ADD.value),
        (and_(ListEntry.subscriber.is_not(None), erased), Change.FORGET.value),
        (and_(ListEntry.state == EntryState.TO_REMOVE, ~here_again), Change.ADD.value),
        (and_(here_again, ListEntry.ours, ListEntry.state != EntryState.TO_REMOVE), Change.REMOVE.value),
        (and_(here_again, ~ListEntry.ours), Change.FORGET.value),
        else_=None,
    )


def _left_here() -> ColumnElement[bool]:
    """Whether the statement's Subscriber left, or staff said that the address must not be mailed."""
    by_staff = exists().where(
        Suppression.address_hash == Subscriber.address_hash, Suppression.reason == SuppressionReason.STAFF
    )
    return or_(
        Subscriber.state == SubscriberState.UNSUBSCRIBED,
        and_(Subscriber.state == SubscriberState.SUPPRESSED, by_staff),
    )


def _is_here_again() -> ColumnElement[bool]:
    """Whether the statement's Subscriber reads: nobody who had left comes to this but by confirming it themselves."""
    return and_(Subscriber.state.in_(READING), ~is_suppressed())


def list_to_add(session: Session, *, after: int, limit: int, now: datetime | None) -> list[Waiting]:
    """The next people behind a number whom SendGrid is to be told of by now; with None, whenever that is."""
    still_out = Subscriber.state.not_in(READING)
    return _list_waiting(session, EntryState.TO_ADD, still_out, after=after, limit=limit, now=now)


def list_to_remove(session: Session, *, after: int, limit: int, now: datetime | None) -> list[Waiting]:
    """The next people behind a number who are to be taken off by now; with None, whenever that is."""
    return _list_waiting(session, EntryState.TO_REMOVE, _is_here_again(), after=after, limit=limit, now=now)


def _list_waiting(
    session: Session,
    state: EntryState,
    still: ColumnElement[bool],
    *,
    after: int,
    limit: int,
    now: datetime | None,
) -> list[Waiting]:
    statement: Select[int, str | None, int | None] = (
        select(Subscriber.number, Subscriber.address, ListEntry.unsubscribe_group)
        .join(ListEntry, ListEntry.subscriber == Subscriber.number)
        .where(ListEntry.state == state, still, Subscriber.address.is_not(None), Subscriber.number > after)
        .order_by(Subscriber.number)
        .limit(limit)
    )
    if now is not None:
        statement = statement.where(or_(ListEntry.not_before.is_(None), ListEntry.not_before <= now))
    return [Waiting(number, str(address), group) for number, address, group in session.execute(statement)]


def list_pulled(session: Session) -> dict[ListName, PulledList]:
    """The rows of the lists that were ever tried."""
    return {row.name: row for row in session.scalars(select(PulledList))}


def get_standing(session: Session) -> Standing:
    """How the sync stands: when each list was last read, whether that failed, and who waits to be told."""
    rows = list_pulled(session)
    lists = tuple(
        ListStanding(name, row.pulled_until, row.tried_at, row.trouble)
        if (row := rows.get(name))
        else ListStanding(name, None, None, "")
        for name in ListName
    )
    waits = ListEntry.state.in_((EntryState.TO_ADD, EntryState.TO_REMOVE))
    waiting = session.scalar(select(func.count()).select_from(ListEntry).where(waits)) or 0
    because = session.scalar(
        select(ListEntry.answer).where(waits, ListEntry.answer != "").order_by(ListEntry.changed_at).limit(1)
    )
    return Standing(lists, waiting, because or "")

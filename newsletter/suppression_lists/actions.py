"""The only writers of the sync's rows; each is called in a transaction, and none calls SendGrid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record, without_addresses
from newsletter.database.base import insert_or_skip
from newsletter.providers.sendgrid.lists import Listed, ListName
from newsletter.subscribers.actions import suppress, unsubscribe
from newsletter.suppression_lists.model import REASON_BY_LIST, Change, EntryState, Page
from newsletter.suppression_lists.queries import find_changes, find_concerned
from newsletter.suppression_lists.rules import wait_after
from newsletter.suppression_lists.tables import ListEntry, PulledList

ANSWER_LENGTH = 300


def apply_page(
    session: Session, name: ListName, page: Sequence[Listed], *, suppression_key: str, actor: Actor, now: datetime
) -> Page:
    """What a page of a list says is true here too: its people are suppressed, or have left.

    A second time changes nothing, and nobody's consent is ever raised.
    """
    concerned = find_concerned(session, name, page)
    source = f"SendGrid, list {name.value}"
    reason = REASON_BY_LIST.get(name)
    new = 0
    # In the order in which a batch locks people.
    for number, address in sorted(concerned.to_refuse):
        if reason is None:
            new += unsubscribe(session, number, source=source, actor=actor, now=now)
        else:
            new += suppress(
                session, address, reason=reason, source=source, suppression_key=suppression_key, actor=actor, now=now
            )
    _note_found(session, concerned.to_note, now)
    return Page(new, concerned.unknown)


def _note_found(session: Session, people: Sequence[int], now: datetime) -> None:
    """SendGrid has these on its list of unsubscribes without us, so it need not be told."""
    _insert(session, people, EntryState.FOUND, now)
    session.execute(
        update(ListEntry)
        .where(ListEntry.subscriber.in_(people), ListEntry.state == EntryState.TO_ADD, ~ListEntry.ours)
        .values(state=EntryState.FOUND, changed_at=now)
    )


def record_pulled(
    session: Session, name: ListName, until: datetime, came: Page, *, actor: Actor, now: datetime
) -> None:
    """A list has been read whole up to an instant; the next reading begins there, less the overlap."""
    row = _row_of(session, name)
    row.pulled_until = max(until, row.pulled_until or until)
    row.tried_at, row.failures, row.not_before, row.trouble = now, 0, None, ""
    record(
        session,
        actor,
        now,
        "suppression list read",
        f"suppression-list:{name.value}",
        new=came.new,
        unknown=came.unknown,
    )


def record_pull_failed(
    session: Session, name: ListName, trouble: str, *, actor: Actor, now: datetime, not_before: datetime | None
) -> None:
    """A list was not read to its end: where the next reading begins stays as it was, and it waits."""
    row = _row_of(session, name)
    row.failures += 1
    row.tried_at, row.trouble = now, _told(trouble)
    row.not_before = wait_after(row.failures, now, not_before)
    if row.failures == 1:
        record(
            session, actor, now, "suppression list not read", f"suppression-list:{name.value}", reason=_told(trouble)
        )


def _row_of(session: Session, name: ListName) -> PulledList:
    session.execute(insert_or_skip(session, PulledList).values(name=name, failures=0, trouble=""))
    return session.scalars(select(PulledList).where(PulledList.name == name).with_for_update()).one()


def queue(session: Session, people: Sequence[int], *, now: datetime) -> None:
    """Give each of these people the entry that their state asks for; whoever has it already is left as they are."""
    wanted: dict[Change, list[int]] = {change: [] for change in Change}
    for number, change in find_changes(session, len(people), people):
        wanted[change].append(number)
    fresh = {"tries": 0, "not_before": None, "answer": "", "changed_at": now}
    for change, state in ((Change.ADD, EntryState.TO_ADD), (Change.REMOVE, EntryState.TO_REMOVE)):
        session.execute(update(ListEntry).where(ListEntry.subscriber.in_(wanted[change])).values(state=state, **fresh))
    _insert(session, wanted[Change.ADD], EntryState.TO_ADD, now)
    session.execute(delete(ListEntry).where(ListEntry.subscriber.in_(wanted[Change.FORGET])))


def record_trying(
    session: Session, people: Sequence[int], *, group: int | None, now: datetime, not_before: datetime
) -> None:
    """SendGrid is about to be told of these: from now on they may stand on its list by our doing, answered or not.

    Nobody tries the same before `not_before`.
    """
    session.execute(
        update(ListEntry)
        .where(ListEntry.subscriber.in_(people), ListEntry.state == EntryState.TO_ADD)
        .values(ours=True, unsubscribe_group=group, tries=ListEntry.tries + 1, not_before=not_before, changed_at=now)
    )


def record_added(session: Session, people: Sequence[int], *, group: int | None, actor: Actor, now: datetime) -> None:
    """SendGrid has put these on its list; whoever came back meanwhile stays to be removed."""
    session.execute(
        update(ListEntry)
        .where(ListEntry.subscriber.in_(people), ListEntry.state == EntryState.TO_ADD)
        .values(state=EntryState.ADDED, tries=0, not_before=None, answer="", changed_at=now)
    )
    where = "all unsubscribes" if group is None else f"group {group}"
    record(
        session,
        actor,
        now,
        "unsubscribes told to SendGrid",
        "suppression-list:unsubscribes",
        added=len(people),
        to=where,
    )


def record_removed(session: Session, subscriber: int, *, actor: Actor, now: datetime) -> None:
    """SendGrid has taken this person off its list."""
    session.execute(
        delete(ListEntry).where(ListEntry.subscriber == subscriber, ListEntry.state == EntryState.TO_REMOVE)
    )
    record(session, actor, now, "unsubscribe taken back at SendGrid", f"subscriber:{subscriber}")


def record_untold(
    session: Session, people: Sequence[int], trouble: str, *, now: datetime, not_before: datetime | None
) -> None:
    """SendGrid did not take these, or did not say: they wait, longer each time."""
    waiting = (EntryState.TO_ADD, EntryState.TO_REMOVE)
    rows = session.scalars(select(ListEntry).where(ListEntry.subscriber.in_(people), ListEntry.state.in_(waiting)))
    for row in rows:
        row.tries += row.state is EntryState.TO_REMOVE
        row.not_before = wait_after(row.tries, now, not_before)
        row.answer, row.changed_at = _told(trouble), now


def _insert(session: Session, people: Sequence[int], state: EntryState, now: datetime) -> None:
    """An entry for each of these who has none."""
    if people:
        row = {"state": state, "ours": False, "tries": 0, "answer": "", "changed_at": now}
        session.execute(insert_or_skip(session, ListEntry), [{"subscriber": number, **row} for number in people])


def _told(trouble: str) -> str:
    return without_addresses(trouble)[:ANSWER_LENGTH]

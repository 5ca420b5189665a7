"""Time does to readers what they were told that it does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.database.audit import SHELL
from newsletter.database.instance import lock
from newsletter.database.session import Database
from newsletter.schedule.reader_jobs import AT_ONCE, CLEAR_UP_EVERY, ReaderKeeper
from newsletter.subscribers.actions import pause
from newsletter.subscribers.consent_ledger import TRACE_DAYS
from newsletter.subscribers.model import SubscriberState, Trace
from newsletter.subscribers.queries import count_by_state, get_subscriber
from newsletter.subscribers.reader_notices import KEPT_DAYS
from newsletter.subscribers.sign_up import confirm
from newsletter.subscribers.tables import ConsentTrace, ReaderNotice, SignUp, Subscriber
from tests.factories import KEY, NOON, StillClock, add_many, add_people, ask

DAYS = 30


def states(database: Database) -> dict[SubscriberState, int]:
    """How many people are in each state."""
    with database.read() as session:
        return count_by_state(session)


def test_a_pause_ends_when_its_time_has_come_and_no_other_does(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        add_people(session, 3)
        for number, days in ((1, 30), (2, 60)):
            person = get_subscriber(session, f"reader{number}@example.org").number
            pause(session, person, NOON + timedelta(days=days), source="test", actor=SHELL, now=NOON)
    keeper = ReaderKeeper(database, clock, DAYS)
    keeper.look()
    assert states(database) == {SubscriberState.ACTIVE: 1, SubscriberState.PAUSED: 2}
    clock.go(days=30)
    keeper.look()
    assert states(database) == {SubscriberState.ACTIVE: 2, SubscriberState.PAUSED: 1}
    with database.read() as session:
        assert get_subscriber(session, "reader1@example.org").paused_until is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_many_pauses_end_in_several_transactions_and_a_process_that_ends_does_not_wait_for_all(
    database: Database,
) -> None:
    clock = StillClock()
    with database.write() as session:
        add_many(session, AT_ONCE + 1)
        for person in session.scalars(select(Subscriber)):
            person.state, person.paused_until = SubscriberState.PAUSED, NOON
    told_to_end = iter([False, *[True] * 9])
    ReaderKeeper(database, clock, DAYS).look(lambda: next(told_to_end))
    assert states(database)[SubscriberState.PAUSED] == 1
    ReaderKeeper(database, clock, DAYS).look()
    assert SubscriberState.PAUSED not in states(database)


def test_a_sign_up_that_nobody_confirms_is_deleted_after_the_days_that_the_mail_named(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        ask(session, "ann@example.org", now=NOON)
        number = ask(session, "bob@example.org", now=NOON)
        bob = get_subscriber(session, "bob@example.org").number
        assert number
        assert confirm(session, bob, number, trace=Trace("192.0.2.1", "a browser"), suppression_key=KEY, now=NOON)
    keeper = ReaderKeeper(database, clock, DAYS)
    clock.time = NOON + timedelta(days=DAYS) - timedelta(seconds=1)
    keeper.look()
    assert states(database) == {SubscriberState.PENDING: 1, SubscriberState.ACTIVE: 1}
    clock.time += CLEAR_UP_EVERY
    keeper.look()
    assert states(database) == {SubscriberState.ACTIVE: 1}
    with database.read() as session:
        assert session.scalars(select(SignUp.subscriber)).all() == [bob], "what was confirmed stays"


def test_what_was_mailed_and_where_requests_came_from_is_forgotten_in_time(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        number = ask(session, "bob@example.org", now=NOON)
        bob = get_subscriber(session, "bob@example.org").number
        assert number
        assert confirm(session, bob, number, trace=Trace("192.0.2.1", "a browser"), suppression_key=KEY, now=NOON)

    def kept() -> tuple[int, int]:
        ReaderKeeper(database, clock, DAYS).look()
        with database.read() as session:
            return len(session.scalars(select(ReaderNotice)).all()), len(session.scalars(select(ConsentTrace)).all())

    counts = []
    for days in (0, KEPT_DAYS, KEPT_DAYS + 1, TRACE_DAYS, TRACE_DAYS + 1):
        clock.time = NOON + timedelta(days=days)
        counts.append(kept())
    assert counts == [(2, 1), (2, 1), (0, 1), (0, 1), (0, 0)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_a_locked_copy_nothing_is_deleted(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        ask(session, "ann@example.org", now=NOON)
        lock(session, "it is a copy", actor=SHELL, now=NOON)
    clock.go(days=90)
    ReaderKeeper(database, clock, DAYS).look()
    assert states(database) == {SubscriberState.PENDING: 1}

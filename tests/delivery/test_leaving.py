"""Nobody is mailed after they left: a leave is either before a batch goes, and drops the person, or after."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER, SHELL
from newsletter.database.session import Database
from newsletter.delivery import batches
from newsletter.delivery.model import Claim
from newsletter.schedule import jobs
from newsletter.subscribers.actions import suppress, unsubscribe
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.tables import Subscriber
from tests.factories import KEY, NOON, RULES, FakeTransport, StillClock, edition_for, worker

WHO = "reader2@example.org"


def _leave(session: Session) -> None:
    unsubscribe(session, get_subscriber(session, WHO).number, source="link", actor=SHELL, now=NOON)


def _be_suppressed(session: Session) -> None:
    reason = SuppressionReason.BOUNCED
    suppress(session, WHO, reason=reason, source="provider", suppression_key=KEY, actor=SHELL, now=NOON)


def _pause(session: Session) -> None:
    number = get_subscriber(session, WHO).number
    session.execute(update(Subscriber).where(Subscriber.number == number).values(state=SubscriberState.PAUSED))


def claimed(database: Database) -> Claim:
    """A batch of three people, claimed."""
    edition_for(database, 3)
    jobs.reconcile(worker(database, FakeTransport(), StillClock()), RULES)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=NOON)
    assert claim is not None
    return claim


@pytest.mark.parametrize("go", [_leave, _be_suppressed, _pause])
def test_who_goes_while_a_batch_takes_off_waits_until_it_is_in_flight(
    database: Database, go: Callable[[Session], None]
) -> None:
    claim = claimed(database)
    began, gone = threading.Event(), threading.Event()

    def leave() -> None:
        began.set()
        with database.write() as session:
            go(session)
        gone.set()

    other = threading.Thread(target=leave)
    with database.write() as session:
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=NOON)
        other.start()
        assert began.wait(5)
        assert not gone.wait(0.7), "the leave waits"
    other.join(20)
    assert gone.is_set()
    assert flight is not None
    assert (flight.people, flight.dropped) == (3, frozenset())


@pytest.mark.parametrize("go", [_leave, _be_suppressed, _pause])
def test_who_went_before_a_batch_takes_off_is_dropped_even_when_they_went_at_the_same_moment(
    database: Database, go: Callable[[Session], None]
) -> None:
    claim = claimed(database)
    dropped: list[frozenset[int]] = []

    def take_off() -> None:
        with database.write() as session:
            flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=NOON)
            dropped.append(flight.dropped if flight else frozenset())

    other = threading.Thread(target=take_off)
    with database.write() as session:
        go(session)
        other.start()
        other.join(0.7)
        assert other.is_alive(), "the batch waits for what was begun"
    other.join(20)
    with database.read() as session:
        person = get_subscriber(session, WHO)
    assert person.state is not SubscriberState.ACTIVE
    assert dropped == [frozenset({person.number})]

"""A send that was stopped leaves nobody planned, whatever comes back after it."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text, update

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches, moves, steering
from newsletter.delivery.model import Flight, SendState, Verdict, delivery_id
from newsletter.delivery.queries import get_progress
from newsletter.delivery.tables import Send
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.schedule import jobs
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.model import LeftOut
from newsletter.subscribers.queries import get_subscriber
from tests.factories import NOON, RULES, FakeTransport, StillClock, edition_for, find_cast, first_uncertain, worker


def flying(database: Database) -> tuple[str, Flight]:
    """An edition whose one batch of three people is in flight."""
    edition = edition_for(database, 3)
    jobs.reconcile(worker(database, FakeTransport(), StillClock()), RULES)
    return edition, fly(database)


def fly(database: Database) -> Flight:
    """The next batch takes off."""
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=NOON)
        assert claim is not None
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=NOON)
    assert flight is not None
    return flight


def stop(database: Database, edition: str) -> None:
    """A manager stops the send."""
    with database.write() as session:
        steering.stop(session, edition, actor=find_cast(session).max, now=NOON)


def settle(database: Database, edition: str, verdict: Verdict) -> None:
    """A manager says what became of the oldest attempt without an answer."""
    with database.write() as session:
        attempt = first_uncertain(session, edition)
        steering.settle_uncertain(session, edition, attempt, verdict, actor=find_cast(session).max, now=NOON)


def ended(database: Database, edition: str) -> tuple[int, int, int]:
    """How many were handed over, are uncertain, and were left out because of the stop; nobody is planned."""
    with database.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.planned) == (SendState.STOPPED, 0)
    return progress.handed_over, progress.uncertain, progress.left_out.get(LeftOut.STOPPED, 0)


@pytest.mark.parametrize("outcome", [Outcome.TRY_AGAIN, Outcome.TOO_LARGE, Outcome.REJECTED, Outcome.ACCOUNT_TROUBLE])
def test_a_batch_that_comes_back_after_the_stop_is_left_out(database: Database, outcome: Outcome) -> None:
    edition, flight = flying(database)
    stop(database, edition)
    with database.write() as session:
        batches.record_answer(session, flight, Receipt(outcome, "answer"), actor=SCHEDULER, now=NOON)
    assert ended(database, edition) == (0, 0, 3)


def test_one_person_who_comes_back_after_the_stop_is_left_out(database: Database) -> None:
    edition, flight = flying(database)
    with database.read() as session:
        who = delivery_id(flight.claim.edition, get_subscriber(session, "reader2@example.org").number)
    stop(database, edition)
    receipt = Receipt(Outcome.ACCEPTED, people={who: PersonalReceipt(Outcome.TRY_AGAIN, "later")})
    with database.write() as session:
        batches.record_answer(session, flight, receipt, actor=SCHEDULER, now=NOON)
    assert ended(database, edition) == (2, 0, 1)


def test_what_would_be_repeated_is_left_out_after_the_stop(database: Database) -> None:
    edition, _ = flying(database)
    stop(database, edition)
    jobs.take_over(worker(database, FakeTransport(idempotent=True), StillClock()))
    assert ended(database, edition) == (0, 3, 0), "nobody knows whether the first try came through"


def test_nothing_of_a_stopped_send_is_sent_again(database: Database) -> None:
    edition, _ = flying(database)
    stop(database, edition)
    jobs.take_over(worker(database, FakeTransport(), StillClock()))
    with pytest.raises(Refused, match="was stopped; nothing of it is sent again"):
        settle(database, edition, Verdict.SEND_AGAIN)
    settle(database, edition, Verdict.NOT_SENT)
    assert ended(database, edition) == (0, 0, 0)


def test_of_two_tries_without_an_answer_one_is_sent_again_and_the_send_stopped_then_the_other_is_settled(
    database: Database,
) -> None:
    edition, _ = flying(database)
    clock = StillClock()
    # Planned again, since a repeat would reach nobody twice; who has left since stays in doubt.
    jobs.take_over(worker(database, FakeTransport(idempotent=True), clock))
    with database.write() as session:
        gone = get_subscriber(session, "reader2@example.org").number
        unsubscribe(session, gone, source="link", actor=SCHEDULER, now=NOON)
    clock.go(seconds=1)
    fly(database)
    jobs.take_over(worker(database, FakeTransport(), clock))
    settle(database, edition, Verdict.SEND_AGAIN)
    stop(database, edition)
    with database.read() as session:
        assert get_progress(session, edition).planned == 0
    settle(database, edition, Verdict.SENT)
    handed_over, uncertain, left_out = ended(database, edition)
    assert (handed_over + left_out, uncertain) == (3, 0)


def test_a_stop_while_a_batch_takes_off_leaves_nobody_out_who_is_in_it(database: Database) -> None:
    edition = edition_for(database, 3)
    jobs.reconcile(worker(database, FakeTransport(), StillClock()), RULES)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=NOON)
    assert claim is not None
    stopping = threading.Thread(target=stop, args=(database, edition))
    with database.write() as session:
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=NOON)
        stopping.start()
        stopping.join(0.7)
    stopping.join(20)
    assert flight is not None
    with database.write() as session:
        batches.record_answer(session, flight, Receipt(Outcome.ACCEPTED), actor=SCHEDULER, now=NOON)
    assert ended(database, edition) == (3, 0, 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_changed_a_send_and_then_keeps_it_waits_for_nobody_behind_them(database: Database) -> None:
    edition, flight = flying(database)
    number = flight.claim.edition

    def keep() -> None:
        with database.write() as session:
            moves.close_stopped(session, number)

    behind = threading.Thread(target=keep)
    with database.write() as session:
        session.execute(update(Send).where(Send.edition == number).values(failing=1))
        behind.start()
        assert is_blocked(database, behind)
        # With a stronger lock than the change took, each of the two would wait for the other.
        assert moves.close_stopped(session, number) == 0
    behind.join()
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.RUNNING


def is_blocked(database: Database, other: threading.Thread) -> bool:
    """Whether a thread comes to wait for a lock in PostgreSQL before it ends."""
    blocked = text("SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0")
    while other.is_alive():
        with database.read() as session:
            if session.scalar(blocked):
                return True
    return False

"""Requests keep the clinic's rate over all workers, and the provider's word when it asks to slow down."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery.model import BatchState, Limits, Rate, SendState, Slot
from newsletter.delivery.pacing import reserve_slot, slow_down
from newsletter.delivery.queries import get_progress
from newsletter.delivery.tables import Batch
from newsletter.delivery.worker import Step, Worker, send_next_batch
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule import jobs
from newsletter.subscribers.tokens import Tokens
from tests.factories import KEY, NOON, RULES, FakeTransport, StillClock, edition_for, worker

FIVE_A_SECOND = Rate(5, burst=3)


def reserve(database: Database, now: datetime, rate: Rate = FIVE_A_SECOND, **span: float) -> Slot:
    """A slot that is at most so far away; an hour when nothing is said."""
    with database.write() as session:
        return reserve_slot(session, "fake", rate, now=now, latest=now + timedelta(**(span or {"hours": 1})))


def test_after_a_rest_some_go_at_once_and_the_others_evenly(database: Database) -> None:
    slots = [reserve(database, NOON) for _ in range(6)]
    assert [(slot.at - NOON) / timedelta(seconds=1) for slot in slots] == [0, 0, 0, 0.2, 0.4, 0.6]
    assert all(slot.reserved for slot in slots)


def test_a_slot_that_is_too_far_away_is_told_and_not_taken(database: Database) -> None:
    for _ in range(3):
        reserve(database, NOON)
    there = Slot(NOON + timedelta(seconds=0.2), reserved=False)
    assert [reserve(database, NOON, seconds=0.1) for _ in range(2)] == [there, there]
    assert reserve(database, NOON) == Slot(there.at, reserved=True)


def test_when_the_provider_asked_to_slow_down_nobody_goes_before_and_then_one_by_one(database: Database) -> None:
    until = NOON + timedelta(minutes=2)
    with database.write() as session:
        slow_down(session, "fake", until)
        slow_down(session, "fake", until - timedelta(minutes=1))
    assert reserve(database, NOON, seconds=30) == Slot(until, reserved=False)
    slots = [reserve(database, NOON).at - until for _ in range(3)]
    assert slots == [timedelta(0), timedelta(seconds=0.2), timedelta(seconds=0.4)]


def test_a_clock_that_leapt_ahead_and_was_put_back_keeps_nobody_waiting(database: Database) -> None:
    ten_years_on = NOON + timedelta(days=3650)
    reserve(database, ten_years_on)
    assert reserve(database, NOON) == Slot(NOON, reserved=True)
    with database.write() as session:
        slow_down(session, "fake", ten_years_on)
    assert reserve(database, NOON).at <= NOON + timedelta(seconds=0.2)


def test_accounts_do_not_wait_for_each_other(database: Database) -> None:
    with database.write() as session:
        slow_down(session, "other", NOON + timedelta(hours=1))
    assert reserve(database, NOON).at == NOON


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (5.0, 0)])
def test_a_rate_that_lets_nothing_go_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Rate(rate, burst)


@given(st.floats(0.01, 1_000), st.integers(1, 100))
def test_a_burst_is_as_many_intervals_as_requests_but_one(rate: float, burst: int) -> None:
    given = Rate(rate, burst)
    assert given.head_start == given.interval * (burst - 1)


def test_workers_at_once_get_slots_of_their_own(database: Database) -> None:
    slots: list[datetime] = []

    def work() -> None:
        for _ in range(10):
            slots.append(reserve(database, NOON, Rate(10)).at)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    slots.sort()
    assert len(slots) == 40
    assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(seconds=0.1)}
    assert max(Counter((slot - NOON) // timedelta(seconds=1) for slot in slots).values()) == 10


def begun(database: Database, transport: FakeTransport, clock: StillClock, people: int) -> str:
    """An edition whose send is planned and runs."""
    edition = edition_for(database, people, clock.now())
    jobs.reconcile(worker(database, transport, clock), RULES)
    return edition


def paced(database: Database, transport: FakeTransport, clock: StillClock, rate: Rate) -> Worker:
    """A worker that keeps a rate."""
    return Worker("w1", database, transport, Tokens([KEY]), clock, limits=Limits(rate))


def test_a_send_keeps_its_rate_and_still_reaches_everybody(database: Database) -> None:
    transport = FakeTransport(paced=True, batch_limit=1)
    clock = StillClock(SystemClock().now())
    edition = begun(database, transport, clock, 6)
    began = SystemClock().now()
    boss = Worker("w1", database, transport, Tokens([KEY]), SystemClock(), limits=Limits(Rate(20)))
    assert jobs.send_all(boss) == 6
    assert SystemClock().now() - began >= timedelta(seconds=5 / 20)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED


def test_an_unpaced_transport_takes_no_slots(database: Database) -> None:
    transport, clock = FakeTransport(batch_limit=1), StillClock()
    begun(database, transport, clock, 3)
    assert jobs.send_all(paced(database, transport, clock, Rate(0.001))) == 3


def test_a_slot_further_away_than_a_worker_may_wait_gives_the_batch_back(database: Database) -> None:
    transport, clock = FakeTransport(paced=True, batch_limit=1), StillClock()
    edition = begun(database, transport, clock, 3)
    boss = paced(database, transport, clock, Rate(1 / 60))
    assert jobs.send_all(boss) == 1
    with database.read() as session:
        waiting = session.scalars(select(Batch).where(Batch.state == BatchState.PLANNED)).all()
    assert [batch.not_before for batch in waiting] == [clock.now() + timedelta(seconds=60)] * 2
    for _ in range(2):
        clock.go(seconds=60)
        assert jobs.send_all(boss) == 1
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
    assert len(transport.accepted) == 3


def test_the_end_of_the_process_ends_the_wait_and_gives_the_batch_back(database: Database) -> None:
    transport, clock = FakeTransport(paced=True, batch_limit=1), StillClock()
    begun(database, transport, clock, 2)
    boss = paced(database, transport, clock, Rate(0.05))
    assert send_next_batch(boss) is Step.SENT
    steps: list[Step] = []
    waiting = threading.Thread(target=lambda: steps.append(send_next_batch(boss)))
    waiting.start()
    boss.stopping.set()
    waiting.join(10)
    assert steps == [Step.GAVE_UP]
    with database.read() as session:
        batch = session.scalars(select(Batch).where(Batch.state == BatchState.PLANNED)).one()
    assert (batch.not_before, batch.lease_until) == (None, None)


def test_a_429_holds_every_send_of_the_account(database: Database) -> None:
    transport, clock = FakeTransport(paced=True, batch_limit=1), StillClock()
    begun(database, transport, clock, 2)
    again = clock.now() + timedelta(minutes=5)
    transport.answers = [Receipt(Outcome.TRY_AGAIN, "slow down", not_before=again)]
    jobs.send_all(paced(database, transport, clock, FIVE_A_SECOND))
    assert reserve(database, clock.now(), seconds=1) == Slot(again, reserved=False)


def test_the_last_request_of_a_window_is_accepted_and_the_next_one_waits(database: Database) -> None:
    transport, clock = FakeTransport(paced=True, batch_limit=1), StillClock()
    edition = begun(database, transport, clock, 2)
    again = clock.now() + timedelta(minutes=5)
    transport.answers = [Receipt(Outcome.ACCEPTED, not_before=again)]
    boss = paced(database, transport, clock, FIVE_A_SECOND)
    assert jobs.send_all(boss) == 1
    with database.read() as session:
        assert get_progress(session, edition).handed_over == 1
    clock.go(minutes=5)
    assert jobs.send_all(boss) == 1

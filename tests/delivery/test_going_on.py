"""A send goes on as it began, and not by itself after it stood still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches, steering
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress
from newsletter.delivery.worker import Step, send_next_batch
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.schedule import jobs
from tests.factories import RULES, FakeTransport, StillClock, edition_for, find_cast, worker


def begun(database: Database, transport: FakeTransport, clock: StillClock) -> str:
    """An edition to three people, each a batch, of which the first has gone."""
    edition = edition_for(database, 3)
    jobs.reconcile(worker(database, transport, clock), RULES)
    assert send_next_batch(worker(database, transport, clock)) is Step.SENT
    return edition


def assert_paused(database: Database, edition: str, note: str) -> None:
    """The send waits for a person, who is told why."""
    with database.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.note) == (SendState.PAUSED, note)


def test_a_send_goes_on_through_no_other_transport_than_it_began_with(database: Database) -> None:
    clock, first, other = StillClock(), FakeTransport(batch_limit=1), FakeTransport("other", batch_limit=1)
    edition = begun(database, first, clock)
    assert send_next_batch(worker(database, other, clock)) is Step.NOTHING_TO_DO
    jobs.run_until_idle(worker(database, other, clock), RULES)
    assert_paused(database, edition, "it began with TRANSPORT=fake, and TRANSPORT is other now")

    with database.write() as session:
        steering.resume(session, edition, actor=find_cast(session).max, now=clock.now(), late_after=RULES.late_after)
    jobs.run_until_idle(worker(database, first, clock), RULES)
    assert (len(first.accepted), other.batches) == (3, [])


@pytest.mark.parametrize("name", ["fake", "other"])
def test_a_try_without_an_answer_is_repeated_only_through_its_own_transport(database: Database, name: str) -> None:
    clock, first = StillClock(), FakeTransport(batch_limit=1)
    edition = begun(database, first, clock)
    with database.write() as session:
        claim = batches.claim(session, worker="killed", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        assert batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
    jobs.take_over(worker(database, FakeTransport(name, idempotent=True), clock))
    with database.read() as session:
        progress = get_progress(session, edition)
    assert (progress.uncertain, progress.planned) == ((0, 2) if name == "fake" else (1, 1))


def test_a_send_whose_links_lead_elsewhere_by_now_is_paused(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=1)
    edition = begun(database, transport, clock)
    jobs.run_until_idle(worker(database, transport, clock), replace(RULES, base_url="https://new.example.org"))
    assert len(transport.accepted) == 1
    note = "its links begin with https://news.example.org, and BASE_URL is https://new.example.org now"
    assert_paused(database, edition, note)


def test_a_send_that_stood_still_too_long_waits_until_a_person_resumes_it(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=1)
    edition = begun(database, transport, clock)
    clock.go(hours=20)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 1, "half a send does not go out at night"
    assert_paused(database, edition, "it stood still since 2026-11-03 12:00 UTC; resume it if it shall go on")

    with database.write() as session:
        steering.resume(session, edition, actor=find_cast(session).max, now=clock.now(), late_after=RULES.late_after)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 3, "a person has said that it goes on"


def test_a_machine_that_slept_between_two_batches_asks_too(database: Database) -> None:
    clock = StillClock()

    class Sleeping(FakeTransport):
        def send(self, batch: OutgoingBatch) -> Receipt:
            clock.go(hours=20)
            return Receipt(Outcome.ACCEPTED)

    edition = begun(database, FakeTransport(batch_limit=1), clock)
    jobs.run_until_idle(worker(database, Sleeping(batch_limit=1), clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.handed_over) == (SendState.PAUSED, 2)


def test_a_send_that_stood_still_for_as_long_as_it_may_goes_on(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport(batch_limit=1)
    edition = begun(database, transport, clock)
    clock.go(hours=2)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED

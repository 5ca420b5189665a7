"""A worker that was given up knows more than those who gave it up: what it says late counts once, and nobody has two.

Here a worker flies, the others call its attempt uncertain, and then it speaks.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from newsletter.database.audit import SCHEDULER, SHELL
from newsletter.database.session import Database
from newsletter.delivery import batches, steering
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import AttemptState, Claim, DeliveryState, Flight, LostClaim, SendState, Verdict
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_uncertain
from newsletter.delivery.tables import Delivery
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.schedule import jobs
from newsletter.subscribers.actions import unsubscribe
from tests.factories import NOON, RULES, FakeTransport, StillClock, edition_for, find_cast, worker

PEOPLE = 6
NEVER_BEGUN = batches.never_begun(NOON)


class Story:
    """A send to six people by a transport of so many at once."""

    def __init__(self, database: Database, batch_limit: int = PEOPLE) -> None:
        self.database, self.clock, self.transport = database, StillClock(), FakeTransport(batch_limit=batch_limit)
        self.edition = edition_for(database, PEOPLE)
        self.look()

    def look(self) -> None:
        """The scheduler looks at the rows."""
        jobs.reconcile(worker(self.database, self.transport, self.clock), RULES)

    def claim(self) -> Claim:
        """A worker claims a batch, and is given up soon."""
        with self.database.write() as session:
            claim = batches.claim(session, worker="cut off", transport="fake", actor=SCHEDULER, now=self.clock.now())
        assert claim
        return claim

    def fly(self) -> Flight:
        """It puts one on record as in flight."""
        claim = self.claim()
        with self.database.write() as session:
            flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=self.clock.now())
        assert flight
        return flight

    def give_up(self) -> None:
        """The others wait no longer."""
        self.clock.go(minutes=3)
        self.look()

    def answer(self, flight: Flight, receipt: Receipt) -> bool:
        """The worker says what it knows."""
        with self.database.write() as session:
            return batches.record_answer(session, flight, receipt, actor=SCHEDULER, now=self.clock.now())

    def take_back(self, claim: Claim) -> None:
        """The worker has begun nothing, and does not know what is on record."""
        with self.database.write() as session:
            batches.take_back(session, claim, actor=SCHEDULER, now=self.clock.now())

    def settle(self, verdict: Verdict) -> None:
        """A person says what became of all that is uncertain."""
        with self.database.write() as session:
            for attempt, _ in list_uncertain(session, self.edition):
                boss = find_cast(session).max
                steering.settle_uncertain(session, self.edition, attempt.id, verdict, actor=boss, now=self.clock.now())

    def go_on(self) -> None:
        """Another worker sends whatever may go."""
        jobs.send_all(worker(self.database, self.transport, self.clock), rules=RULES)

    def stands(self) -> tuple[SendState, int, int, int]:
        """The state of the send, and how many wait, have it, are uncertain."""
        with self.database.read() as session:
            assert find_ledger_faults(session) == []
            progress = get_progress(session, self.edition)
        return progress.state, progress.planned, progress.handed_over, progress.uncertain

    def attempts(self) -> list[AttemptState]:
        """What became of each attempt."""
        with self.database.read() as session:
            return [one.state for one in list_attempts(session, get_send(session, self.edition).edition)]


def test_what_was_never_begun_goes_again_and_nobody_stays_uncertain(database: Database) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    assert story.stands() == (SendState.RUNNING, 0, 0, PEOPLE)
    assert story.answer(flight, NEVER_BEGUN)
    assert story.stands() == (SendState.RUNNING, PEOPLE, 0, 0)
    assert not story.answer(flight, NEVER_BEGUN), "said twice, it counts once"
    story.go_on()
    assert story.stands() == (SendState.FINISHED, 0, PEOPLE, 0)
    assert story.attempts() == [AttemptState.NOT_SENT, AttemptState.ACCEPTED]
    assert len(story.transport.accepted) == PEOPLE


def test_whom_the_provider_refused_is_known_late_too(database: Database) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    refused = {"nd1x2": PersonalReceipt(Outcome.REJECTED, "no such box")}
    assert story.answer(flight, Receipt(Outcome.REJECTED, "1 is refused", people=refused))
    story.go_on()
    assert story.stands() == (SendState.FINISHED, 0, PEOPLE - 1, 0)
    assert "nd1x2" not in story.transport.accepted
    assert state_of(database, 2) is DeliveryState.REFUSED


@pytest.mark.parametrize("verdict", Verdict)
def test_what_a_person_has_said_stands(database: Database, verdict: Verdict) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    story.settle(verdict)
    story.go_on()
    before = story.stands()
    assert not story.answer(flight, NEVER_BEGUN)
    story.go_on()
    assert story.stands() == before
    assert len(story.transport.accepted) == (PEOPLE if verdict is Verdict.SEND_AGAIN else 0)


def test_an_answer_that_is_uncertain_itself_changes_nothing(database: Database) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    assert not story.answer(flight, Receipt(Outcome.UNCERTAIN, "no answer"))
    assert story.stands() == (SendState.RUNNING, 0, 0, PEOPLE)


def test_who_left_meanwhile_is_left_out_and_not_in_doubt(database: Database) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    with database.write() as session:
        unsubscribe(session, 3, source="link", actor=SHELL, now=story.clock.now())
    story.answer(flight, NEVER_BEGUN)
    story.go_on()
    assert story.stands() == (SendState.FINISHED, 0, PEOPLE - 1, 0)
    assert state_of(database, 3) is DeliveryState.LEFT_OUT


def test_in_a_send_that_was_stopped_it_does_not_go_again(database: Database) -> None:
    story = Story(database)
    flight = story.fly()
    story.give_up()
    with database.write() as session:
        steering.stop(session, story.edition, actor=find_cast(session).max, now=story.clock.now())
    story.answer(flight, NEVER_BEGUN)
    story.go_on()
    assert story.stands() == (SendState.STOPPED, 0, 0, 0)
    assert story.transport.accepted == []


@pytest.mark.parametrize("given_up", [False, True])
def test_a_take_off_that_came_on_record_unheard_is_taken_back(database: Database, given_up: bool) -> None:
    story = Story(database, batch_limit=1)
    flights = [story.fly() for _ in range(PEOPLE)]
    if given_up:
        story.give_up()
    for flight in flights:
        story.take_back(flight.claim)
    # Nobody has failed, so no brake pauses it, and nothing waits.
    assert story.stands() == (SendState.RUNNING, PEOPLE, 0, 0)
    story.go_on()
    assert story.stands() == (SendState.FINISHED, 0, PEOPLE, 0)
    assert len(story.transport.accepted) == PEOPLE


def test_a_take_off_that_comes_on_record_after_it_was_taken_back_is_none(database: Database) -> None:
    story = Story(database)
    claim = story.claim()
    story.take_back(claim)
    with pytest.raises(LostClaim), database.write() as session:
        batches.put_in_flight(session, claim, actor=SCHEDULER, now=story.clock.now())
    story.go_on()
    story.take_back(claim)
    assert story.stands() == (SendState.FINISHED, 0, PEOPLE, 0)
    assert story.attempts() == [AttemptState.ACCEPTED]


def state_of(database: Database, subscriber: int) -> DeliveryState:
    with database.read() as session:
        return session.scalars(select(Delivery.state).where(Delivery.subscriber == subscriber)).one()

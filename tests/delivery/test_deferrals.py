"""One person who is to be tried again later goes later, alone; a line that breaks leaves everybody where they are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.database.session import Database
from newsletter.delivery import plan
from newsletter.delivery.model import DeliveryState, SendState, delivery_id
from newsletter.delivery.queries import find_trouble, get_progress, list_uncertain
from newsletter.delivery.tables import Delivery
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.schedule.jobs import run_until_idle
from tests.factories import RULES, FakeTransport, StillClock, edition_for, worker

LATER = PersonalReceipt(Outcome.TRY_AGAIN, "450 come back")
TAKEN = PersonalReceipt(Outcome.ACCEPTED)
IN_DOUBT = PersonalReceipt(Outcome.UNCERTAIN, "cut after the dot")


def _edition(database: Database, people: int) -> str:
    return edition_for(database, people)


def test_somebody_put_off_goes_after_some_minutes_and_the_rest_at_once(database: Database) -> None:
    who = delivery_id(1, 2)
    receipt = Receipt(Outcome.ACCEPTED, "1 is to be tried again later; 450 come back", people={who: LATER})
    clock, transport = StillClock(), FakeTransport(answers=[receipt])
    edition = _edition(database, 15)
    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 14
    assert who not in transport.accepted
    with database.read() as session:
        trouble = find_trouble(session, edition)
        assert trouble is not None
        assert "come back" in trouble.answer
    clock.go(minutes=4)
    run_until_idle(worker(database, transport, clock), RULES)
    assert who not in transport.accepted
    clock.go(minutes=1)
    run_until_idle(worker(database, transport, clock), RULES)
    assert transport.accepted.count(who) == 1
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED


def test_who_is_put_off_again_and_again_is_refused_in_the_end(database: Database) -> None:
    whole = Receipt(Outcome.TRY_AGAIN, "later", people={delivery_id(1, n): LATER for n in (1, 2)})
    clock, transport = StillClock(), FakeTransport(answers=[whole] * 50)
    edition = _edition(database, 2)
    for _ in range(200):
        run_until_idle(worker(database, transport, clock), RULES)
        clock.go(minutes=5)
    assert len(transport.batches) == plan.MOST_DEFERRALS + 1
    assert sum((plan.wait_after_deferral(n) for n in range(plan.MOST_DEFERRALS)), timedelta()) < timedelta(hours=6)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.refused, progress.state) == (2, SendState.FINISHED)
        assert session.get_one(Delivery, (1, 1)).reason == "450 come back"


@pytest.mark.parametrize("outcome", [Outcome.TRY_AGAIN, Outcome.ACCOUNT_TROUBLE])
def test_a_line_that_breaks_in_the_middle_keeps_each_answer_and_sends_the_rest(
    database: Database, outcome: Outcome
) -> None:
    answered = {delivery_id(1, 1): TAKEN, delivery_id(1, 2): TAKEN, delivery_id(1, 3): IN_DOUBT}
    clock, transport = StillClock(), FakeTransport(answers=[Receipt(outcome, "broken", people=answered)])
    edition = _edition(database, 6)
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.uncertain, progress.planned) == (2, 1, 3)
        assert progress.state is (SendState.PAUSED if outcome is Outcome.ACCOUNT_TROUBLE else SendState.RUNNING)
        [(attempt, people)] = list_uncertain(session, edition)
        assert (attempt.id, people) == (transport.batches[0].attempt, 1)
    if outcome is Outcome.ACCOUNT_TROUBLE:
        return
    clock.go(minutes=1)
    run_until_idle(worker(database, transport, clock), RULES)
    assert sorted(transport.accepted) == [delivery_id(1, n) for n in (4, 5, 6)]
    with database.read() as session:
        states = {n: session.get_one(Delivery, (1, n)).state for n in range(1, 7)}
    assert [n for n, state in states.items() if state is DeliveryState.UNCERTAIN] == [3]


def test_a_server_that_takes_a_few_at_a_time_does_not_pull_the_brake(database: Database) -> None:
    broken = [Receipt(Outcome.TRY_AGAIN, "broken", people={delivery_id(1, n): TAKEN}) for n in range(1, 9)]
    clock, transport = StillClock(), FakeTransport(answers=[*broken])
    edition = _edition(database, 9)
    for _ in range(12):
        run_until_idle(worker(database, transport, clock), RULES)
        clock.go(minutes=1)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.handed_over) == (SendState.FINISHED, 9)

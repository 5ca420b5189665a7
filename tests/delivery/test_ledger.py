"""The ledger's check finds what does not add up, names it, and finds nothing in what our own actions do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from newsletter.database.audit import AuditLine
from newsletter.database.session import Database
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.model import EditionState
from newsletter.editions.tables import Edition
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.schedule import jobs
from tests.factories import RULES, FakeTransport, StillClock, edition_for, worker


def sent(database: Database, *answers: Receipt) -> None:
    """An edition that went to seven people in three batches."""
    edition_for(database, 7)
    transport = FakeTransport(batch_limit=3, answers=list(answers))
    jobs.run_until_idle(worker(database, transport, StillClock()), RULES)


def _count_one_more(session: Session) -> None:
    session.execute(update(Batch).where(Batch.number == 2).values(handed_over=4))


def _take_a_delivery_away(session: Session) -> None:
    session.execute(delete(Delivery).where(Delivery.subscriber == 7))


def _plan_again(session: Session) -> None:
    session.execute(update(Delivery).where(Delivery.subscriber == 1).values(state=DeliveryState.PLANNED))


def _reopen(session: Session) -> None:
    session.execute(update(Batch).where(Batch.number == 1).values(state=BatchState.REJECTED))


def _lose_the_attempts(session: Session) -> None:
    session.execute(update(Delivery).values(attempt="na0"))


def _forget_that_it_was_accepted(session: Session) -> None:
    session.execute(update(Attempt).where(Attempt.batch == 1).values(state=AttemptState.NOT_SENT))


def _accept_twice(session: Session) -> None:
    session.execute(update(Attempt).where(Attempt.batch == 2).values(batch=1))


def _put_a_batch_back_in_the_air(session: Session) -> None:
    session.execute(update(Send).values(state=SendState.RUNNING))
    session.execute(update(Batch).where(Batch.number == 1).values(state=BatchState.IN_FLIGHT))


def _put_an_attempt_back_in_the_air(session: Session) -> None:
    session.execute(update(Attempt).where(Attempt.batch == 1).values(state=AttemptState.IN_FLIGHT))


def _take_the_edition_back(session: Session) -> None:
    session.execute(update(Edition).values(state=EditionState.VOID))


def _leave_out_without_a_reason(session: Session) -> None:
    session.execute(update(Delivery).where(Delivery.subscriber == 1).values(state=DeliveryState.LEFT_OUT))


def _forget_the_audience(session: Session) -> None:
    session.execute(delete(AuditLine).where(AuditLine.action == "send planned"))


def _move_into_a_batch_that_is_not_there(session: Session) -> None:
    session.execute(update(Delivery).where(Delivery.subscriber == 1).values(batch=9))


def _move_out_of_every_batch(session: Session) -> None:
    session.execute(update(Delivery).where(Delivery.subscriber == 1).values(batch=0))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_count_one_more, "2026-11-opening-1, batch 2: it counts 4 handed over, and its deliveries 3"),
        (_take_a_delivery_away, "2026-11-opening-1: its audience was fixed at 7 people, and 6 have a delivery"),
        (_plan_again, "batch 1: it is accepted, and 1 people in it are still planned"),
        (_reopen, "batch 1: it is rejected in a send that is finished"),
        (_lose_the_attempts, "attempt na0: 7 people are handed over by an attempt that is not there"),
        (_forget_that_it_was_accepted, "3 people are handed over, and the attempt is not sent"),
        (_accept_twice, "batch 1: its people were in more than one accepted attempt, so up to 3 may have it twice"),
        (_put_a_batch_back_in_the_air, "batch 1: it is in flight, and its attempt na"),
        (_put_an_attempt_back_in_the_air, "it is in flight, and its batch is not with it"),
        (_take_the_edition_back, "2026-11-opening-1: it has a send, and is void"),
        (_leave_out_without_a_reason, "1 people were left out without a reason"),
        (_forget_the_audience, "the audit tells 0 times that its audience was fixed"),
        (_move_into_a_batch_that_is_not_there, "batch 9: 1 people have a delivery in it, and it is not there"),
        (_move_out_of_every_batch, "1 people are in no batch and were not left out"),
    ],
)
def test_what_does_not_add_up_is_named_with_what_to_do(
    database: Database, spoil: Callable[[Session], None], words: str
) -> None:
    sent(database)
    with database.write() as session:
        assert find_ledger_faults(session) == []
        spoil(session)
    with database.snapshot() as session:
        told = [str(fault) for fault in find_ledger_faults(session)]
    assert any(words in line for line in told), told
    assert all(line.endswith(".") and ". " in line for line in told), "each says what to do"


def test_a_batch_of_which_the_provider_took_some_and_then_broke_adds_up(database: Database) -> None:
    people = {"nd1x1": PersonalReceipt(Outcome.ACCEPTED)}
    sent(
        database,
        Receipt(Outcome.TRY_AGAIN, "the line broke", people=people),
        Receipt(Outcome.UNCERTAIN, "no answer", people={"nd1x4": PersonalReceipt(Outcome.ACCEPTED)}),
    )
    with database.snapshot() as session:
        assert find_ledger_faults(session) == []


def test_what_a_repeat_through_the_mailbox_leaves_is_no_fault(database: Database) -> None:
    sent(database)
    with database.write() as session:
        _accept_twice(session)
        assert find_ledger_faults(session, idempotent="fake") == []

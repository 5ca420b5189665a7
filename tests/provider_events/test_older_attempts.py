"""A try that turns out to be accepted is never repeated, whatever was thought of it and whatever came after it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches, steering
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import (
    BatchState,
    DailyLimit,
    DeliveryState,
    Flight,
    Limits,
    LostClaim,
    SendState,
    Verdict,
)
from newsletter.delivery.queries import get_progress, list_uncertain
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.delivery.worker import Worker, send_batch, send_next_batch
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.schedule import jobs
from newsletter.staff.model import NoticeKind
from newsletter.staff.notices import list_notices
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Subscriber
from tests.factories import (
    LONDON,
    RULES,
    FakeTransport,
    StillClock,
    edition_for,
    find_cast,
    worker,
)
from tests.provider_events.posting import EDITION, Mail, post

NO_ANSWER = Receipt(Outcome.UNCERTAIN, "no answer")
SLOW_DOWN = Receipt(Outcome.TRY_AGAIN, "slow down")


def begin(database: Database, *answers: Receipt) -> tuple[Worker, FakeTransport, StillClock]:
    """A send to four people in one batch, ready to go through a provider that gives these answers first."""
    transport, clock = FakeTransport(answers=list(answers)), StillClock()
    edition_for(database, 4)
    sender = worker(database, transport, clock)
    jobs.reconcile(sender, RULES)
    return sender, transport, clock


def say(database: Database, attempt: str, verdict: Verdict, clock: StillClock) -> None:
    """A manager says what became of an attempt."""
    with database.write() as session:
        cast = find_cast(session)
        steering.settle_uncertain(session, EDITION, attempt, verdict, actor=cast.max, now=clock.now())


def mail_of(batch: OutgoingBatch, place: int = 0) -> Mail:
    """One person's mail in a request."""
    name = batch.people[place].delivery
    return Mail(int(name.partition("x")[2]), name, batch.attempt)


def hear_of(database: Database, batch: OutgoingBatch, place: int = 0) -> None:
    """The provider tells that it has processed one mail of a request."""
    post(database, mail_of(batch, place).event("processed"))


def go_on(sender: Worker, clock: StillClock) -> None:
    """Send whatever may go now or later."""
    for _ in range(6):
        clock.go(minutes=10)
        jobs.send_all(sender)


def states(database: Database) -> Counter[DeliveryState]:
    with database.read() as session:
        rows = session.execute(select(Delivery.state, func.count()).group_by(Delivery.state)).all()
    return Counter(dict(rows))


def faults(database: Database) -> list[str]:
    with database.read() as session:
        return [str(fault) for fault in find_ledger_faults(session)]


HANDED_OVER = Counter({DeliveryState.HANDED_OVER: 4})


def test_two_tries_that_were_thought_not_sent_and_an_event_of_the_first(database: Database) -> None:
    sender, transport, clock = begin(database, SLOW_DOWN, SLOW_DOWN)
    send_next_batch(sender)
    clock.go(minutes=1)
    send_next_batch(sender)
    hear_of(database, transport.batches[0])
    go_on(sender, clock)
    assert len(transport.batches) == 2, "nothing goes a third time"
    assert states(database) == HANDED_OVER
    assert faults(database) == []


def test_the_first_try_is_proved_while_the_second_is_on_its_way_and_that_one_is_not_taken(database: Database) -> None:
    sender, transport, clock = begin(database, SLOW_DOWN)
    send_next_batch(sender)
    clock.go(minutes=1)
    flight = fly(database, clock)
    hear_of(database, transport.batches[0])
    with database.write() as session:
        batches.record_answer(session, flight, SLOW_DOWN, actor=SCHEDULER, now=clock.now())
    go_on(sender, clock)
    assert len(transport.batches) == 1
    assert states(database) == HANDED_OVER


def fly(database: Database, clock: StillClock) -> Flight:
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
    assert flight is not None
    return flight


def test_sent_again_thought_not_sent_and_proved_after_all(database: Database) -> None:
    sender, transport, clock = begin(database, NO_ANSWER, SLOW_DOWN)
    send_next_batch(sender)
    say(database, transport.batches[0].attempt, Verdict.SEND_AGAIN, clock)
    send_next_batch(sender)
    hear_of(database, transport.batches[1])
    go_on(sender, clock)
    assert len(transport.batches) == 2
    assert states(database) == HANDED_OVER


def test_of_two_tries_without_an_answer_an_event_of_the_first_leaves_nothing_to_send_again(database: Database) -> None:
    sender, transport, clock = begin(database, NO_ANSWER, NO_ANSWER)
    send_next_batch(sender)
    say(database, transport.batches[0].attempt, Verdict.SEND_AGAIN, clock)
    send_next_batch(sender)
    hear_of(database, transport.batches[0])
    with database.read() as session:
        assert list_uncertain(session, EDITION) == []
    assert states(database) == HANDED_OVER
    assert faults(database) == []


def test_a_late_yes_to_the_first_try_counts_although_the_second_is_on_its_way(database: Database) -> None:
    sender, transport, clock = begin(database)
    first = fly(database, clock)
    jobs.take_over(sender)
    say(database, first.attempt, Verdict.SEND_AGAIN, clock)
    second = fly(database, clock)
    with database.write() as session:
        batches.record_answer(session, first, Receipt(Outcome.ACCEPTED), actor=SCHEDULER, now=clock.now())
    with database.write() as session:
        batches.record_answer(session, second, SLOW_DOWN, actor=SCHEDULER, now=clock.now())
    go_on(sender, clock)
    assert transport.batches == [], "the first went, and the second was not taken"
    assert states(database) == HANDED_OVER
    assert faults(database) == []


def test_who_turns_out_to_have_the_mail_while_a_batch_is_being_built_is_not_in_its_request(database: Database) -> None:
    sender, transport, clock = begin(database, Receipt(Outcome.TOO_LARGE), SLOW_DOWN)
    send_next_batch(sender)
    send_batch(sender, 1, 2)
    clock.go(minutes=1)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now(), only=(1, 2))
    assert claim is not None
    hear_of(database, transport.batches[0], place=3)
    with pytest.raises(LostClaim), database.write() as session:
        batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
    go_on(sender, clock)
    assert [len(batch.people) for batch in transport.batches] == [4, 2]
    assert states(database) == HANDED_OVER


def test_a_worker_that_dies_with_a_repetition_of_what_went_leaves_nothing_in_doubt(database: Database) -> None:
    sender, transport, clock = begin(database, NO_ANSWER)
    send_next_batch(sender)
    say(database, transport.batches[0].attempt, Verdict.SEND_AGAIN, clock)
    fly(database, clock)
    hear_of(database, transport.batches[0])
    jobs.take_over(sender)
    jobs.finish_all(sender)
    with database.read() as session:
        assert get_progress(session, EDITION).state is SendState.FINISHED
    assert faults(database) == []


def test_who_was_not_in_the_newest_try_is_sent_it_again_in_a_batch_of_their_own(database: Database) -> None:
    sender, transport, clock = begin(database, NO_ANSWER, NO_ANSWER)
    send_next_batch(sender)
    first = transport.batches[0].attempt
    say(database, first, Verdict.SEND_AGAIN, clock)
    with database.write() as session:
        session.execute(update(Subscriber).where(Subscriber.number == 2).values(state=SubscriberState.PAUSED))
    send_next_batch(sender)
    with database.write() as session:
        session.execute(update(Subscriber).where(Subscriber.number == 2).values(state=SubscriberState.ACTIVE))
    say(database, first, Verdict.SEND_AGAIN, clock)
    hear_of(database, transport.batches[1])
    go_on(sender, clock)
    assert [len(batch.people) for batch in transport.batches] == [4, 3, 1]
    assert states(database) == HANDED_OVER
    assert faults(database) == []


def test_who_was_cut_off_by_the_daily_limit_went_with_the_try_that_is_proved(database: Database) -> None:
    sender, transport, clock = begin(database, NO_ANSWER)
    sender = replace(sender, limits=Limits(daily=DailyLimit(6, LONDON)))
    send_next_batch(sender)
    say(database, transport.batches[0].attempt, Verdict.SEND_AGAIN, clock)
    send_next_batch(sender)
    assert len(transport.batches[1].people) == 2, "two of six are left for today"
    hear_of(database, transport.batches[0])
    clock.go(days=2)
    jobs.send_all(sender)
    assert len(transport.batches) == 2, "the other two have it"
    assert states(database) == HANDED_OVER


def test_who_left_after_a_try_without_an_answer_stays_in_doubt_also_in_a_batch_of_their_own(
    database: Database,
) -> None:
    sender, transport, clock = begin(database, NO_ANSWER)
    sender = replace(sender, limits=Limits(daily=DailyLimit(6, LONDON)))
    send_next_batch(sender)
    first = transport.batches[0].attempt
    say(database, first, Verdict.SEND_AGAIN, clock)
    send_next_batch(sender)
    with database.write() as session:
        waiting = session.scalars(select(Delivery.subscriber).where(Delivery.state == DeliveryState.PLANNED)).all()
        unsubscribe(session, waiting[0], source="link", actor=SCHEDULER, now=clock.now())
    clock.go(days=2)
    jobs.send_all(sender)
    assert states(database) == Counter({DeliveryState.HANDED_OVER: 3, DeliveryState.UNCERTAIN: 1})
    assert faults(database) == []
    say(database, first, Verdict.SENT, clock)
    assert states(database) == HANDED_OVER
    with database.read() as session:
        assert set(session.scalars(select(Batch.state))) == {BatchState.ACCEPTED}
        assert session.scalar(select(func.count()).select_from(Attempt)) == 3


REFUSED = Receipt(Outcome.REJECTED, "400")


def refused_in_halves(database: Database, *answers: Receipt) -> tuple[Worker, FakeTransport, StillClock]:
    """A batch of four that the provider refused without naming anybody: two are in batch 1 still, two in batch 2."""
    sender, transport, clock = begin(database, REFUSED, *answers)
    send_next_batch(sender)
    clock.go(minutes=1)
    return sender, transport, clock


def told_twice(database: Database) -> list[str]:
    with database.read() as session:
        return [n.reason for n in list_notices(session, EDITION) if n.kind is NoticeKind.ACCEPTED_TWICE]


@pytest.mark.parametrize("place", [0, 3])
def test_a_refused_batch_that_went_after_all_is_sent_to_neither_half(database: Database, place: int) -> None:
    sender, transport, clock = refused_in_halves(database)
    hear_of(database, transport.batches[0], place)
    go_on(sender, clock)
    assert len(transport.batches) == 1
    assert states(database) == HANDED_OVER
    assert faults(database) == []
    assert told_twice(database) == []


def test_the_half_that_was_refused_too_and_its_own_halves_are_not_sent_again(database: Database) -> None:
    sender, transport, clock = refused_in_halves(database, REFUSED)
    send_batch(sender, 1, 2)
    hear_of(database, transport.batches[0])
    go_on(sender, clock)
    assert [len(batch.people) for batch in transport.batches] == [4, 2]
    assert states(database) == HANDED_OVER
    assert faults(database) == []


def test_the_half_that_has_gone_already_is_told_as_accepted_twice_and_the_other_is_not_sent(database: Database) -> None:
    sender, transport, clock = refused_in_halves(database)
    send_batch(sender, 1, 2)
    hear_of(database, transport.batches[0])
    go_on(sender, clock)
    assert [len(batch.people) for batch in transport.batches] == [4, 2]
    assert states(database) == HANDED_OVER
    assert told_twice(database) == ["up to 2 people may have it two times (batch 1)"]
    [fault] = faults(database)
    assert "batch 2: its people were in more than one accepted attempt, so up to 2 may have it twice" in fault


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Receipt(Outcome.ACCEPTED), ["up to 2 people may have it two times (batch 2)"]),
        (NO_ANSWER, []),
        (SLOW_DOWN, []),
        (REFUSED, []),
    ],
)
def test_the_half_that_is_on_its_way_is_never_sent_once_more(
    database: Database, answer: Receipt, told: list[str]
) -> None:
    sender, transport, clock = refused_in_halves(database)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now(), only=(1, 2))
        assert claim is not None
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
    assert flight is not None
    hear_of(database, transport.batches[0])
    with database.write() as session:
        batches.record_answer(session, flight, answer, actor=SCHEDULER, now=clock.now())
    go_on(sender, clock)
    assert len(transport.batches) == 1
    assert states(database) == HANDED_OVER
    assert told_twice(database) == told
    assert len(faults(database)) == len(told)


def test_a_half_without_an_answer_is_not_in_doubt_when_the_whole_went(database: Database) -> None:
    sender, transport, _ = refused_in_halves(database, NO_ANSWER)
    send_batch(sender, 1, 2)
    hear_of(database, transport.batches[0])
    assert states(database) == HANDED_OVER
    with database.read() as session:
        assert list_uncertain(session, EDITION) == []
    assert faults(database) == []


def test_a_half_proves_nothing_of_the_other(database: Database) -> None:
    sender, transport, clock = refused_in_halves(database, NO_ANSWER)
    send_batch(sender, 1, 2)
    hear_of(database, transport.batches[1])
    assert states(database) == Counter({DeliveryState.HANDED_OVER: 2, DeliveryState.PLANNED: 2})
    go_on(sender, clock)
    assert [len(batch.people) for batch in transport.batches] == [4, 2, 2]
    assert states(database) == HANDED_OVER
    assert faults(database) == []

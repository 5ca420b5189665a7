"""Whatever happens in whatever order, states move only as allowed, counters are right, and nobody has it twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER, SHELL
from newsletter.database.base import Base
from newsletter.database.session import Database
from newsletter.delivery import batches, steering
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import (
    BATCH_MOVES,
    DELIVERY_MOVES,
    EVENT_ORDER,
    SEND_MOVES,
    BatchState,
    Claim,
    DeliveryState,
    Flight,
    LostClaim,
    SendState,
    Verdict,
    delivery_id,
)
from newsletter.delivery.queries import list_recipients
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.schedule import jobs
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Subscriber
from tests.factories import (
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    find_cast,
    first_uncertain,
    scheduled_edition,
    worker,
)
from tests.provider_events.posting import Mail, post

STEPS = (
    *("claim", "fly", "lose", "answer", "take back", "hear", "look"),
    *("leave", "pause", "resume", "wait", "settle", "stop"),
)
MOVING = ("fly", "lose", "answer", "take back", "hear", "look", "settle", "stop")
"""The steps after which the whole ledger is added up."""
TOLD = ("processed", "deferred", "delivered", "bounce", "dropped")
WENT = (DeliveryState.HANDED_OVER, *EVENT_ORDER)
HEARD_MOVES = {
    state: moves | (frozenset(EVENT_ORDER) if DeliveryState.HANDED_OVER in moves else frozenset())
    for state, moves in DELIVERY_MOVES.items()
}
"""An event proves that a mail went, and tells in the same moment what became of it."""
PEOPLE = 7
State = TypeVar("State", SendState, BatchState, DeliveryState)
States = tuple[dict[int, SendState], dict[int, BatchState], dict[int, DeliveryState]]


@dataclass(frozen=True)
class Request:
    """A request to the provider: who is in it, and whom of them the provider took, whatever it will answer."""

    flight: Flight
    people: list[int]
    taken: list[int]


class Play:
    """A send with two workers at once, whose provider takes what it likes, and answers it and tells of it late, twice
    or never.

    One that `lies` answers now and then that it took nothing, when it did.
    """

    def __init__(self, database: Database, *, lies: bool = False) -> None:
        self.database = database
        self.lies = lies
        self.in_attempt: dict[str, set[int]] = {}
        self.clock = StillClock()
        self.transport = FakeTransport(batch_limit=3)
        self.claims: list[Claim] = []
        self.unheard: list[Claim] = []
        self.flights: list[Request] = []
        self.mails: list[Mail] = []
        self.handed: Counter[int] = Counter()
        self.left: set[int] = set()
        with database.write() as session:
            # Only the consent of those who never confirmed may go.
            session.execute(update(Subscriber).values(state=SubscriberState.PENDING))
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
            cast = add_cast(session)
            add_people(session, PEOPLE)
        self.edition = scheduled_edition(database, cast)
        jobs.reconcile(worker(database, self.transport, self.clock), RULES)
        with database.read() as session:
            self.serial = session.scalars(select(Send.edition)).one()
            self.people = list(session.scalars(select(Delivery.subscriber).order_by(Delivery.subscriber)))

    def step(self, name: str, number: int) -> None:
        """One thing happens; what is refused changes nothing."""
        now = self.clock.now()
        if name == "hear":
            self._hear(number)
            return
        with self.database.write() as session:
            cast = find_cast(session)
            match name:
                case "claim":
                    claim = batches.claim(session, worker=f"w{number}", transport="fake", actor=SCHEDULER, now=now)
                    self.claims += [claim] if claim else []
                case "fly" if self.claims:
                    claim = self.claims.pop(number % len(self.claims))
                    people = set(list_recipients(session, claim.edition, claim.batch))
                    flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=now)
                    if flight:
                        going = sorted(people - flight.dropped)
                        assert not self.left & set(going), "who left is not in what goes out"
                        assert len(going) == flight.people
                        self._has_none_of_it_for_certain(session, going)
                        self._take(flight, going, number)
                case "lose" if self.claims:
                    # It is on record, and its worker does not hear of that: nothing is handed over.
                    self.unheard.append(self.claims.pop(number % len(self.claims)))
                    batches.put_in_flight(session, self.unheard[-1], actor=SCHEDULER, now=now)
                case "take back" if self.unheard:
                    claim = self.unheard.pop(number % len(self.unheard))
                    batches.take_back(session, claim, actor=SCHEDULER, now=now)
                case "answer" if self.flights:
                    request = self.flights.pop(number % len(self.flights))
                    receipt = self._receipt(number, request)
                    batches.record_answer(session, request.flight, receipt, actor=SCHEDULER, now=now)
                case "leave":
                    who = self.people[number % len(self.people)]
                    unsubscribe(session, who, source="link", actor=SHELL, now=now)
                    self.left.add(who)
                case "pause":
                    steering.pause(session, self.edition, actor=cast.max, now=now)
                case "resume":
                    steering.resume(
                        session, self.edition, actor=cast.max, now=now, late_after=timedelta(), although_late=True
                    )
                case "stop" if number == 0:
                    steering.stop(session, self.edition, actor=cast.max, now=now)
                case "wait":
                    self.clock.go(seconds=30 * number)
                case "look":
                    batches.expire_leases(session, actor=SCHEDULER, now=now)
                    batches.mark_stale(session, actor=SCHEDULER, now=now, idempotent=None)
                    steering.finish(session, self.serial, actor=SCHEDULER, now=now)
                case "settle":
                    # Never "send again": then a person has decided that somebody may have it twice.
                    verdict = (Verdict.SENT, Verdict.NOT_SENT)[number % 2]
                    attempt = first_uncertain(session, self.edition)
                    steering.settle_uncertain(session, self.edition, attempt, verdict, actor=cast.max, now=now)

    def look(self) -> States:
        """All states as they are now."""
        with self.database.read() as session:
            counted = dict(
                session.execute(
                    select(Delivery.batch, func.count())
                    .where(Delivery.batch > 0, Delivery.state.in_(WENT))
                    .group_by(Delivery.batch)
                ).all()
            )
            for batch in session.scalars(select(Batch)):
                assert batch.handed_over == counted.get(batch.number, 0)
                assert batch.people >= batch.handed_over + batch.refused + batch.left_out + batch.uncertain
            return (
                dict(session.execute(select(Send.edition, Send.state)).all()),
                dict(session.execute(select(Batch.number, Batch.state)).all()),
                dict(session.execute(select(Delivery.subscriber, Delivery.state)).all()),
            )

    def _has_none_of_it_for_certain(self, session: Session, going: list[int]) -> None:
        """Nobody is in a request of whom an event has shown that they have the mail."""
        proved = session.scalars(select(Attempt.id).where(Attempt.proved_at.is_not(None)))
        known = set[int]().union(*(self.in_attempt[attempt] for attempt in proved))
        assert not known & set(going)

    def _take(self, flight: Flight, people: list[int], number: int) -> None:
        """The provider takes all, all but the first, or none."""
        taken = (people, people, people[1:], [])[number % 4]
        self.handed.update(taken)
        self.in_attempt[flight.attempt] = set(people)
        self.flights.append(Request(flight, people, taken))
        self.mails += [Mail(who, delivery_id(self.serial, who), flight.attempt) for who in taken]

    def _receipt(self, number: int, request: Request) -> Receipt:
        """An answer that is true, or none; or a lie."""
        if self.lies and request.taken and number % 3 == 0:
            return Receipt((Outcome.REJECTED, Outcome.TOO_LARGE, Outcome.TRY_AGAIN)[number // 3 % 3], "a lie")
        if number == 0:
            return Receipt(Outcome.UNCERTAIN, "answer")
        refused = [who for who in request.people if who not in request.taken]
        one = PersonalReceipt(Outcome.REJECTED, "no such box")
        apart = {delivery_id(self.serial, who): one for who in refused}
        if request.taken:
            return Receipt(Outcome.ACCEPTED, "answer", people=apart)
        outcome = [o for o in Outcome if o is not Outcome.ACCEPTED][number % (len(Outcome) - 1)]
        if number % 2 and outcome is Outcome.REJECTED:
            return Receipt(outcome, "answer", people={delivery_id(self.serial, refused[0]): one})
        return Receipt(outcome, "answer")

    def _hear(self, number: int) -> None:
        """The provider tells something of two mails that it took, the second time before or after other things."""
        if self.mails:
            first, second = (self.mails[at % len(self.mails)] for at in (number, number * 5 + 1))
            at = NOON + timedelta(minutes=number)
            told = (first.event(TOLD[number % len(TOLD)], at), second.event(TOLD[number // 3], at))
            post(self.database, *told, now=self.clock.now())


WALKS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), min_size=10, max_size=60)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=WALKS)
def test_whatever_happens_states_move_only_as_allowed(database: Database, walk: list[tuple[str, int]]) -> None:
    play = Play(database)
    _go(play, walk)
    assert all(times == 1 for times in play.handed.values()), "nobody has it twice"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=WALKS)
def test_a_provider_that_takes_what_it_refuses_is_sent_nothing_that_it_is_known_to_have(
    database: Database, walk: list[tuple[str, int]]
) -> None:
    _go(Play(database, lies=True), walk)


def _go(play: Play, walk: list[tuple[str, int]]) -> None:
    before = play.look()
    for name, number in walk:
        try:
            play.step(name, number)
        except (Refused, LostClaim):
            assert play.look() == before
            continue
        after = play.look()
        _check(name, before[0], after[0], SEND_MOVES)
        _check(name, before[1], after[1], BATCH_MOVES)
        _check(name, before[2], after[2], HEARD_MOVES if name == "hear" else DELIVERY_MOVES)
        assert len(after[2]) == PEOPLE
        if name in MOVING:
            with play.database.snapshot() as session:
                found = [str(fault) for fault in find_ledger_faults(session)]
            if play.lies:
                # What such a provider takes twice is told.
                found = [fault for fault in found if "more than one accepted attempt" not in fault]
            assert found == [], name
        before = after


def _check(step: str, old: dict[int, State], new: dict[int, State], moves: Mapping[State, frozenset[State]]) -> None:
    for key, state in new.items():
        was = old.get(key)
        assert was is None or state == was or state in moves[was], f"{step}: {was} to {state}"

"""What each failure of SendGrid means for a send, by its double: nobody is lost, nobody has it twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import select, update

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import DeliveryState, Limits, SendState
from newsletter.delivery.queries import get_progress
from newsletter.delivery.tables import Batch, Delivery
from newsletter.delivery.worker import Worker
from newsletter.editions.queries import get_edition
from newsletter.editions.tables import Edition
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt, Transport
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.schedule import jobs
from newsletter.subscribers.tokens import Tokens
from tests.factories import KEY, RULES, FakeTransport, StillClock, edition_for, find_cast, worker
from tests.sendgrid_double.running import RunningDouble, running_double


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    with running_double(tmp_path_factory.mktemp("double"), "--no-mails") as double:
        yield double


def begun(database: Database, transport: Transport, people: int) -> tuple[str, StillClock]:
    """An edition whose send is planned and runs, at the time it is, and the clock."""
    clock = StillClock(SystemClock().now())
    edition = edition_for(database, people, clock.now())
    jobs.reconcile(worker(database, transport, clock), RULES)
    return edition, clock


def look(database: Database, edition: str) -> tuple[SendState, int, int, int, int]:
    """The state of a send, and how many wait, have it, were refused, are uncertain."""
    with database.read() as session:
        send = get_progress(session, edition)
    return send.state, send.planned, send.handed_over, send.refused, send.uncertain


RUNNING, PAUSED, FINISHED = SendState.RUNNING, SendState.PAUSED, SendState.FINISHED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "stands", "note"),
    [
        ("pass", (FINISHED, 0, 4, 0, 0), ""),
        ("202-reset:60", (FINISHED, 0, 4, 0, 0), ""),
        ("429", (RUNNING, 4, 0, 0, 0), ""),
        ("429-reset:60", (RUNNING, 4, 0, 0, 0), ""),
        ("429-retry-after:60", (RUNNING, 4, 0, 0, 0), ""),
        ("401", (PAUSED, 4, 0, 0, 0), "SENDGRID_API_KEY"),
        ("credits", (PAUSED, 4, 0, 0, 0), "no credit left (Maximum credits exceeded)"),
        ("403", (PAUSED, 4, 0, 0, 0), "the sender must be verified"),
        ("400:1", (FINISHED, 0, 3, 1, 0), ""),
        ("400-unnamed", (RUNNING, 2, 2, 0, 0), ""),
        ("400-unnamed*9", (PAUSED, 4, 0, 0, 0), "a batch was rejected: SendGrid refused the batch: Bad Request"),
        ("413", (FINISHED, 0, 4, 0, 0), ""),
        ("500", (RUNNING, 0, 0, 0, 4), ""),
        ("503-after", (RUNNING, 0, 0, 0, 4), ""),
        ("cut-before", (RUNNING, 0, 0, 0, 4), ""),
        ("cut-after", (RUNNING, 0, 0, 0, 4), ""),
    ],
)
def test_each_failure_has_its_consequence_and_the_rest_goes_by_itself_or_by_one_command(
    database: Database, double: RunningDouble, fault: str, stands: tuple[SendState, int, int, int, int], note: str
) -> None:
    double.reset()
    double.fail(fault)
    with closing(SendGridTransport(double.key, double.host, SystemClock())) as transport:
        edition, clock = begun(database, transport, 4)
        boss = worker(database, transport, clock)
        jobs.run_until_idle(boss, RULES)
        assert look(database, edition) == stands
        with database.read() as session:
            assert note in get_progress(session, edition).note
        double.fail()
        if stands[0] is PAUSED:
            with database.write() as session:
                boss_of_it = find_cast(session).max
                steering.resume(session, edition, actor=boss_of_it, now=clock.now(), late_after=RULES.late_after)
        clock.go(minutes=2)
        jobs.run_until_idle(boss, RULES)
    uncertain = stands[4]
    _, waiting, handed_over, refused, still = look(database, edition)
    assert (waiting, still) == (0, uncertain)
    assert handed_over + refused == 4 - uncertain
    with database.read() as session:
        reasons = session.scalars(select(Delivery.reason).where(Delivery.state == DeliveryState.REFUSED)).all()
    assert reasons == ["Does not contain a valid address."] * refused
    if not uncertain:
        assert double.accepted()["mails"] == handed_over


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_provider_that_cannot_be_reached_is_asked_again_with_growing_waits_until_the_brake(
    database: Database,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        transport = SendGridTransport("SG.x", f"http://127.0.0.1:{taken.getsockname()[1]}", SystemClock())
        edition, clock = begun(database, transport, 3)
        waits = []
        while look(database, edition)[0] is RUNNING:
            jobs.run_until_idle(worker(database, transport, clock), RULES)
            with database.read() as session:
                again_at = session.scalars(select(Batch.not_before)).one()
            assert again_at is not None
            waits.append((again_at - clock.now()).total_seconds())
            clock.time = again_at
    assert waits == [2, 4, 8, 16, 32]
    assert look(database, edition) == (PAUSED, 3, 0, 0, 0)


@dataclass
class Picky(FakeTransport):
    """Refuses every batch that has one of these addresses in it, and does not say for whose sake."""

    culprits: set[str] = field(default_factory=set)

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Take a batch."""
        if self.culprits & {person.recipient.address for person in batch.people}:
            self.batches.append(batch)
            return Receipt(Outcome.REJECTED, "Bad Request")
        return super().send(batch)


def go_on(database: Database, edition: str, transport: Transport, clock: StillClock, rounds: int = 60) -> int:
    """Work until nothing is left to do, resuming whenever it is paused; gives how often."""
    resumed = 0
    for _ in range(rounds):
        jobs.run_until_idle(worker(database, transport, clock), RULES)
        state = look(database, edition)[0]
        if state is FINISHED:
            break
        if state is PAUSED:
            resumed += 1
            with database.write() as session:
                boss = find_cast(session).max
                steering.resume(session, edition, actor=boss, now=clock.now(), late_after=RULES.late_after)
        clock.go(seconds=3)
    return resumed


@pytest.mark.parametrize("which", [1, 2, 23, 40])
def test_one_whom_the_provider_does_not_name_is_found_by_halving_and_all_others_get_it(
    database: Database, which: int
) -> None:
    transport = Picky(batch_limit=40, culprits={f"reader{which}@example.org"})
    edition, clock = begun(database, transport, 40)
    resumed = go_on(database, edition, transport, clock)
    assert resumed <= 1, "a person is asked at most when the very first five are refused"
    assert look(database, edition) == (FINISHED, 0, 39, 1, 0)
    assert len(transport.batches) <= 2 * 6 + 1
    assert len(set(transport.accepted)) == len(transport.accepted) == 39


def test_when_nothing_is_taken_at_all_nobody_is_refused_and_the_send_waits_for_a_person(database: Database) -> None:
    everybody = {f"reader{n}@example.org" for n in range(1, 41)}
    transport = Picky(batch_limit=20, culprits=everybody)
    edition, clock = begun(database, transport, 40)
    for _ in range(3):
        for _ in range(20):
            jobs.run_until_idle(worker(database, transport, clock), RULES)
            clock.go(seconds=3)
        assert look(database, edition) == (PAUSED, 40, 0, 0, 0)
        with database.write() as session:
            boss = find_cast(session).max
            steering.resume(session, edition, actor=boss, now=clock.now(), late_after=RULES.late_after)
    transport.culprits = set()
    go_on(database, edition, transport, clock)
    assert look(database, edition) == (FINISHED, 0, 40, 0, 0)


def test_refusals_in_a_row_pull_the_brake_before_many_are_refused(database: Database) -> None:
    transport = Picky(batch_limit=1, culprits={f"reader{n}@example.org" for n in range(2, 31)})
    edition, clock = begun(database, transport, 30)
    for _ in range(30):
        jobs.run_until_idle(worker(database, transport, clock), RULES)
        clock.go(seconds=3)
    assert look(database, edition) == (PAUSED, 24, 1, 5, 0)


def test_a_batch_that_cannot_be_built_pauses_its_send_with_the_reason(database: Database) -> None:
    class Broken(Tokens):
        def sign_each(self, *asked: object) -> Iterator[tuple[str, str]]:
            raise ArithmeticError("nothing can be signed for reader1@example.org")

    transport = FakeTransport()
    edition, clock = begun(database, transport, 3)
    sender = replace(worker(database, transport, clock), tokens=Broken(["a key"]))
    jobs.run_until_idle(sender, RULES)
    assert transport.batches == []
    assert look(database, edition) == (PAUSED, 3, 0, 0, 0)
    with database.read() as session:
        assert get_progress(session, edition).note == "batch 1 could not be built: ArithmeticError"


def test_an_edition_that_cannot_be_read_pauses_its_send_with_the_reason_and_keeps_no_other_from_going(
    database: Database,
) -> None:
    transport = FakeTransport()
    edition, clock = begun(database, transport, 3)
    with database.write() as session:
        serial, audience = get_edition(session, edition).serial, get_edition(session, edition).audience
        session.execute(update(Edition).where(Edition.serial == serial).values(audience='{"nonsense": 1}'))
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert transport.batches == []
    assert look(database, edition) == (PAUSED, 3, 0, 0, 0)
    with database.write() as session:
        assert get_progress(session, edition).note == "what is stored cannot be read: KeyError"
        session.execute(update(Edition).where(Edition.serial == serial).values(audience=audience))
        boss = find_cast(session).max
        steering.resume(session, edition, actor=boss, now=clock.now(), late_after=RULES.late_after)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert look(database, edition) == (FINISHED, 0, 3, 0, 0), "its claim was given back at once"


def test_the_brake_is_as_strong_as_the_clinic_sets_it(database: Database) -> None:
    transport = FakeTransport(answers=[Receipt(Outcome.UNCERTAIN, "no answer")] * 9, batch_limit=1)
    edition, clock = begun(database, transport, 9)
    boss = Worker("w1", database, transport, Tokens([KEY]), clock, limits=Limits(brake=2))
    jobs.run_until_idle(boss, RULES)
    assert look(database, edition) == (PAUSED, 7, 0, 0, 2)

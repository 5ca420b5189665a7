"""Killed between its database and SendGrid, which fails too: the provider's own record is compared with ours."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import (
    AttemptState,
    BatchState,
    DeliveryState,
    SendState,
    Verdict,
    read_delivery_id,
)
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_sends, list_uncertain
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.sendgrid_double.record import Recorded, read_record
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.model import LeftOut
from newsletter.subscribers.queries import get_subscriber
from tests.factories import RULES, Cast, add_cast, add_people, scheduled_edition
from tests.schedule.provider_life import Life, Moment, When, begin, end
from tests.sendgrid_double.running import RunningDouble, running_double

PEOPLE = 600
LEAVERS = 60
NEWCOMERS = 5
CHANCES = {
    **{"429-retry-after:0": 0.03, "400:1": 0.04, "413": 0.04, "slow-after:0.05": 0.1},
    **{"503": 0.05, "503-after": 0.05, "cut-before": 0.05, "cut-after": 0.05, "cut-early": 0.05},
}
"""What goes wrong at SendGrid, and how often: beyond once each at the beginning."""
AT_THE_START = (
    Moment("INSERT INTO send ", When.BEFORE_COMMIT),
    Moment("INSERT INTO send ", When.AFTER_COMMIT),
    Moment("INSERT INTO delivery", When.INSIDE),
    Moment("INSERT INTO delivery", When.AFTER_COMMIT),
)
ON_THE_WAY = (
    # After the hand-over is on record nobody knows; before it, nothing has left.
    Moment("INSERT INTO attempt", When.BEFORE_COMMIT),
    Moment("INSERT INTO attempt", When.AFTER_COMMIT),
    Moment("UPDATE attempt", When.BEFORE_COMMIT),
    Moment("UPDATE attempt", When.AFTER_COMMIT),
)
RANDOM_KILLS = 6
RESTARTS = 5
LONGEST_LIFE = 0.25
"""Seconds until a kill at a random moment."""


@dataclass
class Story:
    """One send with everything that happens to it."""

    database: Database
    url: str
    folder: Path
    chance: random.Random
    cast: Cast
    edition: str
    leaving: list[int]
    left: dict[int, datetime] = field(default_factory=dict)
    """Who left, and an instant at which that was committed already."""
    given_up: set[int] = field(default_factory=set)
    """Who stayed, and of whom a named person said that they do not get it."""
    happened: Counter[str] = field(default_factory=Counter)

    def leave(self, how_many: int) -> None:
        """Some more people leave, now."""
        for _ in range(min(how_many, len(self.leaving))):
            who = self.leaving.pop()
            with self.database.write() as session:
                number = get_subscriber(session, f"reader{who}@example.org").number
                unsubscribe(session, number, source="link", actor=SHELL, now=SystemClock().now())
            self.left[number] = datetime.now(UTC)

    def go_on(self) -> None:
        """A manager lets the send go on when it has paused itself."""
        with self.database.write() as session:
            for _ in list_sends(session, SendState.PAUSED):
                self.happened["paused by the brake, resumed"] += 1
                now = SystemClock().now()
                steering.resume(session, self.edition, actor=self.cast.max, now=now, late_after=RULES.late_after)

    def live(self, double: RunningDouble, moment: Moment | None = None) -> bool:
        """One process to its end; True when it killed itself."""
        self.go_on()
        killed = end(begin(Life(self.url, double.host, moment=moment)))
        if moment:
            self.happened[f"killed: {moment.statement.strip()}, {moment.when}"] += killed
        return killed

    def live_until_killed(self, double: RunningDouble, *, by_runner: bool) -> None:
        """One process that is killed at some moment, while somebody leaves."""
        self.go_on()
        process = begin(Life(self.url, double.host, by_runner=by_runner))
        moment = self.chance.uniform(0, LONGEST_LIFE)
        before = threading.Timer(self.chance.uniform(0, moment), self.leave, (2,))
        before.start()
        threading.Event().wait(moment)
        killed = end(process, kill=True)
        before.join()
        self.happened[f"killed: at random, {'runner' if by_runner else 'one thread'}"] += killed

    def live_through_the_death_of(self, double: RunningDouble) -> None:
        """One process whose provider is killed under it."""
        self.go_on()
        process = begin(Life(self.url, double.host))
        threading.Event().wait(self.chance.uniform(0, LONGEST_LIFE))
        double.kill()
        self.happened["the double killed"] += 1
        # It goes on against a closed port, until the brake holds it or it is killed too.
        threading.Event().wait(self.chance.uniform(0, LONGEST_LIFE))
        self.happened["killed: while the double was gone"] += end(process, kill=True)

    def live_to_the_end(self, double: RunningDouble) -> None:
        """Processes until nothing more happens by itself."""
        while True:
            assert not self.live(double)
            with self.database.read() as session:
                if get_send(session, self.edition).state is not SendState.PAUSED:
                    return


def test_kills_and_failures_between_us_and_sendgrid_lose_nobody_and_double_nobody(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    seed = random.getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, PEOPLE - 50)
        add_people(session, 50, text_only=True)
    edition = scheduled_edition(database, cast, datetime.now(UTC))
    leaving = chance.sample(range(1, PEOPLE - 50 + 1), LEAVERS)
    story = Story(database, database_url, tmp_path, chance, cast, edition, leaving)
    record = tmp_path / "record.jsonl"
    with ExitStack() as doubles:
        double = doubles.enter_context(_double(tmp_path, chance))
        for moment in AT_THE_START:
            assert story.live(double, moment), f"it died at {moment}"
            story.leave(2)
        # Who comes after the audience was fixed does not get it.
        with database.write() as session:
            add_people(session, PEOPLE - 50 + NEWCOMERS, now=datetime.now(UTC))
        lives = [*ON_THE_WAY, *[None] * RANDOM_KILLS]
        chance.shuffle(lives)
        for turn, at in enumerate(lives):
            if turn == len(lives) // 2:
                story.live_through_the_death_of(double)
                story.leave(2)
                double = doubles.enter_context(_double(tmp_path, chance, port=double.port))
            if at is None:
                story.live_until_killed(double, by_runner=chance.random() < 0.5)
            else:
                story.live(double, Moment(at.statement, at.when, chance.randint(1, 3)))
            story.leave(2)
        story.live_to_the_end(double)
        _check(story, record)
        # Nothing more happens by itself, however often it is started.
        before = len(read_record(record))
        story.live_to_the_end(double)
        assert len(read_record(record)) == before, "what is uncertain is not repeated"

        rounds = 0
        while _is_uncertain(story):
            rounds += 1
            assert rounds < 50, "uncertainty ends"
            # What it had taken in is on record now, and nothing comes after.
            double.kill()
            story.leave(2)
            _settle(story, record, first=rounds == 1)
            double = doubles.enter_context(_double(tmp_path, chance, port=double.port, failing=rounds == 1))
            story.live_to_the_end(double)
            _check(story, record, settled=True)
    _report(story, record, rounds)
    _check(story, record, settled=True)
    _check_finished(story, record)


@pytest.mark.parametrize("locked", [True, False], ids=["one leads", "both believe to lead"])
def test_two_runners_beside_one_database_send_no_batch_twice(
    locked: bool, database: Database, database_url: str, tmp_path: Path
) -> None:
    seed = random.getrandbits(32)
    sys.stdout.write(f"seed {seed}\n")
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 300)
    edition = scheduled_edition(database, cast, datetime.now(UTC))
    faults = ("slow-after:0.05@0.3", "cut-after@0.05", "503@0.05")
    with running_double(tmp_path, "--no-mails", "--seed", str(seed), faults=faults) as double:
        life = Life(database_url, double.host, batch_limit=10, by_runner=True, locked=locked)
        story = Story(database, database_url, tmp_path, random.Random(seed), cast, edition, [])
        while True:
            one, other = begin(life), begin(life)
            for _ in range(0 if locked else RESTARTS):
                # Each start takes over what it believes to be left behind, while the one still works at it.
                threading.Event().wait(story.chance.uniform(0, 0.2))
                end(other, kill=True)
                other = begin(life)
            killed = [end(process) for process in (one, other)]
            assert killed == [False, False]
            with database.read() as session:
                if get_send(session, edition).state is not SendState.PAUSED:
                    break
            story.go_on()
    _check(story, double.record, people=300)
    with database.read() as session:
        serial = get_send(session, edition).edition
        senders = Counter(attempt.worker for attempt in list_attempts(session, serial))
    sys.stdout.write(f"attempts by process: {sorted(senders.values())}\n")
    if locked:
        assert len(senders) == 1 + story.happened["paused by the brake, resumed"]


def _double(
    folder: Path, chance: random.Random, *, port: int = 0, failing: bool = True
) -> AbstractContextManager[RunningDouble]:
    # Each kind once, and a success between, or the brake would hold the send; then by chance.
    once = [spec for kind in chance.sample(list(CHANCES), len(CHANCES)) for spec in (kind, "pass")]
    faults = (*once, *(f"{kind}@{how_often}" for kind, how_often in CHANCES.items())) if failing else ()
    return running_double(folder, "--no-mails", "--seed", str(chance.getrandbits(32)), faults=faults, port=port)


def _accepted(record: Path) -> Mapping[int, list[Mapping[str, str]]]:
    """The mails that the provider accepted, by the number of who got them."""
    found: dict[int, list[Mapping[str, str]]] = defaultdict(list)
    for entry in read_record(record):
        assert entry.accepted == bool(entry.people)
        for mail in entry.people:
            found[read_delivery_id(mail["newsletter_delivery"])[1]].append(mail)
    return found


def _check(story: Story, record: Path, *, settled: bool = False, people: int = PEOPLE) -> None:
    """Compare the ledger with the provider's record, when nothing happens by itself any more."""
    accepted = _accepted(record)
    with story.database.read() as session:
        send = get_send(session, story.edition)
        rows = session.scalars(select(Delivery).where(Delivery.edition == send.edition)).all()
        attempts = {attempt.id: attempt for attempt in list_attempts(session, send.edition)}
        batches = session.scalars(select(Batch).where(Batch.edition == send.edition)).all()
        progress = get_progress(session, story.edition)
    assert {who: mails for who, mails in accepted.items() if len(mails) > 1} == {}, "nobody has it twice"
    assert len(rows) == people, "everybody who was there when the audience was fixed, and nobody else"
    assert accepted.keys() <= {row.subscriber for row in rows}
    allowed = {
        True: {DeliveryState.HANDED_OVER, DeliveryState.UNCERTAIN},
        False: {DeliveryState.UNCERTAIN, DeliveryState.LEFT_OUT, DeliveryState.REFUSED},
    }
    wrong = [(row.subscriber, row.state) for row in rows if row.state not in allowed[row.subscriber in accepted]]
    assert wrong == [], "ledger and record agree"
    assert [row.subscriber for row in rows if row.state is DeliveryState.LEFT_OUT and not row.reason] == []

    for who, [mail] in accepted.items():
        # It was on record before it left, and nobody was put on record after they had left.
        began = attempts[mail["newsletter_attempt"]].started_at
        assert who not in story.left or began <= story.left[who], f"{who} was mailed after leaving"

    sums = (progress.planned, progress.handed_over, progress.refused, progress.uncertain, *progress.left_out.values())
    assert sum(sums) == people
    assert progress.planned == 0
    assert progress.handed_over == sum(row.state is DeliveryState.HANDED_OVER for row in rows)
    assert progress.uncertain == sum(row.state is DeliveryState.UNCERTAIN for row in rows)
    assert progress.refused == sum(row.state is DeliveryState.REFUSED for row in rows)
    assert sum(batch.people for batch in batches) == sum(row.batch > 0 for row in rows)

    over = {BatchState.ACCEPTED, BatchState.UNCERTAIN, BatchState.EMPTY}
    assert {batch.state for batch in batches} <= over
    assert progress.state is (SendState.RUNNING if progress.uncertain else SendState.FINISHED)
    if not settled:
        by_batch: dict[int, list[AttemptState]] = defaultdict(list)
        for attempt in attempts.values():
            by_batch[attempt.batch].append(attempt.state)
        repeated = {number: states for number, states in by_batch.items() if AttemptState.UNCERTAIN in states[:-1]}
        assert repeated == {}, "what is uncertain is not repeated by itself"


def _is_uncertain(story: Story) -> bool:
    with story.database.read() as session:
        return bool(list_uncertain(session, story.edition))


def _settle(story: Story, record: Path, *, first: bool) -> None:
    """A manager says of each uncertain batch what the provider's record says of it.

    The first time one batch is given up, and what goes out again meets failures again.
    """
    accepted = _accepted(record)
    with story.database.write() as session:
        for attempt, _ in list_uncertain(session, story.edition):
            people = _uncertain_people(session, attempt)
            there = people & accepted.keys()
            assert there in (set(), people), f"one verdict is true of everybody in {attempt.id}"
            stayed = people - story.left.keys()
            if there:
                verdict = Verdict.SENT
            elif not stayed or (first and not story.given_up):
                verdict = Verdict.NOT_SENT
                story.given_up |= stayed
            else:
                verdict = Verdict.SEND_AGAIN
            story.happened[f"settled: {verdict}"] += 1
            steering.settle_uncertain(
                session, story.edition, attempt.id, verdict, actor=story.cast.max, now=SystemClock().now()
            )


def _uncertain_people(session: Session, attempt: Attempt) -> set[int]:
    statement = select(Delivery.subscriber).where(
        Delivery.edition == attempt.edition,
        Delivery.attempt == attempt.id,
        Delivery.state == DeliveryState.UNCERTAIN,
    )
    return set(session.scalars(statement))


def _check_finished(story: Story, record: Path) -> None:
    accepted = _accepted(record)
    with story.database.read() as session:
        send = get_send(session, story.edition)
        rows = session.scalars(select(Delivery).where(Delivery.edition == send.edition)).all()
    assert send.state is SendState.FINISHED
    refused = {row.subscriber for row in rows if row.state is DeliveryState.REFUSED}
    not_sent = {row.subscriber for row in rows if row.reason == LeftOut.NOT_SENT}
    assert not_sent - story.left.keys() == story.given_up - story.left.keys()
    everybody = {row.subscriber for row in rows}
    assert refused.isdisjoint(accepted)
    assert everybody - story.left.keys() - refused - story.given_up <= accepted.keys(), "nobody who stayed is forgotten"


def _report(story: Story, record: Path, rounds: int) -> None:
    entries: list[Recorded] = read_record(record)
    faults = Counter(entry.fault for entry in entries)
    with story.database.read() as session:
        progress = get_progress(session, story.edition)
        attempts = list_attempts(session, get_send(session, story.edition).edition)
    states = Counter(attempt.state.value for attempt in attempts)
    cut = Counter(attempt.answer.split(":")[0] for attempt in attempts if attempt.state is AttemptState.UNCERTAIN)
    left_while = sum(who in _accepted(record) for who in story.left)
    for title, counts in (("happened", story.happened), ("requests", faults), ("attempts", states), ("why", cut)):
        sys.stdout.write(f"{title}: {dict(counts)}\n")
    sys.stdout.write(
        f"{len(story.left)} left, {left_while} of them when they had it; {rounds} rounds of verdicts; {progress}\n"
    )

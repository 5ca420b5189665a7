"""Months of a newsletter, sent by processes that are killed to a provider that fails, until enough were killed."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import exists, select

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import Database, open_database
from newsletter.delivery import steering
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import DeliveryState, SendState, Verdict
from newsletter.delivery.queries import get_progress, list_attempts, list_sends, list_uncertain
from newsletter.delivery.tables import Batch, Delivery, Send
from newsletter.editions.queries import get_edition
from newsletter.editions.tables import Edition
from newsletter.provider_events.queries import reconcile
from newsletter.sendgrid_double.events import open_key
from newsletter.sendgrid_double.record import read_posts, read_record
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.model import NewSubscriber, SubscriberState
from newsletter.subscribers.tables import Subscriber
from tests.chaos.judge import Evidence, broken_promises, lost, read_accepted, read_told_of, twice
from tests.chaos.lives import (
    GLANCE,
    Life,
    Moment,
    Part,
    ProviderLife,
    Webhook,
    WebLife,
    When,
    begin,
    begin_provider,
    begin_web,
    end,
    fail_if_it_hangs,
    is_under_way,
    watch,
)
from tests.factories import RULES, Cast, add_cast, add_readers, scheduled_edition, snapshot

FAULTS = {
    **{"429-retry-after:0": 0.03, "400:1": 0.04, "413": 0.04, "slow-after:0.05": 0.1},
    **{"500": 0.02, "503": 0.03, "503-after": 0.05, "cut-before": 0.05, "cut-after": 0.05, "cut-early": 0.05},
}
"""What goes wrong at the provider, and how often: beyond once each at the beginning."""
_BY_CHANCE = [f"{kind}@{how_often}" for kind, how_often in FAULTS.items()]
EVENT_FAULTS = ("lost@0.1", "post-lost@0.2", "repeated@0.2", "without-id@0.1", "shuffled", "delay:0.2")
"""What goes wrong with what the provider tells later."""
OPENING = (
    Moment("INSERT INTO send ", When.BEFORE_COMMIT),
    Moment("INSERT INTO send ", When.AFTER_COMMIT),
    Moment("INSERT INTO delivery", When.INSIDE),
    Moment("INSERT INTO delivery", When.AFTER_COMMIT),
)
"""Where the first processes of a month die: they open the send and plan it."""
ON_THE_WAY = (
    # After the hand-over is on record nobody knows; before it, nothing has left.
    Moment("INSERT INTO attempt", When.BEFORE_COMMIT),
    Moment("INSERT INTO attempt", When.AFTER_COMMIT),
    Moment("UPDATE attempt", When.BEFORE_COMMIT),
    Moment("UPDATE attempt", When.AFTER_COMMIT),
)
EVENTS_APPLIED = (
    Moment("UPDATE received_post", When.BEFORE_COMMIT),
    Moment("UPDATE received_post", When.AFTER_COMMIT),
)
EVENTS_TAKEN_IN = (
    # Not on record, or on record and not answered: either way it is posted again.
    Moment("INSERT INTO received_post", When.BEFORE_COMMIT),
    Moment("INSERT INTO received_post", When.AFTER_COMMIT),
)
UNUSUAL = {3: "bounce", 7: "blocked", 12: "drop", 16: "defer", 21: "spam", 26: "unsubscribe", 33: "silent"}
"""How the addresses of some of every 40 people begin, which decides what the double tells of their mail."""
KILLS_A_MONTH = 25
LEAVE_A_MONTH = 50
LONGEST_LIFE = 0.25
"""Seconds until a kill at a random moment."""
MOST_ROUNDS = 50
"""Rounds of verdicts in which what is uncertain must come to an end."""


@dataclass(frozen=True)
class Plot:
    """What a story is made of; the same seed throws the same dice, while the moments of the processes are their own.

    `workers` processes are there to send; beside SQLite only the one that leads does. `people` are there in the first
    month, a tenth of them read text only. With `events` the provider tells a web process what became of mails.
    """

    url: str
    workers: int
    kills: int
    seed: int
    people: int = 600
    one_leads: bool = True
    events: bool = False


@dataclass
class Told:
    """What happened: counts by name, the people of all months by what became of them, and the promises broken."""

    happened: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return self.killed.total()

    def __str__(self) -> str:
        parts = ("people", "killed", "requests", "attempts", "events", "happened")
        lines = (f"{part}: {dict(sorted(getattr(self, part).items()))}" for part in parts)
        return "\n".join([*lines, *(f"BROKEN: {promise}" for promise in self.broken)])


def tell(plot: Plot, folder: Path) -> Told:
    """Live through a story, in a folder of its own; its database is migrated and empty."""
    database = open_database(plot.url)
    chance = random.Random(plot.seed)
    web = Web(plot.url, folder / "key.pem") if plot.events else None
    provider = Provider(folder, chance, web)
    story = Story(plot, database, provider, web, chance, _add_cast(database))
    story.join(plot.people)
    while story.told.kills < plot.kills and not story.told.broken:
        story.live_through_a_month()
    provider.kill()
    if web:
        web.kill()
    database.close()
    story.told.requests.update(entry.fault for entry in read_record(provider.record))
    story.told.events.update(_count_events(provider))
    return story.told


def _count_events(provider: Provider) -> dict[str, int]:
    posts = read_posts(provider.posts)
    accepted = sum(entry.accepted for entry in read_record(provider.record))
    return {
        "posts taken in": sum(post.events > 0 for post in posts),
        "posts tried again": sum(max(post.tries - 1, 0) for post in posts),
        "posts lost as a whole": sum(not post.events for post in posts),
        "posts lost with the provider, or taken in unnoticed": accepted - len(posts),
        "posted": sum(post.events for post in posts),
        "lost": sum(post.lost for post in posts),
        "repeated": sum(post.repeated for post in posts),
    }


def _add_cast(database: Database) -> Cast:
    with database.write() as session:
        return add_cast(session)


class Web:
    """A web process that takes in events, is killed too, and comes back at the same port."""

    def __init__(self, url: str, key: Path) -> None:
        self.key = key
        # Once, and not by both processes that use it.
        open_key(key)
        self._url = url
        self._port = 0
        self._moment: Moment | None = None
        self._process: BaseProcess | None = None
        self.come_back()

    @property
    def webhook(self) -> str:
        """Where events are to be posted."""
        return f"http://127.0.0.1:{self._port}/webhooks/sendgrid/events"

    @property
    def is_alive(self) -> bool:
        """Whether it answers still."""
        return self._process is not None and self._process.is_alive()

    def kill(self) -> str:
        """End it, if it has not ended itself; gives how it died, empty when that was told before."""
        if self._process is None:
            return ""
        how = "at random" if self.is_alive else str(self._moment)
        end(self._process, kill=True)
        self._process = None
        return how

    def come_back(self, moment: Moment | None = None) -> None:
        """Start it again, to die at a moment of its own or not."""
        self._moment = moment
        self._process, self._port = begin_web(WebLife(self._url, self.key, self._port, moment))


class Provider:
    """A double that is killed too, and comes back at the same port with the record it had."""

    def __init__(self, folder: Path, chance: random.Random, web: Web | None = None) -> None:
        self.record = folder / "record.jsonl"
        self.posts = folder / "posts.jsonl"
        self._webhook = Webhook(web.webhook, web.key, self.posts, EVENT_FAULTS) if web else None
        self._chance = chance
        # Each kind once, and a success between, or the brake would hold the send; then by chance.
        once = [spec for kind in chance.sample(list(FAULTS), len(FAULTS)) for spec in (kind, "pass")]
        self._port = 0
        self._begin([*once, *_BY_CHANCE])

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def kill(self) -> None:
        """End it: what it had taken in is on record, and nothing comes after."""
        end(self._process, kill=True)

    def tell_all(self) -> None:
        """Return when every event that it had to tell was taken in."""
        began = time.monotonic()
        while self._events_waiting():
            fail_if_it_hangs(began)
            time.sleep(GLANCE)

    def _events_waiting(self) -> int:
        with urllib.request.urlopen(f"{self.host}/double/requests") as answer:
            return int(json.load(answer)["events_waiting"])

    def come_back(self, *, failing: bool = True) -> None:
        """Start it again."""
        self._begin(_BY_CHANCE if failing else [])

    def _begin(self, faults: list[str]) -> None:
        life = ProviderLife(self.record, tuple(faults), self._chance.getrandbits(32), self._port, self._webhook)
        self._process, self._port = begin_provider(life)


@dataclass(frozen=True)
class Living:
    """A process at work."""

    part: Part
    moment: Moment | None
    process: BaseProcess


@dataclass
class Month:
    """One edition on its way, and what people did meanwhile."""

    edition: str
    serial: int
    expected: frozenset[int]
    left: dict[int, datetime] = field(default_factory=dict)
    """Who left since it was scheduled, and an instant at which that was committed already."""
    given_up: set[int] = field(default_factory=set)
    sent_again: set[str] = field(default_factory=set)


@dataclass
class Story:
    """A story being told."""

    plot: Plot
    database: Database
    provider: Provider
    web: Web | None
    chance: random.Random
    cast: Cast
    told: Told = field(default_factory=Told)
    joined: int = 0
    months: int = 0

    def live_through_a_month(self) -> None:
        """One edition: the storm, the calm after it, and what people say of what is uncertain."""
        month = self._schedule()
        self._storm(month, until=min(self.told.kills + KILLS_A_MONTH, self.plot.kills))
        self._calm()
        self._judge(month)
        self._find_nothing_more_to_do()
        self._count_uncertain(month)
        self._settle_all(month)
        self._count_people(month)

    def join(self, how_many: int) -> None:
        """Some more people come."""
        numbers = range(self.joined + 1, self.joined + how_many + 1)
        self.joined += how_many
        people = [
            NewSubscriber(f"{UNUSUAL.get(n % 40, 'reader')}{n}@example.org", "en", (), text_only=n % 10 == 0)
            for n in numbers
        ]
        with self.database.write() as session:
            now = SystemClock().now()
            add_readers(session, people, now=now)

    def leave(self, month: Month, how_many: int) -> None:
        """Some people leave, now."""
        here = sorted(month.expected - month.left.keys())
        for who in self.chance.sample(here, min(how_many, LEAVE_A_MONTH - len(month.left))):
            with self.database.write() as session:
                unsubscribe(session, who, source="link", actor=SHELL, now=SystemClock().now())
            month.left[who] = datetime.now(UTC)

    def _schedule(self) -> Month:
        self.months += 1
        given = snapshot(mailing=f"month-{self.months}", subject=f"Month {self.months}")
        edition = scheduled_edition(self.database, self.cast, datetime.now(UTC), given)
        with self.database.read() as session:
            here = session.scalars(select(Subscriber.number).where(Subscriber.state == SubscriberState.ACTIVE)).all()
            return Month(edition, get_edition(session, edition).serial, frozenset(here))

    def _storm(self, month: Month, until: int) -> None:
        opening = list(reversed(OPENING))
        newcomers = LEAVE_A_MONTH
        crew: list[Living] = []
        while self.told.kills + len(crew) < until and self._goes_on():
            crew += [self._begin(part, self._choose_moment(part, opening)) for part in self._missing(crew)]
            if newcomers and self._is_open(month):
                # Who comes after the audience was fixed does not get it.
                self.join(newcomers)
                newcomers = 0
            self._watch(crew, LONGEST_LIFE / 2)
            self.leave(month, self.chance.randint(0, 2))
            if self.chance.random() < 0.04:
                self._be_without_provider(crew)
            if self.web:
                self._be_hard_on(self.web)
            self._watch(crew, LONGEST_LIFE / 2)
            crew = self._kill_one(crew)
        for living in crew:
            self._end(living, kill=True)
        if self.web:
            self._kill_web(self.web)
            self.web.come_back()

    def _missing(self, crew: list[Living]) -> list[Part]:
        """Which processes are to be started, so that all are at work."""
        if self.plot.workers == 1:
            return [] if crew else self._parts()
        return list((Counter(self._parts()) - Counter(living.part for living in crew)).elements())

    def _parts(self) -> list[Part]:
        """Which processes are at work at once."""
        if self.plot.workers == 1:
            return [self.chance.choice((Part.SERVE, Part.ONCE))]
        if self.database.is_sqlite or not self.plot.one_leads:
            return [Part.SERVE] * self.plot.workers
        return [Part.SCHEDULER] * 2 + [Part.WORKER] * self.plot.workers

    def _begin(self, part: Part, moment: Moment | None = None) -> Living:
        life = Life(self.plot.url, self.provider.host, part, moment, one_leads=self.plot.one_leads)
        return Living(part, moment, begin(life))

    def _choose_moment(self, part: Part, opening: list[Moment]) -> Moment | None:
        if part is not Part.WORKER and opening:
            return opening.pop()
        # Of several that wait to lead, most are to be killed at random: their own moment may never come.
        if part is Part.SCHEDULER or self.chance.random() > (0.5 if self.plot.workers == 1 else 0.3):
            return None
        if self.web and part is not Part.WORKER and self.chance.random() < 0.3:
            return self.chance.choice(EVENTS_APPLIED)
        at = self.chance.choice(ON_THE_WAY)
        return Moment(at.statement, at.when, self.chance.randint(1, 3))

    def _watch(self, crew: list[Living], at_most: float) -> None:
        watch([living.process for living in crew], self.chance.uniform(0, at_most))

    def _kill_one(self, crew: list[Living]) -> list[Living]:
        """Kill one of those who have no moment of their own, and take leave of who has ended; gives who is left."""
        at_random = [living for living in crew if living.moment is None]
        victim = self.chance.choice(at_random) if at_random else None
        gone = [living for living in crew if living is victim or not living.process.is_alive()]
        for living in gone:
            self._end(living, kill=living is victim)
        return [living for living in crew if living not in gone]

    def _end(self, living: Living, *, kill: bool = False) -> None:
        how = str(living.moment or "at random")
        if end(living.process, kill=kill):
            self.told.killed[f"{living.part}: {how}"] += 1
        elif self.plot.workers == 1:
            # Alone it opens and plans the send, so a moment that does not come is not where the product is any more.
            assert living.moment not in OPENING, f"{living.part} should have died: {how}"

    def _be_without_provider(self, crew: list[Living]) -> None:
        self.provider.kill()
        self.told.happened["the provider killed"] += 1
        # They go on against a closed port, until the brake holds them or they are killed too.
        self._watch(crew, LONGEST_LIFE)
        self.provider.come_back()

    def _be_hard_on(self, web: Web) -> None:
        """Bring it back when it is gone; else kill it sometimes, and what is told meanwhile must wait."""
        if not web.is_alive:
            self._kill_web(web)
            web.come_back(self.chance.choice((None, *EVENTS_TAKEN_IN)))
        elif self.chance.random() < 0.2:
            self._kill_web(web)

    def _kill_web(self, web: Web) -> None:
        if how := web.kill():
            self.told.happened[f"the web killed: {how}"] += 1

    def _goes_on(self) -> bool:
        self._let_go_on()
        return is_under_way(self.database)

    def _let_go_on(self) -> None:
        """A manager lets a send go on that has paused itself."""
        with self.database.write() as session:
            for send in list_sends(session, SendState.PAUSED):
                self.told.happened["paused by the brake, resumed"] += 1
                edition = session.get_one(Edition, send.edition).id
                now = SystemClock().now()
                steering.resume(session, edition, actor=self.cast.max, now=now, late_after=RULES.late_after)

    def _is_open(self, month: Month) -> bool:
        with self.database.read() as session:
            return bool(session.scalar(select(exists().where(Send.edition == month.serial))))

    def _calm(self) -> None:
        """Processes that nobody kills, until nothing more happens by itself and nothing more is told."""
        self._live_unharmed()
        self.provider.tell_all()
        while self._goes_on():
            self._live_unharmed()
            self.provider.tell_all()

    def _live_unharmed(self) -> None:
        for living in [self._begin(part) for part in self._parts()]:
            assert not end(living.process)

    def _find_nothing_more_to_do(self) -> None:
        before = len(read_record(self.provider.record))
        self._live_unharmed()
        if len(read_record(self.provider.record)) != before:
            self.told.broken.append("something went although nothing was left to do")

    def _judge(self, month: Month) -> None:
        self.told.broken += [*broken_promises(self._evidence(month)), *self._ledger_faults()]

    def _evidence(self, month: Month) -> Evidence:
        with self.database.read() as session:
            return Evidence(
                accepted=read_accepted(self.provider.record, month.serial),
                expected=month.expected,
                deliveries=session.scalars(select(Delivery).where(Delivery.edition == month.serial)).all(),
                attempts=list_attempts(session, month.serial),
                batches=session.scalars(select(Batch).where(Batch.edition == month.serial)).all(),
                progress=get_progress(session, month.edition),
                shown=sum(people for _, people in list_uncertain(session, month.edition)),
                status=reconcile(session, month.edition, now=SystemClock().now()),
                told_of=read_told_of(self.provider.record, self.provider.posts),
                left=month.left,
                given_up=frozenset(month.given_up),
                sent_again=frozenset(month.sent_again),
            )

    def _ledger_faults(self) -> list[str]:
        with self.database.read() as session:
            return [str(fault) for fault in find_ledger_faults(session)]

    def _settle_all(self, month: Month) -> None:
        """A manager looks at what is uncertain until nothing is; what goes again first meets failures again."""
        for turn in range(MOST_ROUNDS):
            if not self._is_uncertain(month):
                return
            self.provider.kill()
            self.leave(month, 2)
            self._settle(month, first=turn == 0)
            self.provider.come_back(failing=turn == 0)
            self._calm()
            self._judge(month)
        self.told.broken.append(f"uncertainty did not end within {MOST_ROUNDS} rounds")

    def _is_uncertain(self, month: Month) -> bool:
        with self.database.read() as session:
            return bool(list_uncertain(session, month.edition))

    def _settle(self, month: Month, *, first: bool) -> None:
        """Say of each uncertain attempt what the provider's record says of it; the first time one is given up."""
        accepted = read_accepted(self.provider.record, month.serial).keys()
        with self.database.write() as session:
            for attempt, _ in list_uncertain(session, month.edition):
                uncertain = (Delivery.attempt == attempt.id, Delivery.state == DeliveryState.UNCERTAIN)
                people = set(
                    session.scalars(select(Delivery.subscriber).where(Delivery.edition == month.serial, *uncertain))
                )
                if not (people <= accepted or people.isdisjoint(accepted)):
                    self.told.broken.append(f"no one verdict is true of everybody in {attempt.id}")
                stayed = people - month.left.keys()
                if people & accepted:
                    verdict = Verdict.SENT
                elif not stayed or (first and not month.given_up):
                    verdict = Verdict.NOT_SENT
                    month.given_up |= stayed
                else:
                    verdict = Verdict.SEND_AGAIN
                    month.sent_again.add(attempt.id)
                self.told.people[f"settled by a person: {verdict}"] += len(people)
                self.told.attempts["settled by a person"] += 1
                now = SystemClock().now()
                steering.settle_uncertain(session, month.edition, attempt.id, verdict, actor=self.cast.max, now=now)

    def _count_uncertain(self, month: Month) -> None:
        self.told.people["uncertain after the storm"] += len(self._evidence(month).people_in(DeliveryState.UNCERTAIN))

    def _count_people(self, month: Month) -> None:
        evidence = self._evidence(month)
        self.told.attempts.update(str(attempt.state) for attempt in evidence.attempts)
        self.told.attempts["settled by an event"] += sum(attempt.proved_at is not None for attempt in evidence.attempts)
        self.told.people.update(
            {
                "in the audience": len(month.expected),
                "accepted": len(evidence.accepted),
                "refused": len(evidence.people_in(DeliveryState.REFUSED)),
                "left on the way": len(month.left),
                "left when they had it": len(month.left.keys() & evidence.accepted.keys()),
                "given up by a person": len(month.given_up),
                "twice": len(twice(evidence)),
                "lost": len(lost(evidence)),
            }
        )

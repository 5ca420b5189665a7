"""Processes to be killed: each does its part of the product until then, or until nothing is left to do.

They are forked from a server that has everything imported: a life begins in milliseconds, and shares nothing with the
one before it but the database.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import Engine, and_, event, exists, literal, or_, select
from sqlalchemy.orm import configure_mappers

from newsletter.addresses import read_smtp_url
from newsletter.clock import SystemClock
from newsletter.database.session import Database, open_database
from newsletter.delivery.model import BatchState, Limits, Rate, SendState
from newsletter.delivery.tables import Batch, Send
from newsletter.delivery.worker import Worker
from newsletter.editions.queries import list_due
from newsletter.provider_events.model import PostState
from newsletter.provider_events.tables import ReceivedPost
from newsletter.providers.contract import Transport
from newsletter.providers.mailbox import MailboxTransport
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.providers.smtp.transport import SmtpTransport
from newsletter.rendering.brand import read_brand
from newsletter.schedule.executors.procrastinate import ProcrastinateExecutor
from newsletter.schedule.jobs import keep_what_is_loaded, run_until_idle
from newsletter.schedule.queue_worker import QueueWorker, Rhythm
from newsletter.schedule.rules import Rules
from newsletter.schedule.runner import Runner
from newsletter.sendgrid_double.events import EventPoster, open_key, read_event_faults
from newsletter.sendgrid_double.faults import Faults, read_fault
from newsletter.sendgrid_double.record import Record
from newsletter.sendgrid_double.server import Double, Options, listen, serve
from newsletter.settings import read_settings
from newsletter.site import Site
from newsletter.subscribers.tokens import Tokens
from newsletter.web import create_app
from tests.factories import KEY, RULES
from tests.node import ROOT
from tests.sendgrid_double.running import KEY as SENDGRID_KEY

SOON = timedelta(seconds=1)
"""Lease and staleness: what a killed process held is soon free, also where other processes may be alive."""
PERIOD = timedelta(seconds=0.3)
"""How often a scheduler looks, and so how soon another one leads."""
RHYTHM = Rhythm(poll=0.1, beat=0.2, begin_again=0.1)
GLANCE = 0.1
"""Seconds between two looks at whether something is left to do."""
HANGS_AFTER = 240
"""Seconds after which what takes a few of them counts as hanging."""

# Once, in the process that all lives are forked from.
configure_mappers()
keep_what_is_loaded()
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "tests.chaos.story", "tests.database_fixtures"])


class Part(StrEnum):
    """What a process does."""

    ONCE = "scheduler --once"
    """All that is due, in one thread; beside SQLite it must be alone."""
    SERVE = "serve"
    """Schedules and sends while it leads."""
    SCHEDULER = "scheduler"
    """Schedules while it leads, and has workers send."""
    WORKER = "worker"
    """Sends, several batches at once."""


class When(StrEnum):
    """Where in its transaction a statement brings death."""

    INSIDE = "inside"
    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


@dataclass(frozen=True)
class Moment:
    """When a process kills itself, or falls asleep: at the nth statement that says so.

    It may say so anywhere: an INSERT that reads from a WITH begins with that.
    """

    statement: str
    when: When
    nth: int = 1
    by: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.statement.strip()}, {self.when}"


@dataclass(frozen=True)
class Life:
    """One process: its database, what it sends to, its part, and how it is to die, if it is."""

    url: str
    to: str
    """As in SENDGRID_HOST or in SMTP_URL, or the folder of a mailbox."""
    part: Part = Part.ONCE
    moment: Moment | None = None
    batch_limit: int = 20
    one_leads: bool = True
    """Without it every process believes that it leads."""
    late_after: timedelta = RULES.late_after


@dataclass(frozen=True)
class Webhook:
    """Where a double tells what became of mails: the address, the file of the key that signs, the record of posts, and
    what goes wrong."""

    address: str
    key: Path
    record: Path
    faults: tuple[str, ...]


@dataclass(frozen=True)
class ProviderLife:
    """A double of SendGrid that keeps no mails: its record, what goes wrong at it, and its port, or 0 for any."""

    record: Path
    faults: tuple[str, ...]
    seed: int
    port: int = 0
    webhook: Webhook | None = None


@dataclass(frozen=True)
class WebLife:
    """The public web: its database, the file of the key that signs what it is told, its port, or 0 for any."""

    url: str
    key: Path
    port: int = 0
    moment: Moment | None = None


class EverybodyLeads:
    """A leader lock that keeps nobody out, as one whose connection was lost unnoticed."""

    def acquire(self) -> bool:
        """Yes."""
        return True

    def is_held(self) -> bool:
        """Yes."""
        return True

    def release(self) -> None:
        """Nothing to give back."""


def begin(life: Life) -> BaseProcess:
    """Start a process, and return when it is about to work."""
    process, _ = _fork(_live, life)
    return process


def begin_provider(life: ProviderLife) -> tuple[BaseProcess, int]:
    """Start a double, and return when it listens, with its port."""
    return _fork(_provide, life)


def begin_web(life: WebLife) -> tuple[BaseProcess, int]:
    """Start the web, and return when it listens, with its port."""
    return _fork(_answer, life)


def end(process: BaseProcess, *, kill: bool = False) -> bool:
    """Wait for a process, or kill it; True when it was killed. Any other end than its own fails."""
    if kill:
        process.kill()
    process.join()
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL), f"a process ended with {code}; see its traceback"
    return code != 0


def _fork(live: Callable[..., None], life: Life | ProviderLife | WebLife) -> tuple[BaseProcess, int]:
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=live, args=(life, theirs), daemon=True)
    process.start()
    theirs.close()
    with ours:
        return process, int(ours.recv())


def fail_if_it_hangs(since: float) -> None:
    """Raise when something that takes seconds has taken minutes."""
    assert time.monotonic() - since < HANGS_AFTER, "it hangs"


def watch(processes: Collection[BaseProcess], seconds: float) -> None:
    """Wait so long, or until one of them has ended."""
    wait([process.sentinel for process in processes], timeout=seconds)


def is_under_way(database: Database, *, hears_events: bool = True) -> bool:
    """Whether anything would still happen by itself, or at least where no event is heard."""
    its = Batch.edition == Send.edition
    goes_on = exists().where(its, Batch.state.in_((BatchState.PLANNED, BatchState.CLAIMED)))
    waits_for_a_person = exists().where(its, Batch.state.in_((BatchState.UNCERTAIN, BatchState.REJECTED)))
    in_flight = exists().where(its, Batch.state == BatchState.IN_FLIGHT)
    moves = or_(
        Send.state == SendState.PLANNING,
        in_flight,
        # Sends, or ends.
        and_(Send.state == SendState.RUNNING, or_(goes_on, ~waits_for_a_person)),
    )
    waits_to_be_applied = exists().where(ReceivedPost.state == PostState.WAITING)
    with database.read() as session:
        happens = session.scalar(select(or_(exists().where(moves), and_(literal(hears_events), waits_to_be_applied))))
        return bool(list_due(session, SystemClock().now()) or happens)


def _provide(life: ProviderLife, busy: Connection) -> None:
    faults = Faults([read_fault(spec) for spec in life.faults], life.seed)
    listening = listen(life.port)
    poster = _poster(life.webhook, life.seed) if life.webhook else None
    double = Double(Options(SENDGRID_KEY, record=life.record), faults, SystemClock(), poster)
    busy.send(listening.getsockname()[1])
    serve(double, listening)


def _poster(webhook: Webhook, seed: int) -> EventPoster:
    faults, record = read_event_faults(webhook.faults), Record(webhook.record)
    return EventPoster(webhook.address, open_key(webhook.key), faults, seed=seed, record=record)


def _answer(life: WebLife, busy: Connection) -> None:
    listening = listen(life.port)
    database = open_database(life.url)
    if life.moment:
        _die_at(database.engine, life.moment)
    key = open_key(life.key).public_key()
    site = Site(read_settings(ROOT, {}), database, Tokens([KEY]), SystemClock(), read_brand(ROOT), webhook_key=key)
    config = uvicorn.Config(create_app(site, public_only=True), lifespan="off", log_config=None, access_log=False)
    busy.send(listening.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listening])


def _live(life: Life, busy: Connection) -> None:
    database = open_database(life.url)
    # The pace is kept as ever, but never waits.
    limits = Limits(Rate(1_000, burst=1_000))
    name = f"life {os.getpid()}"
    worker = Worker(name, database, _transport(life), Tokens([KEY]), SystemClock(), lease=SOON, limits=limits)
    rules = replace(RULES, late_after=life.late_after, stale_after=SOON, dead_after=SOON)
    if life.moment:
        _die_at(database.engine, life.moment)
    busy.send(0)
    match life.part:
        case Part.ONCE:
            _work_once(worker, rules)
        case Part.SERVE:
            lock = None if life.one_leads else EverybodyLeads()
            _run(Runner(worker, rules, lock, period=PERIOD), database)
        case Part.SCHEDULER:
            _run(Runner(worker, rules, executor=ProcrastinateExecutor(worker, rules), period=PERIOD), database)
        case Part.WORKER:
            _run(QueueWorker(worker, rules, concurrency=2, rhythm=RHYTHM), database)
    database.close()


def _transport(life: Life) -> Transport:
    if life.to.startswith("http:"):
        sendgrid = SendGridTransport(SENDGRID_KEY, life.to, SystemClock())
        sendgrid.batch_limit = life.batch_limit
        return sendgrid
    if life.to.startswith("smtp:"):
        smtp = SmtpTransport(read_smtp_url(life.to), SystemClock())
        smtp.batch_limit = life.batch_limit
        return smtp
    return MailboxTransport(Path(life.to), batch_limit=life.batch_limit)


def _work_once(worker: Worker, rules: Rules) -> None:
    pause, began = threading.Event(), time.monotonic()
    while True:
        fail_if_it_hangs(began)
        run_until_idle(worker, rules)
        if not is_under_way(worker.database):
            return
        # A batch that was told to slow down waits for its time.
        pause.wait(GLANCE)


def _run(part: Runner | QueueWorker, database: Database) -> None:
    # It tells of each look that was late, and they are many where the machine is busy.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    part.start()
    pause, began = threading.Event(), time.monotonic()
    # A worker applies no events, and who does may have ended before the last of them came.
    while is_under_way(database, hears_events=isinstance(part, Runner)):
        assert part.is_alive
        fail_if_it_hangs(began)
        pause.wait(GLANCE)
    part.stop()


def _die_at(engine: Engine, moment: Moment) -> None:
    seen, armed = 0, False

    def come() -> None:
        nonlocal armed
        armed = False
        os.kill(os.getpid(), moment.by)
        if moment.by is signal.SIGKILL:
            # Not one statement more, however late the signal comes.
            signal.pause()

    @event.listens_for(engine, "after_cursor_execute")
    def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal seen, armed
        says_so = moment.statement in statement
        seen += says_so
        armed = armed or (says_so and seen == moment.nth)
        if armed and moment.when is When.INSIDE:
            come()

    @event.listens_for(engine, "commit")
    def committing(connection: Any) -> None:
        if armed and moment.when is When.BEFORE_COMMIT:
            come()

    @event.listens_for(engine, "checkin")
    def given_back(connection: Any, record: Any) -> None:
        if armed:
            come()

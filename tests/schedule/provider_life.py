"""A process of the kill tests that sends through SendGrid or SMTP, until it is killed or nothing is left to do.

It is forked from a server that has everything imported: a life begins in milliseconds, and shares nothing with the one
before it but the database.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from sqlalchemy import Engine, and_, event, exists, or_, select

from newsletter.clock import SystemClock
from newsletter.database.session import Database, open_database
from newsletter.delivery.model import BatchState, SendState
from newsletter.delivery.tables import Batch, Send
from newsletter.delivery.worker import Worker
from newsletter.editions.queries import list_due
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.providers.smtp.transport import SmtpTransport
from newsletter.schedule.due import PERIOD
from newsletter.schedule.jobs import Rules, run_until_idle
from newsletter.schedule.runner import Runner
from newsletter.settings import read_smtp_url
from newsletter.subscribers.tokens import Tokens
from tests.factories import KEY, RULES
from tests.sendgrid_double.running import KEY as SENDGRID_KEY

SOON = timedelta(seconds=1)
"""Lease and staleness: what a killed process held is soon free, also where other processes may be alive."""
GLANCE = 0.05
"""Seconds between two looks at whether something is left to do."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "newsletter.schedule.queue_worker", "pytest"])


class When(StrEnum):
    """Where in its transaction a statement brings death."""

    INSIDE = "inside"
    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


@dataclass(frozen=True)
class Moment:
    """When a process kills itself, or falls asleep: at the nth statement that begins so."""

    statement: str
    when: When
    nth: int = 1
    by: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.statement.strip()} {self.nth}, {self.when}"


@dataclass(frozen=True)
class Life:
    """One process: its database, its provider, and how it is to die, if it is."""

    url: str
    host: str
    """As in SENDGRID_HOST, or in SMTP_URL."""
    batch_limit: int = 20
    moment: Moment | None = None
    by_runner: bool = False
    """The scheduler as in `serve`, instead of the same work in one thread."""
    locked: bool = True
    """Only the leader works; without it every runner believes that it leads."""
    stale_after: timedelta = SOON
    late_after: timedelta = RULES.late_after
    period: timedelta = PERIOD


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
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_live, args=(life, theirs), daemon=True)
    process.start()
    theirs.close()
    with ours:
        ours.recv()
    return process


def end(process: BaseProcess, *, kill: bool = False) -> bool:
    """Wait for a process, or kill it; True when it was killed. Any other end than its own fails."""
    if kill:
        process.kill()
    process.join()
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL), f"a process ended with {code}; see its traceback"
    return code != 0


def is_under_way(database: Database) -> bool:
    """Whether anything would still happen by itself."""
    waiting = and_(Batch.state.in_((BatchState.PLANNED, BatchState.CLAIMED)), Send.state == SendState.RUNNING)
    moving = or_(Batch.state == BatchState.IN_FLIGHT, waiting)
    with database.read() as session:
        return bool(
            list_due(session, SystemClock().now())
            or session.scalar(select(exists().where(Send.state == SendState.PLANNING)))
            or session.scalar(select(exists().where(Batch.edition == Send.edition, moving)))
        )


def _live(life: Life, busy: Connection) -> None:
    clock = SystemClock()
    database = open_database(life.url)
    transport: SendGridTransport | SmtpTransport = (
        SmtpTransport(read_smtp_url(life.host), clock)
        if life.host.startswith("smtp:")
        else SendGridTransport(SENDGRID_KEY, life.host, clock)
    )
    transport.batch_limit = life.batch_limit
    worker = Worker(f"life {os.getpid()}", database, transport, Tokens([KEY]), clock, lease=SOON)
    rules = Rules(RULES.zone, life.late_after, stale_after=life.stale_after)
    if life.moment:
        _die_at(database.engine, life.moment)
    busy.send(None)
    pause = threading.Event()
    if life.by_runner:
        runner = Runner(worker, rules, None if life.locked else EverybodyLeads(), period=life.period)
        runner.start()
        while is_under_way(database):
            pause.wait(GLANCE)
        runner.stop()
    else:
        while True:
            run_until_idle(worker, rules)
            if not is_under_way(database):
                break
            # A batch that was told to slow down waits for its time.
            pause.wait(GLANCE)
    database.close()


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
        seen += statement.startswith(moment.statement)
        armed = armed or (seen == moment.nth and statement.startswith(moment.statement))
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

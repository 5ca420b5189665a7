"""A host of several: a scheduler or a worker as a process of its own, with everything as in the product.

Only its times are short, so that what a host that died has held is soon free.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from newsletter.clock import SystemClock
from newsletter.database.session import open_database
from newsletter.delivery.model import Limits
from newsletter.delivery.worker import Worker
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.schedule.executors.procrastinate import ProcrastinateExecutor
from newsletter.schedule.queue_worker import QueueWorker, Rhythm
from newsletter.schedule.runner import Runner
from newsletter.subscribers.tokens import Tokens
from tests.chaos.lives import FORKS
from tests.factories import KEY, RULES
from tests.sendgrid_double.running import KEY as SENDGRID_KEY

SOON = timedelta(seconds=2)
"""Lease, staleness, and when a silent worker counts as dead."""


class Role(StrEnum):
    """What a host does."""

    SCHEDULER = "scheduler"
    WORKER = "worker"
    SERVE = "serve"
    """Schedules and sends in one process."""


@dataclass(frozen=True)
class Machine:
    """One host: what it does, its database and its SendGrid."""

    role: Role
    url: str
    host: str
    batch_limit: int = 20
    concurrency: int = 2


def boot(machine: Machine) -> BaseProcess:
    """Start a host, and return when it is at work."""
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run, args=(machine, theirs), daemon=True)
    process.start()
    theirs.close()
    with ours:
        ours.recv()
    return process


def _run(machine: Machine, at_work: Connection) -> None:
    clock = SystemClock()
    database = open_database(machine.url)
    transport = SendGridTransport(SENDGRID_KEY, machine.host, clock)
    transport.batch_limit = machine.batch_limit
    name = f"{machine.role} {os.getpid()}"
    worker = Worker(name, database, transport, Tokens([KEY]), clock, lease=SOON, limits=Limits(rate=None))
    rules = replace(RULES, stale_after=SOON, dead_after=SOON)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    part: Runner | QueueWorker
    if machine.role is Role.WORKER:
        rhythm = Rhythm(poll=0.2, beat=0.3, begin_again=0.2)
        part = QueueWorker(worker, rules, concurrency=machine.concurrency, rhythm=rhythm)
    else:
        executor = ProcrastinateExecutor(worker, rules) if machine.role is Role.SCHEDULER else None
        part = Runner(worker, rules, executor=executor, period=timedelta(seconds=0.5))
    part.start()
    at_work.send(None)
    while not ended.wait(0.1) and part.is_alive:
        pass
    part.stop()
    database.close()
    sys.exit(0 if ended.is_set() else 1)

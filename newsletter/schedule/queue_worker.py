"""A worker of several: takes the jobs of batches from the queue and sends the batches, some at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg

from newsletter.clock import SystemClock
from newsletter.database.heartbeat import forget_worker, record_worker
from newsletter.database.schema import SchemaWatch
from newsletter.database.session import DATABASE_AWAY, Database
from newsletter.delivery.worker import Worker
from newsletter.log import get_log
from newsletter.schedule import jobs
from newsletter.schedule.executors.procrastinate import QUEUE, TASK, make_queue, opened
from newsletter.schedule.outliving import outliving_failure
from newsletter.schedule.rules import Rules, make_rules
from newsletter.settings import Settings
from newsletter.wiring import make_worker

_log = get_log(__name__)

CONCURRENCY = 4
"""Batches that one worker sends at once."""


@dataclass(frozen=True)
class Rhythm:
    """How often a worker does what it does all the time, in seconds.

    `poll`: looks for jobs of which it was not told. `beat`: gives a sign of life. `drain`: how long Procrastinate
    waits before it complains; a transport answers within 30 seconds, and then the answer is to be written.
    `begin_again`: how soon it looks for a database that went away.
    """

    poll: float = 1.0
    beat: float = 5.0
    drain: float = 40.0
    begin_again: float = 1.0


class QueueWorker:
    """Sends the batches that jobs name, until it is stopped; `start` and `stop` may each be called once.

    It outlives its database: when that goes away, it waits until it is back.
    """

    def __init__(
        self, worker: Worker, rules: Rules, *, concurrency: int = CONCURRENCY, rhythm: Rhythm | None = None
    ) -> None:
        self._worker = worker
        self._rules = rules
        self._sender = jobs.BatchSender(worker, rules)
        self._concurrency = concurrency
        self._rhythm = rhythm or Rhythm()
        self._schema = SchemaWatch()
        self._drained = threading.Event()
        self._began: threading.Event = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: asyncio.Task[None] | None = None
        self._taking = threading.Thread(target=self._take_until_stopped, name="newsletter-worker", daemon=True)
        self._beating = threading.Thread(target=self._beat_until_drained, name="newsletter-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        jobs.keep_what_is_loaded()
        # It tells of every lost connection with a traceback; what matters of it is told here, in a sentence.
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        self._beating.start()
        self._taking.start()
        self._began.wait()

    def stop(self) -> None:
        """End: no more jobs are taken, and the batches on their way are waited for and recorded."""
        self._worker.stopping.set()
        assert self._loop is not None, "it was started"
        assert self._life is not None
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._life.cancel)
        self._taking.join()
        self._drained.set()
        self._beating.join()

    @property
    def is_alive(self) -> bool:
        """Whether both threads run: one that has died does not tell."""
        return self._taking.is_alive() and self._beating.is_alive()

    def _take_until_stopped(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop, self._life = asyncio.get_running_loop(), asyncio.current_task()
        # One for each batch, and one for what the loop itself looks up.
        self._loop.set_default_executor(ThreadPoolExecutor(self._concurrency + 1, "newsletter-sender"))
        self._loop.set_exception_handler(_tell_what_a_job_left)
        self._began.set()
        while not self._worker.stopping.is_set():
            try:
                await self._take()
            except (procrastinate.exceptions.ConnectorException, psycopg.Error) as error:
                _log.warning("database did not answer", error=type(error.__cause__ or error).__name__)
            await asyncio.sleep(self._rhythm.begin_again)

    async def _take(self) -> None:
        """Take jobs until cancelled, or until the database goes away; ends when what was taken is recorded."""
        queue = make_queue(self._worker.database, self._concurrency + 1)
        queue.task(name=TASK, queue=QUEUE)(self._send)
        async with opened(queue):
            await queue.run_worker_async(
                queues=[QUEUE],
                name=self._worker.name,
                concurrency=self._concurrency,
                # A job that is done says nothing that the rows do not, and one that failed is made again.
                delete_jobs="always",
                install_signal_handlers=False,
                fetch_job_polling_interval=self._rhythm.poll,
                update_heartbeat_interval=self._rhythm.beat,
                stalled_worker_timeout=self._rules.dead_after.total_seconds(),
                shutdown_graceful_timeout=self._rhythm.drain,
            )

    def _send(self, edition: int, number: int) -> None:
        with outliving_failure("batch not sent", batch=f"{edition}/{number}"):
            self._sender.send(edition, number)

    def _beat_until_drained(self) -> None:
        while True:
            drained = self._drained.is_set()
            with suppress(*DATABASE_AWAY):
                if self._schema.has_changed(self._worker.database):
                    # The end of this thread ends the process.
                    _log.error("database was upgraded; start this worker anew, in the same version")
                    self._worker.stopping.set()
                    return
            with suppress(*DATABASE_AWAY), self._worker.database.write() as session:
                if drained:
                    forget_worker(session, self._worker.name)
                else:
                    record_worker(session, self._worker.name)
            if drained:
                return
            self._drained.wait(self._rhythm.beat)


def _tell_what_a_job_left(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Told of a job whose end could not be written; what became of its batch stands in the rows already."""
    error = context.get("exception")
    _log.warning("end of a job not written", error=type(error.__cause__ or error).__name__ if error else "")


def make_queue_worker(settings: Settings, database: Database, concurrency: int) -> QueueWorker:
    """A worker for a workspace, not started yet."""
    worker = make_worker(settings, database, SystemClock())
    return QueueWorker(worker, make_rules(settings), concurrency=concurrency)

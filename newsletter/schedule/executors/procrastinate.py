"""Workers on several machines: one job of Procrastinate for each batch that waits, which carries its name and no more.

A job only wakes a worker. It has no lock and is never tried again; what may go, who claimed it and what became of it
stand in the rows alone. So a job that runs twice does nothing the second time, and one that was lost is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import procrastinate
import psycopg
from procrastinate.jobs import Job, Status
from sqlalchemy import String, cast, column, exists, func, literal, literal_column, or_, select, table
from sqlalchemy.orm import Session

from newsletter.database.heartbeat import find_dead_workers, list_workers
from newsletter.database.session import DATABASE_AWAY, POSTGRESQL_CONNECTION, Database
from newsletter.delivery.model import BatchState, SendState
from newsletter.delivery.tables import Batch, Send
from newsletter.delivery.worker import Worker
from newsletter.log import get_log
from newsletter.schedule import jobs
from newsletter.schedule.rules import Rules

_log = get_log(__name__)

CLEAN_UP_WITHIN = 10.0
"""Seconds for dropping the jobs of dead workers; a database that goes away meanwhile keeps the leader no longer."""

QUEUE = "send"
TASK = "newsletter.send_batch"

_LOCK = literal("batch:") + cast(Batch.edition, String) + "/" + cast(Batch.number, String)
_job = table("procrastinate_jobs", column("queueing_lock"), column("status"))
_TODO = _job.c.status == literal_column("'todo'")
_OPEN = or_(_TODO, _job.c.status == literal_column("'doing'"))
_WAITING_WITHOUT_JOB = (
    select(Batch.edition, Batch.number, _LOCK, Batch.not_before)
    .join(Send, Send.edition == Batch.edition)
    .where(
        Send.state == SendState.RUNNING,
        Batch.state == BatchState.PLANNED,
        # One that is being done has perhaps not ended in writing; where it is about to claim, one more does nothing.
        ~exists().where(_job.c.queueing_lock == _LOCK, _TODO),
    )
    .order_by(Send.opened_at, Batch.edition, Batch.number)
)
_HOW_MANY_JOBS = select(func.count()).select_from(_job).where(_OPEN)


def make_queue(database: Database, connections: int = 1) -> procrastinate.App:
    """Procrastinate over a PostgreSQL database with at most so many connections, not opened yet."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connector = procrastinate.PsycopgConnector(
        conninfo=url, kwargs=dict(POSTGRESQL_CONNECTION), min_size=1, max_size=connections, timeout=10
    )
    return procrastinate.App(connector=connector)


@asynccontextmanager
async def opened(queue: procrastinate.App) -> AsyncIterator[None]:
    """The queue, opened, and closed in the end even when opening failed: its pool would keep the loop from ending."""
    try:
        await queue.open_async()
        yield
    finally:
        await queue.close_async()


class ProcrastinateExecutor:
    """Has batches sent by the workers; see `contract.Executor`."""

    is_alive = True
    """It has no thread that could die."""

    def __init__(self, worker: Worker, rules: Rules) -> None:
        self._worker = worker
        self._database = worker.database
        self._rules = rules
        self._queue = make_queue(worker.database)

    def start(self) -> None:
        """Nothing begins here."""

    def announce(self, session: Session) -> None:
        """Give each batch that waits, and has no job, a job for the time when it may go."""
        waiting = session.execute(_WAITING_WITHOUT_JOB).all()
        if not waiting:
            return
        new = [
            Job(
                queue=QUEUE,
                task_name=TASK,
                lock=None,
                queueing_lock=lock,
                task_kwargs={"edition": edition, "number": number},
                scheduled_at=not_before,
            )
            for edition, number, lock, not_before in waiting
        ]
        connection = session.connection().connection.driver_connection
        self._queue.job_manager.batch_defer_jobs(new, connection=connection)

    def send_what_may_go(self) -> None:
        """Drop the jobs of workers that died, and give what waits without a job a new one."""
        try:
            # What waits for a person needs no job; and a night may have passed since the last look.
            jobs.pause_what_needs_a_person(self._worker, self._rules)
            asyncio.run(_drop_jobs_of_dead_workers(make_queue(self._database), self._rules.dead_after))
            with self._database.write() as session:
                self.announce(session)
            self._tell_when_nobody_works()
        except procrastinate.exceptions.AlreadyEnqueued:
            # Another process thought that it led, and was faster.
            return
        except (*DATABASE_AWAY, TimeoutError, procrastinate.exceptions.ConnectorException, psycopg.Error) as error:
            _log.warning("database did not answer", error=type(error).__name__)

    def rest(self) -> None:
        """Nothing: the workers go on with what they have been told of."""

    def stop(self) -> None:
        """Nothing ends here."""

    def _tell_when_nobody_works(self) -> None:
        with self._database.read() as session:
            waiting = session.scalar(_HOW_MANY_JOBS)
            living = len(list_workers(session)) - len(find_dead_workers(session, self._rules.dead_after))
        if waiting and not living:
            _log.warning("batches wait and there is no worker; start one: newsletter worker", batches=waiting)


async def _drop_jobs_of_dead_workers(queue: procrastinate.App, dead_after: timedelta) -> None:
    seconds = dead_after.total_seconds()
    # To set them back would break on a job that was made for the same batch since; what still waits gets a new one.
    async with asyncio.timeout(CLEAN_UP_WITHIN), opened(queue):
        await queue.job_manager.prune_stalled_workers(seconds)
        for job in await queue.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=seconds):
            assert job.id is not None, "it comes from a row"
            await queue.job_manager.finish_job_by_id_async(job.id, status=Status.FAILED, delete_job=True)

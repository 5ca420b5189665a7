"""APScheduler, started and stopped: it wakes the jobs and keeps no truth.

Its store is in memory, and what it forgets the next look at the rows finds. What sends is an executor's affair.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from newsletter.clock import SystemClock
from newsletter.database.schema import SchemaWatch
from newsletter.database.session import DATABASE_AWAY, Database
from newsletter.delivery.worker import Worker
from newsletter.log import get_log
from newsletter.notices.desk import Desk
from newsletter.notices.mailing import tell_staff
from newsletter.notices.reader_mailing import ReaderDesk, ReaderMailer
from newsletter.schedule import jobs
from newsletter.schedule.due import PERIOD, new_wakeups
from newsletter.schedule.event_jobs import EventReader
from newsletter.schedule.executors.contract import Executor
from newsletter.schedule.executors.embedded import EmbeddedExecutor
from newsletter.schedule.executors.procrastinate import ProcrastinateExecutor
from newsletter.schedule.leader import LeaderLock, leader_lock
from newsletter.schedule.looking import LOOK_EVERY as LOOK_SOON_EVERY
from newsletter.schedule.looking import IsStopping, Looker
from newsletter.schedule.outliving import outliving_failure
from newsletter.schedule.reader_jobs import LOOK_EVERY as LOOK_READERS_EVERY
from newsletter.schedule.reader_jobs import ReaderKeeper
from newsletter.schedule.rules import Rules, make_rules
from newsletter.settings import Settings
from newsletter.suppression_lists.sync import LOOK_EVERY, Sync
from newsletter.wiring import make_desk, make_reader_desk, make_sync, make_worker

_log = get_log(__name__)


class Runner:
    """Schedules, and has batches sent, while it is the leader; `start` and `stop` may each be called once.

    Without another executor its own process sends. `period` is how often it looks at the rows. With a sync, SendGrid's
    suppression lists and ours are kept alike; with desks, staff and readers are mailed their notices.
    """

    def __init__(
        self,
        worker: Worker,
        rules: Rules,
        lock: LeaderLock | None = None,
        *,
        executor: Executor | None = None,
        period: timedelta = PERIOD,
        sync: Sync | None = None,
        desk: Desk | None = None,
        readers: ReaderDesk | None = None,
    ) -> None:
        self._worker = worker
        self._desk = desk
        self._rules = rules
        self._sync = sync
        self._lock = lock or leader_lock(worker.database)
        self._executor = executor or EmbeddedExecutor(worker, rules)
        self._period = period
        self._took_over = False
        self._schema = SchemaWatch()
        self._outdated = False
        self._stopping = threading.Event()
        self._wakeups: set[datetime] = set()
        self._looking = threading.Lock()
        self._lookers = list(self._make_lookers(rules, readers))
        # None: however late a job runs, it runs; whether a send is too late is decided from its row.
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler = BackgroundScheduler(timezone="UTC", job_defaults=defaults)

    def _make_lookers(self, rules: Rules, readers: ReaderDesk | None) -> Iterator[Looker]:
        def looker(name: str, look: Callable[[IsStopping], object], told: str, every: timedelta) -> Looker:
            return Looker(name, look, told=told, is_leading=lambda: self._took_over, every=every)

        soon = min(self._period, LOOK_SOON_EVERY)
        keeper = ReaderKeeper(self._worker.database, self._worker.clock, rules.pending_days)
        yield looker("readers", keeper.look, "readers were not looked after", LOOK_READERS_EVERY)
        if rules.events:
            events = EventReader(self._worker.database, self._worker.clock, rules.events)
            yield looker("events", events.look, "events were not looked through", soon)
        if readers:
            yield looker("reader-notices", ReaderMailer(readers).look, "readers were not mailed", soon)

    def start(self) -> None:
        """Begin: look at the rows now, then at every wake-up and in every period."""
        jobs.keep_what_is_loaded()
        self._scheduler.add_job(
            self._look,
            "interval",
            id="reconcile",
            seconds=self._period.total_seconds(),
            next_run_time=self._worker.clock.now(),
        )
        if self._sync is not None:
            self._scheduler.add_job(
                self._look_at_lists,
                "interval",
                id="suppression lists",
                seconds=LOOK_EVERY.total_seconds(),
                # By then it is known whether this process leads.
                next_run_time=self._worker.clock.now() + self._period,
            )
        if self._desk is not None:
            self._scheduler.add_job(self._tell, "interval", [self._desk], id="tell", seconds=PERIOD.total_seconds())
        self._scheduler.start()
        self._executor.start()
        for looker in self._lookers:
            looker.start()
        _log.info("scheduler started", worker=self._worker.name)

    def stop(self) -> None:
        """End: nothing more is claimed, and a batch on its way is waited for and recorded."""
        self._stopping.set()
        self._executor.rest()
        self._scheduler.shutdown(wait=True)
        self._executor.stop()
        for looker in self._lookers:
            looker.stop()
        self._lock.release()
        _log.info("scheduler ended", worker=self._worker.name)

    @property
    def is_alive(self) -> bool:
        """Whether scheduler and executor run, on the tables that they began with: a thread that died does not tell."""
        look = all(looker.is_alive for looker in self._lookers)
        return bool(self._scheduler.running) and self._executor.is_alive and look and not self._outdated

    def _look(self) -> None:
        # The look of every period and that of a wake-up may come at the same moment.
        with self._looking:
            self._look_alone()

    def _look_alone(self) -> None:
        try:
            if self._is_outdated() or not self._lead():
                return
            due = jobs.reconcile(self._worker, self._rules, self._executor.announce)
        except DATABASE_AWAY as error:
            # The next look comes in a period; a database that restarts must not end the schedule.
            _log.warning("database did not answer", error=type(error).__name__)
            return
        except Exception as error:
            # What was found may be half done, and what is due can go all the same.
            _log.error("look at the rows failed", error=type(error).__name__)
            due = []
        self._executor.send_what_may_go()
        now = self._worker.clock.now()
        self._wakeups = {time for time in self._wakeups if time > now}
        for time in new_wakeups(due, self._wakeups, now):
            self._wakeups.add(time)
            self._scheduler.add_job(self._look, "date", id=f"due {time.isoformat()}", run_date=time, max_instances=2)

    def _is_outdated(self) -> bool:
        if not self._outdated and self._schema.has_changed(self._worker.database):
            _log.error("database was upgraded; start this program anew, in the same version")
            self._outdated = True
            self._worker.stopping.set()
            self._executor.rest()
        return self._outdated

    def _look_at_lists(self) -> None:
        if self._sync is None or self._outdated or not self._took_over:
            return
        with outliving_failure("suppression lists were not compared"):
            self._sync.look(self._stopping.is_set)

    def _tell(self, desk: Desk) -> None:
        if self._took_over:
            with outliving_failure("staff not told"):
                tell_staff(desk)

    def _lead(self) -> bool:
        if not (self._lock.is_held() or self._lock.acquire()):
            if self._took_over:
                _log.warning("leader lost", worker=self._worker.name)
            self._took_over = False
            self._executor.rest()
            return False
        if not self._took_over:
            _log.info("leader taken", worker=self._worker.name)
        # Beside one SQLite file there is one sender, so what was under way belonged to a process that has ended.
        if not self._took_over and self._worker.database.is_sqlite:
            jobs.take_over(self._worker)
        self._took_over = True
        return True


def make_runner(settings: Settings, database: Database, *, with_workers: bool = False) -> Runner:
    """A runner for a workspace, not started yet; `with_workers` have batches sent, where the database has a queue."""
    clock = SystemClock()
    worker, rules = make_worker(settings, database, clock), make_rules(settings)
    executor = ProcrastinateExecutor(worker, rules) if with_workers and not database.is_sqlite else None
    return Runner(
        worker,
        rules,
        executor=executor,
        sync=make_sync(settings, database, clock),
        desk=make_desk(settings, database, clock),
        readers=make_reader_desk(settings, database, clock),
    )

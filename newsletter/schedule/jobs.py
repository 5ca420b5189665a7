"""What the scheduler does when it wakes. Everything reads the rows and may be done twice, or by two processes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER
from newsletter.database.heartbeat import (
    SCHEDULER_PART,
    find_dead_workers,
    find_heartbeat,
    forget_long_dead_workers,
    record_heartbeat,
)
from newsletter.database.instance import keep_to_its_place
from newsletter.database.session import DATABASE_AWAY
from newsletter.delivery import batches, plan, planning, steering
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import list_ends_of_waiting, list_going, list_sends
from newsletter.delivery.worker import Step, Worker, send_batch, send_next_batch
from newsletter.editions.actions import expire_approvals, hold
from newsletter.editions.queries import list_due, list_scheduled_times
from newsletter.errors import Refused
from newsletter.log import get_log
from newsletter.schedule.due import HORIZON, WORKER_FORGOTTEN_AFTER, went_back
from newsletter.schedule.event_jobs import apply_waiting
from newsletter.schedule.rules import Rules

_log = get_log(__name__)

ASK_EVERY = timedelta(minutes=1)
"""How often, while batches go, it is asked whether their sends may go on."""

NEW_OBJECTS_BEFORE_A_LOOK = 50_000
"""How many more objects there may be before the garbage collector looks at the new ones; a batch has some 10,000."""


Announce = Callable[[Session], None]
"""Told in the transaction in which batches become ready to go."""


def keep_to_oneself(session: Session) -> None:
    """Announce nothing: who sends looks at the rows."""


def reconcile(worker: Worker, rules: Rules, announce: Announce = keep_to_oneself) -> list[datetime]:
    """Bring every row to where it should be by now: open what is due, plan it, free what is stuck.

    Gives the instants at which something becomes due within the horizon; none while nothing may be sent from here.
    """
    now = worker.clock.now()
    with worker.database.write() as session:
        locked = keep_to_its_place(session, now)
        last_seen = find_heartbeat(session, SCHEDULER_PART)
        if last_seen is not None and went_back(last_seen, now):
            # Nothing is undone or repeated: what is due is read from rows that have moved on.
            _log.warning("clock went back", by_seconds=int((last_seen - now).total_seconds()))
        record_heartbeat(session, part=SCHEDULER_PART, worker=worker.name, now=now)
        expire_approvals(session, actor=SCHEDULER, now=now)
        forget_long_dead_workers(session, WORKER_FORGOTTEN_AFTER)
        dead = find_dead_workers(session, rules.dead_after)
        batches.expire_leases(session, actor=SCHEDULER, now=now, dead=dead)
        batches.mark_stale(
            session,
            actor=SCHEDULER,
            now=now,
            idempotent=_repeats_through(worker),
            stale_after=rules.stale_after,
            dead=dead,
        )
        if not locked and planning.begin_waiting(session, actor=SCHEDULER, now=now, late_after=rules.late_after):
            announce(session)
    if locked:
        return []
    open_due(worker, rules)
    plan_all(worker, rules, announce)
    finish_all(worker)
    with worker.database.read() as session:
        until = worker.clock.now() + HORIZON
        return [*list_scheduled_times(session, until), *list_ends_of_waiting(session, until)]


def take_over(worker: Worker) -> None:
    """What a process does once when it knows that it is alone: what was under way belonged to one that has ended."""
    now = worker.clock.now()
    with worker.database.write() as session:
        batches.expire_leases(session, actor=SCHEDULER, now=now, all_of_them=True)
        batches.mark_stale(
            session, actor=SCHEDULER, now=now, idempotent=_repeats_through(worker), stale_after=timedelta(0)
        )


def _repeats_through(worker: Worker) -> str | None:
    return worker.transport.name if worker.transport.idempotent else None


def open_due(worker: Worker, rules: Rules) -> None:
    """Open the send of every edition that is due, each in a transaction of its own."""
    with worker.database.read() as session:
        due = list_due(session, worker.clock.now())
    for edition in due:
        if rules.base_url and edition.base_url != rules.base_url:
            _hold_for_its_links(worker, edition.id, edition.base_url, rules.base_url)
            continue
        try:
            with worker.database.write() as session:
                planning.open_send(
                    session,
                    edition.serial,
                    actor=SCHEDULER,
                    now=worker.clock.now(),
                    late_after=rules.late_after,
                    transport=worker.transport.name,
                    batch_limit=worker.transport.batch_limit,
                )
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # One bad edition keeps no other from going.
            _log.error("edition not opened", edition=edition.id, error=type(error).__name__)
            with worker.database.write() as session, suppress(Refused):
                reason = f"it could not be opened: {type(error).__name__}"
                hold(session, edition.id, actor=SCHEDULER, now=worker.clock.now(), reason=reason)


def _hold_for_its_links(worker: Worker, edition: str, its: str, now: str) -> None:
    reason = f"its links begin with {its}, and BASE_URL is {now}: submit it again"
    with worker.database.write() as session, suppress(Refused):
        hold(session, edition, actor=SCHEDULER, now=worker.clock.now(), reason=reason)


def plan_all(worker: Worker, rules: Rules, announce: Announce = keep_to_oneself) -> None:
    """Plan every send that is being planned to its end, a chunk in each transaction."""
    with worker.database.read() as session:
        being_planned = [send.edition for send in list_sends(session, SendState.PLANNING)]
    for edition in being_planned:
        try:
            more = True
            while more:
                with worker.database.write() as session:
                    more = planning.plan_audience(
                        session, edition, actor=SCHEDULER, now=worker.clock.now(), zone=rules.zone
                    )
                    if not more:
                        announce(session)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # It is tried again with every look, and keeps no other from going.
            _log.error("send not planned", edition=edition, error=type(error).__name__)
            with worker.database.write() as session:
                planning.note_trouble(session, edition, f"it could not be planned: {type(error).__name__}")


class BatchSender:
    """Sends one batch at a time; with rules, a send that needs a person to go on is paused first.

    Everything that sends batches of editions goes through it. Threads may share one.
    """

    def __init__(self, worker: Worker, rules: Rules | None = None) -> None:
        self._worker = worker
        self._rules = rules
        self._asked_at: datetime | None = None
        self._asking = threading.Lock()

    def send_next(self) -> Step:
        """Send the next batch of any running send."""
        self._ask()
        return send_next_batch(self._worker)

    def send(self, edition: int, number: int) -> Step:
        """Send this batch, if it may go now."""
        self._ask()
        return send_batch(self._worker, edition, number)

    def _ask(self) -> None:
        # Not only at the beginning: the machine may sleep for a night between two batches.
        if self._rules is None:
            return
        with self._asking:
            now = self._worker.clock.now()
            if self._asked_at is None or abs(now - self._asked_at) > ASK_EVERY:
                pause_what_needs_a_person(self._worker, self._rules)
                self._asked_at = now


def send_all(worker: Worker, is_stopping: Callable[[], bool] = lambda: False, rules: Rules | None = None) -> int:
    """Send every batch that may go now, then end the sends that are done; gives how many batches went.

    With rules, a send that needs a person to go on is paused first.
    """
    sender = BatchSender(worker, rules)
    sent = 0
    while not is_stopping():
        step = sender.send_next()
        if step is Step.NOTHING_TO_DO:
            break
        sent += step is Step.SENT
    finish_all(worker)
    return sent


def pause_what_needs_a_person(worker: Worker, rules: Rules) -> None:
    """Pause every running send that would go on otherwise than it began, or after it stood still too long."""
    now = worker.clock.now()
    with worker.database.read() as session:
        going = list_going(session)
    for send in going:
        reason = plan.reason_to_ask(
            send, transport=worker.transport.name, base_url=rules.base_url, late_after=rules.late_after, now=now
        )
        if reason:
            # A person may have paused or stopped it first: then there is nothing to do.
            with worker.database.write() as session, suppress(Refused):
                steering.pause(session, send.edition, actor=SCHEDULER, now=now, note=reason)


def finish_all(worker: Worker) -> None:
    """End every running send in which nothing is left to do."""
    with worker.database.read() as session:
        running = [send.edition for send in list_sends(session, SendState.RUNNING)]
    for edition in running:
        try:
            with worker.database.write() as session:
                steering.finish(session, edition, actor=SCHEDULER, now=worker.clock.now())
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # It is tried again with every look, and keeps no other from its end.
            _log.error("send not ended", edition=edition, error=type(error).__name__)


def keep_what_is_loaded() -> None:
    """Tell Python's garbage collector that all there is by now stays, and not to look for circles all the time.

    A batch is thousands of new objects, none in a circle. Counting them, the collector would look through the whole
    program every few batches, for a fifth of the time of a send, and ten times through each batch, for a twentieth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_BEFORE_A_LOOK)


def run_until_idle(worker: Worker, rules: Rules) -> None:
    """Do all that is due now, in this thread, and return when nothing is left that may go: for commands and tests."""
    if worker.database.is_sqlite:
        take_over(worker)
    while True:
        if rules.events:
            apply_waiting(worker.database, worker.clock, rules.events)
        reconcile(worker, rules)
        if not send_all(worker, rules=rules):
            return

"""What time does to readers: a pause ends, a sign-up that nobody confirmed is deleted, what is old is forgotten.

Each in small transactions, so that whoever leaves meanwhile need not wait; done twice, it is as good as once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER
from newsletter.database.instance import find_lock
from newsletter.database.session import Database
from newsletter.schedule.looking import IsStopping
from newsletter.subscriber_import.runner import delete_old_rows
from newsletter.subscribers.actions import resume_due
from newsletter.subscribers.consent_ledger import delete_traces
from newsletter.subscribers.reader_notices import delete_old_reader_notices
from newsletter.subscribers.sign_up import delete_unconfirmed

LOOK_EVERY = timedelta(minutes=1)
"""How often it is asked whose pause is over."""

CLEAR_UP_EVERY = timedelta(hours=1)

AT_ONCE = 500
"""People of one transaction; it holds the database for a fraction of a second."""


class ReaderKeeper:
    """Does what is due whenever it is told to look, and clears up once in a while."""

    def __init__(self, database: Database, clock: Clock, pending_days: int) -> None:
        self._database = database
        self._clock = clock
        self._pending_days = pending_days
        self._cleared_up_at: datetime | None = None

    def look(self, is_stopping: IsStopping = lambda: False) -> None:
        """End the pauses that are over, and clear up; not in a database that is locked, whose people are copies."""
        with self._database.read() as session:
            if find_lock(session):
                return
        now = self._clock.now()
        self._repeat(lambda session: resume_due(session, actor=SCHEDULER, now=now, most=AT_ONCE), is_stopping)
        if self._cleared_up_at is None or abs(now - self._cleared_up_at) >= CLEAR_UP_EVERY:
            self._clear_up(now, is_stopping)
            self._cleared_up_at = now

    def _clear_up(self, now: datetime, is_stopping: IsStopping) -> None:
        days = self._pending_days
        self._repeat(lambda session: delete_unconfirmed(session, now=now, days=days, most=AT_ONCE), is_stopping)
        for delete_old in (delete_old_reader_notices, delete_traces):
            with self._database.write() as session:
                delete_old(session, now=now)
        delete_old_rows(self._database, self._clock, is_stopping)

    def _repeat(self, act: Callable[[Session], int], is_stopping: IsStopping) -> None:
        more = True
        while more and not is_stopping():
            with self._database.write() as session:
                more = act(session) == AT_ONCE

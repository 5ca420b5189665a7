"""The sync at work: asks SendGrid between two transactions, never inside of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER, Actor
from newsletter.database.instance import find_lock
from newsletter.database.session import Database
from newsletter.log import get_log
from newsletter.providers.sendgrid.lists import Listed, ListName, ListsRefused, ListsUnanswered, SuppressionLists
from newsletter.suppression_lists import actions, queries
from newsletter.suppression_lists.model import Page, Pulled, Pushed, Waiting
from newsletter.suppression_lists.rules import FIRST_WAIT, is_due, window_start

_log = get_log(__name__)

LOOK_EVERY = timedelta(minutes=5)
"""How often it is looked whether a list is due and whether somebody waits to be told to SendGrid."""

AT_ONCE = 500
"""People that SendGrid is told of in one request."""
QUEUED_AT_ONCE = 5_000
MOST_REQUESTS = 100
"""Requests of one look that tell SendGrid of people; whoever is left waits for the next."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True)
class Sync:
    """What a sync needs; `group` is the unsubscribe group that people are put into, None for all unsubscribes."""

    database: Database
    lists: SuppressionLists
    clock: Clock
    zone: ZoneInfo
    suppression_key: str
    group: int | None = None
    actor: Actor = SCHEDULER

    def look(self, is_stopping: Callable[[], bool] = never) -> None:
        """Do what is due: read the lists that have not been read since the last night, tell SendGrid of who waits.

        For a database that is locked nothing is due: a copy asks SendGrid nothing by itself.
        """
        if self.is_locked():
            return
        with self.database.read() as session:
            rows = queries.list_pulled(session)
        now = self.clock.now()
        for name in ListName:
            row = rows.get(name)
            due = row is None or is_due(row.pulled_until, row.not_before, now, self.zone)
            if due and not is_stopping():
                self.pull(name, is_stopping)
        self.push(is_stopping)

    def pull(self, name: ListName, is_stopping: Callable[[], bool] = never) -> Pulled:
        """Read one list from where the last whole reading ended, and take over what it says.

        One that breaks off keeps what it took over and begins at the same place again.
        """
        began = self.clock.now()
        with self.database.read() as session:
            row = queries.list_pulled(session).get(name)
        since = min(window_start(row.pulled_until if row else None), began)
        came = Page()
        try:
            for page in self.lists.pages(name, since, began):
                if is_stopping():
                    return Pulled(name, came.new, came.unknown, "it was stopped before its end.")
                came += self._take_over(name, page)
        except ListsUnanswered as error:
            _log.warning("suppression list was not read", list=name.value)
            with self.database.write() as session:
                actions.record_pull_failed(
                    session, name, str(error), actor=self.actor, now=self.clock.now(), not_before=error.not_before
                )
            return Pulled(name, came.new, came.unknown, str(error))
        with self.database.write() as session:
            actions.record_pulled(session, name, began, came, actor=self.actor, now=self.clock.now())
        return Pulled(name, came.new, came.unknown)

    def push(self, is_stopping: Callable[[], bool] = never, *, all_waiting: bool = False) -> Pushed:
        """Tell SendGrid of everybody who left here, and of who came back; with `all_waiting`, of those too whose time
        to be tried again has not come. A database that is locked, such as a copy, tells it nothing.
        """
        if self.is_locked():
            return Pushed()
        self._queue()
        return _Push(self, is_stopping, all_waiting).run()

    def is_locked(self) -> bool:
        """Whether nothing may be told from this database."""
        with self.database.read() as session:
            return bool(find_lock(session))

    def _take_over(self, name: ListName, page: Sequence[Listed]) -> Page:
        with self.database.read() as session:
            concerned = queries.find_concerned(session, name, page)
        # Most of a list is no news, and writing would keep others waiting.
        if not (concerned.to_refuse or concerned.to_note):
            return Page(unknown=concerned.unknown)
        with self.database.write() as session:
            return actions.apply_page(
                session, name, page, suppression_key=self.suppression_key, actor=self.actor, now=self.clock.now()
            )

    def _queue(self) -> None:
        while True:
            with self.database.read() as session:
                people = [number for number, _ in queries.find_changes(session, QUEUED_AT_ONCE)]
            if not people:
                return
            with self.database.write() as session:
                actions.queue(session, people, now=self.clock.now())


class _Push:
    """One run of telling SendGrid, at most so many requests long."""

    def __init__(self, sync: Sync, is_stopping: Callable[[], bool], all_waiting: bool) -> None:
        self._sync = sync
        self._is_stopping = is_stopping
        self._by: datetime | None = None if all_waiting else sync.clock.now()
        self._requests = 0
        self._added = 0
        self._removed = 0

    def run(self) -> Pushed:
        """Tell it of those to add, then of those to remove; ends early when it does not answer."""
        if self._add_all():
            self._remove_all()
        return Pushed(self._added, self._removed)

    def _may_ask(self) -> bool:
        return self._requests < MOST_REQUESTS and not self._is_stopping() and not self._sync.is_locked()

    def _add_all(self) -> bool:
        after = 0
        while self._may_ask():
            with self._sync.database.read() as session:
                waiting = queries.list_to_add(session, after=after, limit=AT_ONCE, now=self._by)
            if not waiting:
                return True
            if not self._add(waiting):
                return False
            after = waiting[-1].subscriber
        return False

    def _add(self, people: Sequence[Waiting]) -> bool:
        """Add these, in halves when SendGrid refuses them together; False when it does not answer."""
        parts = [people]
        while parts and self._may_ask():
            part = parts.pop()
            try:
                self._add_part(part)
            except ListsRefused as error:
                if len(part) == 1:
                    self._leave_waiting(part, error)
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
            except ListsUnanswered as error:
                self._leave_waiting(part, error)
                return False
        return True

    def _add_part(self, part: Sequence[Waiting]) -> None:
        sync, numbers = self._sync, _numbers(part)
        now = sync.clock.now()
        with sync.database.write() as session:
            actions.record_trying(session, numbers, group=sync.group, now=now, not_before=now + FIRST_WAIT)
        self._requests += 1
        sync.lists.add([person.address for person in part], sync.group)
        with sync.database.write() as session:
            actions.record_added(session, numbers, group=sync.group, actor=sync.actor, now=sync.clock.now())
        self._added += len(part)

    def _remove_all(self) -> None:
        after = 0
        while self._may_ask():
            with self._sync.database.read() as session:
                waiting = queries.list_to_remove(session, after=after, limit=1, now=self._by)
            if not waiting or not self._remove(waiting[0]):
                return
            after = waiting[0].subscriber

    def _remove(self, person: Waiting) -> bool:
        self._requests += 1
        try:
            self._sync.lists.remove(person.address, person.group)
        except ListsUnanswered as error:
            self._leave_waiting([person], error)
            return isinstance(error, ListsRefused)
        with self._sync.database.write() as session:
            actions.record_removed(session, person.subscriber, actor=self._sync.actor, now=self._sync.clock.now())
        self._removed += 1
        return True

    def _leave_waiting(self, people: Sequence[Waiting], error: ListsUnanswered) -> None:
        _log.warning("unsubscribes were not told to SendGrid", people=len(people))
        with self._sync.database.write() as session:
            actions.record_untold(
                session, _numbers(people), str(error), now=self._sync.clock.now(), not_before=error.not_before
            )


def _numbers(people: Sequence[Waiting]) -> list[int]:
    return [person.subscriber for person in people]

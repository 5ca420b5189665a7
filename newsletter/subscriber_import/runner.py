"""Brings a file into rows, applies and undoes them: part by part, so that nobody who leaves meanwhile waits for long.

A process that is killed on the way leaves whole parts. Applying and undoing go on where they stood; reading is begun
anew, and what was read before is deleted with the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session

from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER, Actor
from newsletter.database.session import Database
from newsletter.errors import ImportRefused
from newsletter.subscriber_import import actions
from newsletter.subscriber_import.actions import PART
from newsletter.subscriber_import.model import ImportState, Wish
from newsletter.subscriber_import.queries import find_lapsed, find_with_old_rows
from newsletter.subscriber_import.reading import Reading
from newsletter.subscriber_import.rows import Terms
from newsletter.subscriber_import.statements import find_to_merge
from newsletter.subscriber_import.tables import Import
from newsletter.subscribers.actions import require_consent_source

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many; 0 while nobody knows."""

_LOOKS_AGAIN_AFTER = 0.12
"""Seconds: who waits for SQLite looks ten times a second whether it is free."""

_CACHE = 64_000
"""KiB of the database that SQLite keeps in memory here. With its usual 2,000 each part of a million rows reads most of
the indexes of addresses again, and takes twice as long."""


def tell_nobody(done: int, of: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Importer:
    """Imports into one database, in the name of one actor."""

    database: Database
    clock: Clock
    actor: Actor
    progress: Progress = tell_nobody

    def stage(
        self,
        files: Sequence[Path],
        terms: Terms,
        *,
        consent_source: str,
        controller: str,
        wish: Wish = Wish.WANTS,
    ) -> Import:
        """The dry run: read files, and keep what would come of each row. Nobody is added, changed or suppressed by it.

        Raises ImportRefused for a file that cannot be used, and Refused without a source of consent.
        """
        require_consent_source(consent_source)
        reading = Reading(files, terms, self.clock.now(), wish)
        rows = reading.rows()
        # A file of no use is refused before there is an import of it.
        part = list(islice(rows, PART))
        if not part:
            raise ImportRefused(
                f"{', '.join(file.name for file in files)}: there is nobody in it. Export the list again."
            )
        with self._writing() as session:
            number = actions.begin(
                session,
                [file.name for file in files],
                consent_source=consent_source,
                controller=controller,
                actor=self.actor,
                now=self.clock.now(),
            )
        rows_kept = 0
        try:
            while part:
                with self._writing() as session:
                    actions.keep_rows(session, number, part)
                rows_kept = part[-1].row
                self.progress(rows_kept, 0)
                part = list(islice(rows, PART))
        except ImportRefused:
            with self._writing() as session:
                actions.lapse(session, number, actor=self.actor, now=self.clock.now())
            _delete_rows(self.database, number)
            raise
        with self.database.read() as session:
            to_merge = find_to_merge(session, number)
        for start in range(0, len(to_merge), PART):
            with self._writing() as session:
                actions.merge(session, number, to_merge[start : start + PART])
            self._let_others_in()
        for after in range(0, rows_kept, PART):
            if after:
                self._let_others_in()
            with self._writing() as session:
                actions.judge(session, number, after)
        with self._writing() as session:
            return actions.show(session, number, reading.tables, actor=self.actor, now=self.clock.now())

    def apply(self, number: int) -> Import:
        """Do what the dry run has shown, or go on with it; raises NotFound and Refused."""
        with self._writing() as session:
            actions.begin_applying(session, number, actor=self.actor, now=self.clock.now())
        return self._go_on(number, ImportState.APPLYING)

    def undo(self, number: int) -> Import:
        """Take away whom an import added and who has done nothing since, or go on with that; raises as `apply`."""
        with self._writing() as session:
            actions.begin_undoing(session, number, actor=self.actor, now=self.clock.now())
        return self._go_on(number, ImportState.UNDOING)

    def _go_on(self, number: int, state: ImportState) -> Import:
        step = actions.apply_part if state is ImportState.APPLYING else actions.undo_part
        while True:
            with self._writing() as session:
                row = step(session, number, actor=self.actor, now=self.clock.now())
            self.progress(row.done_up_to, row.rows)
            if row.state is not state:
                return row
            self._let_others_in()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self.database.write() as session:
            if self.database.is_sqlite:
                session.connection().exec_driver_sql(f"PRAGMA cache_size = -{_CACHE}")
            yield session

    def _let_others_in(self) -> None:
        if self.database.is_sqlite:
            time.sleep(_LOOKS_AGAIN_AFTER)


def delete_old_rows(database: Database, clock: Clock, is_stopping: Callable[[], bool] = lambda: False) -> None:
    """Delete what is still kept of files when it serves nothing any more: lapsed, undone, or past being undone."""
    now = clock.now()
    with database.read() as session:
        lapsed = find_lapsed(session, now)
    for number in lapsed:
        with database.write() as session:
            actions.lapse(session, number, actor=SCHEDULER, now=now)
    with database.read() as session:
        old = find_with_old_rows(session, now)
    for number in old:
        _delete_rows(database, number, is_stopping)


def _delete_rows(database: Database, number: int, is_stopping: Callable[[], bool] = lambda: False) -> None:
    more = True
    while more and not is_stopping():
        with database.write() as session:
            more = actions.delete_rows(session, number)

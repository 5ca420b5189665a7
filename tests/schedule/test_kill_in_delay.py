"""A process that is killed while a send waits to be undone: the next one lets the delay end when it would have."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery import planning
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress, get_send, list_attempts
from tests.factories import RULES, add_cast, add_many, approved_edition
from tests.schedule.machine import Machine, Role, boot
from tests.schedule.test_several_machines import accepted_people, until
from tests.sendgrid_double.running import running_double

DELAY = timedelta(seconds=4)


def test_a_kill_in_the_delay_neither_shortens_nor_begins_it_anew(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    clock = SystemClock()
    with ExitStack() as at_the_end, running_double(tmp_path, "--no-mails") as double:
        machine = Machine(Role.SERVE, database_url, double.host)
        first = boot(machine)
        at_the_end.callback(first.kill)
        with database.write() as session:
            add_many(session, 40)
            cast = add_cast(session, clock.now())
            edition = approved_edition(session, cast, clock.now())
            send = planning.send_now(
                session,
                edition,
                actor=cast.max,
                now=clock.now(),
                undo_delay=DELAY,
                late_after=RULES.late_after,
                base_url="",
                transport="sendgrid",
                batch_limit=20,
            )
        until(lambda: _state(database, edition) is SendState.WAITING, database)
        first.kill()
        first.join()
        second = boot(machine)
        at_the_end.callback(second.kill)
        until(lambda: _state(database, edition) is SendState.FINISHED, database)

    assert send.wait_until is not None
    with database.read() as session:
        row = get_send(session, edition)
        assert row.wait_until == send.wait_until, "it did not begin anew"
        began = min(attempt.started_at for attempt in list_attempts(session, row.edition))
        assert began >= send.wait_until
    assert list(accepted_people(double.record).values()) == [1] * 40


def _state(database: Database, edition: str) -> SendState:
    with database.read() as session:
        return get_progress(session, edition).state

"""Clock changes, jumping clocks, sleeping machines, two schedulers: a send goes at its time, once, or asks."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from newsletter.campaigns.send_times import read_send_time
from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import AttemptState, SendState
from newsletter.delivery.queries import get_progress, get_send, list_attempts, list_sends
from newsletter.editions import actions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import get_edition
from newsletter.errors import Refused
from newsletter.schedule import jobs
from newsletter.sendgrid_double.record import read_record
from tests.chaos.lives import Life, Moment, Part, When, begin, end
from tests.factories import (
    LONG_AGO,
    RULES,
    Cast,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    approved_edition,
    scheduled_edition,
    snapshot,
    worker,
)
from tests.sendgrid_double.running import running_double

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@SQLITE
@pytest.mark.parametrize(
    ("zone", "day", "at"),
    [
        ("Europe/London", date(2026, 3, 28), "09:00"),
        ("Europe/London", date(2026, 3, 29), "08:00"),
        ("Europe/London", date(2026, 10, 24), "08:00"),
        ("Europe/London", date(2026, 10, 25), "09:00"),
        ("America/New_York", date(2026, 3, 7), "14:00"),
        ("America/New_York", date(2026, 3, 8), "13:00"),
        ("America/New_York", date(2026, 10, 31), "13:00"),
        ("America/New_York", date(2026, 11, 1), "14:00"),
        # Half an hour is changed, and nine in the morning is the evening before in UTC.
        ("Australia/Lord_Howe", date(2026, 4, 4), "22:00"),
        ("Australia/Lord_Howe", date(2026, 4, 5), "22:30"),
        ("Australia/Lord_Howe", date(2026, 10, 3), "22:30"),
        ("Australia/Lord_Howe", date(2026, 10, 4), "22:00"),
    ],
)
def test_nine_o_clock_is_nine_on_the_wall_around_each_clock_change(
    database: Database, zone: str, day: date, at: str
) -> None:
    nine = read_send_time(f"{day} 09:00").in_month(day.year, day.month, ZoneInfo(zone))
    assert f"{nine:%H:%M}" == at
    clock, transport = StillClock(nine - timedelta(days=2)), FakeTransport()
    with database.write() as session:
        cast = add_cast(session, clock.now())
        add_people(session, 2, now=clock.now())
        edition = approved_edition(session, cast, clock.now(), snapshot(send_at=nine))
        actions.schedule(session, edition, actor=cast.max, now=clock.now(), at=nine)
    clock.time = nine - timedelta(seconds=1)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert transport.accepted == []
    clock.time = nine
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 2


@pytest.mark.parametrize(
    ("zone", "skipped", "good", "repeated", "after"),
    [
        ("Europe/London", "2026-03-29 01:30", "2026-03-29 02:30", "2026-10-25 01:30", "2026-10-25 02:00"),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 03:30", "2026-11-01 01:30", "2026-11-01 02:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04 02:45", "2026-04-05 01:45", "2026-04-05 02:00"),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat_is_refused_with_the_nearest_good_one(
    zone: str, skipped: str, good: str, repeated: str, after: str
) -> None:
    for text, nearest in ((skipped, good), (repeated, after)):
        when = read_send_time(text)
        assert when.day is not None
        with pytest.raises(ValueError, match=f"The nearest good time is {nearest}"):
            when.in_month(when.day.year, when.day.month, ZoneInfo(zone))
        assert read_send_time(nearest).in_month(when.day.year, when.day.month, ZoneInfo(zone))


def test_a_clock_that_goes_back_sends_nothing_twice_and_nothing_early(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock, transport = StillClock(), FakeTransport()
    cast = _people(database, 3)
    scheduled_edition(database, cast)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 3
    with database.write() as session:
        next_one = approved_edition(session, cast, clock.now(), snapshot(mailing="second"))
        at = clock.now() + timedelta(hours=1)
        actions.schedule(session, next_one, actor=cast.max, now=clock.now(), at=at)
    assert "clock went back" not in caplog.text
    clock.go(minutes=-90)
    for _ in range(3):
        jobs.run_until_idle(worker(database, transport, clock), RULES)
        clock.go(minutes=40)
    assert len(transport.accepted) == 3
    assert caplog.text.count("clock went back") == 1
    clock.time = at
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 6


def test_a_clock_that_leaps_ahead_of_a_time_by_too_much_holds_the_edition(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    cast = _people(database, 3)
    with database.write() as session:
        edition = approved_edition(session, cast)
        at = clock.now() + timedelta(hours=1)
        actions.schedule(session, edition, actor=cast.max, now=clock.now(), at=at)
    clock.go(hours=4)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    clock.go(hours=-4)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert transport.batches == []
    with database.read() as session:
        assert get_edition(session, edition).state is EditionState.HELD


@pytest.mark.parametrize("waited", [timedelta(minutes=90), timedelta(minutes=150)])
@SQLITE
def test_a_pause_over_a_clock_change_is_as_long_as_it_was_and_not_as_the_wall_says(
    database: Database, waited: timedelta
) -> None:
    # On this night London's clocks go from one to two: 90 minutes look like two and a half hours.
    clock, transport = StillClock(datetime(2026, 3, 29, 0, 15, tzinfo=UTC)), FakeTransport(batch_limit=2)
    cast = _people(database, 3, clock.now())
    edition = scheduled_edition(database, cast, clock.now())
    jobs.reconcile(worker(database, transport, clock), RULES)
    with database.write() as session:
        steering.pause(session, edition, actor=cast.max, now=clock.now())
    clock.time += waited
    resumed = _refusal_of(
        database,
        lambda session: steering.resume(session, edition, actor=cast.max, now=clock.now(), late_after=RULES.late_after),
    )
    assert (resumed == "") is (waited < RULES.late_after)


@pytest.mark.parametrize("taken_over", [False, True], ids=["alone", "taken over meanwhile"])
def test_a_process_that_slept_between_its_record_and_the_provider_gives_the_batch_back(
    database: Database, database_url: str, tmp_path: Path, taken_over: bool
) -> None:
    cast = _people(database, 20)
    edition = scheduled_edition(database, cast, SystemClock().now())
    asleep = Moment("INSERT INTO attempt", When.AFTER_COMMIT, by=signal.SIGSTOP)
    with running_double(tmp_path, "--no-mails") as double:
        sleeper = begin(Life(database_url, double.host, batch_limit=10, moment=asleep))
        _wait_until(lambda: _is_stopped(sleeper))
        threading.Event().wait(2.5)
        if taken_over:
            assert not end(begin(Life(database_url, double.host, batch_limit=10)))
            with database.read() as session:
                assert get_progress(session, edition).uncertain == 10
        _wake(sleeper)
        assert not end(sleeper)
        accepted = _accepted(double.record)
    with database.read() as session:
        attempts = list_attempts(session, get_send(session, edition).edition)
        progress = get_progress(session, edition)
    assert set(accepted.values()) == {1}
    # Whoever took over called it uncertain; only the one that slept could know that it had not begun.
    assert attempts[0].state is AttemptState.NOT_SENT
    assert "held up before it could begin" in attempts[0].answer
    assert progress.handed_over == len(accepted) == 20


def test_a_machine_that_slept_past_the_limit_holds_what_was_due(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    cast = _people(database, 5)
    due_at, limit = SystemClock().now(), timedelta(seconds=4)
    edition = scheduled_edition(database, cast, due_at)
    asleep = Moment("INSERT INTO heartbeat", When.AFTER_COMMIT, by=signal.SIGSTOP)
    with running_double(tmp_path, "--no-mails") as double:
        sleeper = begin(Life(database_url, double.host, moment=asleep, late_after=limit))
        _wait_until(lambda: _is_stopped(sleeper))
        _wait_until(lambda: SystemClock().now() > due_at + limit)
        _wake(sleeper)
        assert not end(sleeper)
        assert read_record(double.record) == []
    with database.read() as session:
        assert get_edition(session, edition).state is EditionState.HELD


def test_a_machine_that_slept_after_a_send_was_opened_asks_before_anything_goes(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    edition = scheduled_edition(database, _people(database, 5))
    jobs.reconcile(worker(database, transport, clock), RULES)
    clock.go(hours=8)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    assert transport.batches == []
    with database.read() as session:
        send = get_send(session, edition)
        assert send.state is SendState.PAUSED
        assert "stood still" in send.note


def test_a_second_scheduler_takes_over_when_the_leader_is_killed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    # Long enough that it is under way when the kill comes, however slow the machine is.
    cast = _people(database, 100)
    edition = scheduled_edition(database, cast, SystemClock().now())
    with running_double(tmp_path, "--no-mails", faults=("slow-after:0.5@1",)) as double:
        life = Life(database_url, double.host, Part.SERVE, batch_limit=5)
        both = [begin(life), begin(life)]
        _wait_until(lambda: len(_workers(database, edition)) > 0)
        [leader] = _workers(database, edition)
        first = next(process for process in both if leader == f"life {process.pid}")
        second = next(process for process in both if process is not first)
        assert end(first, kill=True)
        assert not end(second)
        accepted = _accepted(double.record)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert len(_workers(database, edition)) == 2
    assert max(accepted.values()) == 1
    assert progress.planned == 0
    assert progress.handed_over + progress.uncertain == 100
    assert progress.uncertain <= 5, "at most the batch that was on its way"


def _people(database: Database, count: int, now: datetime | None = None) -> Cast:
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, count, now=now or LONG_AGO)
    return cast


def _refusal_of(database: Database, act: Callable[[Session], None]) -> str:
    try:
        with database.write() as session:
            act(session)
    except Refused as error:
        return str(error)
    return ""


def _accepted(record: Path) -> Counter[str]:
    return Counter(mail["newsletter_delivery"] for entry in read_record(record) for mail in entry.people)


def _workers(database: Database, edition: str) -> set[str]:
    with database.read() as session:
        if not list_sends(session):
            return set()
        return {attempt.worker for attempt in list_attempts(session, get_send(session, edition).edition)}


def _is_stopped(process: BaseProcess) -> bool:
    assert process.is_alive()
    # The third field, after a name in parentheses (proc(5)).
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _wake(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)


def _wait_until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not happened():
        pause.wait(0.02)

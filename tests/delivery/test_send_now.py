"""Sent by hand: it waits to be undone, by the clock; undone in time nobody has it, and its mailing may go once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from newsletter.database.audit import SCHEDULER, AuditLine
from newsletter.database.session import Database
from newsletter.delivery import planning, steering
from newsletter.delivery.ledger import find_ledger_faults
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress, list_attempts, list_sends
from newsletter.editions import actions as editions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import get_edition
from newsletter.errors import Refused
from newsletter.schedule import jobs
from newsletter.staff.model import NoticeKind
from newsletter.staff.notices import list_notices
from newsletter.subscribers.model import LeftOut
from tests.factories import NOON, RULES, FakeTransport, StillClock, add_cast, add_people, approved_edition, find_cast
from tests.factories import worker as make_worker

DELAY = timedelta(minutes=2)
PEOPLE = 3


def approved(database: Database) -> str:
    """An approved edition, in a clinic with its staff and three readers."""
    with database.write() as session:
        add_people(session, PEOPLE)
        return approved_edition(session, add_cast(session))


def send_now(
    database: Database,
    edition: str,
    now: datetime = NOON,
    *,
    delay: timedelta = DELAY,
    base_url: str = "https://news.example.org",
) -> None:
    """Max sends an edition by hand."""
    with database.write() as session:
        planning.send_now(
            session,
            edition,
            actor=find_cast(session).max,
            now=now,
            undo_delay=delay,
            late_after=RULES.late_after,
            base_url=base_url,
            transport="fake",
            batch_limit=10,
        )


def sent_by_hand(database: Database) -> tuple[str, FakeTransport, StillClock]:
    """An edition that was just sent by hand, and has been planned."""
    edition, transport, clock = approved(database), FakeTransport(), StillClock()
    send_now(database, edition)
    jobs.run_until_idle(make_worker(database, transport, clock), RULES)
    return edition, transport, clock


def send_state(database: Database, edition: str) -> SendState:
    """Where its send stands."""
    with database.read() as session:
        return get_progress(session, edition).state


def adds_up(database: Database) -> bool:
    """Whether the ledger's check finds nothing."""
    with database.snapshot() as session:
        return find_ledger_faults(session) == []


def test_it_waits_for_the_delay_and_then_goes_to_everybody_once(database: Database) -> None:
    edition, transport, clock = sent_by_hand(database)
    assert send_state(database, edition) is SendState.WAITING
    with database.read() as session:
        assert get_progress(session, edition).wait_until == NOON + DELAY
    clock.go(minutes=1, seconds=59)
    jobs.run_until_idle(make_worker(database, transport, clock), RULES)
    assert (send_state(database, edition), transport.batches) == (SendState.WAITING, [])
    clock.go(seconds=1)
    jobs.run_until_idle(make_worker(database, transport, clock), RULES)
    assert send_state(database, edition) is SendState.FINISHED
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE
    with database.read() as session:
        assert get_progress(session, edition).wait_until is None
        told = session.scalars(select(AuditLine.action).where(AuditLine.subject == f"edition:{edition}")).all()
        for action in ("edition scheduled", "edition started", "send opened", "send begun", "send finished"):
            assert told.count(action) == 1, action
    assert adds_up(database)


def test_the_scheduler_wakes_for_the_end_of_the_delay(database: Database) -> None:
    send_now(database, approved(database))
    assert jobs.reconcile(make_worker(database, FakeTransport(), StillClock()), RULES) == [NOON + DELAY]


def test_without_a_delay_it_goes_at_once(database: Database) -> None:
    edition, transport, clock = approved(database), FakeTransport(), StillClock()
    send_now(database, edition, delay=timedelta())
    jobs.run_until_idle(make_worker(database, transport, clock), RULES)
    assert send_state(database, edition) is SendState.FINISHED


@pytest.mark.parametrize("undo", [steering.stop, steering.cancel])
@pytest.mark.parametrize("is_planned", [True, False])
def test_undone_in_time_nobody_has_it_and_its_mailing_can_be_submitted_again(
    database: Database, undo: Callable[..., object], is_planned: bool
) -> None:
    edition, transport, clock = approved(database), FakeTransport(), StillClock()
    send_now(database, edition)
    worker = make_worker(database, transport, clock)
    if is_planned:
        jobs.run_until_idle(worker, RULES)
    with database.write() as session:
        undo(session, edition, actor=find_cast(session).max, now=clock.now())
    clock.go(hours=1)
    jobs.run_until_idle(worker, RULES)

    assert transport.batches == []
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.state, progress.planned, progress.wait_until) == (SendState.STOPPED, 0, None)
        assert progress.left_out == ({LeftOut.STOPPED: PEOPLE} if is_planned else {})
        row = get_edition(session, edition)
        assert (row.state, row.note) == (EditionState.CANCELLED, "undone before anything of it went")
    assert adds_up(database)
    with database.write() as session:
        again = approved_edition(session, find_cast(session), clock.now())
    assert again != edition
    send_now(database, again, clock.now(), delay=timedelta())
    jobs.run_until_idle(worker, RULES)
    assert len(transport.accepted) == len(set(transport.accepted)) == PEOPLE
    assert adds_up(database)


def test_once_it_runs_it_cannot_be_cancelled_and_a_stop_leaves_it_sent(database: Database) -> None:
    edition, transport, clock = sent_by_hand(database)
    clock.go(minutes=2)
    jobs.reconcile(make_worker(database, transport, clock), RULES)
    with database.write() as session:
        cast = find_cast(session)
        with pytest.raises(Refused, match="was not cancelled: it is going out or has gone out"):
            steering.cancel(session, edition, actor=cast.max, now=clock.now())
        steering.stop(session, edition, actor=cast.max, now=clock.now())
        assert get_edition(session, edition).state is EditionState.SENDING
    assert adds_up(database)


def test_what_nobody_looked_after_for_too_long_asks_before_it_goes(database: Database) -> None:
    edition, transport, clock = sent_by_hand(database)
    clock.go(hours=2, minutes=3)
    jobs.run_until_idle(make_worker(database, transport, clock), RULES)
    assert transport.batches == []
    with database.read() as session:
        progress = get_progress(session, edition)
        assert progress.state is SendState.PAUSED
        assert progress.note == "it should have begun at 2026-11-03 12:02 UTC; resume it if it shall still go"
        assert [notice.kind for notice in list_notices(session, edition)] == [NoticeKind.PAUSED]


def test_two_who_send_the_same_edition_open_one_send(database: Database) -> None:
    edition = approved(database)
    send_now(database, edition)
    with pytest.raises(Refused, match="It is going out or has gone out"):
        send_now(database, edition, NOON + timedelta(seconds=1))
    with database.read() as session:
        assert len(list_sends(session)) == 1


def test_a_scheduled_edition_goes_now_instead(database: Database) -> None:
    edition = approved(database)
    with database.write() as session:
        later = NOON + timedelta(days=1)
        editions.schedule(session, edition, actor=find_cast(session).max, now=NOON, at=later)
    send_now(database, edition)
    assert send_state(database, edition) is SendState.PLANNING


def test_what_may_not_go_is_refused_with_the_reason_and_nothing_changes(database: Database) -> None:
    edition = approved(database)
    with pytest.raises(Refused, match="Its approval has expired; submit it again"):
        send_now(database, edition, NOON + timedelta(days=31))
    elsewhere = "https://new.example.org"
    with pytest.raises(Refused, match=f"links begin with https://news.example.org, and BASE_URL is {elsewhere} now"):
        send_now(database, edition, base_url=elsewhere)
    with database.write() as session:
        get_edition(session, edition).html = "<p>Something else</p>"
    with pytest.raises(Refused, match="was not sent: its content is not what its hash says"):
        send_now(database, edition)
    with database.read() as session:
        assert get_edition(session, edition).state is EditionState.APPROVED
        assert list_sends(session) == []
        assert list_notices(session, edition) == []
    with database.write() as session:
        editions.expire_approvals(session, actor=SCHEDULER, now=NOON + timedelta(days=31))
    with pytest.raises(Refused, match="It is void; only an approved edition can be scheduled"):
        send_now(database, edition)


def test_one_that_waits_for_approval_or_was_sent_back_is_refused(database: Database) -> None:
    edition = approved(database)
    with database.write() as session:
        get_edition(session, edition).state = EditionState.SUBMITTED
    with pytest.raises(Refused, match="It is submitted; only an approved edition can be scheduled"):
        send_now(database, edition)
    with database.write() as session:
        editions.send_back(session, edition, actor=find_cast(session).rhea, now=NOON)
    with pytest.raises(Refused, match="It is sent back; only an approved edition can be scheduled"):
        send_now(database, edition)


def test_a_process_that_starts_in_the_delay_lets_it_go_on_by_the_clock(database: Database) -> None:
    edition, transport, clock = sent_by_hand(database)
    clock.go(minutes=1)
    for name in ("after the first kill", "after the second"):
        other = replace(make_worker(database, transport, clock), name=name)
        jobs.run_until_idle(other, RULES)
        assert send_state(database, edition) is SendState.WAITING
        clock.go(seconds=30)
    jobs.run_until_idle(replace(make_worker(database, transport, clock), name="the last"), RULES)
    assert send_state(database, edition) is SendState.FINISHED
    with database.read() as session:
        [attempt] = list_attempts(session, 1)
    assert attempt.started_at == NOON + DELAY

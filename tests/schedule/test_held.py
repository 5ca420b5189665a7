"""What is due and may not go by itself is held, with the reason, and nothing of it leaves."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from newsletter.database.audit import AuditLine
from newsletter.database.session import Database
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress, list_sends
from newsletter.editions import actions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import get_edition
from newsletter.schedule import jobs
from tests.factories import RULES, FakeTransport, StillClock, edition_for, find_cast, worker

NOW_AT = "https://new.example.org"


def test_an_edition_with_links_to_another_base_url_is_held(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    edition = _due(database)
    rules = replace(RULES, base_url=NOW_AT)
    for _ in range(2):
        jobs.run_until_idle(worker(database, transport, clock), rules)
        reason = f"its links begin with https://news.example.org, and BASE_URL is {NOW_AT}: submit it again"
        _assert_held(database, transport, edition, reason)

    # The setting was wrong, not the edition: put right, it goes when a person schedules it again.
    with database.write() as session:
        actions.schedule(session, edition, actor=find_cast(session).max, now=clock.now(), at=clock.now())
    jobs.run_until_idle(worker(database, transport, clock), replace(RULES, base_url="https://news.example.org"))
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
    assert len(transport.accepted) == 3


def test_a_start_that_is_too_late_is_held_and_one_just_in_time_is_not(database: Database) -> None:
    clock, transport = StillClock(), FakeTransport()
    edition = _due(database)
    clock.go(hours=2, seconds=1)
    for _ in range(2):
        jobs.run_until_idle(worker(database, transport, clock), RULES)
        _assert_held(database, transport, edition, "it was due more than 2 hours ago")

    with database.write() as session:
        actions.schedule(session, edition, actor=find_cast(session).max, now=clock.now(), at=clock.now())
    clock.go(hours=2)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
    assert len(transport.accepted) == 3


def _due(database: Database) -> str:
    return edition_for(database, 3)


def _assert_held(database: Database, transport: FakeTransport, edition: str, reason: str) -> None:
    assert transport.batches == []
    with database.read() as session:
        row = get_edition(session, edition)
        assert (row.state, row.note) == (EditionState.HELD, reason)
        assert list_sends(session) == []
        told = session.scalar(select(func.count()).where(AuditLine.action == "edition held"))
        assert told == 1, "it is told once"

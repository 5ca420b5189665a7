"""The archive holds what somebody may have in their inbox, the newest of each mailing, nothing that is kept out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from newsletter.database.audit import AuditLine
from newsletter.database.session import Database
from newsletter.delivery.archive import find_newest_archived, list_archived
from newsletter.delivery.model import BatchState
from newsletter.delivery.tables import Batch
from newsletter.editions.actions import set_in_archive
from newsletter.editions.model import EditionState, Snapshot
from newsletter.editions.tables import Edition
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule.jobs import run_until_idle
from tests.factories import (
    RULES,
    Cast,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    scheduled_edition,
    snapshot,
    worker,
)


@pytest.fixture
def cast(database: Database) -> Cast:
    with database.write() as session:
        add_people(session, 2)
        return add_cast(session)


def send(database: Database, cast: Cast, given: Snapshot, clock: StillClock, *answers: Receipt) -> None:
    given = replace(given, send_at=clock.now() + timedelta(hours=1))
    scheduled_edition(database, cast, clock.now(), given)
    run_until_idle(worker(database, FakeTransport(answers=list(answers)), clock), RULES)


def archived(database: Database) -> list[str]:
    with database.read() as session:
        return [one.slug for one in list_archived(session)]


def test_what_has_gone_out_is_listed_newest_first(database: Database, cast: Cast) -> None:
    clock = StillClock()
    send(database, cast, replace(snapshot(), month="2026-10", theme="Sleep"), clock)
    clock.go(days=10)
    send(database, cast, snapshot(), clock)
    clock.go(days=10)
    send(database, cast, snapshot(mailing="watch-and-listen"), clock)
    assert archived(database) == ["2026-11-watch-and-listen", "2026-11-opening", "2026-10-opening"]
    with database.read() as session:
        oldest = list_archived(session)[-1]
    assert (oldest.theme, oldest.subject, oldest.path) == ("Sleep", "Pain that was learned", "/archive/2026-10-opening")
    assert (oldest.sent_at, oldest.corrected_at) == (StillClock().now(), None)


def test_what_is_only_scheduled_is_not_there(database: Database, cast: Cast) -> None:
    scheduled_edition(database, cast)
    assert archived(database) == []


def test_what_nobody_was_sent_is_not_there(database: Database, cast: Cast) -> None:
    send(database, cast, snapshot(), StillClock(), *[Receipt(Outcome.ACCOUNT_TROUBLE)] * 9)
    assert archived(database) == []


def test_it_is_there_as_soon_as_a_batch_is_on_its_way(database: Database, cast: Cast) -> None:
    send(database, cast, snapshot(), StillClock(), *[Receipt(Outcome.ACCOUNT_TROUBLE)] * 9)
    with database.write() as session:
        session.query(Batch).update({"state": BatchState.IN_FLIGHT})
    assert archived(database) == ["2026-11-opening"]


def test_a_campaign_that_is_kept_out_is_in_no_list(database: Database, cast: Cast) -> None:
    send(database, cast, replace(snapshot(), in_archive=False), StillClock())
    assert archived(database) == []
    with database.read() as session:
        assert find_newest_archived(session, language="en") is None


def test_a_page_can_be_taken_out_and_put_back_and_the_audit_says_why(database: Database, cast: Cast) -> None:
    send(database, cast, snapshot(), StillClock())
    with database.write() as session:
        set_in_archive(
            session, "2026-11-opening-1", False, actor=cast.max, now=StillClock().now(), reason="a reader was named"
        )
    assert archived(database) == []
    with database.write() as session:
        set_in_archive(session, "2026-11-opening-1", True, actor=cast.max, now=StillClock().now())
        told = session.scalars(select(AuditLine).order_by(AuditLine.number.desc()).limit(2)).all()
    assert archived(database) == ["2026-11-opening"]
    assert [line.action for line in told] == ["edition published", "edition hidden"]
    assert "a reader was named" in str(told[1].details)


def test_of_a_corrected_mailing_the_newest_edition_is_shown(database: Database, cast: Cast) -> None:
    clock = StillClock()
    send(database, cast, snapshot(), clock)
    # An edition that is undone may be followed by another; here as if this one had gone out all the same.
    with database.write() as session:
        session.query(Edition).update({"state": EditionState.CANCELLED})
    clock.go(days=1)
    send(database, cast, snapshot(subject="Pain, corrected", base_url="https://moved.example.org"), clock)
    with database.read() as session:
        (one,) = list_archived(session)
    assert (one.subject, one.base_url) == ("Pain, corrected", "https://news.example.org")
    assert (one.sent_at, one.corrected_at) == (StillClock().now(), clock.now())
    assert one.updated_at == clock.now()


def test_the_newest_that_a_reader_can_read_is_found(database: Database, cast: Cast) -> None:
    clock = StillClock()
    send(database, cast, snapshot(), clock)
    clock.go(days=10)
    german = snapshot(mailing="watch-and-listen")
    rule = replace(german.content.audience, any_language=True)
    send(database, cast, replace(german, content=replace(german.content, language="de", audience=rule)), clock)
    with database.read() as session:
        found = {code: find_newest_archived(session, language=code) for code in ("de-AT", "en-GB", "fr")}
    assert {code: one and one.mailing for code, one in found.items()} == {
        "de-AT": "watch-and-listen",
        "en-GB": "opening",
        "fr": None,
    }

"""An edition moves only as its table of states allows, by the right people, and each move is in the audit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER, AuditLine
from newsletter.database.base import Base
from newsletter.database.session import Database
from newsletter.editions import actions, rules
from newsletter.editions.model import ALLOWED_MOVES, OPEN, EditionState, audience_from_json, audience_to_json
from newsletter.editions.queries import find_damage, find_picture, get_content, get_edition, list_editions
from newsletter.editions.tables import Edition
from newsletter.errors import NotFound, Refused
from tests.factories import NOON, Cast, add_cast, approved_edition, find_cast, snapshot

LATE = timedelta(hours=2)


def test_what_is_stored_is_what_was_submitted(database: Database) -> None:
    given_ = snapshot()
    with database.write() as session:
        edition = actions.submit(session, snapshot=given_, actor=add_cast(session).ada, now=NOON)
        assert edition.id == "2026-11-opening-1"
    with database.read() as session:
        row = get_edition(session, "2026-11-opening-1")
        assert get_content(session, row.serial) == given_.content
        assert row.content_hash == given_.content.hash()
        assert find_damage(session, row.serial) == []
        picture = find_picture(session, given_.pictures[0].sha256)
        assert picture is not None
        assert picture.content == b"a picture"
        assert [(e.id, e.state) for e in list_editions(session)] == [(row.id, EditionState.SUBMITTED)]


def test_a_new_edition_sends_back_or_voids_the_one_before(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        actions.submit(session, snapshot=snapshot(subject="One"), actor=cast.ada, now=NOON)
        approved_edition(session, cast, given=snapshot(subject="Two"))
        actions.submit(session, snapshot=snapshot(subject="Three"), actor=cast.ada, now=NOON)
    with database.read() as session:
        states = [(e.id, e.state) for e in list_editions(session)]
    assert states == [
        ("2026-11-opening-3", EditionState.SUBMITTED),
        ("2026-11-opening-2", EditionState.VOID),
        ("2026-11-opening-1", EditionState.SENT_BACK),
    ]


def test_the_same_content_is_not_submitted_twice(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON)
        with pytest.raises(Refused, match="Nothing has changed"):
            actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON)


def test_a_scheduled_edition_must_be_taken_back_first(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = approved_edition(session, cast)
        actions.schedule(session, edition, actor=cast.max, now=NOON)
        with pytest.raises(Refused, match="newsletter take-back 2026-11-opening-1"):
            actions.submit(session, snapshot=snapshot(subject="New"), actor=cast.ada, now=NOON)


def test_a_mailing_that_goes_out_gets_no_second_edition(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = approved_edition(session, cast)
        row = actions.schedule(session, edition, actor=cast.max, now=NOON, at=NOON)
        assert actions.start(session, row.serial, actor=SCHEDULER, now=NOON, late_after=LATE) is EditionState.SENDING
        with pytest.raises(Refused, match="a mailing is sent once"):
            actions.submit(session, snapshot=snapshot(subject="New"), actor=cast.ada, now=NOON)


def test_nobody_approves_their_own_words(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        first = actions.submit(session, snapshot=snapshot(subject="One"), actor=cast.rhea, now=NOON)
        with pytest.raises(Refused, match="Who submits an edition may not approve it"):
            actions.approve(session, first.id, actor=cast.rhea, now=NOON, needed=1, days=30)
        second = actions.submit(session, snapshot=snapshot(subject="Two"), actor=cast.ada, now=NOON)
        with pytest.raises(Refused, match="wrote or submitted a version of it"):
            actions.approve(session, second.id, actor=cast.rhea, now=NOON, needed=1, days=30)
        assert actions.approve(session, second.id, actor=cast.rob, now=NOON, needed=1, days=30).approved_at == NOON
        third = actions.submit(session, snapshot=snapshot(subject="Three"), actor=cast.ada, now=NOON)
        actions.approve(session, third.id, actor=cast.rhea, now=NOON, needed=1, days=30)


def test_as_many_must_approve_as_the_clinic_asks_for(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON).id
        assert actions.approve(session, edition, actor=cast.rhea, now=NOON, needed=2, days=30).state == "submitted"
        with pytest.raises(Refused, match="approved it already"):
            actions.approve(session, edition, actor=cast.rhea, now=NOON, needed=2, days=30)
        assert actions.approve(session, edition, actor=cast.rob, now=NOON, needed=2, days=30).state == "approved"


def test_an_approval_expires(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = approved_edition(session, cast)
        month_later = NOON + timedelta(days=30)
        with pytest.raises(Refused, match="will have expired by then"):
            actions.schedule(session, edition, actor=cast.max, now=NOON, at=month_later)
        with pytest.raises(Refused, match="has expired"):
            actions.schedule(session, edition, actor=cast.max, now=month_later, at=month_later)
        assert actions.expire_approvals(session, actor=SCHEDULER, now=month_later - timedelta(seconds=1)) == []
        assert actions.expire_approvals(session, actor=SCHEDULER, now=month_later) == [edition]
        assert get_edition(session, edition).state is EditionState.VOID


def test_a_time_in_the_past_and_an_unapproved_edition_are_refused(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON).id
        with pytest.raises(Refused, match="only an approved edition"):
            actions.schedule(session, edition, actor=cast.max, now=NOON)
        actions.approve(session, edition, actor=cast.rhea, now=NOON, needed=1, days=30)
        with pytest.raises(Refused, match="time is past"):
            actions.schedule(session, edition, actor=cast.max, now=NOON, at=NOON - timedelta(seconds=1))
        with pytest.raises(Refused, match="takes a manager"):
            actions.schedule(session, edition, actor=cast.ada, now=NOON)
        with pytest.raises(NotFound, match="2026-11-opening-1"):
            actions.schedule(session, "2026-12-opening-1", actor=cast.max, now=NOON)


Action = Callable[[Session, Cast, str], object]
ACTIONS: dict[str, Action] = {
    "submit one": lambda s, c, _: actions.submit(s, snapshot=snapshot(subject="One"), actor=c.ada, now=NOON),
    "submit two": lambda s, c, _: actions.submit(s, snapshot=snapshot(subject="Two"), actor=c.ada, now=NOON),
    "approve": lambda s, c, e: actions.approve(s, e, actor=c.rhea, now=NOON, needed=1, days=30),
    "send back": lambda s, c, e: actions.send_back(s, e, actor=c.rhea, now=NOON),
    "schedule": lambda s, c, e: actions.schedule(s, e, actor=c.max, now=NOON, at=NOON),
    "move": lambda s, c, e: actions.schedule(s, e, actor=c.max, now=NOON, at=NOON + timedelta(hours=3)),
    "take back": lambda s, c, e: actions.take_back(s, e, actor=c.max, now=NOON),
    "cancel": lambda s, c, e: actions.cancel(s, e, actor=c.max, now=NOON),
    "hold": lambda s, c, e: actions.hold(s, e, actor=SCHEDULER, now=NOON, reason="late"),
    "start": lambda s, c, e: actions.start(
        s, get_edition(s, e).serial, actor=SCHEDULER, now=NOON + timedelta(minutes=1), late_after=LATE
    ),
    "expire": lambda s, c, e: actions.expire_approvals(s, actor=SCHEDULER, now=NOON + timedelta(days=31)),
}
LATE_TOO: dict[str, object] = {"start": None, "expire": []}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 2)), min_size=5, max_size=25))
def test_whatever_people_do_an_edition_moves_only_as_allowed(database: Database, walk: list[tuple[str, int]]) -> None:
    with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
        cast = add_cast(session)
        edition = actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON).id
    for name, which in walk:
        before = _look(database)
        ids = sorted(before[0]) or [edition]
        try:
            with database.write() as session:
                result = ACTIONS[name](session, find_cast(session), ids[-1 - which % len(ids)])
        except Refused:
            assert _look(database) == before, "what is refused changes nothing"
            continue
        states, lines = _look(database)
        for key, state in states.items():
            old = before[0].get(key)
            if old is None:
                assert state is EditionState.SUBMITTED
            elif old is not state:
                assert state in ALLOWED_MOVES[old], f"{name}: {old} to {state}"
        assert sum(state in OPEN for state in states.values()) <= 1
        did_nothing = name in LATE_TOO and result == LATE_TOO[name]
        assert (lines == before[1]) is did_nothing, f"{name} is in the audit"


def _look(database: Database) -> tuple[dict[str, EditionState], int]:
    with database.read() as session:
        states = dict(session.execute(select(Edition.id, Edition.state)).all())
        return states, session.scalar(select(func.count()).select_from(AuditLine)) or 0


@given(st.integers(), st.integers(), st.sets(st.integers(), max_size=4), st.sets(st.integers(), max_size=4))
def test_whoever_had_a_hand_in_it_may_not_approve(who: int, submitter: int, authors: set[int], by: set[int]) -> None:
    objection = rules.objection_to_approver(who, submitted_by=submitter, authors=authors, approved_by=by)
    assert (objection is None) is (who != submitter and who not in authors and who not in by)


def test_an_audience_rule_survives_being_stored() -> None:
    rule = snapshot().content.audience
    assert audience_from_json(audience_to_json(rule)) == rule


@pytest.mark.parametrize("sending", [False, True])
def test_a_mailing_is_submitted_from_one_folder_in_a_month(database: Database, sending: bool) -> None:
    given = snapshot()
    renamed = replace(given, campaign="2026-11-renamed")
    with database.write() as session:
        cast = add_cast(session)
        edition = approved_edition(session, cast, given=given)
        if sending:
            actions.schedule(session, edition, actor=cast.max, now=NOON, at=NOON)
            serial = get_edition(session, edition).serial
            actions.start(session, serial, actor=SCHEDULER, now=NOON, late_after=timedelta(hours=2))
    state = "sending" if sending else "approved"
    sentence = (
        f"2026-11 has a mailing `opening` already: {edition}, submitted from 2026-11-neuroplastic-pain, is {state}. If "
        "the folder was renamed, name it 2026-11-neuroplastic-pain again; if 2026-11-renamed is another campaign, name "
        "its mailing otherwise."
    )
    with database.write() as session, pytest.raises(Refused, match=re.escape(sentence)):
        actions.submit(session, snapshot=renamed, actor=cast.ada, now=NOON)
    with database.read() as session:
        assert [row.id for row in list_editions(session)] == [edition]


def test_what_ended_in_another_folder_is_in_nobodys_way(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        old = actions.submit(session, snapshot=snapshot(), actor=cast.ada, now=NOON)
        actions.send_back(session, old.id, actor=cast.rhea, now=NOON)
        renamed = replace(snapshot(), campaign="2026-11-renamed")
        assert actions.submit(session, snapshot=renamed, actor=cast.ada, now=NOON).number == 2

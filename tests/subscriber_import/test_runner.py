"""What a dry run shows is what is applied; a refusal is taken over, nobody is revived, and an import can be undone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from newsletter.database.audit import SCHEDULER, SHELL, Actor, AuditLine
from newsletter.database.session import Database
from newsletter.delivery import batches
from newsletter.delivery.worker import Worker
from newsletter.errors import ImportRefused, Refused
from newsletter.schedule import jobs
from newsletter.subscriber_import import actions
from newsletter.subscriber_import.model import ImportState, Wish
from newsletter.subscriber_import.queries import get_import
from newsletter.subscriber_import.runner import delete_old_rows
from newsletter.subscriber_import.tables import Import, ImportRow
from newsletter.subscribers.actions import add_subscriber, erase, suppress, unsubscribe
from newsletter.subscribers.model import ConsentAct, NewSubscriber, SuppressionReason
from newsletter.subscribers.queries import get_subscriber, list_consents_of, list_topics_of
from newsletter.subscribers.tables import Consent
from tests.delivery.test_stopped import is_blocked
from tests.factories import (
    KEY,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    scheduled_edition,
    sign_up_and_confirm,
    worker,
)
from tests.subscriber_import.lists import Lists


@pytest.fixture
def lists(database: Database, tmp_path: Path) -> Lists:
    """Lists for an empty database of each kind."""
    return Lists(database, tmp_path, StillClock())


def _add(lists: Lists, *names: str) -> None:
    with lists.database.write() as session:
        for name in names:
            person = NewSubscriber(f"{name}@example.org", "en")
            add_subscriber(session, person, consent_source="form", suppression_key=KEY, actor=SHELL, now=NOON)


def _leave(lists: Lists, name: str) -> None:
    with lists.database.write() as session:
        number = get_subscriber(session, f"{name}@example.org").number
        unsubscribe(session, number, source="link", actor=Actor.subscriber(number), now=lists.clock.now())


def _suppress(lists: Lists, name: str) -> None:
    with lists.database.write() as session:
        suppress(
            session,
            f"{name}@example.org",
            reason=SuppressionReason.BOUNCED,
            source="provider",
            suppression_key=KEY,
            actor=SHELL,
            now=NOON,
        )


def test_whoever_is_new_is_added_with_the_consent_that_the_file_tells_of(lists: Lists) -> None:
    row = lists.bring_in(
        "email,language,topics,text_only,confirm_time\n"
        'Ann@example.org,fr,"sleep;pain",yes,2024-05-06 07:08:09\nbob@example.org,,,,\n'
    )
    assert row.outcome == {"added": 2, "taken_off": 0, "came_meanwhile": 0}
    with lists.database.read() as session:
        ann = get_subscriber(session, "ann@example.org")
        assert (ann.address, ann.language, ann.text_only, ann.joined_at) == ("Ann@example.org", "fr", True, NOON)
        assert list_topics_of(session, ann.number) == ["pain", "sleep"]
        (consent,) = list_consents_of(session, ann.number)
        lines = session.execute(select(AuditLine.action, AuditLine.subject)).all()
    assert (consent.act, consent.source, consent.method) == (
        ConsentAct.IMPORTED,
        "old list",
        "import 1, people.csv, row 2",
    )
    assert (consent.given_at, consent.topics, consent.controller) == (
        datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        ["pain", "sleep"],
        "A Clinic",
    )
    assert [tuple(line) for line in lines] == [
        ("import shown", "import:1"),
        ("import begun", "import:1"),
        ("import applied", "import:1"),
    ]


def test_nobody_who_is_here_is_changed_or_revived_by_a_list_that_wants_it(lists: Lists) -> None:
    _add(lists, "here", "gone", "bounced", "erased")
    _leave(lists, "gone")
    _suppress(lists, "bounced")
    _suppress(lists, "stranger")
    with lists.database.write() as session:
        erase(session, get_subscriber(session, "erased@example.org").number, source="link", actor=SHELL, now=NOON)
    before = lists.states()
    names = ("here", "GONE", "bounced", "stranger", "erased")
    row = lists.bring_in("email,language\n" + "".join(f"{name}@example.org,fr\n" for name in names))
    assert row.counts["reasons"] == {
        "unchanged": {"is here already": 1, "has left here": 2},
        "refused": {"must not be mailed": 2},
    }
    assert row.outcome["added"] == 0
    assert lists.states() == before
    with lists.database.read() as session:
        here = get_subscriber(session, "here@example.org")
        assert here.language == "en"
        assert len(list_consents_of(session, here.number)) == 1


def test_a_refusal_is_taken_over_whoever_has_the_address(lists: Lists) -> None:
    _add(lists, "reads", "reads2", "reads3", "left")
    _leave(lists, "left")
    row = lists.bring_in(
        "email,status\nreads@example.org,unsubscribed\nreads2@example.org,bounced\nreads3@example.org,spam\n"
        "left@example.org,bounced\nnobody@example.org,unsubscribed\nnobody2@example.org,cleaned\n"
    )
    assert row.counts["verdicts"] == {"taken off": 6}
    assert lists.states() == {
        "reads@example.org": "unsubscribed",
        "reads2@example.org": "suppressed",
        "reads3@example.org": "suppressed",
        "left@example.org": "suppressed",
    }
    names = ("reads", "reads2", "reads3", "left", "nobody", "nobody2")
    assert lists.suppressed(*(f"{name}@example.org" for name in names)) == [
        "unsubscribed",
        "bounced",
        "complained",
        "bounced",
        "unsubscribed",
        "bounced",
    ]
    with lists.database.read() as session:
        acts = [
            consent.act for consent in list_consents_of(session, get_subscriber(session, "reads@example.org").number)
        ]
    assert acts == [ConsentAct.GIVEN, ConsentAct.WITHDRAWN]
    again = lists.stage("email,status\nreads@example.org,unsubscribed\nreads3@example.org,bounced\n")
    assert again.counts["reasons"] == {"unchanged": {"is out already": 2}}


def test_who_left_elsewhere_comes_back_by_their_own_confirmed_sign_up_alone(lists: Lists) -> None:
    lists.bring_in("email,status\nann@example.org,unsubscribed\n")
    assert lists.bring_in("email\nann@example.org\n").outcome["added"] == 0
    with lists.database.write() as session:
        sign_up_and_confirm(session, "ann@example.org", now=lists.clock.go(days=1))
    assert lists.states() == {"ann@example.org": "active"}


@pytest.mark.parametrize("order", [("subscribed", "unsubscribed", "spam"), ("spam", "subscribed", "unsubscribed")])
def test_between_two_rows_for_one_address_the_strongest_refusal_counts(lists: Lists, order: tuple[str, ...]) -> None:
    rows = "".join(f"{'ann' if n else 'ANN'}@example.org,{status}\n" for n, status in enumerate(order))
    row = lists.bring_in(f"email,status\n{rows}")
    assert row.counts["verdicts"] == {"taken off": 1, "merged": 2}
    assert lists.states() == {}
    assert lists.suppressed("ann@example.org") == ["complained"]


def test_of_two_rows_that_say_the_same_the_first_counts(lists: Lists) -> None:
    lists.bring_in("email,language\nann@example.org,fr\nAnn@example.org,de\n")
    with lists.database.read() as session:
        assert get_subscriber(session, "ann@example.org").language == "fr"


def test_whoever_comes_or_is_refused_between_dry_run_and_yes_is_left_as_they_are(lists: Lists) -> None:
    row = lists.stage("email\nann@example.org\nbob@example.org\ncid@example.org\n")
    _add(lists, "ann")
    _suppress(lists, "bob")
    row = lists.importer.apply(row.number)
    assert row.outcome == {"added": 1, "taken_off": 0, "came_meanwhile": 2}
    assert set(lists.states()) == {"ann@example.org", "cid@example.org"}
    with lists.database.read() as session:
        ann = get_subscriber(session, "ann@example.org")
        assert [consent.act for consent in list_consents_of(session, ann.number)] == [ConsentAct.GIVEN]


def test_an_undone_import_leaves_nobody_who_did_nothing_and_everybody_else(lists: Lists) -> None:
    _add(lists, "here")
    row = lists.bring_in(
        "email,topics,status\nann@example.org,pain,yes\nbob@example.org,,yes\nhere@example.org,,yes\n"
        "off@example.org,,no\n"
    )
    _leave(lists, "bob")
    row = lists.importer.undo(row.number)
    assert (row.state, row.outcome["removed"], row.outcome["stayed"]) == (ImportState.UNDONE, 1, 1)
    assert lists.states() == {"here@example.org": "active", "bob@example.org": "unsubscribed"}
    assert lists.suppressed("off@example.org") == ["unsubscribed"]
    assert lists.bring_in("email\nann@example.org\n").outcome["added"] == 1, "who was taken away may come again"
    with pytest.raises(Refused, match="only one that was applied can be undone"):
        lists.importer.undo(row.number)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_leaves_while_a_list_of_who_left_is_applied_has_left(lists: Lists) -> None:
    _add(lists, "ann")
    row = lists.stage("email\nann@example.org\n", wish=Wish.LEFT)
    applying = threading.Thread(target=lists.importer.apply, args=(row.number,))
    with lists.database.write() as session:
        ann = get_subscriber(session, "ann@example.org")
        session.refresh(ann, with_for_update=True)
        applying.start()
        assert is_blocked(lists.database, applying)
        assert unsubscribe(session, ann.number, source="link", actor=SHELL, now=NOON)
    applying.join(20)
    with lists.database.read() as session:
        assert session.get_one(Import, row.number).state is ImportState.APPLIED
        withdrawn = select(func.count()).where(Consent.subscriber == ann.number, Consent.act == "withdrawn")
        assert session.scalar(withdrawn) == 1
    assert lists.suppressed("ann@example.org") == ["unsubscribed"]


def _import_and_plan(lists: Lists) -> tuple[int, Worker]:
    """An import of a reader of English and one of French, and an edition in English on its way to them."""
    yesterday = Lists(lists.database, lists.folder, StillClock(NOON - timedelta(days=1)))
    number = yesterday.bring_in("email,language\nann@example.org,en\nzoe@example.org,fr\n").number
    with lists.database.write() as session:
        cast = add_cast(session)
    scheduled_edition(lists.database, cast)
    sender = worker(lists.database, FakeTransport(), lists.clock)
    jobs.reconcile(sender, RULES)
    return number, sender


def test_who_was_mailed_is_not_taken_away(lists: Lists) -> None:
    number, sender = _import_and_plan(lists)
    jobs.send_all(sender)
    outcome = lists.importer.undo(number).outcome
    assert (outcome["removed"], outcome["stayed"]) == (1, 1)
    assert lists.states() == {"ann@example.org": "active"}


def test_who_is_being_mailed_at_this_moment_is_not_taken_away(lists: Lists) -> None:
    number, _ = _import_and_plan(lists)
    with lists.database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=NOON)
        assert claim is not None
        assert batches.put_in_flight(session, claim, actor=SCHEDULER, now=NOON)
    assert lists.importer.undo(number).outcome["stayed"] == 1


def test_who_was_only_planned_for_is_taken_away_and_not_mailed(lists: Lists) -> None:
    number, sender = _import_and_plan(lists)
    assert lists.importer.undo(number).outcome["removed"] == 2
    jobs.send_all(sender)
    assert isinstance(sender.transport, FakeTransport)
    assert sender.transport.accepted == []


def test_an_import_that_is_cut_off_goes_on_where_it_stood(lists: Lists) -> None:
    count = actions.PART + 3
    row = lists.stage("email\n" + "".join(f"r{n}@example.org\n" for n in range(count)))
    with lists.database.write() as session:
        actions.begin_applying(session, row.number, actor=SHELL, now=NOON)
    with lists.database.write() as session:
        half = actions.apply_part(session, row.number, actor=SHELL, now=NOON)
    assert (half.state, half.done_up_to) == (ImportState.APPLYING, actions.PART)
    assert lists.importer.apply(row.number).outcome["added"] == count
    with lists.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ImportRow).where(ImportRow.address.is_not(None))) == 0


def test_an_import_that_is_cut_off_can_be_taken_back(lists: Lists) -> None:
    row = lists.stage("email\n" + "".join(f"r{n}@example.org\n" for n in range(actions.PART + 3)))
    with lists.database.write() as session:
        actions.begin_applying(session, row.number, actor=SHELL, now=NOON)
    with lists.database.write() as session:
        actions.apply_part(session, row.number, actor=SHELL, now=NOON)
    row = lists.importer.undo(row.number)
    assert (row.state, row.outcome["removed"], row.outcome["stayed"]) == (ImportState.UNDONE, actions.PART, 0)
    assert lists.states() == {}


def test_what_was_read_of_a_file_is_deleted_when_it_serves_nothing_any_more(lists: Lists) -> None:
    waits = lists.stage("email\nann@example.org\nnobody\n")
    applied = lists.bring_in("email\nbob@example.org\nnobody\n")
    undone = lists.bring_in("email\ncid@example.org\n")
    lists.importer.undo(undone.number)
    lists.clock.go(days=6)
    delete_old_rows(lists.database, lists.clock)
    assert _kept(lists) == {waits.number, applied.number}
    lists.clock.go(days=1, seconds=1)
    for act, number in ((lists.importer.apply, waits.number), (lists.importer.undo, applied.number)):
        with pytest.raises(Refused, match="older than 7 days"):
            act(number)
    delete_old_rows(lists.database, lists.clock)
    assert _kept(lists) == set()
    with lists.database.read() as session:
        assert get_import(session, waits.number).state is ImportState.LAPSED
        assert get_import(session, applied.number).counts["verdicts"] == {"new": 1, "refused": 1}
    with pytest.raises(Refused, match="Import 1 is lapsed"):
        lists.importer.apply(waits.number)


def _kept(lists: Lists) -> set[int]:
    with lists.database.read() as session:
        return set(session.scalars(select(ImportRow.import_number).distinct()))


def test_an_import_needs_a_source_of_consent_and_somebody_in_it(lists: Lists) -> None:
    file = lists.folder / "people.csv"
    file.write_text("email\n\n\n")
    with pytest.raises(ImportRefused, match="there is nobody in it"):
        lists.stage("email\n\n\n")
    with pytest.raises(Refused, match="Say where consent was given"):
        lists.importer.stage([file], None, consent_source=" ", controller="A Clinic")  # type: ignore[arg-type]
    assert lists.bring_in("email\nann@example.org\n", wish=Wish.LEFT).number == 1


def test_a_file_that_turns_out_bad_on_the_way_leaves_nothing(lists: Lists) -> None:
    text = "email\n" + "".join(f"r{n}@example.org\n" for n in range(actions.PART)) + "x" * 1_000_001
    with pytest.raises(ImportRefused, match="has a line of more than 1,000,000 letters"):
        lists.stage(text)
    assert _kept(lists) == set()
    with lists.database.read() as session:
        assert get_import(session, 1).state is ImportState.LAPSED

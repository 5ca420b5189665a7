"""The copy that a person gets has all that is kept about them, and nothing of anybody else."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import orjson
import pytest

from newsletter.database.audit import SHELL
from newsletter.database.session import Database
from newsletter.errors import NotFound
from newsletter.personal_copy import PersonalCopy, make_personal_copy
from newsletter.schedule import jobs
from newsletter.schedule.jobs import run_until_idle
from newsletter.subscribers import actions
from newsletter.subscribers.model import Choices, Trace
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.sign_up import confirm
from tests.factories import (
    KEY,
    NOON,
    RULES,
    WORDING,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    ask,
    scheduled_edition,
    worker,
)

LAST_WEEK = NOON - timedelta(days=7)


@pytest.fixture
def copy_of_ann(database: Database) -> PersonalCopy:
    """Ann signed up, was mailed, and left."""
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 2)
        asked = ask(session, "ann@example.org", now=LAST_WEEK, choices=Choices("en", ("pain",)))
        number = get_subscriber(session, "ann@example.org").number
        assert asked is not None
        confirm(session, number, asked, trace=Trace("192.0.2.7", "=A browser"), suppression_key=KEY, now=LAST_WEEK)
    scheduled_edition(database, cast)
    clock = StillClock()
    jobs.reconcile(worker(database, FakeTransport(), clock), RULES)
    run_until_idle(worker(database, FakeTransport(), clock), RULES)
    with database.write() as session:
        actions.unsubscribe(session, number, source="unsubscribe link", actor=SHELL, now=clock.now())
        return make_personal_copy(session, number)


def test_the_copy_tells_who_agreed_to_what_and_what_was_mailed(copy_of_ann: PersonalCopy) -> None:
    told = orjson.loads(copy_of_ann.as_json())
    assert told["about you"]["address"] == "ann@example.org"
    assert (told["about you"]["state"], told["about you"]["topics"]) == ("unsubscribed", ["pain"])
    assert told["about you"]["not mailed because"] == "unsubscribed"
    assert [act["what"] for act in told["consent"]] == ["asked", "confirmed", "withdrawn"]
    assert told["consent"][1]["its text"] == WORDING.text
    assert told["consent"][1]["IP address"] == "192.0.2.7"
    assert [mail["state"] for mail in told["newsletters"]] == ["handed over"]
    assert [mail["kind"] for mail in told["other mails"]] == ["confirm", "welcome"]
    assert b"reader1@" not in copy_of_ann.as_json()


def test_the_table_says_the_same_and_no_spreadsheet_runs_it(copy_of_ann: PersonalCopy) -> None:
    rows = list(csv.DictReader(io.StringIO(copy_of_ann.as_csv().decode("utf-8-sig"))))
    assert {row["part"] for row in rows} == {"about you", "consent", "sign-ups", "newsletters", "other mails"}
    values = {(row["part"], row["line"], row["name"]): row["value"] for row in rows}
    assert values["about you", "1", "address"] == "ann@example.org"
    assert values["consent", "2", "browser"] == "'=A browser"
    assert not any(value.startswith(("=", "+", "-", "@")) for value in values.values())


def test_of_nobody_there_is_no_copy(database: Database) -> None:
    with database.read() as session, pytest.raises(NotFound, match="nothing is kept"):
        make_personal_copy(session, 7)

"""What goes wrong with one edition, or in one answer, ends nothing else."""

from __future__ import annotations

from newsletter.campaigns.model import AudienceRule
from newsletter.database.session import Database
from newsletter.delivery.model import SendState
from newsletter.delivery.queries import get_progress
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule import jobs
from tests.factories import (
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    edition_for,
    scheduled_edition,
    snapshot,
    worker,
)


def test_an_edition_that_cannot_be_planned_keeps_no_other_from_going(database: Database) -> None:
    transport = FakeTransport()
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 3)
    rule = AudienceRule(not_mailed_within=10_000_000)
    bad = scheduled_edition(database, cast, given=snapshot(mailing="bad", audience=rule))
    good = scheduled_edition(database, cast)
    jobs.run_until_idle(worker(database, transport, StillClock()), RULES)
    with database.read() as session:
        stuck, gone = get_progress(session, bad), get_progress(session, good)
    assert (gone.state, gone.handed_over) == (SendState.FINISHED, 3)
    assert (stuck.state, stuck.note) == (SendState.PLANNING, "it could not be planned: OverflowError")


def test_control_characters_in_an_answer_are_not_stored(database: Database) -> None:
    transport = FakeTransport(answers=[Receipt(Outcome.REJECTED, "no\x00 \x1b[31mgood\ud800")])
    edition = edition_for(database, 1)
    jobs.run_until_idle(worker(database, transport, StillClock()), RULES)
    with database.read() as session:
        assert get_progress(session, edition).note == "a batch was rejected: no   [31mgood "

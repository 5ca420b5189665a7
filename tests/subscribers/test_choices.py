"""Pausing, choosing, leaving, being erased: each is kept as consent, and the record only grows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DatabaseError

from newsletter.campaigns.model import AudienceRule
from newsletter.database.audit import SHELL, Actor
from newsletter.database.session import Database
from newsletter.errors import Refused
from newsletter.subscribers import actions
from newsletter.subscribers.audience import resolve_audience
from newsletter.subscribers.consent_ledger import delete_traces
from newsletter.subscribers.model import Choices, ConsentAct, NewSubscriber, SubscriberState, SuppressionReason, Trace
from newsletter.subscribers.queries import find_subscriber, find_suppression, list_consents_of, list_topics_of
from newsletter.subscribers.sign_up import confirm
from newsletter.subscribers.tables import Consent, ConsentTrace, ReaderNotice, SignUp, Subscriber, SubscriberTopic
from tests.factories import KEY, LONDON, NOON, ask, sign_up_and_confirm

ANN = "ann@example.org"
LATER = NOON + timedelta(days=1)


def _reader(database: Database) -> int:
    with database.write() as session:
        return sign_up_and_confirm(session, ANN, now=NOON)


def _acts(database: Database, number: int) -> list[str]:
    with database.read() as session:
        return [consent.act.value for consent in list_consents_of(session, number)]


def _state(database: Database, number: int) -> SubscriberState:
    with database.read() as session:
        return session.get_one(Subscriber, number).state


def test_a_pause_ends_when_it_was_said_to_end(database: Database) -> None:
    number = _reader(database)
    by = Actor.subscriber(number)
    with database.write() as session:
        assert actions.pause(session, number, LATER, source="page", actor=by, now=NOON)
        later = LATER + timedelta(days=30)
        assert actions.pause(session, number, later, source="page", actor=by, now=NOON)
        assert actions.resume_due(session, actor=SHELL, now=LATER) == 0
    assert _state(database, number) is SubscriberState.PAUSED
    with database.write() as session:
        assert actions.resume_due(session, actor=SHELL, now=later) == 1
        assert actions.resume_due(session, actor=SHELL, now=later) == 0
    assert _state(database, number) is SubscriberState.ACTIVE
    assert _acts(database, number)[2:] == ["paused", "paused", "resumed"]
    with database.read() as session:
        assert session.get_one(Subscriber, number).paused_until is None


def test_who_left_while_pausing_stays_away(database: Database) -> None:
    number = _reader(database)
    with database.write() as session:
        actions.pause(session, number, LATER, source="page", actor=SHELL, now=NOON)
        actions.unsubscribe(session, number, source="link", actor=SHELL, now=NOON)
        assert actions.resume_due(session, actor=SHELL, now=LATER) == 0
        assert not actions.resume(session, number, source="page", actor=SHELL, now=LATER)
        assert not actions.pause(session, number, LATER, source="page", actor=SHELL, now=LATER)
        assert find_suppression(session, ANN, KEY) is SuppressionReason.UNSUBSCRIBED
    assert _state(database, number) is SubscriberState.UNSUBSCRIBED


def test_a_change_of_choices_is_kept_when_there_is_one(database: Database) -> None:
    number = _reader(database)
    chosen = Choices("de", ("sleep", "pain", "sleep"), text_only=True)
    with database.write() as session:
        assert actions.change_choices(session, number, chosen, source="page", actor=SHELL, now=LATER)
        assert not actions.change_choices(session, number, chosen, source="page", actor=SHELL, now=LATER)
    with database.read() as session:
        last = list_consents_of(session, number)[-1]
        assert (last.act, last.language, last.topics) == (ConsentAct.CHANGED, "de", ["pain", "sleep"])
        assert list_topics_of(session, number) == ["pain", "sleep"]
    with database.write() as session:
        actions.unsubscribe(session, number, source="link", actor=SHELL, now=LATER)
        assert not actions.change_choices(session, number, Choices("en"), source="page", actor=SHELL, now=LATER)


def test_an_erased_person_is_nobody_and_is_never_mailed_again(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON, choices=Choices("en", ("sleep",)))
        number = session.scalars(select(Subscriber.number)).one()
        assert asked is not None
        confirm(session, number, asked, trace=Trace("192.0.2.7", "A browser"), suppression_key=KEY, now=NOON)
        assert actions.erase(session, number, source="page", actor=SHELL, now=LATER)
        assert not actions.erase(session, number, source="page", actor=SHELL, now=LATER)
    with database.read() as session:
        row = session.get_one(Subscriber, number)
        assert (row.state, row.address, row.address_key, row.language) == (SubscriberState.ERASED, None, None, "und")
        for table in (SubscriberTopic, SignUp, ConsentTrace, ReaderNotice):
            assert session.scalar(select(func.count()).select_from(table)) == 0, table
        assert find_subscriber(session, ANN) is None
        assert find_suppression(session, ANN, KEY) is SuppressionReason.ERASED
        everybody = resolve_audience(AudienceRule(), language="en", at=LATER, zone=LONDON)
        assert session.execute(everybody).all() == [], "not even left out"
    assert _acts(database, number) == ["asked", "confirmed", "erased"]
    with database.write() as session:
        assert ask(session, ANN, now=LATER + timedelta(days=9)) is None
        with pytest.raises(Refused, match="must not be mailed"):
            actions.add_subscriber(
                session, NewSubscriber(ANN, "en"), consent_source="paper", suppression_key=KEY, actor=SHELL, now=LATER
            )


def test_staff_lift_a_suppression_and_nobody_is_mailed_for_it(database: Database) -> None:
    number = _reader(database)
    with database.write() as session:
        reason = SuppressionReason.BOUNCED
        actions.suppress(session, ANN, reason=reason, source="provider", suppression_key=KEY, actor=SHELL, now=NOON)

        def lift() -> bool:
            return actions.lift_suppression(
                session, ANN, reason="new mailbox", suppression_key=KEY, actor=SHELL, now=LATER
            )

        assert [lift(), lift()] == [True, False]
    assert _state(database, number) is SubscriberState.UNSUBSCRIBED
    assert _acts(database, number)[-1] == "lifted"
    with database.write() as session:
        assert sign_up_and_confirm(session, ANN, now=LATER + timedelta(days=2)) == number
        assert find_suppression(session, ANN, KEY) is None
    assert _state(database, number) is SubscriberState.ACTIVE


@pytest.mark.parametrize("statement", ["UPDATE consent SET source = 'mended'", "DELETE FROM consent"])
def test_the_database_itself_refuses_to_change_what_was_consented(database: Database, statement: str) -> None:
    number = _reader(database)
    with pytest.raises(DatabaseError, match="only ever added"), database.write() as session:
        session.execute(text(statement))
    assert _acts(database, number) == ["asked", "confirmed"]


def test_from_where_requests_came_is_forgotten_after_weeks(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON)
        number = session.scalars(select(Subscriber.number)).one()
        assert asked is not None
        confirm(session, number, asked, trace=Trace("192.0.2.7"), suppression_key=KEY, now=NOON)
        delete_traces(session, now=NOON + timedelta(days=60))
        assert session.scalar(select(func.count()).select_from(ConsentTrace)) == 1
        delete_traces(session, now=NOON + timedelta(days=61))
        assert session.scalar(select(func.count()).select_from(ConsentTrace)) == 0
    assert _acts(database, number) == ["asked", "confirmed"]


def test_a_consent_of_somebody_pending_goes_with_them(database: Database) -> None:
    with database.write() as session:
        ask(session, ANN, now=NOON)
    with database.write() as session:
        session.execute(delete(Consent))
        assert session.scalar(select(func.count()).select_from(Consent)) == 0

"""Whoever signs up learns nothing and changes nothing; the owner of the address confirms, once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from newsletter.database.audit import SHELL, AuditLine
from newsletter.database.session import Database
from newsletter.errors import Refused
from newsletter.subscribers import actions
from newsletter.subscribers.model import (
    Choices,
    ConsentAct,
    Evidence,
    ReaderNoticeKind,
    SubscriberState,
    SuppressionReason,
    Trace,
)
from newsletter.subscribers.queries import find_subscriber, get_subscriber, list_consents_of, list_topics_of
from newsletter.subscribers.reader_notices import AnswerLimits
from newsletter.subscribers.sign_up import Answer, SignUpRefused, confirm, delete_unconfirmed, sign_up
from newsletter.subscribers.tables import ConsentTrace, ConsentWording, ReaderNotice, SignUp, Subscriber
from tests.factories import KEY, NOON, WORDING, ask, sign_up_and_confirm

ANN = "ann@example.org"
DAY = timedelta(days=1)


def _sign_up(database: Database, address: str, limits: AnswerLimits | None = None) -> Answer:
    with database.write() as session:
        return sign_up(
            session,
            address,
            Choices("en"),
            Evidence("https://news.example.org/subscribe", wording=WORDING),
            limits=limits or AnswerLimits(),
            suppression_key=KEY,
            now=NOON,
        )


def _mails(database: Database) -> list[ReaderNoticeKind]:
    with database.read() as session:
        return list(session.scalars(select(ReaderNotice.kind).order_by(ReaderNotice.number)))


def test_what_was_shown_and_chosen_stands_in_the_consent_word_for_word(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON, choices=Choices("de", ("sleep", "pain"), text_only=True))
        number = get_subscriber(session, ANN).number
        assert asked is not None
    with database.write() as session:
        trace = Trace("192.0.2.7", "A browser")
        assert confirm(session, number, asked, trace=trace, suppression_key=KEY, now=NOON + DAY)
    with database.read() as session:
        first, second = list_consents_of(session, number)
        person = session.get_one(Subscriber, number)
        assert (person.state, person.joined_at, person.language, person.text_only) == (
            SubscriberState.ACTIVE,
            NOON + DAY,
            "de",
            True,
        )
        assert list_topics_of(session, number) == ["pain", "sleep"]
        assert session.get_one(ConsentWording, second.wording_hash).text == WORDING.text
        kept = session.scalars(select(ConsentTrace)).one()
    assert (first.act, first.by, first.at) == (ConsentAct.ASKED, "visitor", NOON)
    assert (second.act, second.by, second.at) == (ConsentAct.CONFIRMED, f"subscriber:{number}", NOON + DAY)
    assert (second.source, second.method) == ("https://news.example.org/subscribe", f"double opt-in, sign-up {asked}")
    assert (second.wording, second.wording_hash) == ("0001.en", WORDING.hash)
    assert (second.language, second.topics, second.controller) == ("de", ["pain", "sleep"], "A Clinic")
    assert not second.tracking
    assert (kept.consent, kept.ip, kept.user_agent) == (second.number, "192.0.2.7", "A browser")


def test_a_mailbox_is_asked_once_in_a_day_however_often_and_however_it_is_spelt(database: Database) -> None:
    spellings = [ANN, "ANN@example.org", "ann+a@example.org", "ann+b@EXAMPLE.org"] * 3
    # Gmail gives nobody a name of fewer than six letters, so these belong to nobody.
    gmail = [f"{'.'.join('abcde'[:n])}.{'abcde'[n:]}@gmail.com" for n in range(1, 5)] + ["a.bcde@googlemail.com"]
    assert {_sign_up(database, address) for address in [*spellings, *gmail]} == {Answer.TAKEN}
    assert _mails(database) == [ReaderNoticeKind.CONFIRM] * 2
    with database.write() as session:
        assert ask(session, ANN, now=NOON + DAY) is not None
    assert _mails(database) == [ReaderNoticeKind.CONFIRM] * 3


def test_an_address_that_was_asked_once_more_can_be_confirmed_with_either_link(database: Database) -> None:
    with database.write() as session:
        first, second = ask(session, ANN, now=NOON), ask(session, ANN, now=NOON + DAY)
        number = get_subscriber(session, ANN).number
    assert first is not None
    assert second is not None
    assert first != second
    with database.write() as session:
        assert confirm(session, number, first, trace=None, suppression_key=KEY, now=NOON + DAY)
        assert not confirm(session, number, second, trace=None, suppression_key=KEY, now=NOON + DAY)


def test_more_than_an_hour_may_have_is_told_to_come_again(database: Database) -> None:
    limits = AnswerLimits(an_hour=4)
    answers = [_sign_up(database, f"one@a{n}.example.org", limits) for n in range(6)]
    assert answers == [Answer.TAKEN] * 4 + [Answer.TOO_MANY] * 2
    assert len(_mails(database)) == 4


def test_one_domain_leaves_room_for_the_others(database: Database) -> None:
    limits = AnswerLimits(an_hour=6)
    assert [_sign_up(database, f"reader{n}@example.org", limits) for n in range(4)] == [
        *[Answer.TAKEN] * 3,
        Answer.TOO_MANY,
    ]
    assert _sign_up(database, "somebody@example.net", limits) is Answer.TAKEN


@pytest.mark.parametrize("reason", list(SuppressionReason))
def test_an_address_that_must_not_be_mailed_is_not_and_nobody_can_tell(
    database: Database, reason: SuppressionReason
) -> None:
    with database.write() as session:
        actions.suppress(session, ANN, reason=reason, source="x", suppression_key=KEY, actor=SHELL, now=NOON)
    assert _sign_up(database, ANN) is Answer.TAKEN
    left = reason is SuppressionReason.UNSUBSCRIBED
    assert _mails(database) == ([ReaderNoticeKind.CONFIRM] if left else [])
    with database.read() as session:
        assert (find_subscriber(session, ANN) is not None) == left


def test_a_stranger_changes_nothing_for_a_reader_and_for_who_has_left(database: Database) -> None:
    with database.write() as session:
        reader = sign_up_and_confirm(session, ANN, now=NOON - 2 * DAY)
        gone = sign_up_and_confirm(session, "gone@example.org", now=NOON - 2 * DAY)
        actions.unsubscribe(session, gone, source="link", actor=SHELL, now=NOON - DAY)
    with database.write() as session:
        assert ask(session, ANN, now=NOON, choices=Choices("de", ("sleep",))) is None
        asked = ask(session, "gone@example.org", now=NOON, choices=Choices("de", ("sleep",)))
        assert asked is not None
    with database.read() as session:
        assert session.get_one(Subscriber, reader).language == "en"
        assert session.get_one(Subscriber, gone).state is SubscriberState.UNSUBSCRIBED
        assert list_topics_of(session, gone) == []
    assert _mails(database)[-2:] == [ReaderNoticeKind.HERE_ALREADY, ReaderNoticeKind.CONFIRM]

    with database.write() as session:
        assert confirm(session, gone, asked, trace=None, suppression_key=KEY, now=NOON)
    with database.read() as session:
        assert session.get_one(Subscriber, gone).state is SubscriberState.ACTIVE
        assert list_topics_of(session, gone) == ["sleep"]


def test_a_link_works_once_and_not_for_ever(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON)
        late = ask(session, "late@example.org", now=NOON)
        assert asked is not None
        assert late is not None
        number, other = get_subscriber(session, ANN).number, get_subscriber(session, "late@example.org").number
        assert confirm(session, number, asked, trace=None, suppression_key=KEY, now=NOON)
        actions.unsubscribe(session, number, source="link", actor=SHELL, now=NOON)
    week = NOON + timedelta(days=7)
    for who, which, now, words in (
        (number, asked, NOON, "used before"),
        (other, late, week, "expired"),
        (number, late, NOON, "not here any more"),
        (other, 99, NOON, "not here any more"),
        (99, late, NOON, "not here any more"),
    ):
        with database.write() as session, pytest.raises(SignUpRefused, match=words):
            confirm(session, who, which, trace=None, suppression_key=KEY, now=now)


def test_what_came_between_asking_and_confirming_holds(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON)
        assert asked is not None
        number = get_subscriber(session, ANN).number
        reason = SuppressionReason.COMPLAINED
        actions.suppress(session, ANN, reason=reason, source="provider", suppression_key=KEY, actor=SHELL, now=NOON)
    with database.write() as session, pytest.raises(SignUpRefused, match="cannot be signed up"):
        confirm(session, number, asked, trace=None, suppression_key=KEY, now=NOON)


def test_who_never_confirmed_is_forgotten_and_nobody_else(database: Database) -> None:
    with database.write() as session:
        ask(session, ANN, now=NOON - timedelta(days=31))
        again = ask(session, "again@example.org", now=NOON - timedelta(days=31))
        ask(session, "again@example.org", now=NOON - timedelta(days=2))
        reader = sign_up_and_confirm(session, "reader@example.org", now=NOON - timedelta(days=40))
        gone = sign_up_and_confirm(session, "gone@example.org", now=NOON - timedelta(days=40))
        actions.unsubscribe(session, gone, source="link", actor=SHELL, now=NOON - timedelta(days=39))
        ask(session, "gone@example.org", now=NOON - timedelta(days=35))
    with database.write() as session:
        assert delete_unconfirmed(session, now=NOON, days=30) == 1
        assert delete_unconfirmed(session, now=NOON, days=30) == 0
    with database.read() as session:
        assert find_subscriber(session, ANN) is None
        assert session.get_one(Subscriber, reader).state is SubscriberState.ACTIVE
        assert session.get_one(Subscriber, gone).state is SubscriberState.UNSUBSCRIBED
        assert get_subscriber(session, "again@example.org").state is SubscriberState.PENDING
        assert again not in session.scalars(select(SignUp.number)).all()
        assert session.scalar(select(func.count()).select_from(SignUp)) == 3
        lines = session.scalars(select(AuditLine)).all()
        assert not any("@" in str(vars(line)) for line in lines)


def test_a_language_that_is_none_is_refused(database: Database) -> None:
    with database.write() as session, pytest.raises(Refused, match="is not a language"):
        ask(session, ANN, now=NOON, choices=Choices("English"))

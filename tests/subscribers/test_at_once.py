"""Two who act on one person at the same moment: the second waits for the first, and both come to their end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.database.audit import PROVIDER, SHELL
from newsletter.database.session import Database
from newsletter.subscribers import actions
from newsletter.subscribers.model import (
    Choices,
    ConsentAct,
    Evidence,
    SubscriberState,
    SuppressionReason,
    Trace,
)
from newsletter.subscribers.queries import find_subscriber, get_subscriber, list_consents_of
from newsletter.subscribers.reader_notices import AnswerLimits
from newsletter.subscribers.sign_up import SignUpRefused, confirm, delete_unconfirmed, sign_up
from newsletter.subscribers.tables import ConsentTrace, ReaderNotice, SignUp, Subscriber, Suppression
from tests.delivery.test_stopped import is_blocked
from tests.factories import KEY, NOON, WORDING, ask, sign_up_and_confirm

ANN = "ann@example.org"
DAY = timedelta(days=1)
# SQLite has one writer at a time.
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
Act = Callable[[Session], object]


@dataclass
class Other:
    """What somebody else does in a transaction of their own, and what was raised there."""

    database: Database
    act: Act
    raised: list[Exception] = field(default_factory=list)

    def __call__(self) -> None:
        """Do it."""
        try:
            with self.database.write() as session:
                self.act(session)
        except Exception as error:
            self.raised.append(error)


def at_once(database: Database, act: Act, *, other: Act) -> list[Exception]:
    """Do two things to ANN: `other` comes to wait for her row before `act` is done; gives what was raised in it."""
    doing = Other(database, other)
    waiting = threading.Thread(target=doing)
    with database.write() as session:
        session.scalars(select(Subscriber).where(Subscriber.address == ANN).with_for_update()).one()
        waiting.start()
        assert is_blocked(database, waiting)
        act(session)
    waiting.join(20)
    return doing.raised


def leave(session: Session) -> None:
    number = get_subscriber(session, ANN).number
    assert actions.unsubscribe(session, number, source="link", actor=SHELL, now=NOON)


def be_erased(session: Session) -> None:
    number = get_subscriber(session, ANN).number
    assert actions.erase(session, number, source="page", actor=SHELL, now=NOON)


def complain(session: Session) -> None:
    actions.suppress(
        session,
        ANN,
        reason=SuppressionReason.COMPLAINED,
        source="event",
        suppression_key=KEY,
        actor=PROVIDER,
        now=NOON,
    )


def be_lifted(session: Session) -> None:
    actions.lift_suppression(session, ANN, reason="she wrote", suppression_key=KEY, actor=SHELL, now=NOON)


def sign_up_again(session: Session) -> None:
    evidence = Evidence("https://news.example.org/subscribe", wording=WORDING, trace=Trace("192.0.2.7", "A browser"))
    sign_up(session, ANN, Choices("en"), evidence, limits=AnswerLimits(), suppression_key=KEY, now=NOON)


def reason_of(database: Database) -> SuppressionReason:
    with database.read() as session:
        return session.scalars(select(Suppression.reason)).one()


@on_postgresql
def test_who_complains_and_leaves_at_once_has_done_both(database: Database) -> None:
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=NOON - DAY)
    assert at_once(database, leave, other=complain) == []
    assert reason_of(database) is SuppressionReason.COMPLAINED
    with database.read() as session:
        assert session.get_one(Subscriber, number).state is SubscriberState.SUPPRESSED
        assert [line.act for line in list_consents_of(session, number)][-1] is ConsentAct.WITHDRAWN


@on_postgresql
def test_staff_who_lift_a_suppression_while_its_person_is_erased_wait_for_that(database: Database) -> None:
    with database.write() as session:
        sign_up_and_confirm(session, ANN, now=NOON - DAY)
        complain(session)
    assert at_once(database, be_erased, other=be_lifted) == []
    assert reason_of(database) is SuppressionReason.UNSUBSCRIBED
    with database.read() as session:
        assert find_subscriber(session, ANN) is None


@on_postgresql
def test_who_confirms_while_they_are_erased_is_erased(database: Database) -> None:
    with database.write() as session:
        asked = ask(session, ANN, now=NOON - DAY)
        number = get_subscriber(session, ANN).number
    assert asked is not None

    def press(session: Session) -> None:
        confirm(session, number, asked, trace=None, suppression_key=KEY, now=NOON)

    (refused,) = at_once(database, be_erased, other=press)
    assert isinstance(refused, SignUpRefused)
    assert reason_of(database) is SuppressionReason.ERASED


@on_postgresql
def test_who_is_erased_while_they_sign_up_leaves_nothing_behind(database: Database) -> None:
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=NOON - 2 * DAY)
        actions.unsubscribe(session, number, source="link", actor=SHELL, now=NOON - DAY)
    assert at_once(database, be_erased, other=sign_up_again) == []
    with database.read() as session:
        for table in (SignUp, ReaderNotice, ConsentTrace):
            assert session.scalar(select(func.count()).select_from(table)) == 0, table
        assert find_subscriber(session, ANN) is None
        assert [line.act for line in list_consents_of(session, number)][-1] is ConsentAct.ERASED


@on_postgresql
def test_who_signs_up_again_while_their_old_sign_up_is_deleted_is_asked(database: Database) -> None:
    with database.write() as session:
        ask(session, ANN, now=NOON - 31 * DAY)

    def clear_up(session: Session) -> None:
        assert delete_unconfirmed(session, now=NOON, days=30) == 1

    assert at_once(database, clear_up, other=sign_up_again) == []
    with database.read() as session:
        assert get_subscriber(session, ANN).state is SubscriberState.PENDING
        assert session.scalars(select(SignUp.asked_at)).all() == [NOON]

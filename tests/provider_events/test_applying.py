"""Events do what they say, once, in whatever order and how often they come."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from newsletter.database.audit import SCHEDULER, AuditLine
from newsletter.database.session import Database, open_database
from newsletter.delivery import batches
from newsletter.delivery.model import (
    AttemptState,
    BatchState,
    Claim,
    DeliveryState,
    Flight,
    Variant,
    Verdict,
)
from newsletter.delivery.queries import get_progress
from newsletter.delivery.steering import settle_uncertain
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.delivery.worker import send_next_batch
from newsletter.provider_events.model import PostState
from newsletter.provider_events.queries import list_account_events, list_events_of, reconcile
from newsletter.provider_events.tables import KeptEvent, ReceivedPost
from newsletter.providers.contract import EventKind, Outcome, Receipt
from newsletter.schedule.event_jobs import apply_waiting, look_through
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.tables import Consent, Subscriber, Suppression
from tests.factories import EVENT_RULES, NOON, FakeTransport, StillClock, find_cast, sign_up_and_confirm, worker
from tests.provider_events.posting import (
    EDITION,
    PEOPLE,
    Entry,
    Mail,
    all_that_matters,
    begin_send,
    post,
    post_all,
)

LATER = NOON + timedelta(hours=2)


@pytest.fixture
def mails(database: Database) -> list[Mail]:
    """Everybody's mail: three accepted, three uncertain, one in flight."""
    return begin_send(database)


def state_of(database: Database, mail: Mail) -> DeliveryState:
    with database.read() as session:
        return session.scalars(select(Delivery.state).where(Delivery.subscriber == mail.subscriber)).one()


def person_of(database: Database, mail: Mail) -> SubscriberState:
    with database.read() as session:
        return session.get_one(Subscriber, mail.subscriber).state


def suppressed_for(database: Database) -> list[SuppressionReason]:
    with database.read() as session:
        return list(session.scalars(select(Suppression.reason)))


def unnamed(entry: Entry) -> dict[str, Any]:
    """An event as it comes for a bounce that came later: without the names that went with the mail."""
    ours = ("newsletter_delivery", "newsletter_attempt", "sg_message_id", "sg_event_id")
    return {key: value for key, value in entry.items() if key not in ours}


def test_one_event_settles_an_attempt_and_its_batch(database: Database, mails: list[Mail]) -> None:
    post(database, mails[3].event("processed"))
    with database.read() as session:
        attempt = session.get_one(Attempt, mails[3].attempt)
        batch = session.get_one(Batch, (1, 2))
        progress = get_progress(session, EDITION)
        lines = session.scalars(select(AuditLine.action).where(AuditLine.subject == "batch:1/2")).all()
    assert (attempt.state, attempt.reference) == (AttemptState.ACCEPTED, f"{attempt.id}ref")
    assert (batch.state, batch.handed_over, batch.uncertain) == (BatchState.ACCEPTED, 3, 0)
    assert (progress.handed_over, progress.uncertain, progress.planned) == (6, 0, 1)
    assert "attempt proved accepted" in lines


@pytest.mark.parametrize("answer", [Outcome.ACCEPTED, Outcome.UNCERTAIN, Outcome.TRY_AGAIN])
def test_an_event_may_come_before_the_answer_is_recorded(
    database: Database, mails: list[Mail], answer: Outcome
) -> None:
    flying = mails[6]
    post(database, flying.event("delivered"))
    flight = Flight(Claim(1, 3, 1, Variant.HTML, NOON, "https://news.example.org", flying.attempt), 1)
    with database.write() as session:
        assert not batches.record_answer(session, flight, Receipt(answer, "late"), actor=SCHEDULER, now=LATER)
    assert state_of(database, flying) is DeliveryState.DELIVERED
    with database.read() as session:
        batch = session.get_one(Batch, (1, 3))
        assert (batch.state, batch.handed_over) == (BatchState.ACCEPTED, 1)
        assert session.get_one(Attempt, flying.attempt).state is AttemptState.ACCEPTED


def test_an_event_beats_what_a_person_said(database: Database, mails: list[Mail]) -> None:
    with database.write() as session:
        cast = find_cast(session)
        settle_uncertain(session, EDITION, mails[3].attempt, Verdict.NOT_SENT, actor=cast.max, now=LATER)
    assert state_of(database, mails[3]) is DeliveryState.LEFT_OUT
    post(database, mails[3].event("processed"))
    assert [state_of(database, mail) for mail in mails[3:6]] == [DeliveryState.HANDED_OVER] * 3
    with database.read() as session:
        batch = session.get_one(Batch, (1, 2))
    assert (batch.state, batch.handed_over, batch.left_out) == (BatchState.ACCEPTED, 3, 0)


def test_an_older_attempt_that_went_after_all_is_told_as_twice_accepted(database: Database, mails: list[Mail]) -> None:
    transport = FakeTransport(batch_limit=3)
    with database.write() as session:
        cast = find_cast(session)
        settle_uncertain(session, EDITION, mails[3].attempt, Verdict.SEND_AGAIN, actor=cast.max, now=NOON)
    send_next_batch(worker(database, transport, StillClock()))
    assert len(transport.accepted) == 3
    post(database, mails[3].event("processed"))
    with database.read() as session:
        found = reconcile(session, EDITION, now=LATER)
        actions = session.scalars(select(AuditLine.action)).all()
    assert dict(found.accepted_twice) == {2: 3}
    assert any("Batch 2 was accepted twice: 3 people may have the mail two times." in gap for gap in found.gaps)
    assert "batch accepted twice" in actions


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [
        ("delivered", "deferred", DeliveryState.DELIVERED),
        ("bounce", "delivered", DeliveryState.BOUNCED),
        ("dropped", "processed", DeliveryState.DROPPED),
        ("deferred", "dropped", DeliveryState.DROPPED),
    ],
)
def test_what_came_last_does_not_win(
    database: Database, mails: list[Mail], first: str, then: str, state: DeliveryState
) -> None:
    post(database, mails[0].event(first))
    post(database, mails[0].event(then, NOON + timedelta(minutes=9)))
    assert state_of(database, mails[0]) is state
    with database.read() as session:
        assert get_progress(session, EDITION).handed_over == 3, "handed over, whatever came later"


LEFT = SuppressionReason.UNSUBSCRIBED


@pytest.mark.parametrize(
    ("event", "person", "reasons"),
    [
        ({"event": "bounce", "type": "bounce"}, SubscriberState.SUPPRESSED, [SuppressionReason.BOUNCED]),
        ({"event": "bounce", "type": "blocked"}, SubscriberState.ACTIVE, []),
        ({"event": "spamreport"}, SubscriberState.SUPPRESSED, [SuppressionReason.COMPLAINED]),
        ({"event": "dropped", "reason": "Bounced Address"}, SubscriberState.SUPPRESSED, [SuppressionReason.BOUNCED]),
        (
            {"event": "dropped", "reason": "Spam Reporting Address"},
            SubscriberState.SUPPRESSED,
            [SuppressionReason.COMPLAINED],
        ),
        ({"event": "dropped", "reason": "Invalid"}, SubscriberState.SUPPRESSED, [SuppressionReason.BOUNCED]),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, SubscriberState.UNSUBSCRIBED, [LEFT]),
        ({"event": "dropped", "reason": "Spam Content"}, SubscriberState.ACTIVE, []),
        ({"event": "unsubscribe"}, SubscriberState.UNSUBSCRIBED, [LEFT]),
        ({"event": "group_unsubscribe", "asm_group_id": 1}, SubscriberState.UNSUBSCRIBED, [LEFT]),
        ({"event": "group_resubscribe", "asm_group_id": 1}, SubscriberState.ACTIVE, []),
    ],
)
def test_what_an_event_says_of_a_person_holds(
    database: Database, mails: list[Mail], event: Entry, person: SubscriberState, reasons: list[SuppressionReason]
) -> None:
    entry = {**mails[0].event("x"), **event}
    post_all(database, [[entry], [entry, entry]])
    assert person_of(database, mails[0]) is person
    assert suppressed_for(database) == reasons
    with database.read() as session:
        withdrawn = session.scalars(select(Consent).where(Consent.act == "withdrawn")).all()
    assert len(withdrawn) == (person is SubscriberState.UNSUBSCRIBED)


def test_coming_back_to_a_group_raises_nobody(database: Database, mails: list[Mail]) -> None:
    post(database, mails[0].event("group_unsubscribe"), mails[0].event("group_resubscribe", LATER))
    assert person_of(database, mails[0]) is SubscriberState.UNSUBSCRIBED
    with database.read() as session:
        kinds = {event.kind for event in list_events_of(session, 1, mails[0].subscriber)}
    assert kinds == {EventKind.LEFT_GROUP, EventKind.JOINED_GROUP}


@pytest.mark.parametrize("named", [{}, {"newsletter_notice": "reader7t1"}], ids=["of an edition", "of the welcome"])
def test_who_came_back_does_not_leave_by_a_mail_that_is_dropped_because_they_had_left(
    database: Database, mails: list[Mail], named: Entry
) -> None:
    ann = mails[0]
    post(database, ann.event("unsubscribe"))
    with database.write() as session:
        assert sign_up_and_confirm(session, "reader1@example.org", now=LATER) == ann.subscriber
    dropped = {**ann.event("dropped", LATER, reason="Unsubscribed Address"), **named}
    post(database, unnamed(dropped) if named else dropped, now=LATER)
    assert person_of(database, ann) is SubscriberState.ACTIVE

    post(database, ann.event("unsubscribe", LATER), now=LATER)
    assert person_of(database, ann) is SubscriberState.UNSUBSCRIBED


def test_who_was_allowed_again_is_not_suppressed_by_an_old_event_that_is_repeated(
    database: Database, mails: list[Mail]
) -> None:
    post(database, mails[0].event("bounce"))
    with database.write() as session:
        session.execute(Suppression.__table__.delete())  # type: ignore[attr-defined]
    post(database, {**mails[0].event("bounce"), "sg_event_id": "another"})
    assert suppressed_for(database) == []


def test_events_of_others_are_counted_and_change_nothing(database: Database, mails: list[Mail]) -> None:
    before = all_that_matters(database)
    foreign = {"newsletter_attempt": "na-of-another"}
    entries = [
        {**mails[0].event("bounce"), **foreign},
        {**mails[0].event("unsubscribe"), **foreign},
        {**mails[0].event("delivered"), "newsletter_delivery": "nd7x1"},
        {**mails[0].event("delivered"), "newsletter_delivery": f"nd1x{2**70}"},
        {**mails[0].event("delivered"), "newsletter_delivery": "nothing"},
        unnamed(mails[0].event("delivered")),
        unnamed(mails[0].event("group_unsubscribe")),
        {"event": "delivered", "timestamp": 1},
    ]
    post(database, *entries)
    after = all_that_matters(database)
    assert {**after, "sums": None} == {**before, "sums": None}
    with database.read() as session:
        (row,) = session.scalars(select(ReceivedPost))
    assert (row.state, row.foreign, row.events) == (PostState.APPLIED, len(entries), 0)


def test_a_late_bounce_without_names_finds_the_only_mail_it_can_be_about(database: Database, mails: list[Mail]) -> None:
    bounce = unnamed(mails[0].event("bounce", LATER, type="bounce"))
    post(database, bounce, now=LATER)
    assert state_of(database, mails[0]) is DeliveryState.BOUNCED
    assert person_of(database, mails[0]) is SubscriberState.SUPPRESSED


@pytest.mark.parametrize(
    ("mail", "at"),
    [(3, LATER), (0, NOON - timedelta(days=1)), (0, NOON + timedelta(days=6))],
    ids=["its hand-over is uncertain", "before the mail", "too long after the mail"],
)
def test_where_it_is_not_clear_the_address_is_suppressed_all_the_same(
    database: Database, mails: list[Mail], mail: int, at: Any
) -> None:
    before = state_of(database, mails[mail])
    post(database, unnamed(mails[mail].event("bounce", at, type="bounce")), now=at)
    assert state_of(database, mails[mail]) is before
    assert person_of(database, mails[mail]) is SubscriberState.SUPPRESSED
    with database.read() as session:
        assert session.scalars(select(KeptEvent.edition)).one() is None


def test_an_address_that_is_nobody_s_is_suppressed_too(database: Database, mails: list[Mail]) -> None:
    post(database, {"event": "bounce", "type": "bounce", "email": "Gone@Example.org", "timestamp": 1_793_000_000})
    assert suppressed_for(database) == [SuppressionReason.BOUNCED]


def test_nothing_that_is_kept_has_an_address_in_it(database: Database, mails: list[Mail]) -> None:
    secret = {
        "ip": "192.0.2.7",
        "useragent": "A phone",
        "reason": "<reader1@example.org>: no such box",
        "status": "5.1.1",
    }
    post(
        database, *({**mails[0].event(name), **secret} for name in ("bounce", "spamreport", "levitated", "unsubscribe"))
    )
    post(
        database, {"event": "account_status_change", "timestamp": 1_793_000_000, "type": "warned", "reason": "a@b.org"}
    )
    with database.read() as session:
        bodies = session.scalars(select(ReceivedPost.body)).all()
        rows = [str(vars(row)) for row in session.scalars(select(KeptEvent))]
        (account,) = list_account_events(session, NOON - timedelta(days=365))
    assert bodies == [None, None]
    assert account.reason == "warned: (address)"
    for word in ("example.org", "b.org", "192.0.2.7", "phone"):
        assert not any(word in row for row in rows), word


def test_posts_are_deleted_when_they_are_old_enough(database: Database, mails: list[Mail]) -> None:
    post(database, mails[0].event("bounce"))
    look_through(database, StillClock(NOON + timedelta(days=30)), EVENT_RULES)
    with database.read() as session:
        assert session.scalars(select(ReceivedPost)).one()
    look_through(database, StillClock(NOON + timedelta(days=31)), EVENT_RULES)
    with database.read() as session:
        assert session.scalars(select(ReceivedPost)).all() == []
        assert session.scalars(select(KeptEvent)).one()


@pytest.mark.parametrize(
    ("days", "delivered_on", "given_up"),
    [
        ((2, 11, 20), None, True),
        ((2, 11), None, False),
        ((2, 11, 33), None, False),
        ((2, 11, 20), 15, False),
        ((2, 11, 20), 1, True),
    ],
)
def test_three_soft_bounces_with_nothing_between_give_an_address_up(
    database: Database, mails: list[Mail], days: Sequence[int], delivered_on: int | None, given_up: bool
) -> None:
    reader = mails[0]
    if delivered_on is not None:
        post(database, reader.event("delivered", NOON + timedelta(days=delivered_on)))
    soft = [unnamed(reader.event("bounce", NOON + timedelta(days=day), type="blocked")) for day in days]
    post(database, *soft, *soft, now=NOON + timedelta(days=max(days), hours=23))
    look_through(database, StillClock(NOON + timedelta(days=max(days), hours=23)), EVENT_RULES)
    assert suppressed_for(database) == [], "an event that tells otherwise may still come"
    look_through(database, StillClock(NOON + timedelta(days=max(days), hours=25)), EVENT_RULES)
    assert suppressed_for(database) == ([SuppressionReason.BOUNCED] if given_up else [])


def test_a_post_that_cannot_be_applied_keeps_no_other_from_it(database: Database, mails: list[Mail]) -> None:
    with database.write() as session:
        session.add(ReceivedPost(received_at=NOON, state=PostState.WAITING, body=b"\xff"))
    post(database, mails[0].event("delivered"))
    assert state_of(database, mails[0]) is DeliveryState.DELIVERED
    with database.read() as session:
        states = session.scalars(select(ReceivedPost.state).order_by(ReceivedPost.number)).all()
    assert states == [PostState.SET_ASIDE, PostState.APPLIED]
    assert apply_waiting(database, StillClock(), EVENT_RULES) == 0


def test_the_sums_always_add_up(database: Database, mails: list[Mail]) -> None:
    names = ("processed", "delivered", "deferred", "bounce", "dropped")
    post(database, *(mail.event(name) for mail, name in zip(mails, names, strict=False)))
    with database.read() as session:
        found = reconcile(session, EDITION, now=NOON + timedelta(hours=25))
    assert found.handed_over == 6
    assert (found.delivered, found.deferred, found.bounced, found.dropped, found.not_heard_of) == (1, 1, 1, 1, 2)
    assert (found.silent_for_a_day, found.silent_for_three) == (2, 0)


def test_silence_for_an_hour_is_told(database: Database, mails: list[Mail]) -> None:
    with database.read() as session:
        assert reconcile(session, EDITION, now=NOON + timedelta(minutes=59)).gaps == ()
        (gap,) = reconcile(session, EDITION, now=NOON + timedelta(minutes=61)).gaps
    assert "The webhook may be down" in gap
    post(database, mails[0].event("delivered"), now=NOON + timedelta(minutes=50))
    with database.read() as session:
        assert reconcile(session, EDITION, now=NOON + timedelta(minutes=61)).gaps == ()


LIVES: Sequence[Callable[[Mail], list[dict[str, Any]]]] = (
    lambda mail: [],
    lambda mail: [mail.event("delivered")],
    lambda mail: [mail.event("deferred"), mail.event("deferred", LATER), mail.event("delivered", LATER)],
    lambda mail: [mail.event("deferred"), mail.event("bounce", LATER, type="blocked", reason="full")],
    lambda mail: [mail.event("bounce", type="bounce", reason="gone")],
    lambda mail: [mail.event("delivered"), mail.event("bounce", LATER, type="bounce")],
    lambda mail: [mail.event("delivered"), unnamed(mail.event("bounce", LATER, type="bounce"))],
    lambda mail: [mail.event("dropped", reason="Bounced Address")],
    lambda mail: [mail.event("dropped", reason="Unsubscribed Address")],
    lambda mail: [mail.event("delivered"), mail.event("spamreport", LATER), mail.event("unsubscribe", LATER)],
    lambda mail: [mail.event("delivered"), mail.event("group_unsubscribe", LATER, asm_group_id=1)],
)


@pytest.fixture
def begun(tmp_path: Path, sqlite_template: Path) -> tuple[Path, list[Mail]]:
    """A SQLite file with a send under way, to copy for each history."""
    path = tmp_path / "begun.sqlite3"
    shutil.copy(sqlite_template, path)
    database = open_database(f"sqlite:///{path}")
    mails = begin_send(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    database.close()
    return path, mails


def end_of(begun: Path, posts: Sequence[Sequence[Entry]]) -> dict[str, Any]:
    copy = begun.with_name("copy.sqlite3")
    shutil.copy(begun, copy)
    database = open_database(f"sqlite:///{copy}")
    try:
        post_all(database, posts)
        return all_that_matters(database)
    finally:
        database.close()
        for path in begun.parent.glob("copy.sqlite3*"):
            path.unlink()


def split(entries: Sequence[Entry], cuts: Sequence[int]) -> Iterator[Sequence[Entry]]:
    places = sorted({0, len(entries), *(cut % (len(entries) + 1) for cut in cuts)})
    yield from (entries[start:end] for start, end in pairwise(places))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.sampled_from(LIVES), min_size=PEOPLE, max_size=PEOPLE),
    repeats=st.lists(st.tuples(st.integers(0, 100), st.sampled_from(["same", "none", "another"])), max_size=12),
    cuts=st.lists(st.integers(0, 100), max_size=4),
    shuffle=st.randoms(use_true_random=False),
)
def test_any_order_split_and_repetition_of_a_history_ends_the_same(
    begun: tuple[Path, list[Mail]],
    lives: Sequence[Callable[[Mail], list[dict[str, Any]]]],
    repeats: Sequence[tuple[int, str]],
    cuts: Sequence[int],
    shuffle: Any,
) -> None:
    path, mails = begun
    history = [
        event for mail, life in zip(mails, lives, strict=True) for event in [mail.event("processed"), *life(mail)]
    ]
    told = list(history)
    for place, number in repeats:
        again = dict(history[place % len(history)])
        if number == "none":
            again.pop("sg_event_id", None)
        elif number == "another":
            again["sg_event_id"] = f"again-{place}"
        told.append(again)
    shuffle.shuffle(told)
    assert end_of(path, list(split(told, cuts))) == end_of(path, [history])


def test_a_notice_that_bounces_is_no_bounce_of_an_edition_and_suppresses_the_address(
    database: Database, mails: list[Mail]
) -> None:
    before = all_that_matters(database)
    about_ann = {"timestamp": int(NOON.timestamp()) + 600, "newsletter_notice": "reader7t1"}
    soft = {**about_ann, "event": "bounce", "type": "blocked", "email": "reader1@example.org"}
    post(database, soft, {**about_ann, "event": "delivered", "email": "reader2@example.org"})
    after = all_that_matters(database)
    assert after["deliveries"] == before["deliveries"]
    assert [kept.edition for kept in after["kept"]] == [None]

    hard = {**about_ann, "event": "bounce", "type": "bounce", "email": "reader1@example.org"}
    spam = {**about_ann, "event": "spamreport", "email": "stranger@example.org"}
    post(database, hard, spam)
    after = all_that_matters(database)
    assert after["deliveries"] == before["deliveries"]
    assert {row.reason for row in after["suppressions"]} == {SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED}
    assert dict(after["people"])[1] is SubscriberState.SUPPRESSED

"""A send reaches everybody it is for, once, and tells what became of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter.campaigns.model import AudienceRule
from newsletter.database.audit import SCHEDULER, SHELL, AuditLine
from newsletter.database.session import Database
from newsletter.delivery import batches, planning, steering
from newsletter.delivery.model import (
    BatchState,
    ContentChanged,
    DeliveryState,
    LostClaim,
    SendState,
    Verdict,
    delivery_id,
)
from newsletter.delivery.queries import get_progress, list_uncertain
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.delivery.worker import Step, send_next_batch
from newsletter.editions.actions import schedule
from newsletter.editions.model import EditionState
from newsletter.editions.queries import get_edition
from newsletter.editions.tables import Edition
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalReceipt, Receipt
from newsletter.providers.mailbox import MailboxTransport, list_mails, read_mail
from newsletter.rendering.model import LinkTag
from newsletter.schedule import jobs
from newsletter.schedule.jobs import run_until_idle
from newsletter.subscribers.actions import add_subscriber, suppress, unsubscribe
from newsletter.subscribers.model import LeftOut, NewSubscriber, SuppressionReason
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.tokens import Bearer, Purpose, Tokens
from tests.factories import (
    KEY,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_many,
    add_people,
    add_readers,
    approved_edition,
    ask,
    edition_for,
    find_cast,
    first_uncertain,
    scheduled_edition,
    snapshot,
    worker,
)


def planned(database: Database, people: int, transport: FakeTransport) -> tuple[str, StillClock]:
    """An edition whose send is planned and runs, and the clock."""
    clock = StillClock()
    edition = edition_for(database, people)
    jobs.reconcile(worker(database, transport, clock), RULES)
    return edition, clock


def test_everybody_gets_it_once_and_the_send_finishes(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 35, transport)
    assert jobs.send_all(worker(database, transport, clock), rules=RULES) == 4
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.state, progress.handed_over, progress.planned) == (SendState.FINISHED, 35, 0)
        assert get_edition(session, edition).state is EditionState.SENDING
    assert len(transport.accepted) == len(set(transport.accepted)) == 35

    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 35, "a second run sends nothing"


def test_batches_are_of_one_variant_and_of_the_limit(database: Database) -> None:
    transport = FakeTransport(batch_limit=4)
    clock = StillClock()
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 9)
        add_people(session, 5, text_only=True)
    scheduled_edition(database, cast)
    run_until_idle(worker(database, transport, clock), RULES)
    assert sorted(len(batch.people) for batch in transport.batches) == [1, 1, 4, 4, 4]
    for batch in transport.batches:
        plain = {person.recipient.address.startswith("plain") for person in batch.people}
        assert plain == {batch.html is None}


def test_planning_in_chunks_plans_everybody_once(database: Database) -> None:
    transport = FakeTransport(batch_limit=100)
    clock = StillClock()
    with database.write() as session:
        cast = add_cast(session)
        add_many(session, 2_345)
    edition = scheduled_edition(database, cast)
    jobs.open_due(worker(database, transport, clock), RULES)
    more, rounds = True, 0
    while more:
        with database.write() as session:
            serial = get_edition(session, edition).serial
            more = planning.plan_audience(session, serial, actor=SCHEDULER, now=NOON, zone=RULES.zone, chunk=1_000)
            rounds += 1
    assert rounds == 4
    with database.read() as session:
        sizes = session.scalars(select(Batch.people).order_by(Batch.number)).all()
        assert sizes == [100] * 23 + [45]
        assert len(session.scalars(select(Delivery.subscriber)).all()) == 2_345


def test_each_one_left_out_is_told_with_the_reason(database: Database) -> None:
    transport = FakeTransport()
    clock = StillClock()
    before = NOON - timedelta(days=3)
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 2)

        def person(name: str, language: str = "en", topics: tuple[str, ...] = ()) -> int:
            return add_subscriber(
                session,
                NewSubscriber(f"{name}@example.org", language, topics),
                consent_source="form",
                suppression_key=KEY,
                actor=SHELL,
                now=before,
            ).number

        ask(session, "pending@example.org", now=before)
        unsubscribe(session, person("gone"), source="link", actor=SHELL, now=before)
        person("bounced")
        suppress(
            session,
            "Bounced@example.org",
            reason=SuppressionReason.BOUNCED,
            source="provider",
            suppression_key=KEY,
            actor=SHELL,
            now=before,
        )
        person("french", "fr")
        person("sleep", topics=("sleep",))
        person("pain", topics=("sleep", "pain"))
    edition = scheduled_edition(database, cast, given=snapshot(audience=AudienceRule(topics=("pain",))))
    jobs.reconcile(worker(database, transport, clock), RULES)
    with database.write() as session:
        add_readers(session, [NewSubscriber("later@example.org", "en", ())], now=NOON + timedelta(seconds=1))
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.handed_over == 3
    assert dict(progress.left_out) == {
        LeftOut.NOT_CONFIRMED: 1,
        LeftOut.LEFT: 1,
        LeftOut.SUPPRESSED: 1,
        LeftOut.OTHER_LANGUAGE: 1,
        LeftOut.OTHER_TOPIC: 1,
    }


def test_who_was_mailed_lately_is_left_out_where_the_rule_says_so(database: Database) -> None:
    transport = FakeTransport()
    _, clock = planned(database, 3, transport)
    run_until_idle(worker(database, transport, clock), RULES)
    clock.go(days=5)
    with database.write() as session:
        newest = NewSubscriber("reader4@example.org", "en", ())
        add_readers(session, [newest], now=clock.now() - timedelta(days=1))
    rule = AudienceRule(not_mailed_within=7)
    with database.write() as session:
        cast = find_cast(session)
    edition = scheduled_edition(database, cast, clock.now(), snapshot(mailing="second", audience=rule))
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, dict(progress.left_out)) == (1, {LeftOut.MAILED_LATELY: 3})


def test_who_leaves_after_planning_is_dropped_in_the_last_moment(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 12, transport)
    with database.write() as session:
        gone = get_subscriber(session, "reader3@example.org").number
        unsubscribe(session, gone, source="link", actor=SHELL, now=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert progress.handed_over == 11
        assert dict(progress.left_out) == {LeftOut.LEFT: 1}
    assert delivery_id(1, gone) not in transport.accepted


def test_who_leaves_between_building_and_commit_is_not_in_what_goes_out(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 3, transport)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        for n in (1, 2, 3):
            number = get_subscriber(session, f"reader{n}@example.org").number
            unsubscribe(session, number, source="link", actor=SHELL, now=clock.now())
    with database.write() as session:
        assert batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now()) is None
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
    assert transport.batches == []


def test_nothing_is_handed_over_inside_a_transaction(database: Database) -> None:
    class Asking(FakeTransport):
        def send(self, batch: OutgoingBatch) -> Receipt:
            with database.write() as session:  # on SQLite this would wait for ever if one were open
                attempt = session.get_one(Attempt, batch.people[0].custom_args["newsletter_attempt"])
                assert attempt.people == len(batch.people)
            return super().send(batch)

    transport = Asking()
    _, clock = planned(database, 5, transport)
    assert send_next_batch(worker(database, transport, clock)) is Step.SENT


def test_changed_bytes_are_never_sent(database: Database) -> None:
    transport = FakeTransport(batch_limit=2)
    edition, clock = planned(database, 4, transport)
    assert send_next_batch(worker(database, transport, clock)) is Step.SENT
    with database.write() as session:
        session.execute(update(Edition).values(html="<p>Something else</p>"))
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.state, progress.handed_over) == (SendState.PAUSED, 2)
        assert "not what was approved" in progress.note


@pytest.mark.parametrize("part", ["html", "text"])
def test_a_letter_that_nobody_could_leave_by_is_never_sent(database: Database, part: str) -> None:
    transport = FakeTransport()
    given = snapshot()
    whole = getattr(given.content, part)
    content = replace(given.content, **{part: whole.replace(LinkTag.UNSUBSCRIBE.value, "")})
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 4)
    edition, clock = scheduled_edition(database, cast, given=replace(given, content=content)), StillClock()
    jobs.reconcile(worker(database, transport, clock), RULES)
    assert send_next_batch(worker(database, transport, clock)) is Step.GAVE_UP
    assert transport.batches == []
    with database.read() as session:
        assert "no link to leave by" in get_progress(session, edition).note


def test_links_made_while_the_edition_said_otherwise_are_never_sent(database: Database) -> None:
    transport = FakeTransport()
    _, clock = planned(database, 4, transport)
    with database.write() as session:
        approved = session.scalars(select(Edition.base_url)).one()
        session.execute(update(Edition).values(base_url="https://elsewhere.example.org"))
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        session.execute(update(Edition).values(base_url=approved))
    with pytest.raises(ContentChanged), database.write() as session:
        batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())


def test_changed_bytes_are_held_before_a_send_begins(database: Database) -> None:
    clock = StillClock()
    edition = edition_for(database, 1)
    with database.write() as session:
        session.execute(update(Edition).values(subject="Another"))
    run_until_idle(worker(database, FakeTransport(), clock), RULES)
    with database.read() as session:
        row = get_edition(session, edition)
        assert row.state is EditionState.HELD
        assert "content" in row.note


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        (Receipt(Outcome.TRY_AGAIN, "no route"), BatchState.PLANNED),
        (Receipt(Outcome.REJECTED, "no subject"), BatchState.PLANNED),
        (Receipt(Outcome.UNCERTAIN, "cut"), BatchState.UNCERTAIN),
        (Receipt(Outcome.ACCOUNT_TROUBLE, "Maximum credits exceeded"), BatchState.PLANNED),
        (Receipt(Outcome.TOO_LARGE), BatchState.PLANNED),
    ],
)
def test_each_answer_has_its_consequence(database: Database, receipt: Receipt, state: BatchState) -> None:
    transport = FakeTransport(answers=[receipt])
    edition, clock = planned(database, 6, transport)
    send_next_batch(worker(database, transport, clock))
    with database.read() as session:
        assert session.scalars(select(Batch.state).where(Batch.number == 1)).one() is state
        paused = receipt.outcome is Outcome.ACCOUNT_TROUBLE
        assert get_progress(session, edition).state is (SendState.PAUSED if paused else SendState.RUNNING)
    if paused:
        with database.write() as session:
            steering.resume(
                session, edition, actor=find_cast(session).max, now=clock.now(), late_after=RULES.late_after
            )
    clock.go(minutes=10)
    run_until_idle(worker(database, transport, clock), RULES)
    uncertain = receipt.outcome is Outcome.UNCERTAIN
    assert len(transport.accepted) == len(set(transport.accepted)) == (0 if uncertain else 6)
    with database.read() as session:
        assert get_progress(session, edition).state is (SendState.RUNNING if uncertain else SendState.FINISHED)


def test_what_is_uncertain_waits_for_a_named_person(database: Database) -> None:
    transport = FakeTransport(answers=[TimeoutError("read timed out")])
    edition, clock = planned(database, 3, transport)
    run_until_idle(worker(database, transport, clock), RULES)
    clock.go(days=3)
    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.batches) == 1, "nothing is repeated by itself"
    with database.write() as session:
        actor = find_cast(session).max
        attempt = first_uncertain(session, edition)
        steering.settle_uncertain(session, edition, attempt, Verdict.SEND_AGAIN, actor=actor, now=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
        assert get_progress(session, edition).handed_over == 3
    with database.write() as session, pytest.raises(Refused, match="not uncertain"):
        steering.settle_uncertain(session, edition, attempt, Verdict.SENT, actor=actor, now=clock.now())


def test_two_attempts_without_an_answer_are_settled_each_by_itself(database: Database) -> None:
    transport = FakeTransport(answers=[TimeoutError("read timed out"), TimeoutError("read timed out")])
    edition, clock = planned(database, 3, transport)
    run_until_idle(worker(database, transport, clock), RULES)
    with database.write() as session:
        actor = find_cast(session).max
        first = first_uncertain(session, edition)
        unsubscribe(session, 1, source="page", actor=SHELL, now=clock.now())
        steering.settle_uncertain(session, edition, first, Verdict.SEND_AGAIN, actor=actor, now=clock.now())
    clock.go(minutes=1)
    run_until_idle(worker(database, transport, clock), RULES)
    with database.write() as session:
        in_doubt = {attempt.id: people for attempt, people in list_uncertain(session, edition)}
        assert in_doubt[first] == 1, "who left was not in the second attempt"
        (second,) = in_doubt.keys() - {first}
        assert in_doubt[second] == 2
        steering.settle_uncertain(session, edition, first, Verdict.SENT, actor=actor, now=clock.now())
        steering.settle_uncertain(session, edition, second, Verdict.NOT_SENT, actor=actor, now=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.state is SendState.FINISHED
    assert (progress.handed_over, progress.left_out[LeftOut.NOT_SENT]) == (1, 2)


def test_being_asked_to_slow_down_lets_the_whole_send_wait_and_breaks_nothing(database: Database) -> None:
    transport = FakeTransport(batch_limit=1)
    edition, clock = planned(database, 8, transport)
    for _ in range(7):
        transport.answers = [Receipt(Outcome.TRY_AGAIN, "slow down", not_before=clock.now() + timedelta(seconds=60))]
        before = len(transport.batches)
        run_until_idle(worker(database, transport, clock), RULES)
        assert len(transport.batches) == before + 1, "nothing goes while the provider asks us to wait"
        clock.go(seconds=61)
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).state is SendState.FINISHED
    assert len(transport.accepted) == len(set(transport.accepted)) == 8


def test_one_refused_person_does_not_keep_the_mail_from_the_others(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 4, transport)
    with database.read() as session:
        bad = delivery_id(1, get_subscriber(session, "reader2@example.org").number)
    named = {bad: PersonalReceipt(Outcome.REJECTED, "bad address two@example.org")}
    transport.answers = [Receipt(Outcome.REJECTED, "400", people=named)]
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.refused, progress.state) == (3, 1, SendState.FINISHED)
        reasons = session.scalars(select(Delivery.reason).where(Delivery.state == DeliveryState.REFUSED)).all()
        assert reasons == ["bad address (address)"]


def test_answers_for_each_person_are_kept_apart(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 4, transport)
    ids = [delivery_id(1, n) for n in range(1, 5)]
    people = {
        ids[0]: PersonalReceipt(Outcome.REJECTED, "no such box"),
        ids[1]: PersonalReceipt(Outcome.TRY_AGAIN, "busy"),
        ids[2]: PersonalReceipt(Outcome.UNCERTAIN, "cut"),
    }
    transport.answers = [Receipt(Outcome.ACCEPTED, people=people)]
    run_until_idle(worker(database, transport, clock), RULES)
    clock.go(minutes=10)
    run_until_idle(worker(database, transport, clock), RULES)
    assert transport.accepted == [ids[3], ids[1]]
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.refused, progress.uncertain) == (2, 1, 1)
        assert progress.state is SendState.RUNNING


def test_five_failures_in_a_row_pull_the_brake(database: Database) -> None:
    transport = FakeTransport(answers=[Receipt(Outcome.TRY_AGAIN, "no route")] * 9, batch_limit=1)
    edition, clock = planned(database, 8, transport)
    waits = []
    for _ in range(5):
        run_until_idle(worker(database, transport, clock), RULES)
        with database.read() as session:
            waits.append(get_progress(session, edition).state)
        clock.go(minutes=1)
    assert waits == [SendState.RUNNING] * 4 + [SendState.PAUSED]
    assert len(transport.batches) == 5, "what stops one batch stops the others too: they wait with it"
    with database.read() as session:
        assert get_progress(session, edition).note == "5 attempts in a row have failed, the last: no route"


def test_a_worker_that_lost_its_claim_sends_nothing(database: Database) -> None:
    transport = FakeTransport()
    _, clock = planned(database, 2, transport)
    with database.write() as session:
        old = batches.claim(session, worker="frozen", transport="fake", actor=SCHEDULER, now=clock.now())
        assert old is not None
    clock.go(minutes=5)
    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 2
    with database.write() as session, pytest.raises(LostClaim):
        batches.put_in_flight(session, old, actor=SCHEDULER, now=clock.now())


def test_an_answer_that_comes_after_all_settles_an_uncertain_batch(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 2, transport)
    with database.write() as session:
        claim = batches.claim(session, worker="slow", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
        assert flight is not None
    clock.go(minutes=5)
    jobs.reconcile(worker(database, transport, clock), RULES)
    with database.read() as session:
        assert get_progress(session, edition).uncertain == 2
    accepted = Receipt(Outcome.ACCEPTED, reference="ref")
    with database.write() as session:
        assert batches.record_answer(session, flight, accepted, actor=SCHEDULER, now=clock.now())
        assert not batches.record_answer(session, flight, accepted, actor=SCHEDULER, now=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.state) == (2, SendState.FINISHED)
    assert transport.batches == []


def test_who_leaves_after_a_try_without_an_answer_stays_uncertain_when_it_is_repeated(database: Database) -> None:
    transport = FakeTransport(idempotent=True)
    edition, clock = planned(database, 3, transport)
    with database.write() as session:
        claim = batches.claim(session, worker="killed", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
        first = batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
        assert first is not None
    with database.write() as session:
        gone = get_subscriber(session, "reader2@example.org").number
        unsubscribe(session, gone, source="link", actor=SHELL, now=clock.now())
    clock.go(minutes=5)
    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 2, "the repeat goes to those who have not left"
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.uncertain, progress.state) == (2, 1, SendState.RUNNING)
    with database.write() as session:
        accepted = Receipt(Outcome.ACCEPTED)
        assert batches.record_answer(session, first, accepted, actor=SCHEDULER, now=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.uncertain, progress.state) == (3, 0, SendState.FINISHED)


def test_a_start_that_is_too_late_is_held(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 1)
    edition = scheduled_edition(database, cast)
    clock.go(hours=2, seconds=1)
    transport = FakeTransport()
    run_until_idle(worker(database, transport, clock), RULES)
    assert transport.batches == []
    with database.write() as session:
        row = get_edition(session, edition)
        assert (row.state, row.note) == (EditionState.HELD, "it was due more than 2 hours ago")
        schedule(session, edition, actor=cast.max, now=clock.now(), at=clock.now())
    run_until_idle(worker(database, transport, clock), RULES)
    assert len(transport.accepted) == 1


def test_pause_resume_and_stop_act_on_the_next_batch(database: Database) -> None:
    transport = FakeTransport(batch_limit=2)
    edition, clock = planned(database, 8, transport)
    boss = worker(database, transport, clock)
    send_next_batch(boss)
    with database.write() as session:
        cast = find_cast(session)
        steering.pause(session, edition, actor=cast.max, now=clock.now())
    assert send_next_batch(boss) is Step.NOTHING_TO_DO
    with database.write() as session, pytest.raises(Refused, match="its send is paused"):
        steering.pause(session, edition, actor=cast.max, now=clock.now())
    clock.go(hours=3)
    with database.write() as session, pytest.raises(Refused, match="--although-late"):
        steering.resume(session, edition, actor=cast.max, now=clock.now(), late_after=RULES.late_after)
    with database.write() as session:
        steering.resume(
            session, edition, actor=cast.max, now=clock.now(), late_after=RULES.late_after, although_late=True
        )
    send_next_batch(boss)
    with database.write() as session:
        assert steering.stop(session, edition, actor=cast.max, now=clock.now()) == 4
    assert send_next_batch(boss) is Step.NOTHING_TO_DO
    with database.write() as session, pytest.raises(Refused, match="its send is stopped"):
        steering.stop(session, edition, actor=cast.max, now=clock.now())
    with database.read() as session:
        progress = get_progress(session, edition)
        assert (progress.handed_over, progress.planned, progress.left_out) == (4, 0, {LeftOut.STOPPED: 4})


def test_an_author_may_not_stop_a_send(database: Database) -> None:
    edition, clock = planned(database, 1, FakeTransport())
    with database.write() as session, pytest.raises(Refused, match="may not pause, resume or stop"):
        steering.stop(session, edition, actor=find_cast(session).ada, now=clock.now())


def test_opening_twice_opens_once(database: Database) -> None:
    with database.write() as session:
        cast = add_cast(session)
        edition = approved_edition(session, cast)
        schedule(session, edition, actor=cast.max, now=NOON, at=NOON)
        serial = get_edition(session, edition).serial

        def open_it() -> EditionState | None:
            return planning.open_send(
                session,
                serial,
                actor=SCHEDULER,
                now=NOON,
                late_after=RULES.late_after,
                transport="fake",
                batch_limit=10,
            )

        assert [open_it(), open_it()] == [EditionState.SENDING, None]
        assert len(session.scalars(select(Send)).all()) == 1


def test_the_walk_of_a_batch_is_in_the_audit(database: Database) -> None:
    transport = FakeTransport()
    edition, clock = planned(database, 1, transport)
    run_until_idle(worker(database, transport, clock), RULES)
    with database.read() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.number)).all()
    told = [line.action for line in lines if line.subject in (f"edition:{edition}", "batch:1/1")]
    assert told == [
        "edition submitted",
        "edition approved",
        "edition scheduled",
        "edition started",
        "send opened",
        "send planned",
        "batch claimed",
        "batch in flight",
        "batch accepted",
        "send finished",
    ]
    assert len({line.content_hash for line in lines if line.subject == f"edition:{edition}"}) == 1
    assert not any("@" in str(vars(line)) for line in lines)


def test_the_mailbox_has_a_mail_for_each_with_links_that_are_theirs(database: Database, tmp_path: Path) -> None:
    clock = StillClock()
    transport = MailboxTransport(tmp_path / "mailbox")
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 2)
        add_people(session, 1, text_only=True)
    scheduled_edition(database, cast)
    run_until_idle(worker(database, transport, clock), RULES)
    kept = list_mails(tmp_path / "mailbox")
    assert {mail.recipient for mail in kept} == {"reader1@example.org", "reader2@example.org", "plain1@example.org"}
    mail = read_mail(tmp_path / "mailbox", next(m.name for m in kept if m.recipient == "reader2@example.org"))
    headers = dict(mail.headers)
    token = headers["List-Unsubscribe"].removeprefix("<https://news.example.org/unsubscribe/").removesuffix(">")
    assert Tokens([KEY]).read(Purpose.UNSUBSCRIBE, token, now=NOON) == Bearer(2, 1)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.html is not None
    assert f"/unsubscribe/{token}" in mail.html
    assert f"/unsubscribe/{token}" in mail.text
    assert "-link-" not in mail.html + mail.text

"""Staff are told once of what waits for a person, and nothing of it ever hurts a send."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from newsletter.database.audit import SHELL
from newsletter.database.instance import lock, unlock
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import SendState, Verdict, delivery_id
from newsletter.delivery.queries import get_progress, list_uncertain
from newsletter.mail import Mailbox
from newsletter.notices.desk import Desk
from newsletter.notices.letters import write_letter
from newsletter.notices.mailing import GIVEN_UP_AFTER, TELL_AFTER, tell_staff
from newsletter.providers.contract import Outcome, PersonalReceipt, Receipt
from newsletter.rendering.brand import read_brand
from newsletter.schedule import jobs
from newsletter.settings import read_settings
from newsletter.staff.model import NoticeKind, WantedNotice
from newsletter.staff.tables import Notice
from newsletter.subscribers.actions import suppress
from newsletter.subscribers.model import SuppressionReason
from newsletter.wiring import make_desk
from tests.factories import (
    KEY,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    edition_for,
    find_cast,
    scheduled_edition,
    worker,
)

MAY_STEER = {"root@example.org", "max@example.org"}


def desk_of(database: Database, workspace: Path, clock: StillClock, transport: FakeTransport) -> Desk:
    """A desk in a fresh workspace."""
    sender = Mailbox("news@example.org", "The Clinic")
    return Desk(database, transport, clock, workspace, "The Clinic", sender, Mailbox("desk@example.org"))


def send_with(database: Database, transport: FakeTransport, clock: StillClock, people: int = 3) -> str:
    """An edition that is sent as far as it goes by itself."""
    edition = edition_for(database, people)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    return edition


def test_a_send_that_pauses_itself_is_told_once_to_those_who_may_steer(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    trouble = Receipt(Outcome.ACCOUNT_TROUBLE, "no credit left for news@clinic.example.org")
    edition = send_with(database, FakeTransport(answers=[trouble]), clock)
    desk = desk_of(database, workspace, clock, post)
    assert [tell_staff(desk) for _ in range(2)] == [1, 0]
    (mail,) = post.batches
    assert {person.recipient.address for person in mail.people} == MAY_STEER
    assert mail.subject == f"The send of {edition} has paused itself"
    assert "the provider refuses us: no credit left for (address)." in mail.text
    assert f"newsletter resume {edition} --as YOUR-ADDRESS" in mail.text
    assert mail.html is not None
    assert f"newsletter resume {edition}" in mail.html
    assert "reader" not in mail.text + mail.html


def test_from_a_locked_database_nobody_is_told_until_it_is_unlocked(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "no credit left")]), clock)
    desk = desk_of(database, workspace, clock, post)
    with database.write() as session:
        lock(session, "it is a copy", actor=SHELL, now=clock.now())
    assert (tell_staff(desk), post.batches) == (0, [])
    with database.write() as session:
        unlock(session, actor=SHELL, now=clock.now())
    assert tell_staff(desk) == 1


def test_what_a_person_does_is_told_to_nobody(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        cast = add_cast(session)
        add_people(session, 3)
    edition = scheduled_edition(database, cast)
    jobs.reconcile(worker(database, FakeTransport(), clock), RULES)
    with database.write() as session:
        steering.pause(session, edition, actor=cast.max, now=clock.now())
    assert tell_staff(desk_of(database, workspace, clock, post)) == 0


def test_each_pause_is_told_by_itself(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    trouble = Receipt(Outcome.ACCOUNT_TROUBLE, "a bad key")
    transport = FakeTransport(answers=[trouble, trouble])
    edition = send_with(database, transport, clock)
    desk = desk_of(database, workspace, clock, post)
    tell_staff(desk)
    clock.go(minutes=5)
    with database.write() as session:
        boss = find_cast(session).max
        steering.resume(session, edition, actor=boss, now=clock.now(), late_after=RULES.late_after)
    jobs.run_until_idle(worker(database, transport, clock), RULES)
    tell_staff(desk)
    assert len(post.batches) == 2


def test_a_held_edition_is_told_with_the_reason(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        cast = add_cast(session)
    edition = scheduled_edition(database, cast)
    clock.go(hours=3)
    jobs.run_until_idle(worker(database, FakeTransport(), clock), RULES)
    assert tell_staff(desk_of(database, workspace, clock, post)) == 1
    assert post.batches[0].subject == f"{edition} is held and has not gone out"
    assert "it was due more than 2 hours ago" in post.batches[0].text


def test_attempts_without_an_answer_are_told_after_a_quarter_of_an_hour_and_each_once(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    unclear = Receipt(Outcome.UNCERTAIN, "no answer")
    transport = FakeTransport(batch_limit=1, answers=[unclear] * 3)
    edition = send_with(database, transport, clock, people=4)
    desk = desk_of(database, workspace, clock, post)
    clock.time = NOON + TELL_AFTER - timedelta(seconds=1)
    assert tell_staff(desk) == 0
    with database.write() as session:
        attempts = [attempt.id for attempt, _ in list_uncertain(session, edition)]
        boss = find_cast(session).max
        steering.settle_uncertain(session, edition, attempts[0], Verdict.SENT, actor=boss, now=clock.now())
    clock.go(seconds=1)
    assert [tell_staff(desk) for _ in range(2)] == [1, 0]
    (mail,) = post.batches
    assert [attempt in mail.text for attempt in attempts] == [False, True, True]
    assert f"newsletter settle {edition} NAME not-sent --as YOUR-ADDRESS" in mail.text


def test_one_person_without_an_answer_is_told_though_the_others_of_the_attempt_were_accepted(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    unclear = {delivery_id(1, 2): PersonalReceipt(Outcome.UNCERTAIN, "the line broke")}
    edition = send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCEPTED, people=unclear)]), clock)
    clock.go(minutes=20)
    assert [tell_staff(desk_of(database, workspace, clock, post)) for _ in range(2)] == [1, 0]
    with database.read() as session:
        ((attempt, people),) = list_uncertain(session, edition)
    assert people == 1
    assert attempt.id in post.batches[0].text


def test_a_notice_that_was_not_accepted_is_tried_again_with_growing_waits(database: Database, workspace: Path) -> None:
    clock = StillClock()
    held = Receipt(Outcome.TRY_AGAIN, "no route to max@example.org")
    post = FakeTransport(answers=[held, held])
    edition = send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    desk = desk_of(database, workspace, clock, post)
    told = []
    for minutes in (0, 0.5, 0.5, 1, 1, 60):
        clock.go(minutes=minutes)
        told.append(tell_staff(desk))
    assert told == [0, 0, 0, 0, 1, 0]
    assert len(post.batches) == 3
    with database.read() as session:
        assert session.scalars(select(Notice.trouble)).one() == "no route to (address)"
        assert get_progress(session, edition).state is SendState.PAUSED


@pytest.mark.parametrize(
    "answer",
    [
        Receipt(Outcome.UNCERTAIN, "cut"),
        TimeoutError("cut"),
        Receipt(Outcome.ACCEPTED, people={"notice1x1": PersonalReceipt(Outcome.REJECTED, "no such box")}),
    ],
)
def test_a_notice_that_may_have_arrived_is_not_repeated(
    database: Database, workspace: Path, answer: Receipt | Exception
) -> None:
    clock, post = StillClock(), FakeTransport(answers=[answer])
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    desk = desk_of(database, workspace, clock, post)
    tell_staff(desk)
    clock.go(hours=3)
    assert tell_staff(desk) == 0
    assert len(post.batches) == 1


def test_a_broken_template_is_told_in_the_row_and_mended_while_it_runs(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    desk = desk_of(database, workspace, clock, post)
    template = workspace / "templates" / "notices" / "paused.txt.j2"
    good = template.read_text("utf-8")
    template.write_text("{{ nothing_of_the_kind }}", "utf-8")
    assert tell_staff(desk) == 0
    with database.read() as session:
        assert "UndefinedError" in session.scalars(select(Notice.trouble)).one()
    template.write_text(good, "utf-8")
    clock.go(minutes=1)
    assert tell_staff(desk) == 1


def test_a_notice_is_given_up_when_it_is_of_no_use_any_more(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    clock.time += GIVEN_UP_AFTER
    assert tell_staff(desk_of(database, workspace, clock, post)) == 0


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_a_text_also_in_a_workspace_older_than_notices(workspace: Path, kind: NoticeKind) -> None:
    shutil.rmtree(workspace / "templates" / "notices")
    edition = "" if kind is NoticeKind.MANY_SIGN_UPS else "2026-11-opening-1"
    notice = WantedNotice(1, kind, edition, "5 < 6 & so on.", ("na1", "na2"), NOON)
    letter = write_letter(notice, workspace=workspace, brand=read_brand(workspace), clinic="A & B")
    assert edition in letter.subject
    assert "5 < 6 & so on" in letter.text
    assert "5 &lt; 6 &amp; so on" in letter.html
    assert "A &amp; B" in letter.html
    assert len(letter.subject) < 78


@pytest.mark.parametrize(("smtp_url", "name"), [("", "sendgrid"), ("smtps://me:pw@mail.example.org", "smtp")])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_notices_go_by_the_mail_server_when_there_is_one_beside_sendgrid(
    database: Database, workspace: Path, smtp_url: str, name: str
) -> None:
    given = {"TRANSPORT": "sendgrid", "SENDGRID_API_KEY": "SG.x", "BASE_URL": "https://news.example.org"}
    environ = {f"NEWSLETTER_{key}": value for key, value in {**given, "SMTP_URL": smtp_url}.items() if value}
    assert make_desk(read_settings(workspace, environ), database, StillClock()).transport.name == name


def test_staff_whose_address_must_not_be_mailed_are_not_told_by_mail_and_who_only_left_are(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    desk = replace(desk_of(database, workspace, clock, post), suppression_key=KEY)
    reasons = {"max@example.org": SuppressionReason.BOUNCED, "root@example.org": SuppressionReason.UNSUBSCRIBED}
    with database.write() as session:
        for address, reason in reasons.items():
            suppress(session, address, reason=reason, source="t", suppression_key=KEY, actor=SHELL, now=clock.now())
    assert tell_staff(desk) == 1
    assert [person.recipient.address for person in post.batches[0].people] == ["root@example.org"]


def test_when_none_of_them_can_be_mailed_the_notice_waits_and_says_so(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    send_with(database, FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "x")]), clock)
    desk = replace(desk_of(database, workspace, clock, post), suppression_key=KEY)
    reason = SuppressionReason.COMPLAINED
    with database.write() as session:
        for address in MAY_STEER:
            suppress(session, address, reason=reason, source="t", suppression_key=KEY, actor=SHELL, now=clock.now())
    assert (tell_staff(desk), post.batches) == (0, [])
    with database.read() as session:
        assert "nobody who may pause" in session.scalars(select(Notice.trouble)).one()

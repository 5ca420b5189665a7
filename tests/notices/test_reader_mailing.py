"""Readers are mailed what they wait for: once, in their language, with links that work, and never if they must not."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from newsletter.database.audit import SHELL
from newsletter.database.instance import lock, unlock
from newsletter.database.session import Database
from newsletter.languages import speak, spoken_languages
from newsletter.mail import Mailbox
from newsletter.notices.desk import Desk
from newsletter.notices.letters import write_reader_letter
from newsletter.notices.reader_mailing import AGAIN_AFTER, CHOICES_WITHIN, GIVEN_UP_AFTER, ReaderDesk, ReaderMailer
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalReceipt, Receipt, Transport
from newsletter.rendering.brand import read_brand
from newsletter.schedule import jobs
from newsletter.subscribers.actions import erase, suppress, unsubscribe
from newsletter.subscribers.model import Choices, ReaderNoticeKind, SuppressionReason
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.reader_notices import CHOICES_A_DAY, count_waiting, want_reader_notice
from newsletter.subscribers.sign_up import confirm
from newsletter.subscribers.tables import ReaderNotice, Subscriber
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose, Tokens
from tests.factories import (
    KEY,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    ask,
    edition_for,
    sign_up_and_confirm,
    worker,
)

BASE_URL = "https://news.example.org"
ANN = "ann@example.org"


def desk_of(database: Database, workspace: Path, clock: StillClock, transport: Transport) -> ReaderDesk:
    """A desk in a fresh workspace."""
    sender = Mailbox("news@clinic.example.org", "The Clinic")
    desk = Desk(database, transport, clock, workspace, "The Clinic", sender, Mailbox("desk@clinic.example.org"))
    return ReaderDesk(desk, Tokens([KEY]), BASE_URL, "12 Willow Lane, Exampleton")


def want(database: Database, address: str, kind: ReaderNoticeKind, clock: StillClock) -> None:
    """Have somebody who is here told something."""
    with database.write() as session:
        person = get_subscriber(session, address)
        assert want_reader_notice(
            session, kind, person.number, address, person.language, suppression_key=KEY, now=clock.now()
        )


def link_in(batch: OutgoingBatch, path: str) -> str:
    """The token of the link to a path, which stands in text and HTML alike."""
    found = re.findall(rf"{BASE_URL}/{path}/(\S+)", batch.text)
    assert found
    assert batch.html is not None
    assert f"{BASE_URL}/{path}/{found[0]}" in batch.html
    return str(found[0])


def test_who_signs_up_is_mailed_one_link_that_confirms_it(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        number = ask(session, ANN, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    assert [mailer.look() for _ in range(2)] == [1, 0]
    (mail,) = post.batches
    (person,) = mail.people
    assert person.recipient == Mailbox(ANN)
    assert person.headers == {"Auto-Submitted": "auto-generated"}
    assert mail.to_who_left
    assert mail.subject == "Please confirm: the newsletter of The Clinic"
    assert "12 Willow Lane, Exampleton" in mail.text
    assert "for 7 days" in mail.text
    bearer = Tokens([KEY]).read(Purpose.CONFIRM, link_in(mail, "confirm"), now=clock.now() + timedelta(days=6))
    with pytest.raises(LinkRefused, match="expired"):
        Tokens([KEY]).read(Purpose.CONFIRM, link_in(mail, "confirm"), now=clock.now() + timedelta(days=7))
    with database.write() as session:
        assert bearer == Bearer(get_subscriber(session, ANN).number, number or 0)
        assert confirm(session, bearer.subscriber, bearer.edition, trace=None, suppression_key=KEY, now=clock.now())


def test_whoever_reads_and_signs_up_again_is_told_so_and_nothing_more_than_their_links(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=NOON - timedelta(days=2))
        ask(session, ANN, now=clock.now())
    ReaderMailer(desk_of(database, workspace, clock, post)).look()
    (mail,) = post.batches
    assert mail.subject == "You already get the newsletter of The Clinic"
    for path, purpose in (("preferences", Purpose.PREFERENCES), ("unsubscribe", Purpose.UNSUBSCRIBE)):
        assert Tokens([KEY]).read(purpose, link_in(mail, path), now=clock.now()) == Bearer(number)
    assert "List-Unsubscribe" not in mail.people[0].headers
    assert not mail.to_who_left


def test_the_welcome_can_be_left_by_one_click_of_a_mail_program(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=clock.now())
    ReaderMailer(desk_of(database, workspace, clock, post)).look()
    mail = post.batches[-1]
    headers = mail.people[0].headers
    link = f"{BASE_URL}/unsubscribe/{link_in(mail, 'unsubscribe')}"
    assert headers["List-Unsubscribe"] == f"<{link}>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    leaves = Tokens([KEY]).read(Purpose.UNSUBSCRIBE, link.rpartition("/")[2], now=clock.now())
    assert leaves == Bearer(number)
    assert mail.to_who_left, "who has come back may still stand on the provider's list of unsubscribes"


def test_who_leaves_before_they_are_asked_to_confirm_is_asked_nothing(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    with database.write() as session:
        ask(session, ANN, now=clock.now())
        number = get_subscriber(session, ANN).number
    clock.go(seconds=30)
    with database.write() as session:
        assert unsubscribe(session, number, source="phone", actor=SHELL, now=clock.now(), reason="they called")
    assert mailer.look() == 0

    clock.go(days=2)
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    assert mailer.look() == 1, "they ask again"


def test_who_had_left_and_says_no_to_a_new_sign_up_is_asked_nothing_until_they_ask_again(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=NOON - timedelta(days=9))
        unsubscribe(session, number, source="link", actor=SHELL, now=NOON - timedelta(days=5))
    for mails in (0, 1):
        clock.go(minutes=1)
        with database.write() as session:
            ask(session, ANN, now=clock.now())
        clock.go(minutes=1)
        if not mails:
            with database.write() as session:
                unsubscribe(session, number, source="phone", actor=SHELL, now=clock.now(), reason="they called")
        assert mailer.look() == mails


def test_another_person_who_leaves_keeps_nobody_from_being_asked_to_confirm(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    with database.write() as session:
        other = sign_up_and_confirm(session, "bob@example.org", now=NOON - timedelta(days=2))
        ask(session, ANN, now=clock.now())
    clock.go(seconds=30)
    with database.write() as session:
        assert unsubscribe(session, other, source="phone", actor=SHELL, now=clock.now(), reason="they called")
    assert mailer.look() == 1
    assert post.batches[0].people[0].recipient == Mailbox(ANN)


def test_who_holds_a_forwarded_mail_cannot_have_links_mailed_without_end(database: Database) -> None:
    clock = StillClock()
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=clock.now())
    asked = 0
    for _ in range(100):
        clock.go(minutes=11)
        with database.write() as session:
            asked += want_reader_notice(
                session, ReaderNoticeKind.CHOICES, number, ANN, "en", suppression_key=KEY, now=clock.now()
            )
    assert asked == CHOICES_A_DAY
    clock.go(days=1)
    want(database, ANN, ReaderNoticeKind.CHOICES, clock)


def test_the_welcome_leads_to_the_newest_letter_that_its_reader_can_read(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    edition_for(database, 1)
    jobs.run_until_idle(worker(database, FakeTransport(), clock), RULES)
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    texts = []
    for address, language in ((ANN, "en-GB"), ("bea@example.org", "de")):
        with database.write() as session:
            number = ask(session, address, now=clock.now(), choices=Choices(language))
            assert number
            confirm(
                session,
                get_subscriber(session, address).number,
                number,
                trace=None,
                suppression_key=KEY,
                now=clock.now(),
            )
        mailer.look()
        texts.append(post.batches[-1].text)
    assert "“Pain that was learned”" in texts[0]
    assert f"{BASE_URL}/archive/2026-11-opening" in texts[0]
    assert "/archive/" not in texts[1], "it is in a language that she does not read"


def test_a_link_to_choices_counts_its_half_hour_from_when_it_is_mailed(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        number = sign_up_and_confirm(session, ANN, now=NOON - timedelta(days=2))
    want(database, ANN, ReaderNoticeKind.CHOICES, clock)
    clock.go(minutes=20)
    ReaderMailer(desk_of(database, workspace, clock, post)).look()
    token = link_in(post.batches[0], "preferences")
    assert Tokens([KEY]).read(Purpose.CHOICES, token, now=clock.now() + timedelta(minutes=29)) == Bearer(number)
    with pytest.raises(LinkRefused, match="expired"):
        Tokens([KEY]).read(Purpose.CHOICES, token, now=clock.now() + CHOICES_WITHIN)


def test_readers_are_written_to_in_their_language(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        ask(session, ANN, now=clock.now(), choices=Choices("de-AT"))
    ReaderMailer(desk_of(database, workspace, clock, post)).look()
    (mail,) = post.batches
    assert mail.subject == "Bitte bestätigen Sie: Newsletter von The Clinic"
    assert "Der Link gilt 7 Tage." in mail.text
    assert mail.html is not None
    assert '<html lang="de" dir="ltr">' in mail.html


@pytest.mark.parametrize("reason", [reason for reason in SuppressionReason if reason is not SuppressionReason.ERASED])
def test_an_address_that_must_not_be_mailed_gets_nothing_that_was_wanted_before(
    database: Database, workspace: Path, reason: SuppressionReason
) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        sign_up_and_confirm(session, ANN, now=NOON - timedelta(days=2))
    want(database, ANN, ReaderNoticeKind.WELCOME, clock)
    with database.write() as session:
        if reason is SuppressionReason.UNSUBSCRIBED:
            unsubscribe(session, get_subscriber(session, ANN).number, source="test", actor=SHELL, now=clock.now())
        else:
            suppress(session, ANN, reason=reason, source="test", suppression_key=KEY, actor=SHELL, now=clock.now())
    assert ReaderMailer(desk_of(database, workspace, clock, post)).look() == 0
    assert post.batches == []


def test_who_was_erased_or_has_confirmed_meanwhile_is_asked_nothing(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        for address in (ANN, "bob@example.org"):
            ask(session, address, now=clock.now())
        erase(session, get_subscriber(session, ANN).number, source="test", actor=SHELL, now=clock.now())
        session.execute(update(Subscriber).where(Subscriber.address == "bob@example.org").values(state="active"))
    assert ReaderMailer(desk_of(database, workspace, clock, post)).look() == 0
    with database.read() as session:
        assert count_waiting(session, now=clock.now(), wanted_after=NOON - timedelta(days=1)).oldest is None


def test_from_a_locked_database_no_reader_is_mailed(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        ask(session, ANN, now=clock.now())
        lock(session, "it is a copy", actor=SHELL, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    assert (mailer.look(), post.batches) == (0, [])
    with database.write() as session:
        unlock(session, actor=SHELL, now=clock.now())
    assert mailer.look() == 1


@pytest.mark.parametrize("answer", [Receipt(Outcome.UNCERTAIN, "cut"), TimeoutError("cut")])
def test_a_mail_that_may_have_arrived_is_not_repeated(
    database: Database, workspace: Path, answer: Receipt | Exception
) -> None:
    clock, post = StillClock(), FakeTransport(answers=[answer])
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    for _ in range(3):
        mailer.look()
        clock.go(hours=1)
    assert len(post.batches) == 1


def test_what_was_certainly_not_accepted_is_tried_again_with_growing_waits_under_the_same_name(
    database: Database, workspace: Path
) -> None:
    clock = StillClock()
    refused = Receipt(Outcome.TRY_AGAIN, f"no route to {ANN}")
    post = FakeTransport(answers=[refused] * 3)
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    went = []
    for seconds in (0, 29, 1, 59, 1, 119, 1):
        clock.go(seconds=seconds)
        went.append((mailer.look(), len(post.batches)))
    assert went == [(0, 1), (0, 1), (0, 2), (0, 2), (0, 3), (0, 3), (1, 4)]
    assert len({batch.attempt for batch in post.batches}) == 1
    with database.read() as session:
        assert session.scalars(select(ReaderNotice.trouble)).one() == "no route to (address)"


def test_while_the_provider_is_in_trouble_one_mail_at_a_time_finds_out(database: Database, workspace: Path) -> None:
    clock = StillClock()
    post = FakeTransport(answers=[Receipt(Outcome.ACCOUNT_TROUBLE, "a bad key")] * 3)
    with database.write() as session:
        for name in "abc":
            ask(session, f"{name}@example.org", now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    mailer.look()
    assert len(post.batches) == 1
    with database.read() as session:
        waiting = count_waiting(session, now=clock.now(), wanted_after=NOON - timedelta(days=1))
    assert (waiting.count, waiting.failing, waiting.oldest) == (3, 1, NOON)


def test_when_the_provider_asks_to_slow_down_nothing_goes_until_it_may(database: Database, workspace: Path) -> None:
    clock = StillClock()
    later = NOON + timedelta(seconds=90)
    post = FakeTransport(answers=[Receipt(Outcome.ACCEPTED, not_before=later)])
    with database.write() as session:
        for name in "ab":
            ask(session, f"{name}@example.org", now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    assert [mailer.look(), mailer.look()] == [1, 0]
    clock.time = later
    assert mailer.look() == 1


def test_an_address_that_the_mail_server_refuses_for_good_is_not_tried_again(
    database: Database, workspace: Path
) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    name = f"reader1t{int(NOON.timestamp())}"
    no_such_box = PersonalReceipt(Outcome.REJECTED, f"550 5.1.1 <{ANN}> is nobody here")
    post.answers = [Receipt(Outcome.REJECTED, people={name: no_such_box})]
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    mailer.look()
    clock.go(hours=2)
    mailer.look()
    assert [batch.attempt for batch in post.batches] == [name]
    with database.read() as session:
        assert session.scalars(select(ReaderNotice.trouble)).one() == "550 5.1.1 <(address)> is nobody here"


def test_a_notice_that_nobody_waits_for_any_more_is_given_up(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    clock.time += GIVEN_UP_AFTER
    assert ReaderMailer(desk_of(database, workspace, clock, post)).look() == 0


def test_a_broken_template_is_mended_while_it_runs(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    template = workspace / "templates" / "notices" / "readers" / "confirm.txt.j2"
    good = template.read_text("utf-8")
    template.write_text("{{ nothing_of_the_kind }}", "utf-8")
    assert mailer.look() == 0
    with database.read() as session:
        assert "UndefinedError" in session.scalars(select(ReaderNotice.trouble)).one()
    template.write_text(good, "utf-8")
    clock.time += AGAIN_AFTER
    assert mailer.look() == 1


def test_a_number_that_comes_again_does_not_give_two_mails_one_name(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    for address in (ANN, "bob@example.org"):
        with database.write() as session:
            ask(session, address, now=clock.now())
        mailer.look()
        with database.write() as session:
            erase(session, get_subscriber(session, address).number, source="t", actor=SHELL, now=clock.now())
        clock.go(minutes=1)
    assert len({batch.people[0].delivery for batch in post.batches}) == 2


@pytest.mark.parametrize("language", sorted(spoken_languages()))
@pytest.mark.parametrize("kind", ReaderNoticeKind)
def test_every_kind_is_whole_in_every_language_also_in_a_workspace_without_its_text(
    workspace: Path, kind: ReaderNoticeKind, language: str
) -> None:
    shutil.rmtree(workspace / "templates" / "notices" / "readers")
    links = {name: f"{BASE_URL}/{name}/x-_9" for name in ("confirm", "preferences", "unsubscribe", "choices")}
    values = {"clinic": "A & <B>", "postal_address": "1 & 2 Lane", "reply_to": "desk@clinic.example.org"}
    letter = write_reader_letter(
        kind,
        {**values, "links": links, "confirm_days": 1, "pending_days": 30, "newest": None},
        language=speak(language),
        workspace=workspace,
        brand=read_brand(workspace),
    )
    assert len(letter.subject) < 78
    assert "A & <B>, 1 & 2 Lane" in letter.text
    assert "<B>" not in letter.html
    assert "A &amp; &lt;B&gt;" in letter.html
    assert "prefers-color-scheme: dark" in letter.html
    assert f'<html lang="{language}" dir="ltr">' in letter.html
    in_text, in_html = (set(re.findall(rf"{BASE_URL}/[\w/-]+", part)) for part in (letter.text, letter.html))
    assert in_text == in_html != set()
    assert all(len(line) <= 78 for line in letter.text.splitlines() if BASE_URL not in line)
    assert not re.search(r"<(img|script|link)\b|url\(", letter.html), "nothing is fetched"


@dataclass
class ErasingTransport(FakeTransport):
    """A provider that does not answer well, while the person is being erased."""

    database: Database | None = None

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Take a mail, and have its recipient erased."""
        assert self.database is not None
        with self.database.write() as session:
            number = get_subscriber(session, batch.people[0].recipient.address).number
            erase(session, number, source="test", actor=SHELL, now=NOON)
        return super().send(batch)


@pytest.mark.parametrize(
    "answer",
    [
        Receipt(Outcome.TRY_AGAIN, "busy"),
        Receipt(Outcome.REJECTED, people={f"reader1t{int(NOON.timestamp())}": PersonalReceipt(Outcome.REJECTED, "no")}),
    ],
)
def test_who_is_erased_while_their_mail_is_on_its_way_is_not_heard_of_again(
    database: Database, workspace: Path, answer: Receipt
) -> None:
    clock, post = StillClock(), ErasingTransport(answers=[answer], database=database)
    with database.write() as session:
        ask(session, ANN, now=clock.now())
    mailer = ReaderMailer(desk_of(database, workspace, clock, post))
    assert mailer.look() == 0
    clock.go(hours=1)
    assert mailer.look() == 0
    assert len(post.batches) == 1
    with database.read() as session:
        assert session.scalars(select(ReaderNotice)).all() == []


def test_nothing_that_was_typed_into_the_form_stands_in_the_mail(database: Database, workspace: Path) -> None:
    clock, post = StillClock(), FakeTransport()
    typed = "cheap-pills.evil.example"
    with database.write() as session:
        ask(session, f"{typed}@example.org", now=clock.now())
    ReaderMailer(desk_of(database, workspace, clock, post)).look()
    (mail,) = post.batches
    (person,) = mail.people
    assert person.recipient == Mailbox(f"{typed}@example.org")
    for part in (mail.subject, mail.text, mail.html or "", *person.headers.values()):
        assert "evil" not in part

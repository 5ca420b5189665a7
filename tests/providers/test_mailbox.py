"""The local mailbox keeps real mails, whole or not at all, and a repeat changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.errors import NotFound
from newsletter.mail import Mailbox, one_click_headers
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalMail
from newsletter.providers.mailbox import MailboxTransport, list_mails, read_mail
from tests.factories import NOON


def _batch(attempt: str = "a1", html: str | None = "<p>Grüße</p><a href='-link-'>Leave</a>") -> OutgoingBatch:
    people = tuple(
        PersonalMail(
            f"nd1x{n}",
            Mailbox(f"r{n}@example.org"),
            {"-link-": f"https://news.example.org/u/{n}"},
            one_click_headers(f"https://news.example.org/u/{n}"),
            {},
        )
        for n in (1, 2)
    )
    sender = Mailbox("news@example.org", "Klinik Grün")
    return OutgoingBatch(attempt, sender, Mailbox("desk@example.org"), "Grüße", html, "Leave: -link-\n", NOON, people)


def test_each_person_has_a_mail_with_their_own_links(tmp_path: Path) -> None:
    receipt = MailboxTransport(tmp_path / "box").send(_batch())
    assert (receipt.outcome, receipt.reference) == (Outcome.ACCEPTED, "a1")
    assert {mail.recipient for mail in list_mails(tmp_path / "box")} == {"r1@example.org", "r2@example.org"}
    mail = read_mail(tmp_path / "box", "nd1x2")
    assert mail.html is not None
    assert "Grüße" in mail.html
    assert "https://news.example.org/u/2" in mail.html
    assert mail.text == "Leave: https://news.example.org/u/2\n"
    assert mail.kept.subject == "Grüße"
    assert mail.kept.date == NOON
    assert dict(mail.headers)["List-Unsubscribe"] == "<https://news.example.org/u/2>"


def test_a_repeat_writes_the_same_bytes_and_no_second_mail(tmp_path: Path) -> None:
    box = MailboxTransport(tmp_path)
    box.send(_batch())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    box.send(_batch("a2"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_text_only_mail_has_no_html(tmp_path: Path) -> None:
    MailboxTransport(tmp_path).send(_batch(html=None))
    assert read_mail(tmp_path, "nd1x1").html is None


def test_a_folder_that_cannot_be_written_is_a_reason_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    receipt = MailboxTransport(tmp_path / "file").send(_batch())
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert "cannot be written" in receipt.reason


@pytest.mark.parametrize("name", ["nothing", "../secret", "a/b", "", "."])
def test_a_name_that_is_no_mail_is_not_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.eml").write_text("x")
    with pytest.raises(NotFound):
        read_mail(tmp_path / "box", name)

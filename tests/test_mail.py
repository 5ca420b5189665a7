"""A mail on the wire: RFC 5322 lines, headers that mailboxes can read, and the same bytes every time."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.mail import Mailbox, OutgoingEmail, one_click_headers, to_wire

MAIL = OutgoingEmail(
    sender=Mailbox("news@clinic.example.org", "Willow Läne, Clinic"),
    recipient=Mailbox("reader@example.org"),
    reply_to=Mailbox("hello@clinic.example.org"),
    subject="Schlaf — naïve 😀 " + "long " * 40,
    text="Grüße\n" + "word " * 300 + "\n.\nFrom here\n",
    html="<p>" + "é" * 3000 + "</p>",
    headers=one_click_headers("https://news.clinic.example.org/unsubscribe/" + "a" * 150),
)
DATE = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


def wire(mail: OutgoingEmail) -> bytes:
    return to_wire(mail, date=DATE, message_id="nd1x1@clinic.example.org")


def test_lines_are_as_long_as_the_standards_allow() -> None:
    head, _, body = wire(MAIL).partition(b"\r\n\r\n")
    assert b"\n" not in wire(MAIL).replace(b"\r\n", b"")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert max(map(len, body.split(b"\r\n"))) <= 76


def test_the_link_to_leave_is_never_an_encoded_word() -> None:
    head = wire(MAIL).partition(b"\r\n\r\n")[0]
    assert b"\r\nList-Unsubscribe: <https://news.clinic.example.org/unsubscribe/" + b"a" * 150 + b">" in head
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click" in head


@pytest.mark.parametrize("words", ["نوم هادئ كل ليلة " * 12, "日本語" * 60, "é" * 200])
def test_encoded_words_are_as_short_as_the_standard_says(words: str) -> None:
    mail = replace(MAIL, subject=words.strip(), sender=Mailbox("news@clinic.example.org", words.strip()))
    head = wire(mail).partition(b"\r\n\r\n")[0]
    encoded = re.findall(rb"=\?utf-8\?[qb]\?[^?]*\?=", head, re.IGNORECASE)
    assert encoded
    assert max(map(len, encoded)) <= 75
    assert message_from_bytes(wire(mail), policy=policy.default)["Subject"] == words.strip()


def test_a_mail_program_reads_back_what_was_written() -> None:
    read = message_from_bytes(wire(MAIL), policy=policy.default)
    assert read["Subject"] == MAIL.subject
    assert read["From"].addresses[0].display_name == MAIL.sender.name
    text, html = read.get_body(("plain",)), read.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == MAIL.text
    assert html.get_content().strip() == MAIL.html
    assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]


def test_the_same_mail_is_the_same_bytes() -> None:
    assert wire(MAIL) == wire(replace(MAIL))


def test_text_alone_has_one_part() -> None:
    read = message_from_bytes(wire(replace(MAIL, html=None)), policy=policy.default)
    assert read.get_content_type() == "text/plain"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["subject", "name", "header"])
def test_no_header_can_carry_a_second_one(field: str, end: str) -> None:
    evil = f"A{end}Bcc: x@example.org"
    mail = {
        "subject": replace(MAIL, subject=evil),
        "name": replace(MAIL, sender=Mailbox("news@clinic.example.org", evil)),
        "header": replace(MAIL, headers={"List-Unsubscribe": evil}),
    }[field]
    with pytest.raises(ValueError, match="line break"):
        wire(mail)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120))
def test_any_subject_keeps_the_head_in_order(subject: str) -> None:
    head = wire(replace(MAIL, subject=subject)).partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert names[:6] == [b"From", b"To", b"Reply-To", b"Subject", b"Date", b"Message-ID"]

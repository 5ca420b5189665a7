"""A sheet is read as people, each once, or every fault is named with its line."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from newsletter.subscribers.model import NewSubscriber
from newsletter.subscribers.spreadsheet import Sheet, read_sheet


def _read(content: bytes) -> Sheet:
    return read_sheet(content, "people.csv", language="en", topics=("pain", "sleep"))


def test_commas_semicolons_tabs_and_a_byte_order_mark_are_read() -> None:
    expected = (NewSubscriber("ann@example.org", "fr", ("pain", "sleep"), True),)
    for mark in (",", ";", "\t"):
        topics = '"pain;sleep"' if mark == ";" else "pain sleep"
        rows = (("\ufeffE-Mail", "language", "topics", "text_only"), ("ann@example.org", "fr", topics, "yes"))
        text = "".join(mark.join(row) + "\r\n" for row in rows)
        assert _read(text.encode()) == Sheet(expected, ())


def test_two_spellings_of_one_address_are_one_person() -> None:
    sheet = _read(b"address\nAnn@example.org\nann@EXAMPLE.org\n")
    assert [person.address for person in sheet.people] == ["Ann@example.org"]


def test_each_fault_names_its_line() -> None:
    text = b"address,topics,text_only\nnobody,,\na@example.org,unknown,\nb@example.org,,perhaps\nc@example.org\n"
    assert [(fault.line, fault.field) for fault in _read(text).faults] == [
        (2, "address"),
        (3, "topics"),
        (4, "text_only"),
        (5, ""),
    ]


def test_files_of_no_use_are_told_in_one_fault() -> None:
    for content in (
        b"",
        b"name\nAnn\n",
        b"address,email\n",
        b"\xff\xfe\x00",
        b'address\n"a',
    ):
        sheet = _read(content)
        assert sheet.people == ()
        assert len(sheet.faults) == 1, content


@given(st.lists(st.lists(st.text(max_size=12), max_size=4), max_size=6))
def test_no_content_is_answered_with_a_crash(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["address", "topics"], *rows])
    sheet = _read(out.getvalue().encode("utf-8", "replace"))
    assert len(sheet.people) + len(sheet.faults) <= len(rows) + 1


def test_columns_that_are_not_for_us_are_named_and_not_read() -> None:
    sheet = _read(b"First name,Email,Diagnosis\nAnn,a@example.org,a secret\n")
    assert [person.address for person in sheet.people] == ["a@example.org"]
    assert sheet.dropped == ("first name", "diagnosis")
    assert "secret" not in repr(sheet)


def test_addresses_are_kept_in_a_form_that_every_mail_service_takes() -> None:
    sheet = _read("email\nann@bücher.example\ngrüße@example.org\n".encode())
    assert [person.address for person in sheet.people] == ["ann@xn--bcher-kva.example"]
    assert "plain letters" in sheet.faults[0].problem


def test_a_language_has_one_spelling_and_what_is_none_is_a_fault_with_its_line() -> None:
    sheet = _read(b"address,language\na@example.org,EN\nb@example.org,en-gb\nc@example.org,English\nd@example.org,\n")
    assert [person.language for person in sheet.people] == ["en", "en-GB", "en"]
    assert [(fault.line, fault.field) for fault in sheet.faults] == [(4, "language")]
    assert str(sheet.faults[0]).endswith("`English` is not a language. Write its code, such as en, fr or pt-BR.")

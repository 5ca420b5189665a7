"""The export of every service that clinics come from is recognised, with its bytes as that service writes them."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from newsletter.subscriber_import.model import Reason, Verdict, Wish
from newsletter.subscriber_import.services import SERVICES, wish_by_name
from newsletter.subscriber_import.words import read_time
from tests.subscriber_import.reading import EXPORTS, read_bytes, read_files, wishes

ANN, GONE = "ann@example.org", "gone@example.org"


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [
        ("email_list.bodyofevidence.csv", "Substack", {ANN: "wants it", "paid@example.org": "wants it"}),
        ("sendgrid_contacts.csv", "SendGrid, contacts", {ANN: "wants it"}),
        ("suppression_bounces.csv", "SendGrid, bounces", {"dead@example.org": "bounced"}),
        ("suppression_spam_reports.csv", "SendGrid, spam reports", {"angry@example.org": "complained"}),
        ("suppression_unsubscribes.csv", "a list", {GONE: "left"}),
        ("constant_contact.csv", "Constant Contact", {ANN: "wants it", GONE: "left", "maybe@example.org": "not asked"}),
        ("brevo.csv", "Brevo", {ANN: "wants it", GONE: "left"}),
        ("kit.csv", "Kit", {ANN: "wants it", GONE: "left", "dead@example.org": "bounced"}),
        ("mailerlite.csv", "MailerLite", {ANN: "wants it", GONE: "left", "junk@example.org": "complained"}),
        ("listmonk.csv", "listmonk", {ANN: "wants it", GONE: "left"}),
        ("cliniko.csv", "Cliniko", {ANN: "wants it", GONE: "left", "never@example.org": "not asked"}),
        ("jane_patient_list.csv", "Jane, patients", {ANN: "not asked"}),
        ("jane_email_marketing_subscribers.csv", "a list", {ANN: "wants it"}),
        ("simplepractice_clients.csv", "a list", {ANN: "not asked"}),
        ("excel_unicode_text.txt", "a list", {ANN: "wants it", "gil@example.org": "wants it"}),
        ("mac_excel.csv", "a list", {ANN: "wants it", "gil@example.org": "wants it"}),
        ("excel_german.csv", "a list", {ANN: "wants it", "gil@example.org": "left"}),
    ],
)
def test_every_service_is_known_and_says_what_its_people_wish(name: str, format: str, expected: dict[str, str]) -> None:
    rows, tables = read_files(EXPORTS / name)
    assert tables[0].format == format
    assert wishes(rows).items() >= expected.items()
    assert not [row for row in rows if row.reason not in (None, Reason.NOT_ASKED)]


def test_the_archive_of_mailchimp_tells_by_its_four_files_who_wants_it(tmp_path: Path) -> None:
    archive = tmp_path / "audience_export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(EXPORTS.glob("*_email_audience_export_*.csv")):
            packed.write(file, file.name)
    rows, tables = read_files(archive)
    assert [(table.format, table.wish.value) for table in tables] == [
        ("Mailchimp, cleaned", "bounced"),
        ("Mailchimp", "not asked"),
        ("Mailchimp", "wants it"),
        ("Mailchimp, unsubscribed", "left"),
    ]
    both = [row.wish for row in rows if row.address_key == "both@example.org"]
    assert both == [Wish.WANTS, Wish.LEFT]
    ann = next(row for row in rows if row.address == ANN)
    assert (ann.line, ann.given_at) == (2, datetime(2023, 1, 2, 3, 9, 10, tzinfo=UTC))
    gone = next(row for row in rows if row.address == GONE)
    assert (gone.verdict, gone.given_at) == (Verdict.TAKEN_OFF, datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC))
    assert "NOTES" in tables[2].dropped
    assert "prefers post" not in repr(rows)


def test_the_archive_of_substack_has_one_list_and_paying_is_not_reading(tmp_path: Path) -> None:
    archive = tmp_path / "substack.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(EXPORTS / "posts.csv", "posts.csv")
        packed.writestr("posts/1.first.html", "<p>Hello ann@example.org</p>")
        packed.write(EXPORTS / "email_list.bodyofevidence.csv", "email_list.bodyofevidence.csv")
    rows, tables = read_files(archive)
    assert [table.format for table in tables] == ["not read", "Substack"]
    assert wishes(rows) == {ANN: "wants it", "paid@example.org": "wants it", "quiet@example.org": "left"}


def test_several_files_of_sendgrid_packed_by_gzip_are_one_list(tmp_path: Path) -> None:
    parts = []
    for number, name in enumerate(("sendgrid_contacts.csv", "suppression_bounces.csv")):
        parts.append(tmp_path / f"{name}.gz")
        parts[number].write_bytes(gzip.compress((EXPORTS / name).read_bytes()))
    rows, tables = read_files(*parts)
    assert wishes(rows) == {ANN: "wants it", "dead@example.org": "bounced"}
    assert [row.row for row in rows] == [1, 2]
    assert "lists of their own" in tables[0].advice


def test_of_a_list_of_patients_no_clinical_cell_is_kept_and_nobody_is_taken_to_have_asked() -> None:
    for name in ("cliniko.csv", "jane_patient_list.csv", "simplepractice_clients.csv"):
        rows, tables = read_files(EXPORTS / name)
        for secret in ("asthma", "diabetes", "F41.1", "Aetna", "a secret", "1980"):
            assert secret not in repr(rows), name
        assert not {title.lower() for title, _ in tables[0].used} & {"medical alerts", "medical_alerts", "notes"}
    assert "being a patient is no consent" in tables[0].advice
    assert rows[0].reason is Reason.NOT_ASKED


def test_a_status_that_nobody_knows_adds_nobody(tmp_path: Path) -> None:
    rows, _ = read_bytes(tmp_path, b"email,status\na@example.org,happy\nb@example.org,\n")
    assert [(row.verdict, row.reason, row.note) for row in rows] == [
        (Verdict.REFUSED, Reason.UNKNOWN_STATUS, "happy"),
        (Verdict.REFUSED, Reason.NOT_ASKED, ""),
    ]


def test_what_staff_say_of_a_file_counts_unless_a_row_is_a_stronger_refusal(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,status\na@example.org,active\nb@example.org,spam\n")
    rows, _ = read_files(file, wish=Wish.LEFT)
    assert wishes(rows) == {"a@example.org": "left", "b@example.org": "complained"}


def test_no_service_is_hidden_by_one_before_it() -> None:
    for number, service in enumerate(SERVICES):
        for known in service.known_by:
            earlier = [other.name for other in SERVICES[:number] for titles in other.known_by if titles <= known]
            assert not earlier, (service.name, earlier)


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("unsubscribed_email_audience_export_0a1b.csv", Wish.LEFT),
        ("suppression_group_unsubscribes.csv", Wish.LEFT),
        ("Opt-outs 2024.xlsx", Wish.LEFT),
        ("suppression_bounces.csv", Wish.BOUNCED),
        ("suppression_spam_reports.csv", Wish.COMPLAINED),
        ("non-subscribed.csv", Wish.NOT_ASKED),
        ("cleaned list.csv", Wish.WANTS),
        ("bounce house clients.csv", Wish.WANTS),
        ("spam-free readers.csv", Wish.WANTS),
        ("subscribed.csv", Wish.WANTS),
    ],
)
def test_the_name_of_a_file_tells_only_what_services_say_by_it(name: str, wish: Wish) -> None:
    assert wish_by_name(name) is wish


def test_times_are_read_as_services_write_them_and_not_guessed() -> None:
    instant = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    for text in ("2023-11-14 22:13:20", "2023-11-14T22:13:20Z", "1700000000", "2023-11-14 23:13:20+01:00"):
        assert read_time(text) == instant
    for text in ("14/11/2023", "03/04/2023", "0000-00-00 00:00:00", "1970-01-01", "soon", "9" * 30, ""):
        assert read_time(text) is None

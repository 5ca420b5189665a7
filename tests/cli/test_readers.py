"""At the shell: what a reader agreed to in plain words, as proof, and who would get a campaign."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsletter.cli.main import main
from tests.cli.test_editions import Shell
from tests.cli.test_editions import shell as shell

SOURCE = ("--consent-source", "paper form 17, front desk, kept in the blue folder")


def test_staff_read_in_plain_words_how_consent_is_known(shell: Shell) -> None:
    shell("subscribers", "add", "dora@example.org", *SOURCE, "--topic", "sleep")
    shell("subscribers", "unsubscribe", "dora@example.org", "--reason", "told us on the phone")
    said = shell("subscribers", "show", "dora@example.org")
    assert "dora@example.org is unsubscribed; reads en." in said
    assert f"They had agreed by other means: {SOURCE[1]}. Entered by shell." in said
    assert "Topics: sleep; language: en." in said
    assert "They left, by staff, at the shell." in said
    assert "Reason: told us on the phone." in said
    assert "must not be mailed: unsubscribed" in said
    told = json.loads(shell("subscribers", "show", "dora@example.org", "--json"))
    assert [act["act"] for act in told["consent"]] == ["given", "withdrawn"]


def test_whoever_must_confirm_is_shown_with_the_words_they_see(shell: Shell, workspace: Path) -> None:
    assert "is asked by mail" in shell("subscribers", "add", "dora@example.org", "--pending", *SOURCE)
    said = shell("subscribers", "show", "dora@example.org")
    assert "is pending" in said
    assert (workspace / "subscribers/consent/0001.en.md").read_text().splitlines()[0] in said
    assert "no wording of consent in fr" in shell.refused(
        "subscribers", "add", "eve@example.org", "--pending", "--language", "fr", *SOURCE
    )


def test_a_proof_is_private_and_never_takes_the_place_of_a_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "ann.json"
    assert "Wrote" in shell("subscribers", "proof", "ann@example.org", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes())["consent"][0]["by which way"] == "paper form"
    assert "is there already" in shell.refused("subscribers", "proof", "ann@example.org", str(file))
    assert "neither .json nor .csv" in shell.refused("subscribers", "proof", "ann@example.org", "ann.doc")
    assert "part" in _text(shell, tmp_path / "ann.csv")


def _text(shell: Shell, file: Path) -> str:
    shell("subscribers", "proof", "ann@example.org", str(file))
    return file.read_text("utf-8-sig")


def test_before_a_campaign_goes_out_staff_see_who_would_get_it(shell: Shell) -> None:
    shell("subscribers", "unsubscribe", "ann@example.org", "--reason", "asked")
    said = shell("audience", "2026-11")
    assert "would go to 1 person now, 1 of them as text without pictures." in said
    assert "Left out, as they have left: 1 person." in said
    assert "Left out, as they read another language: 1 person." in said
    told = json.loads(shell("audience", "2026-11", "--json"))
    assert (told["people"], told["left_out"]) == (1, {"left": 1, "other language": 1})


def test_a_campaign_that_is_not_there_has_no_audience(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audience", "2031-01"])
    assert ended.value.code == 1
    assert "2031-01" in capsys.readouterr().err


def test_a_suppression_is_counted_without_addresses_and_lifted_with_a_reason(shell: Shell) -> None:
    shell("subscribers", "suppress", "ann@example.org", "--reason", "her lawyer, on the phone")
    counted = shell("subscribers", "suppressions")
    assert "1  staff, by staff" in counted
    assert "lawyer" not in counted
    assert "@" not in counted
    assert json.loads(shell("subscribers", "suppressions", "--json")) == [
        {"reason": "staff", "source": "staff", "addresses": 1}
    ]
    assert "for the record" in shell.refused("subscribers", "lift", "ann@example.org", "--reason", " ")
    said = shell("subscribers", "lift", "ann@example.org", "--reason", "she asked us to")
    assert "signing up and confirming" in said
    assert "is unsubscribed" in shell("subscribers", "show", "ann@example.org")
    assert "nothing to lift" in shell.refused("subscribers", "lift", "ann@example.org", "--reason", "again")
    assert "unsubscribed, by lifted" in shell("subscribers", "suppressions")


def test_whoever_is_erased_is_gone_and_is_never_added_again(shell: Shell) -> None:
    assert "for the record" in shell.refused("subscribers", "erase", "ann@example.org", "--reason", "")
    said = shell("subscribers", "erase", "ann@example.org", "--reason", "a letter of ann@example.org", "--yes")
    assert "1 person erased" in said
    assert "ann@example.org" not in shell("subscribers", "list")
    assert "Nobody with the address" in shell.refused(
        "subscribers", "erase", "ann@example.org", "--reason", "again", "--yes"
    )
    assert "must not be mailed (erased)" in shell.refused("subscribers", "add", "ann@example.org", *SOURCE)
    assert "1  erased, by staff, at the shell" in shell("subscribers", "suppressions")


def test_what_is_due_once_has_the_mails_of_single_readers(shell: Shell, workspace: Path) -> None:
    shell("subscribers", "add", "dora@example.org", "--pending", *SOURCE)
    shell("scheduler", "--once")
    shell("scheduler", "--once")
    (mail,) = (workspace / "var" / "mailbox").glob("*.eml")
    assert "/confirm/" in mail.read_text("utf-8")


def test_the_form_for_the_clinics_own_site_names_what_is_agreed_to_and_needs_no_script(
    shell: Shell, workspace: Path
) -> None:
    form = shell("subscribers", "form", "--language", "de")
    assert 'action="http://127.0.0.1:8000/subscribe?lang=de"' in form
    assert "Ich möchte, dass mir die Willow Lane Clinic" in form
    assert "<script" not in form + shell("subscribers", "form")
    assert "is not there in `fr`. Languages: en, de." in shell.refused("subscribers", "form", "--language", "fr")
    for file in (workspace / "subscribers" / "consent").iterdir():
        file.unlink()
    assert "There is no wording of consent." in shell.refused("subscribers", "form")

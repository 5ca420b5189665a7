"""At the shell: a list comes in by a look and a yes, goes out again, and is taken back."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import pytest

from tests.cli.test_editions import Shell

LIST = "email,language,topics,status,Diagnosis\n"
ROWS = (
    "ann@example.org,fr,chronic-pain,subscribed,a secret\n"
    "bob@example.org,,,unsubscribed,\n"
    "nobody,,,subscribed,a secret\n"
    "dee@example.org,,unheard-of,subscribed,\n"
    "eve@gmial.com,,,subscribed,\n"
    "=1+1,,,subscribed,\n"
)
SOURCE = ("--consent-source", "paper forms, front desk")


@pytest.fixture
def shell(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in a workspace without anybody."""
    return Shell(workspace, monkeypatch, capsys)


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A list with what is good and what is not."""
    file = tmp_path / "people.csv"
    file.write_text(LIST + ROWS)
    return file


def test_a_dry_run_changes_nobody_and_says_what_would_happen(shell: Shell, sheet: Path) -> None:
    said = shell("subscribers", "import", str(sheet), *SOURCE)
    assert "Read: email (address), language (language), topics (topics), status (status)." in said
    assert "Not read: Diagnosis." in said
    assert "2 new: they will be added as active." in said
    assert "1 taken off" in said
    assert "3 refused" in said
    assert "row 6: eve@gmial.com (gmial.com: did they mean gmail.com?)" in said
    assert "Row 5 is refused: unknown topic (unheard-of)" in said
    assert "newsletter subscribers import --apply 1" in said
    assert "secret" not in said
    assert shell("subscribers", "list") == "0 people.\n"


def test_a_list_of_patients_ends_without_a_call_to_apply_or_mend_it(shell: Shell, tmp_path: Path) -> None:
    patients = tmp_path / "patients.csv"
    patients.write_text("email,date of birth\nann@example.org,1980\n")
    said = shell("subscribers", "import", str(patients), *SOURCE)
    assert said.endswith("Nobody can be added from this file; there is nothing to apply.\n")
    assert "Mend" not in said
    assert "--apply" not in said
    assert "Delete that file when it has served." in said
    patients.write_text("email,date of birth\nann at example.org,1980\n")
    assert "Mend and import that file" in shell("subscribers", "import", str(patients), *SOURCE)


def test_one_and_several_are_said_as_such(shell: Shell, tmp_path: Path) -> None:
    names = ("ann", "bob", "cid")
    for name in names:
        shell("subscribers", "add", f"{name}@example.org", *SOURCE)
    file = tmp_path / "people.csv"
    file.write_text("email\n" + "".join(f"{name}@example.org\n" for name in names))
    said = shell("subscribers", "import", str(file), *SOURCE)
    assert "3 rows:\n" in said
    assert "3 are here already: They are here already, and are left as they are." in said
    file.write_text("email\nann@example.org\n")
    shell("subscribers", "import", str(file), *SOURCE, "--status", "left", "--yes")
    said = shell("subscribers", "import", str(file), *SOURCE, "--status", "left")
    assert "1 row:\n" in said
    assert "1 has left already: They left, bounced or complained here already." in said


def test_what_was_shown_is_applied_and_undone(shell: Shell, sheet: Path) -> None:
    shell("subscribers", "import", str(sheet), *SOURCE)
    said = shell("subscribers", "import", "--apply", "1")
    assert "Added 2 people. Taken off: 1 address that" in said
    assert shell("subscribers", "list") == "ann@example.org  active  fr\neve@gmial.com  active  en\n2 people.\n"
    assert "paper forms, front desk" in shell("subscribers", "show", "ann@example.org")
    assert "Import 1 is applied; only one whose dry run" in shell.refused("subscribers", "import", "--apply", "1")
    assert "must not be mailed" in shell.refused("subscribers", "add", "bob@example.org", *SOURCE)
    said = shell("subscribers", "import", "--undo", "1")
    assert "Taken away: 2 people" in said
    assert "a refusal is never undone" in said
    assert "must not be mailed" in shell.refused("subscribers", "add", "bob@example.org", *SOURCE)
    assert "1  undone" in shell("subscribers", "imports")


def test_refused_rows_lie_beside_the_file_with_their_reason_and_run_nowhere(shell: Shell, sheet: Path) -> None:
    shell("subscribers", "import", str(sheet), *SOURCE)
    file = sheet.with_name("people-refused-1.csv")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "secret" not in file.read_text("utf-8-sig")
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    assert [(row["row"], row["address"]) for row in rows] == [
        ("4", "nobody"),
        ("5", "dee@example.org"),
        ("7", "'=1+1"),
    ]
    assert rows[0]["reason"] == "This is not an e-mail address."
    assert rows[1]["detail"] == "unheard-of"
    assert "is there already" in shell.refused("subscribers", "import", str(sheet), *SOURCE, "--refused", str(file))


def test_a_program_is_told_every_row(shell: Shell, sheet: Path) -> None:
    told = json.loads(shell("subscribers", "import", str(sheet), *SOURCE, "--json"))
    assert told["counts"]["verdicts"] == {"new": 2, "taken off": 1, "refused": 3}
    assert told["tables"][0]["dropped"] == ["Diagnosis"]
    rows = json.loads(shell("subscribers", "imports", "1", "--json"))["by_row"]
    assert [row["verdict"] for row in rows] == ["new", "taken off", "refused", "refused", "new", "refused"]
    assert [row["row"] for row in rows] == [2, 3, 4, 5, 6, 7], "as a spreadsheet and the screen count them"
    assert json.loads(shell("subscribers", "imports", "--json"))[0]["state"] == "shown"


def test_a_person_is_told_every_row_that_is_not_just_added(shell: Shell, sheet: Path) -> None:
    sheet.write_text(f"{LIST}{ROWS}ANN@example.org,,,subscribed,\n")
    shell("subscribers", "import", str(sheet), *SOURCE)
    said = shell("subscribers", "imports", "1")
    assert "  Row 3 is taken off: left bob@example.org\n" in said
    assert "  Row 4 is refused: not an address nobody\n" in said
    assert "  Row 5 is refused: unknown topic (unheard-of) dee@example.org\n" in said
    assert "  Row 8 is merged: another row has the same address ANN@example.org\n" in said
    assert said.count("  Row ") == 5
    assert said.endswith("newsletter subscribers import --apply 1\n")
    shell("subscribers", "import", "--apply", "1")
    said = shell("subscribers", "imports", "1")
    assert "  Row 3 is taken off: left\n" in said
    assert "  Row 5 is refused: unknown topic (unheard-of) dee@example.org\n" in said


def test_of_many_rows_the_first_are_named_and_of_which_file(shell: Shell, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("email\n" + "nobody\n" * 52)
    good.write_text("email\nann@example.org\n")
    shell("subscribers", "import", str(good), str(bad), *SOURCE)
    said = shell("subscribers", "imports", "1")
    assert "  Row 2 of bad.csv is refused: not an address nobody\n" in said
    assert said.count("  Row ") == 50
    assert "  And 2 more: newsletter subscribers imports 1 --json.\n" in said


def test_every_doubt_about_a_row_is_shown(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,language,subscribed at\neve@gmial.com,Klingon,soon\ninfo@example.org,,\n")
    said = shell("subscribers", "import", str(file), *SOURCE)
    doubts = "gmial.com: did they mean gmail.com?; unknown language: Klingon; unreadable time: soon"
    assert f"    row 2: eve@gmial.com ({doubts})\n" in said
    assert "    row 3: info@example.org (no single person)\n" in said


def test_an_export_comes_back_as_the_same_people_and_is_for_its_owner_alone(shell: Shell, tmp_path: Path) -> None:
    for address in ("ann@example.org", "+tag@example.org", "'o@example.org", "=x@example.org"):
        shell("subscribers", "add", address, *SOURCE, "--topic", "sleep", "--language", "fr")
    shell("subscribers", "unsubscribe", "ann@example.org", "--reason", "asked by phone")
    file = tmp_path / "readers.csv"
    assert shell("subscribers", "export", str(file)).startswith("4 people in")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert '"\'+tag@example.org"' in file.read_text("utf-8-sig")
    assert "is there already" in shell.refused("subscribers", "export", str(file))
    told = json.loads(shell("subscribers", "import", str(file), *SOURCE, "--json"))
    assert told["tables"][0]["format"] == "Newsletter"
    assert told["counts"]["verdicts"] == {"unchanged": 4}
    assert "States: pending" in shell.refused("subscribers", "export", str(file), "--state", "happy")
    few = tmp_path / "few.csv"
    assert shell("subscribers", "export", str(few), "--state", "unsubscribed").startswith("1 person in")


def test_whatever_is_refused_is_told_in_a_sentence(shell: Shell, sheet: Path, tmp_path: Path) -> None:
    empty, bare = tmp_path / "empty.csv", tmp_path / "bare.csv"
    empty.write_text("")
    bare.write_text("name,phone\nAnn,1\n")
    for words, told in (
        ((str(sheet),), "Say where consent was given"),
        ((str(sheet), "--consent-source", "\udcff"), "letters that are not UTF-8"),
        ((str(tmp_path / "none.csv"), *SOURCE), "is not there"),
        (("/dev/zero", *SOURCE), "is not a file"),
        ((str(empty), *SOURCE), "is empty"),
        ((str(bare), *SOURCE), "there is no column of e-mail addresses"),
        ((str(sheet), *SOURCE, "--status", "happy"), "Statuses: wants it, not asked, left, bounced, complained."),
        (("--apply", "9"), "There is no import 9"),
        (("--undo", "9"), "There is no import 9"),
    ):
        assert told in shell.refused("subscribers", "import", *words), words
    assert shell("subscribers", "imports").startswith("None yet.")

"""At the shell: from a draft to a finished send, and a clear sentence for whatever is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from newsletter.cli.main import main
from tests.node import ROOT


class Shell:
    """Types commands in a workspace."""

    def __init__(self, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("NEWSLETTER_WORKSPACE", str(workspace))
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        """What a command says; fails unless it exits 0."""
        code, out, err = self._run(words)
        assert code == 0, err
        return out

    def refused(self, *words: str) -> str:
        """Why a command is refused; fails unless it exits 1 with one clear message."""
        code, out, err = self._run(words)
        assert (code, out) == (1, "")
        assert "Traceback" not in err
        return err

    def exits(self, code: int, *words: str) -> str:
        """All that a command says, the result and what is beside it; fails unless it exits with a code."""
        ended, out, err = self._run(words)
        assert ended == code, out + err
        assert "Traceback" not in err
        return out + err

    def _run(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def shell(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in a workspace with staff and three readers."""
    shell = Shell(workspace, monkeypatch, capsys)
    shell("staff", "add", "root@example.org", "--role", "administrator")
    for name, role in (("ada", "author"), ("rhea", "reviewer"), ("max", "manager")):
        shell("staff", "add", f"{name}@example.org", "--role", role, "--as", "root@example.org")
    sheet = workspace / "people.csv"
    sheet.write_text("address,language,text_only\nann@example.org,,\nbob@example.org,fr,\ncid@example.org,,yes\n")
    said = shell("subscribers", "import", str(sheet), "--consent-source", "paper form", "--yes")
    assert "Added 3 people." in said
    return shell


EDITION = "2026-11-opening-1"


def test_a_month_travels_from_draft_to_inbox(shell: Shell, workspace: Path) -> None:
    assert EDITION in shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    assert "is approved" in shell("approve", EDITION, "--as", "rhea@example.org")
    assert "goes out on" in shell("schedule", EDITION, "--as", "max@example.org", "--at", "now")
    shell("scheduler", "--once")
    said = shell("status", EDITION)
    assert said.startswith(f"{EDITION}  sent, ")
    assert "Send finished" in said
    assert "Handed over to 2 people, 0 to go." in said
    assert f"{EDITION}  sent, " in shell("editions", "list")
    assert f"{EDITION}  sent, " in shell("editions", "show", EDITION)
    assert EDITION not in shell("status")
    assert json.loads(shell("status", "--json")) == []
    for words in (("editions", "list"), ("status", EDITION)):
        [shown] = json.loads(shell(*words, "--json"))
        assert (shown["state"], shown["standing"]) == ("sending", "sent")
    assert "Left out, as they read another language: 1 person." in said
    assert len(list((workspace / "var" / "mailbox").glob("*.eml"))) == 2
    shell("scheduler", "--once")
    assert len(list((workspace / "var" / "mailbox").glob("*.eml"))) == 2
    [row] = json.loads(shell("status", EDITION, "--json"))
    assert (row["state"], row["send"]["handed_over"], row["send"]["left_out"]) == ("sending", 2, {"other language": 1})
    assert "exactly what was submitted" in shell("editions", "verify", EDITION)
    assert "every edition is as it was approved" in shell("database", "check")
    assert "a mailing is sent once" in shell.refused("submit", "2026-11", "-m", "opening", "--as", "ada@example.org")
    assert "its send is finished" in shell.refused("stop", EDITION, "--as", "max@example.org")


OTHER = "2026-11-watch-and-listen-1"
ADA = ("--as", "ada@example.org")


def test_a_month_is_submitted_without_the_mailing_that_waits_already(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", *ADA)
    said = shell("submit", "2026-11", *ADA)
    assert f"{OTHER} waits for approval.\n" in said
    assert f"opening was not submitted. Nothing has changed: {EDITION} waits for approval with exactly this" in said
    again = shell.exits(1, "submit", "2026-11", *ADA)
    assert "Nothing was submitted, for nothing is new." in again
    assert [row["id"] for row in json.loads(shell("editions", "list", "--json"))] == [OTHER, EDITION]


def test_a_month_is_submitted_without_the_mailing_that_has_gone_out(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", *ADA)
    shell("approve", EDITION, "--as", "rhea@example.org")
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "now")
    shell("scheduler", "--once")
    said = json.loads(shell("submit", "2026-11", *ADA, "--json"))
    assert [row.get("id") for row in said] == [OTHER, None]
    assert (said[1]["mailing"], said[1]["to_mend"]) == ("opening", False)
    assert "a mailing is sent once" in said[1]["refused"]


@pytest.mark.parametrize("unready", ["opening", "watch-and-listen"])
def test_a_mailing_that_must_be_mended_does_not_keep_back_the_other(
    shell: Shell, workspace: Path, unready: str
) -> None:
    campaign = next(workspace.glob("campaigns/2026-11-*/campaign.yaml"))
    subject = {"opening": "Pain that was learned", "watch-and-listen": "Four voices"}[unready]
    whole = campaign.read_text("utf-8")
    campaign.write_text(whole.replace(f"subject: {subject}", "subject: TODO"), "utf-8")
    said = shell.exits(1, "submit", "2026-11", *ADA)
    ready = ({"opening", "watch-and-listen"} - {unready}).pop()
    assert f"2026-11-{ready}-1 waits for approval." in said
    assert f"{unready} was not submitted. It cannot be submitted yet:\n  stop  campaigns/" in said
    assert f"newsletter submit 2026-11 --mailing {unready} --as EMAIL" in said
    assert [row["mailing"] for row in json.loads(shell("editions", "list", "--json"))] == [ready]
    assert "cannot be submitted yet" in shell.refused("submit", "2026-11", "--mailing", unready, *ADA)
    campaign.write_text(whole, "utf-8")
    assert f"2026-11-{unready}-1 waits for approval." in shell("submit", "2026-11", *ADA)


def test_a_scheduled_mailing_that_was_changed_is_left_alone_and_the_way_out_is_named(
    shell: Shell, workspace: Path
) -> None:
    shell("submit", "2026-11", "--mailing", "opening", *ADA)
    shell("approve", EDITION, "--as", "rhea@example.org")
    shell("schedule", EDITION, "--as", "max@example.org", "--at", "in 10 minutes")
    assert "Nothing has changed: 2026-11-opening-1 is scheduled" in shell.exits(
        1, "submit", "2026-11", "-m", "opening", *ADA
    )
    campaign = next(workspace.glob("campaigns/2026-11-*/campaign.yaml"))
    campaign.write_text(campaign.read_text("utf-8").replace("Pain that was", "Pain that is"), "utf-8")
    said = shell.exits(1, "submit", "2026-11", *ADA)
    assert f"{OTHER} waits for approval." in said
    assert f"First: newsletter take-back {EDITION}" in said
    assert json.loads(shell("editions", "show", EDITION, "--json"))["state"] == "scheduled"


def test_nobody_submits_a_part_who_may_not_submit(shell: Shell) -> None:
    shell("staff", "add", "gil@example.org", "--role", "administrator", "--as", "root@example.org")
    assert "may not submit an edition" in shell.refused("submit", "2026-11", "--as", "gil@example.org")
    assert "is not a member of staff" in shell.refused("submit", "2026-11", "--as", "eve@example.org")
    assert json.loads(shell("editions", "list", "--json")) == []


def test_whoever_submits_is_told_when_nobody_else_may_approve(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(workspace, monkeypatch, capsys)
    roles = [word for role in ("administrator", "author", "reviewer") for word in ("--role", role)]
    shell("staff", "add", "solo@example.org", *roles)
    said = shell.exits(0, "submit", "2026-11", "-m", "opening")
    assert "Nobody else is a reviewer, and who submits an edition may not approve it." in said
    shell("staff", "add", "rhea@example.org", "--role", "reviewer", "--as", "solo@example.org")
    assert "Nobody else" not in shell.exits(
        0, "submit", "2026-11", "-m", "watch-and-listen", "--as", "solo@example.org"
    )


def test_a_page_is_taken_out_of_the_archive_and_put_back(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    assert "Say why" in shell.refused("editions", "hide", EDITION, "--as", "max@example.org")
    why = ("--reason", "a reader was named")
    assert "may not" in shell.refused("editions", "hide", EDITION, "--as", "ada@example.org", *why)
    assert "no page in the archive" in shell("editions", "hide", EDITION, "--as", "max@example.org", *why)
    assert "Not in the public archive" in shell("editions", "show", EDITION)
    assert "already" in shell.refused("editions", "hide", EDITION, "--as", "max@example.org", *why)
    assert "for the archive" in shell("editions", "publish", EDITION, "--as", "max@example.org")
    assert json.loads(shell("editions", "show", EDITION, "--json"))["in_archive"] is True
    assert "exactly what was submitted" in shell("editions", "verify", EDITION)


def test_an_edition_sent_by_hand_is_undone_and_another_one_goes(shell: Shell, workspace: Path) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    assert "only an approved edition" in shell.refused("send-now", EDITION, "--as", "max@example.org")
    shell("approve", EDITION, "--as", "rhea@example.org")
    assert "takes a manager" in shell.refused("send-now", EDITION, "--as", "ada@example.org")
    said = shell("send-now", EDITION, "--as", "max@example.org")
    assert said.startswith(f"{EDITION} begins to go out on ")
    assert f"Undo it with: newsletter cancel {EDITION} --as EMAIL" in said
    assert "It is going out or has gone out" in shell.refused("send-now", EDITION, "--as", "max@example.org")
    shell("scheduler", "--once")
    told = shell("status")
    assert told.startswith(f"{EDITION}  sending, ")
    assert "Send waiting\n  Sent by hand at " in told
    assert "; nobody has it before " in told
    [row] = json.loads(shell("status", EDITION, "--json"))
    assert row["send"]["wait_until"] > row["send"]["opened_at"]
    assert "is cancelled and will never go out" in shell("cancel", EDITION, "--as", "max@example.org")
    assert f"{EDITION} is cancelled already; nothing was changed." in shell.refused(
        "cancel", EDITION, "--as", "max@example.org"
    )
    assert "every send adds up" in shell("database", "check")

    again = "2026-11-opening-2"
    clinic = workspace / "newsletter.toml"
    clinic.write_text(clinic.read_text("utf-8").replace("undo_minutes = 2", "undo_minutes = 0"), "utf-8")
    assert again in shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    shell("approve", again, "--as", "rhea@example.org")
    sent = json.loads(shell("send-now", again, "--as", "max@example.org", "--yes", "--json"))
    assert (sent["state"], sent["wait_until"]) == ("sending", sent["send_at"])
    shell("scheduler", "--once")
    assert "Send finished" in shell("status", again)
    assert len(list((workspace / "var" / "mailbox").glob("*.eml"))) == 2


@pytest.mark.parametrize(("answer", "code", "state"), [("n", 1, "approved"), ("y", 0, "sending")])
def test_at_a_terminal_a_person_is_asked_before_it_is_sent(shell: Shell, answer: str, code: int, state: str) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    shell("approve", EDITION, "--as", "rhea@example.org")
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{answer}\n".encode())
    command = [sys.executable, "-m", "newsletter", "send-now", EDITION, "--as", "max@example.org"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, env=here, check=False)
    os.close(keyboard)
    os.close(terminal)
    assert done.returncode == code, done.stderr
    assert f"Send {EDITION}, “Pain that was learned may be unlearned”, to its readers now? [y/N]" in done.stderr
    assert (f"{EDITION} was not sent." in done.stderr) == (code == 1)
    [row] = json.loads(shell("editions", "list", "--json"))
    assert row["state"] == state


def test_whatever_is_refused_is_told_in_a_sentence(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    for words, told in (
        (("submit", "2026-11", "-m", "opening", "--as", "ada@example.org"), "Nothing has changed"),
        (("approve", EDITION, "--as", "ada@example.org"), "takes a reviewer"),
        (("approve", EDITION, "--as", "eve@example.org"), "is not a member of staff"),
        (("approve", "2026-11-opening-9", "--as", "rhea@example.org"), f"The newest: {EDITION}"),
        (("schedule", EDITION, "--as", "max@example.org"), "only an approved edition"),
        (("schedule", EDITION, "--as", "max@example.org", "--at", "2020-01-01 09:00"), "is past"),
        (
            ("schedule", EDITION, "--as", "max@example.org", "--at", "2027-03-28 01:30"),
            "does not exist: the clocks go forward then in Europe/London. The nearest good time is 2027-03-28 02:30.",
        ),
        (
            ("schedule", EDITION, "--as", "max@example.org", "--at", "2027-10-31 01:30"),
            "comes twice: the clocks go back then in Europe/London. The nearest good time is 2027-10-31 02:00.",
        ),
        (("schedule", EDITION, "--as", "max@example.org", "--at", "soon"), "in 10 minutes"),
        (("take-back", EDITION, "--as", "max@example.org"), "it is submitted"),
        (("pause", EDITION, "--as", "max@example.org"), "is not going out"),
        *(
            ((command, "nonsense", "--as", "max@example.org"), "There is no edition `nonsense`.")
            for command in ("pause", "resume", "stop", "cancel", "take-back")
        ),
        (("settle", "nonsense", "a1", "sent", "--as", "max@example.org"), "There is no edition `nonsense`."),
        (("settle", "nonsense", "--all", "sent", "--as", "max@example.org"), "There is no edition `nonsense`."),
        (("send-now", EDITION, "--as", "max@example.org"), f"{EDITION} was not sent. It is submitted;"),
        (("schedule", EDITION, "--as", "max@example.org", "--at", "2026-12-01"), "--at '2026-12-01 09:00'"),
        (("schedule", EDITION, "--as", "max@example.org", "--at", "2026-12-01"), "names no time of day"),
        (("schedule", EDITION, "--as", "max@example.org", "--at", "01.12.2026 09:00"), "write the year first"),
        (("schedule", EDITION, "--as", "max@example.org", "--at", ""), "--at names no time."),
        (("schedule", EDITION, "--as", "max@example.org", "--at", " "), "--at names no time."),
        (
            ("staff", "add", "eve@example.org", "--role", "author", "--as", "ada@example.org"),
            "that takes an administrator. An administrator can give that role: newsletter staff add ada@example.org "
            "--role administrator --as ADMINISTRATOR",
        ),
        (("staff", "add", "eve@example.org", "--role", "author"), "alone may add staff"),
        (("subscribers", "add", "nobody", "--consent-source", "form"), "is not an e-mail address"),
        (("subscribers", "show", "nobody@example.org"), "Nobody with the address"),
    ):
        assert told in shell.refused(*words), words


def test_a_definition_with_a_time_that_comes_twice_is_refused_with_file_line_and_a_good_time(
    shell: Shell, workspace: Path
) -> None:
    clinic, campaign = workspace / "newsletter.toml", next(workspace.glob("campaigns/2026-11-*/campaign.yaml"))
    clinic.write_text(clinic.read_text("utf-8").replace("Europe/London", "America/New_York"), "utf-8")
    campaign.write_text(campaign.read_text("utf-8").replace("first tuesday 09:00", "2026-11-01 01:30"), "utf-8")
    said = shell.refused("check", "2026-11")
    assert "campaign.yaml:19: mailings[1].send_at: 2026-11-01 01:30 comes twice" in said
    assert "in America/New_York. The nearest good time is 2026-11-01 02:00." in said


def test_nobody_signs_in_another_persons_name(shell: Shell) -> None:
    shell("submit", "2026-11", "--mailing", "opening", "--as", "ada@example.org")
    for words in (("approve", EDITION), ("send-back", EDITION)):
        said = shell.refused(*words)
        assert "Say who you are: --as EMAIL." in said
        assert "These may approve an edition or send it back: rhea@example.org." in said
    said = shell.refused("settle", EDITION, "a1", "sent")
    assert "Say who you are: --as EMAIL. These may pause, resume or stop a send: root@example.org, max" in said
    assert "is approved" in shell("approve", EDITION, "--as", "rhea@example.org")
    assert "goes out on" in shell("schedule", EDITION, "--at", "in 10 minutes")


def test_who_leaves_at_the_shell_has_left_once(shell: Shell) -> None:
    why = ("--reason", "asked at the desk")
    assert "gets no more newsletters" in shell("subscribers", "unsubscribe", "ANN@example.org", *why)
    assert "had left already" in shell("subscribers", "unsubscribe", "ann@example.org", *why)
    assert [
        row["address"] for row in json.loads(shell("subscribers", "list", "--state", "unsubscribed", "--json"))
    ] == ["ann@example.org"]

"""The demo: a workspace of its own, made-up readers, and the sample month on its whole way to them.

Every step is a command that a person could type, and is run as such; nothing here knows a shorter way.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path("var") / "demo"
CAMPAIGN = "2026-11-neuroplastic-pain"
MAILING = "opening"
EDITION = f"2026-11-{MAILING}-1"
AUTHOR = "ines@clinic.example.org"
REVIEWER = "tomas@clinic.example.org"
MANAGER = "robin@clinic.example.org"
STAFF = (
    (AUTHOR, "Dr Ines Varga", ("author", "administrator")),
    (REVIEWER, "Dr Tomas Okafor", ("reviewer",)),
    (MANAGER, "Robin Lee", ("manager",)),
)
READERS = """\
address,language,topics,text_only
ana@example.org,en,chronic-pain,no
bashir@example.org,en,chronic-pain;sleep,no
chloe@example.org,en,,no
dmitri@example.org,en,chronic-pain,yes
elif@example.org,en,chronic-pain,no
farah@example.org,en,chronic-pain;stress,no
goran@example.org,en,sleep,no
hana@example.org,fr,chronic-pain,no
ivo@example.org,en,chronic-pain,no
kofi@example.org,en,chronic-pain,no
lena@example.org,en,chronic-pain,no
"""
PENDING, LEFT, SUPPRESSED = "julia@example.org", "kofi@example.org", "lena@example.org"
BOUNCED = "ivo@example.org"
"""Of this reader the double says that there is no such mailbox."""
PATIENCE = 60
"""Seconds until the demo says that something is wrong; a send to a few readers takes one or two."""
HEARD_WITHIN = 10
"""Seconds for the events of the last mails; those of a demo that was ended on the way never come."""


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(demo)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the mails are there, instead of showing them.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where the page to read them is.")] = 8000,
) -> None:
    """Show the whole way: a month is checked, approved by a second person, scheduled, sent, and read."""
    from newsletter.cli.serve import free_port, refuse_taken_port

    if not once:
        refuse_taken_port("127.0.0.1", port)
    # Whatever asks it to end, and however it was started, what it has started ends with it.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.default_int_handler)
    # With --once nobody reads the pages, and whatever runs on the port may stay.
    shell = _Shell(FOLDER.absolute(), port, free_port() if once else port, free_port())
    _set_up(shell)
    double = shell.start_double()
    try:
        _bring_to_its_send(shell)
        _send_and_show(shell, once, port)
    finally:
        double.send_signal(signal.SIGINT)
        double.wait()
    say(f"\nThe workspace of the demo is {FOLDER}; delete it to begin anew.")


def _send_and_show(shell: _Shell, once: bool, port: int) -> None:
    serving = shell.start("serve", "--port", str(shell.web_port))
    try:
        _wait_until_sent(shell, serving)
        _wait_until_heard(shell)
        shell.run("status", EDITION, "--people")
        requests = [line for line in shell.record.read_text().splitlines() if '"accepted":true' in line]
        say(f"\nThe double of SendGrid has accepted {len(requests)} requests for this workspace, in all its demos.")
        if not once:
            say(f"\nRead the mails as their readers do: http://127.0.0.1:{port}/studio/inbox\nEnd with Ctrl-C.")
            serving.wait()
    except KeyboardInterrupt:
        pass
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait()


def _set_up(shell: _Shell) -> None:
    if not (shell.workspace / "newsletter.toml").exists():
        shell.run("init", str(FOLDER))
    # Each step is looked for by itself: an earlier demo may have been ended between any two of them.
    staff = {person["email"] for person in shell.ask("staff", "list")}
    for email, name, roles in STAFF:
        if email not in staff:
            by = ["--as", AUTHOR] if email != AUTHOR else []
            shell.run("staff", "add", email, "--name", name, *(w for role in roles for w in ("--role", role)), *by)
    readers = {reader["address"]: reader["state"] for reader in shell.ask("subscribers", "list")}
    if not readers:
        file = shell.workspace / "var" / "readers.csv"
        file.write_text(READERS)
        name = str(FOLDER / "var" / file.name)
        shell.run("subscribers", "import", name, "--consent-source", "made up for the demo", "--yes")
    if PENDING not in readers:
        shell.run("subscribers", "add", PENDING, "--pending", "--consent-source", "sign-up page")
    if readers.get(LEFT, "active") == "active":
        shell.run("subscribers", "unsubscribe", LEFT, "--reason", "made up for the demo")
    if readers.get(SUPPRESSED, "active") == "active":
        shell.run("subscribers", "suppress", SUPPRESSED, "--reason", "made up for the demo")


def _bring_to_its_send(shell: _Shell) -> None:
    """Go on from where the edition stands: new, or left by an earlier demo that was ended on the way."""
    from newsletter.errors import Refused

    state = next((edition["state"] for edition in shell.ask("editions", "list") if edition["id"] == EDITION), "")
    if state == "sending":
        say(f"\n{EDITION} was submitted by an earlier demo. Nothing is sent twice: it is only brought to its end.")
        return
    if state not in ("", "submitted", "approved", "scheduled", "held"):
        raise Refused(f"{EDITION} is {state} and will never go out. Delete {FOLDER} to begin anew.")
    if not state:
        shell.run("check", CAMPAIGN)
        shell.run("submit", CAMPAIGN, "--mailing", MAILING, "--as", AUTHOR)
    if state in ("", "submitted"):
        shell.run("approve", EDITION, "--as", REVIEWER)
    # What an earlier demo has scheduled is past by now, and is moved.
    shell.run("schedule", EDITION, "--at", "in 3 seconds", "--as", MANAGER)


def _wait_until_sent(shell: _Shell, serving: subprocess.Popen[bytes]) -> None:
    from newsletter.errors import Refused

    for _ in range(PATIENCE * 2):
        (edition,) = shell.ask("status", EDITION)
        if edition["send"] and edition["send"]["finished_at"]:
            return
        if serving.poll() is not None:
            break
        time.sleep(0.5)
    raise Refused(f"{EDITION} has not gone out. See where it stands: cd {FOLDER} && newsletter status")


def _wait_until_heard(shell: _Shell) -> None:
    """Wait until the double has told of every mail what became of it."""
    for _ in range(HEARD_WITHIN * 2):
        (edition,) = shell.ask("status", EDITION)
        if not edition["events"]["not_heard_of"]:
            return
        time.sleep(0.5)


class _Shell:
    """Types commands in the demo's workspace, as a person would; links begin with `port`, the web is at `web_port`."""

    def __init__(self, workspace: Path, port: int, web_port: int, double_port: int) -> None:
        self.workspace = workspace
        self.web_port = web_port
        self._double_port = double_port
        self.record = workspace / "var" / "requests.jsonl"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")},
            "NEWSLETTER_WORKSPACE": str(workspace),
            "NEWSLETTER_BASE_URL": f"http://127.0.0.1:{port}",
            "NEWSLETTER_TRANSPORT": "sendgrid",
            "NEWSLETTER_SENDGRID_HOST": f"http://127.0.0.1:{double_port}",
            "NEWSLETTER_SENDGRID_API_KEY": "SG.double",
        }

    def run(self, *words: str) -> None:
        """Show a command, run it, and end with its exit code when it is refused."""
        say(f"\n$ newsletter {shlex.join(words)}")
        sys.stdout.flush()
        done = subprocess.run(self._command(words), env=self._environment, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)

    def ask(self, *words: str) -> Any:
        """What a command answers to a program."""
        done = subprocess.run(
            self._command([*words, "--json"]), env=self._environment, check=False, capture_output=True
        )
        if done.returncode:
            sys.stderr.buffer.write(done.stderr)
            raise SystemExit(done.returncode)
        return json.loads(done.stdout)

    def start_double(self) -> subprocess.Popen[bytes]:
        """Start a double of SendGrid that tells what became of mails, and whose signature the web knows."""
        from newsletter.sendgrid_double.events import open_key, public_key

        key = self.workspace / "var" / "double.pem"
        self._environment["NEWSLETTER_SENDGRID_WEBHOOK_PUBLIC_KEY"] = public_key(open_key(key))
        return self.start(
            *("sendgrid-double", "--port", str(self._double_port), "--record", str(self.record)),
            *("--events", f"http://127.0.0.1:{self.web_port}/webhooks/sendgrid/events", "--events-key", str(key)),
            *("--fate", f"{BOUNCED}=bounce"),
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Show a command and leave it running."""
        say(f"\n$ newsletter {shlex.join(words)} &")
        sys.stdout.flush()
        return subprocess.Popen(self._command(words), env=self._environment)

    def _command(self, words: Iterator[str] | tuple[str, ...] | list[str]) -> list[str]:
        return [sys.executable, "-m", "newsletter", *words]

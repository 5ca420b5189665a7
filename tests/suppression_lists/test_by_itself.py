"""The scheduler keeps the lists alike by itself, and a command does it now and says what it did."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from newsletter.cli.main import main
from newsletter.clock import SystemClock
from newsletter.database.session import Database, open_database
from newsletter.delivery.worker import Worker
from newsletter.migrations.steps import upgrade
from newsletter.schedule.runner import Runner
from newsletter.settings import read_settings
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.tokens import Tokens
from newsletter.suppression_lists.sync import Sync, never
from tests.factories import KEY, RULES, FakeTransport, add_people
from tests.sendgrid_double.running import RunningDouble
from tests.suppression_lists.readers import make_readers


@dataclass(frozen=True)
class Telling(Sync):
    """Tells when a look has ended, so that no test waits for a guessed time."""

    looked: threading.Event = threading.Event()  # noqa: RUF009 (one test, one event)

    def look(self, is_stopping: Callable[[], bool] = never) -> None:
        """Look, and tell."""
        super().look(is_stopping)
        self.looked.set()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_scheduler_looks_at_the_lists_when_it_has_begun(database: Database, double: RunningDouble) -> None:
    readers = make_readers(database, double, 2)
    double.list_addresses(bounces=[("reader1@example.org", readers.at())])
    readers.leave("reader2@example.org")
    sync = Telling(database, readers.sync.lists, readers.clock, readers.sync.zone, KEY)
    runner = Runner(
        Worker("w", database, FakeTransport(), Tokens([KEY]), SystemClock()),
        RULES,
        sync=sync,
        period=timedelta(seconds=0.5),
    )
    runner.start()
    assert sync.looked.wait(60)
    runner.stop()
    assert readers.state("reader1@example.org") is SubscriberState.SUPPRESSED
    assert readers.unsubscribed_at_sendgrid() == {"reader2@example.org"}


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["subscribers", "sync", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_does_it_now_and_says_what_it_did(
    workspace: Path, double: RunningDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEWSLETTER_WORKSPACE", str(workspace))
    code, _, said = _run(capsys)
    assert (code, said) == (1, "There are no lists to compare: TRANSPORT is not sendgrid.\n")

    for name, value in (("TRANSPORT", "sendgrid"), ("HOST", double.host), ("API_KEY", double.key)):
        monkeypatch.setenv(f"NEWSLETTER_{name}" if name == "TRANSPORT" else f"NEWSLETTER_SENDGRID_{name}", value)
    database = open_database(read_settings(workspace).database_url)
    upgrade(database.engine)
    clock = SystemClock()
    with database.write() as session:
        add_people(session, 3, now=clock.now() - timedelta(days=9))
    at = int(clock.now().timestamp()) - 60
    double.list_addresses(unsubscribes=[("reader1@example.org", at), ("stranger@example.org", at)])
    with pytest.raises(SystemExit):
        main(["subscribers", "unsubscribe", "reader2@example.org", "--reason", "asked by phone"])
    capsys.readouterr()

    assert _run(capsys) == (
        0,
        "Spam reports: 0 new; 0 are nobody here.\n"
        "Bounces: 0 new; 0 are nobody here.\n"
        "Invalid emails: 0 new; 0 are nobody here.\n"
        "Unsubscribes: 1 new; 1 are nobody here.\n"
        "Told to SendGrid: 1 who left, 0 who came back. Waiting: 0.\n",
        "",
    )
    with database.read() as session:
        assert get_subscriber(session, "reader1@example.org").state is SubscriberState.UNSUBSCRIBED
    database.close()

    double.fail_lists("503")
    code, out, err = _run(capsys, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["lists"]["spam_reports"] == {"new": 0, "unknown": 0, "trouble": "SendGrid answered 503."}
    code, out, _ = _run(capsys)
    assert code == 0

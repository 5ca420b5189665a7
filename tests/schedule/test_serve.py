"""`serve` ends as it should: what is on its way is recorded first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from newsletter.cli.serve import free_port
from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery.model import BatchState
from newsletter.delivery.queries import get_progress, list_sends
from newsletter.delivery.tables import Batch
from newsletter.editions.queries import list_editions
from tests.factories import edition_for
from tests.node import ROOT
from tests.sendgrid_double.running import running_double


@contextmanager
def serving(workspace: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`newsletter serve` as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "newsletter", "serve", "--port", str(free_port())],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NEWSLETTER_BASE_URL": "https://news.example.org", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_records_the_batch_in_flight_first(
    database: Database, database_url: str, workspace: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    now = SystemClock().now()
    edition = edition_for(database, 3, now)
    with (
        running_double(tmp_path, faults=("slow-after:2",)) as double,
        serving(
            workspace,
            NEWSLETTER_DATABASE_URL=database_url,
            NEWSLETTER_TRANSPORT="sendgrid",
            NEWSLETTER_SENDGRID_API_KEY=double.key,
            NEWSLETTER_SENDGRID_HOST=double.host,
        ) as process,
    ):
        until = time.monotonic() + 120
        while not _is_in_flight(database):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until, _told(database)
            time.sleep(0.05)
        process.send_signal(kind)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    with database.read() as session:
        progress = get_progress(session, edition)
    assert progress.batches == {BatchState.ACCEPTED: 1}
    assert (progress.handed_over, progress.uncertain) == (3, 0)


def _is_in_flight(database: Database) -> bool:
    with database.read() as session:
        sends = list_sends(session)
        if not sends:
            return False
        batch = session.get(Batch, (sends[0].edition, 1))
        return batch is not None and batch.state is BatchState.IN_FLIGHT


def _told(database: Database) -> str:
    with database.read() as session:
        editions = [(row.id, row.state, row.note) for row in list_editions(session)]
        return f"{editions}, {[(send.state, send.note) for send in list_sends(session)]}"


def test_once_tells_of_each_send_that_did_not_go_and_why(
    database: Database, database_url: str, workspace: Path, tmp_path: Path
) -> None:
    now = SystemClock().now()
    edition = edition_for(database, 3, now)
    settings = {"BASE_URL": "https://news.example.org", "DATABASE_URL": database_url, "TRANSPORT": "sendgrid"}
    with running_double(tmp_path) as double:
        settings |= {"SENDGRID_API_KEY": "SG.wrong", "SENDGRID_HOST": double.host}
        done = subprocess.run(
            [sys.executable, "-m", "newsletter", "scheduler", "--once"],
            check=False,
            cwd=workspace,
            env={**os.environ, "PYTHONPATH": str(ROOT), **{f"NEWSLETTER_{k}": v for k, v in settings.items()}},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"{edition} is paused: the provider refuses us" in " ".join((done.stdout + done.stderr).split())

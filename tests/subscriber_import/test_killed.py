"""An import whose process is killed at any moment leaves whole parts, and goes on or is taken back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.subscriber_import.actions import PART
from newsletter.subscriber_import.model import ImportState
from newsletter.subscriber_import.queries import get_import
from newsletter.subscriber_import.tables import Import
from newsletter.subscribers.tables import Consent, Subscriber
from tests.factories import StillClock
from tests.subscriber_import.lists import Lists

ROWS = 2 * PART + 5
APPLY = """
import sys
from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import open_database
from newsletter.subscriber_import.runner import Importer

Importer(open_database(sys.argv[1]), SystemClock(), SHELL).apply(1)
"""


def _stand(database: Database) -> tuple[Import, int, int]:
    with database.read() as session:
        people = session.scalar(select(func.count()).select_from(Subscriber)) or 0
        consents = session.scalar(select(func.count()).select_from(Consent)) or 0
        return get_import(session, 1), people, consents


@pytest.mark.parametrize("then", ["go on", "take back"])
def test_an_import_that_is_killed_leaves_whole_parts_and_goes_on_or_is_taken_back(
    database: Database, database_url: str, tmp_path: Path, then: str
) -> None:
    lists = Lists(database, tmp_path, StillClock(SystemClock().now()))
    lists.stage("email\n" + "".join(f"reader{n}@example.org\n" for n in range(ROWS)))
    process = subprocess.Popen([sys.executable, "-c", APPLY, database_url])
    while not _stand(database)[0].done_up_to and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    row, people, consents = _stand(database)
    assert people == consents == row.done_up_to, "whoever is here is here with their consent"
    if then == "go on":
        row = lists.importer.apply(1) if row.state is ImportState.APPLYING else row
        assert (row.state, row.outcome["added"]) == (ImportState.APPLIED, ROWS)
        assert _stand(database)[1:] == (ROWS, ROWS)
    else:
        row = lists.importer.undo(1)
        assert (row.state, row.outcome["removed"]) == (ImportState.UNDONE, people)
        assert lists.states() == {}

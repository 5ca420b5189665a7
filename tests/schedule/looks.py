"""Waits for looks of a scheduler at the rows, instead of for a time."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from newsletter.database.heartbeat import SCHEDULER_PART, find_heartbeat
from newsletter.database.session import Database


def wait_for_looks(database: Database, count: int) -> None:
    """Wait until a scheduler has begun so many looks more."""
    pause, end = threading.Event(), time.monotonic() + 30
    for _ in range(count):
        before = _last_look(database)
        while _last_look(database) == before:
            assert time.monotonic() < end, "no scheduler looks"
            pause.wait(0.02)


def _last_look(database: Database) -> datetime | None:
    with database.read() as session:
        return find_heartbeat(session, SCHEDULER_PART)

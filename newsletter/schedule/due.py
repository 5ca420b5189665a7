"""What is due, late, or to be woken for: pure functions of values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

PERIOD = timedelta(seconds=15)
"""How often the rows are looked at anew; a wake-up that fails delays a send by no more than this."""

HORIZON = timedelta(hours=1)
"""How far ahead wake-ups are set; later ones are set when their time is nearer."""

SILENT_AFTER = 3 * PERIOD
"""After this long without a heartbeat the scheduler counts as dead."""

WORKER_DEAD_AFTER = timedelta(seconds=30)
"""After this long without a heartbeat a worker counts as dead: six of its beats."""

WORKER_FORGOTTEN_AFTER = timedelta(days=1)
"""How long a worker that died is shown."""


def is_silent(last_seen: datetime | None, now: datetime) -> bool:
    """Whether the scheduler has not been seen for too long."""
    return last_seen is None or now - last_seen > SILENT_AFTER


def went_back(last_seen: datetime, now: datetime) -> bool:
    """Whether the clock is behind the time at which the scheduler was last seen, by more than a period."""
    return last_seen - now > PERIOD


def new_wakeups(times: Iterable[datetime], known: Collection[datetime], now: datetime) -> list[datetime]:
    """The instants within the horizon for which no wake-up is set yet, earliest first; what is past needs none."""
    return sorted({time for time in times if now < time <= now + HORIZON and time not in known})

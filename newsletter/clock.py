"""The only reader of time.

Everything inside is an aware datetime in UTC; clinic time exists for reading and showing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Tells the time; tests pass one that stands still or jumps."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


def in_clinic_time(instant: datetime, zone: ZoneInfo) -> str:
    """An instant as staff read it, such as `Tue 3 Nov 2026, 09:00 (Europe/London)`."""
    local = instant.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} ({zone.key})"

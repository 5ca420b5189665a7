"""When a list is read, from where on, and how long to wait after a failure: pure functions of values."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from newsletter.backoff import exponential_backoff

NIGHTLY_AT = time(3)
"""Clinic time at which the lists are read."""

OVERLAP = timedelta(days=1)
"""How far behind the last reading the next one begins: an entry may show itself late, and clocks differ."""

BEGINNING = datetime(2009, 1, 1, tzinfo=UTC)
"""Before SendGrid had any list."""

FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=6)


def window_start(pulled_until: datetime | None) -> datetime:
    """From when on a list is read, given up to when it has been read whole."""
    return pulled_until - OVERLAP if pulled_until else BEGINNING


def is_due(pulled_until: datetime | None, not_before: datetime | None, now: datetime, zone: ZoneInfo) -> bool:
    """Whether a list has not been read since the last night's hour; a night that was missed is caught up at once."""
    if not_before and now < not_before:
        return False
    return pulled_until is None or pulled_until < _last_night(now, zone)


def wait_after(tries: int, now: datetime, not_before: datetime | None = None) -> datetime:
    """When to try again after so many failures in a row: 5 minutes, doubled each time, at most 6 hours.

    Later when SendGrid said so.
    """
    wait = exponential_backoff(tries - 1, first=FIRST_WAIT, longest=LONGEST_WAIT)
    return max(now + wait, not_before or now)


def has_come_back(listed_since: datetime, last_word: datetime | None) -> bool:
    """Whether a person's own later word makes an unsubscribe void; in doubt, by the second, the refusal counts.

    Entries are dated in whole seconds.
    """
    return last_word is not None and listed_since + timedelta(seconds=1) <= last_word


def _last_night(now: datetime, zone: ZoneInfo) -> datetime:
    today = now.astimezone(zone).date()
    tonight = datetime.combine(today, NIGHTLY_AT, zone).astimezone(UTC)
    return tonight if tonight <= now else datetime.combine(today - timedelta(days=1), NIGHTLY_AT, zone).astimezone(UTC)

"""Times as people type them at the shell, in clinic time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from newsletter.campaigns.send_times import read_send_time
from newsletter.errors import Refused

_IN = re.compile(r"in (\d{1,4}) (second|minute|hour|day)s?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY_FIRST = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}\b")
_WRITE = "Write --at '2026-11-03 09:00' in clinic time, --at 'in 10 minutes', or --at now."


def read_time(text: str, *, zone: ZoneInfo, now: datetime) -> datetime:
    """The instant that is meant by `2026-11-03 09:00`, `in 5 minutes` or `now`; raises Refused when it is past."""
    plain = " ".join(text.lower().split())
    if plain == "now":
        return now
    if not plain:
        raise Refused(f"--at names no time. {_WRITE} Without --at, the campaign's own time is taken.")
    if _DAY.fullmatch(plain):
        raise Refused(f"{text} names no time of day. Write it behind the day: --at '{plain} 09:00'.")
    if _DAY_FIRST.match(plain):
        raise Refused(f"{text}: write the year first, then month and day: --at '2026-11-03 09:00'.")
    if found := _IN.fullmatch(plain):
        return now + timedelta(**{f"{found[2]}s": int(found[1])})
    try:
        when = read_send_time(plain)
        if when.day is None:
            raise ValueError(f"`{text}` names no day. | {_WRITE}")
        at = when.in_month(when.day.year, when.day.month, zone)
    except ValueError as error:
        problem, _, remedy = str(error).partition(" | ")
        raise Refused(f"{problem} {remedy if remedy.startswith('The nearest') else _WRITE}") from None
    if at < now:
        raise Refused(f"{text} is past ({zone.key}). {_WRITE}")
    return at

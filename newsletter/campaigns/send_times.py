"""When a mailing goes out: a date and time, or a rule such as "first tuesday 09:00", in clinic time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil import tz
from dateutil.relativedelta import relativedelta
from dateutil.rrule import FR, MO, MONTHLY, SA, SU, TH, TU, WE, rrule

_DAYS = {
    "monday": (MO,), "tuesday": (TU,), "wednesday": (WE,), "thursday": (TH,), "friday": (FR,), "saturday": (SA,),
    "sunday": (SU,), "weekday": (MO, TU, WE, TH, FR), "day": (MO, TU, WE, TH, FR, SA, SU),
}  # fmt: skip
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})"
_RULE = re.compile(rf"(?P<ordinal>[a-z]+) (?P<day>[a-z]+) {_TIME}")
_DATE = re.compile(rf"(?P<date>\d{{4}}-\d{{2}}-\d{{2}})[ T]{_TIME}(?::00)?")

EXAMPLES = 'Write a date and time such as 2026-11-03 09:00, or a rule such as "first tuesday 09:00".'


@dataclass(frozen=True)
class SendTime:
    """A send time as staff wrote it: either a local date or a monthly rule, and a local time of day."""

    text: str
    day: date | None
    ordinal: int
    weekdays: tuple[str, ...]
    at: time

    def in_month(self, year: int, month: int, zone: ZoneInfo) -> datetime:
        """The instant in UTC that this means in a month; raises ValueError with the nearest good time named."""
        return to_instant(datetime.combine(self.day or self._by_rule(year, month), self.at), zone)

    def _by_rule(self, year: int, month: int) -> date:
        first = datetime(year, month, 1)  # noqa: DTZ001 - a date of the calendar, before any zone
        days = rrule(
            MONTHLY,
            dtstart=first,
            until=first + relativedelta(months=1, days=-1),
            byweekday=[_BY_NAME[name] for name in self.weekdays],
            bysetpos=self.ordinal,
        )
        for day in days:
            return day.date()
        raise ValueError(f'{year}-{month:02d} has no day for "{self.text}". | Choose another day of that month.')


_BY_NAME = {str(day): day for day in _DAYS["day"]}


def read_send_time(text: str) -> SendTime:
    """A send time from what staff wrote; raises ValueError that shows what may be written."""
    plain = " ".join(text.lower().split())
    if found := _DATE.fullmatch(plain.upper().replace("T", " ")):
        try:
            day = check_day(date.fromisoformat(found["date"]))
            return SendTime(text, day, 0, (), time(int(found["hour"]), int(found["minute"])))
        except ValueError:
            raise ValueError(f"`{text}` is not a real date and time of this century. | {EXAMPLES}") from None
    found = _RULE.fullmatch(plain)
    if not found or found["ordinal"] not in _ORDINALS or found["day"] not in _DAYS:
        raise ValueError(f"`{text}` is not a send time. | {EXAMPLES}")
    try:
        at = time(int(found["hour"]), int(found["minute"]))
    except ValueError:
        raise ValueError(f"`{text}` has no such time of day. | {EXAMPLES}") from None
    return SendTime(text, None, _ORDINALS[found["ordinal"]], tuple(map(str, _DAYS[found["day"]])), at)


def check_day(day: date) -> date:
    """The same day; raises ValueError for a year that nobody means, near which calendars and zones end."""
    if not 2000 <= day.year <= 2100:
        raise ValueError(f"{day} is not between 2000 and 2100. | Check the year.")
    return day


def to_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """A naive clinic time as an instant in UTC.

    Raises ValueError for a time that a clock change skips or repeats, with the nearest good one named: nobody can
    say which of two nine o'clocks was meant.
    """
    aware = local.replace(tzinfo=zone)
    if not tz.datetime_exists(aware):
        good = tz.resolve_imaginary(aware)
        what = "does not exist: the clocks go forward then"
    elif aware.replace(fold=0).utcoffset() != aware.replace(fold=1).utcoffset():
        good = local
        while good.replace(tzinfo=zone, fold=0).utcoffset() != good.replace(tzinfo=zone, fold=1).utcoffset():
            good += timedelta(minutes=30 - good.minute % 30)
        what = "comes twice: the clocks go back then"
    else:
        return aware.astimezone(UTC)
    raise ValueError(f"{local:%Y-%m-%d %H:%M} {what} in {zone.key}. | The nearest good time is {good:%Y-%m-%d %H:%M}.")

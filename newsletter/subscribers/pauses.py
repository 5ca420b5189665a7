"""How long a reader may pause, and when that ends."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from dateutil.tz import resolve_imaginary

PAUSES = (1, 3, 6)
"""For how many months one can pause."""


def end_of_pause(now: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The instant some months on, at the same hour of the clinic's clock: 31 January and a month is 28 February.

    An hour that the clock skips that day is the one after it.
    """
    local = now.astimezone(zone).replace(fold=0) + relativedelta(months=months)
    return resolve_imaginary(local).astimezone(UTC)

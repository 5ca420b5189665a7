"""How long what failed waits before it is tried again."""

from __future__ import annotations

from datetime import timedelta

_MOST_DOUBLINGS = 30
"""Far beyond any longest wait; with many more, a timedelta could not hold what comes out."""


def exponential_backoff(failures_before: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """The wait after a failure: `first`, doubled for each failure in a row before it, at most `longest`."""
    return min(first * (1 << min(failures_before, _MOST_DOUBLINGS)), longest)

"""Waits double with each failure, and end at a bound."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from newsletter.backoff import exponential_backoff

FIRST, LONGEST = timedelta(minutes=5), timedelta(minutes=30)


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    waits = [exponential_backoff(failures, first=FIRST, longest=LONGEST) for failures in range(5)]
    assert [wait / timedelta(minutes=1) for wait in waits] == [5, 10, 20, 30, 30]


@given(st.integers(30, 10**9))
def test_however_often_it_failed_the_wait_is_the_longest(failures: int) -> None:
    assert exponential_backoff(failures, first=FIRST, longest=LONGEST) == LONGEST

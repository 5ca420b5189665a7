"""When a list is read, from where on, how long to wait, and whose word is the later one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from newsletter.suppression_lists.rules import FIRST_WAIT, LONGEST_WAIT, has_come_back, is_due, wait_after, window_start
from tests.factories import LONDON, NOON


def test_a_list_is_due_once_a_night_at_three_of_the_clinics_clock() -> None:
    # In July, London is an hour ahead of UTC.
    three = datetime(2026, 7, 8, 2, 0, tzinfo=UTC)
    read = three - timedelta(hours=23, minutes=59)
    assert not is_due(read, None, three - timedelta(seconds=1), LONDON)
    assert is_due(read, None, three, LONDON)
    assert not is_due(three, None, three + timedelta(hours=23), LONDON)


def test_a_missed_night_is_caught_up_at_the_next_look_and_what_was_never_read_is_due() -> None:
    assert is_due(NOON - timedelta(days=4), None, NOON, LONDON)
    assert is_due(None, None, NOON, LONDON)
    assert not is_due(None, NOON + timedelta(seconds=1), NOON, LONDON)
    assert is_due(None, NOON, NOON, LONDON)


@given(st.integers(0, 400 * 24 * 60))
def test_however_the_clocks_change_every_night_is_due_once(minutes: int) -> None:
    now = NOON + timedelta(minutes=minutes)
    assert is_due(now - timedelta(hours=25, minutes=1), None, now, LONDON)
    assert not is_due(now, None, now, LONDON)


def test_each_reading_begins_a_day_before_the_end_of_the_last() -> None:
    assert window_start(NOON) == NOON - timedelta(days=1)
    assert window_start(None) < datetime(2010, 1, 1, tzinfo=UTC)


@given(st.integers(1, 10_000))
def test_waits_grow_and_end_at_a_bound(tries: int) -> None:
    wait = wait_after(tries, NOON) - NOON
    assert FIRST_WAIT <= wait <= LONGEST_WAIT
    assert wait_after(tries + 1, NOON) - NOON >= wait
    assert wait_after(tries, NOON, NOON + timedelta(days=2)) == NOON + timedelta(days=2)


def test_within_the_same_second_the_refusal_counts() -> None:
    assert not has_come_back(NOON, None)
    assert not has_come_back(NOON, NOON + timedelta(seconds=0.9))
    assert has_come_back(NOON, NOON + timedelta(seconds=1))
    assert not has_come_back(NOON, NOON - timedelta(days=1))

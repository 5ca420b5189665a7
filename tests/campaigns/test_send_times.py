"""Send times: rules and dates in clinic time, through every clock change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.send_times import read_send_time, to_instant

ZONES = ["Europe/London", "America/New_York", "Asia/Singapore", "Australia/Lord_Howe", "Africa/Casablanca"]


@pytest.mark.parametrize(
    ("rule", "local"),
    [
        ("first tuesday 09:00", "2026-11-03 09:00"),
        ("Third  Tuesday 9:00", "2026-11-17 09:00"),
        ("last friday 10:30", "2026-11-27 10:30"),
        ("last weekday 10:00", "2026-11-30 10:00"),
        ("first weekday 10:00", "2026-11-02 10:00"),
        ("first day 10:00", "2026-11-01 10:00"),
        ("last day 10:00", "2026-11-30 10:00"),
        ("fifth monday 08:00", "2026-11-30 08:00"),
        ("2026-11-03 09:00", "2026-11-03 09:00"),
        ("2026-11-03T09:00", "2026-11-03 09:00"),
    ],
)
def test_a_rule_means_the_day_that_people_mean(rule: str, local: str) -> None:
    zone = ZoneInfo("Europe/London")
    instant = read_send_time(rule).in_month(2026, 11, zone)
    assert f"{instant.astimezone(zone):%Y-%m-%d %H:%M}" == local


@pytest.mark.parametrize("name", ZONES)
def test_nine_o_clock_stays_nine_o_clock_all_year(name: str) -> None:
    zone = ZoneInfo(name)
    rule = read_send_time("first tuesday 09:00")
    for month in range(1, 13):
        local = rule.in_month(2026, month, zone).astimezone(zone)
        assert (local.hour, local.minute, local.weekday()) == (9, 0, 1)
        assert local.day <= 7


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026-03-29 01:30", "2026-03-29 02:30"),
        ("2026-10-25 01:30", "2026-10-25 02:00"),
        ("2026-10-25 01:00", "2026-10-25 02:00"),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat_names_the_nearest_good_one(text: str, good: str) -> None:
    zone = ZoneInfo("Europe/London")
    with pytest.raises(ValueError, match=f"nearest good time is {good}"):
        read_send_time(text).in_month(2026, 3, zone)
    assert read_send_time(good).in_month(2026, 3, zone)


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - clinic time before its zone
    st.sampled_from(ZONES),
)
def test_an_instant_reads_back_as_the_local_time_that_was_written(local: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    try:
        instant = to_instant(local, zone)
    except ValueError as error:
        good = datetime.strptime(str(error).rpartition("is ")[2], "%Y-%m-%d %H:%M.")  # noqa: DTZ007 - clinic time
        assert abs(good - local) <= timedelta(hours=2)
        to_instant(good, zone)
    else:
        assert instant.tzinfo is UTC
        assert instant.astimezone(zone).replace(tzinfo=None) == local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tuesday 09:00",
        "sixth monday 09:00",
        "first tuesday",
        "first tuesday 25:00",
        "2026-02-30 09:00",
        "0 9 * * 2",
        "last last 9:00",
    ],
)
def test_what_is_no_send_time_is_answered_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"2026-11-03 09:00, or a rule"):
        read_send_time(text)

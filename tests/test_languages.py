"""Readers are spoken to in the language that they wish, as near as there is one."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.languages import (
    direction_of,
    find_language,
    negotiate,
    speak,
    spell_date,
    spell_month,
    spoken_languages,
)


def test_english_comes_first_and_each_language_is_named_in_itself() -> None:
    assert [(one.code, one.name, one.direction) for one in spoken_languages().values()] == [
        ("en", "English", "ltr"),
        ("de", "Deutsch", "ltr"),
    ]


@pytest.mark.parametrize(
    ("code", "spoken"), [("en", "en"), ("de", "de"), ("de-AT", "de"), ("DE-ch", "de"), ("en-GB", "en"), ("fr", "en")]
)
def test_a_reader_is_spoken_to_in_the_nearest_language(code: str, spoken: str) -> None:
    assert speak(code).code == spoken


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,de;q=0.5,en;q=0.7", "en"),
        ("fr;q=1.0, de ; q=0.500", "de"),
        ("en;q=0,de;q=0.1", "de"),
        ("fr, *;q=0.5", None),
        ("", None),
        ("de;q=2", None),
        ("de;q=0.5;x=1, \x00, en-", None),
    ],
)
def test_a_browser_gets_the_language_that_it_likes_best(header: str, code: str | None) -> None:
    found = negotiate(header)
    assert (found.code if found else None) == code


@given(st.text())
def test_no_header_and_no_code_is_too_strange(text: str) -> None:
    for found in (negotiate(text), find_language(text)):
        assert found is None or found in spoken_languages().values()


def test_what_has_no_translation_is_said_in_english() -> None:
    assert speak("de").translate("Unsubscribe") == "Abmelden"
    assert speak("de").translate("Nobody has translated this.") == "Nobody has translated this."


def test_dates_and_months_speak_the_readers_language() -> None:
    assert spell_date(date(2026, 11, 3), "en") == "3 November 2026"
    assert spell_date(date(2026, 11, 3), "de") == "3. November 2026"
    assert spell_month(2026, 11, "fr") == "Novembre 2026"
    assert spell_month(2026, 11, "zh-Hans") == "2026年11月"


def test_languages_run_in_their_direction() -> None:
    assert [direction_of(code) for code in ("en", "de-CH", "ar", "he")] == ["ltr", "ltr", "rtl", "rtl"]

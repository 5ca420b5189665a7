"""Every word that readers see can be translated, and every catalogue has all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Message

from newsletter.languages import catalogue_files, read_catalogue
from scripts.translations import TEMPLATES, gather, untranslated
from tests.rules.tracked import tracked_texts

CODES = sorted(catalogue_files())
SPOKEN_ATTRIBUTES = {"alt", "aria-description", "aria-label", "aria-placeholder", "placeholder", "title"}


@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_has_the_words_of_code_and_templates_and_no_others(code: str) -> None:
    there = {one.id for one in read_catalogue(code) if one.id}
    wanted = {one.id for one in gather() if one.id}
    assert there == wanted, "run scripts/translations"


@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_is_whole_and_nothing_in_it_is_a_guess(code: str) -> None:
    assert [one.id for one in untranslated(read_catalogue(code))] == []


@pytest.mark.parametrize("code", CODES)
def test_translations_keep_the_values_and_the_tags(code: str) -> None:
    catalogue = read_catalogue(code)
    messages = [one for one in catalogue if one.id]
    assert [f"{one.id}: {problem}" for one in messages for problem in one.check(catalogue)] == []
    assert [text for one in messages for text in _texts(one) if _fixed(text) not in _fixed_in_english(one)] == []


@pytest.mark.parametrize("name", sorted(tracked_texts(*(f"{folder}/*.html" for folder in TEMPLATES))))
def test_no_page_has_words_that_nobody_could_translate(name: str) -> None:
    source = tracked_texts(name)[name]
    bare = re.sub(r"\{%-?\s*trans\b.*?endtrans\s*-?%\}|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", source, flags=re.DOTALL)
    words = _Words()
    words.feed(bare)
    assert words.found == []


def test_words_in_a_page_are_found_wherever_they_stand() -> None:
    words = _Words()
    words.feed('<p lang="en">Hello<img alt="a road" src="road.png"> · </p><style>p { color: red }</style>')
    assert words.found == ["Hello", "a road"]


def _texts(message: Message) -> Iterable[str]:
    return message.string if isinstance(message.string, tuple | list) else (message.string or "",)


def _fixed_in_english(message: Message) -> list[Counter[str]]:
    return [_fixed(text) for text in (message.id if isinstance(message.id, tuple | list) else (message.id,))]


def _fixed(text: str) -> Counter[str]:
    """What a translation may move and not change: values, tags, references to characters."""
    return Counter(re.findall(r"%\(\w+\)[sd]|%%|<[^>]*>|&\w+;", text))


class _Words(HTMLParser):
    """Gathers what a person would see or hear of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in SPOKEN_ATTRIBUTES:
                self._note(value or "")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self._note(data)

    def _note(self, text: str) -> None:
        if any(sign.isalpha() for sign in text):
            self.found.append(text.strip())

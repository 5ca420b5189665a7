"""What readers chose, as people write it into lists: topics by id or title, languages by code or name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from babel import Locale, localedata

from newsletter.languages import OWN_LANGUAGE, spoken_languages
from newsletter.staff_files import read_language
from newsletter.subscriber_import.words import plain
from newsletter.subscribers.topics import Topic

_BETWEEN_TOPICS = (re.compile(r"[;|\r\n]"), re.compile(","))


def spell_topics(topics: Iterable[Topic]) -> Mapping[str, str]:
    """The ids of topics by every way to write them, in the form of `plain`: the id, and the title in each language."""
    spelled: dict[str, str] = {}
    every = list(topics)
    for topic in every:
        for title in (topic.title, *(words.title for words in topic.translations.values())):
            spelled[plain(title)] = topic.id
    return spelled | {plain(topic.id): topic.id for topic in every}


def find_topics(text: str, spelled: Mapping[str, str]) -> tuple[set[str], list[str]]:
    """The topics in a cell, and what in it is none.

    Between them stands `;`, `|`, a line's end or a comma; a space only where each word is a topic, for titles have
    spaces too.
    """
    known, unknown = set[str](), list[str]()
    for part in _divide(text, spelled):
        if found := spelled.get(plain(part)):
            known.add(found)
        elif all(plain(word) in spelled for word in part.split()):
            known.update(spelled[plain(word)] for word in part.split())
        else:
            unknown.append(part)
    return known, unknown


def _divide(text: str, spelled: Mapping[str, str]) -> list[str]:
    parts = [text]
    for separator in _BETWEEN_TOPICS:
        # A title may have a comma in it.
        divided = [[part] if plain(part) in spelled else separator.split(part) for part in parts]
        parts = [part.strip() for several in divided for part in several if part.strip()]
    return parts


@lru_cache(4_096)
def find_language(text: str, clinic_language: str) -> str | None:
    """The code of a language by its code or by its name: in itself, in English, or as in the clinic's language.

    `de`, `de_AT`, `Deutsch`, `German` and `Allemand` in a French clinic; None for what is none.
    """
    try:
        return read_language(text.replace("_", "-"))
    except ValueError:
        return _codes_by_name(clinic_language).get(plain(text))


@lru_cache
def _codes_by_name(clinic_language: str) -> Mapping[str, str]:
    """Codes by names in the form of `plain`; what a language calls itself is surest, then what English calls it."""
    codes = [code for code in localedata.locale_identifiers() if "_" not in code]
    named: dict[str, str] = {plain(Locale(code).get_display_name() or ""): code for code in codes}
    for speaker in (OWN_LANGUAGE, clinic_language, *spoken_languages()):
        for code, name in Locale.parse(speaker, sep="-").languages.items():
            if localedata.exists(code):
                named.setdefault(plain(name), code.replace("_", "-"))
    named.pop("", None)
    return named

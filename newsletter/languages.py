"""The languages in which the program speaks to readers: on its public pages, and in the fixed words of their mails.

English is its own; every other language has a catalogue of gettext, `locale/<code>/LC_MESSAGES/newsletter.po`, which is
read once. What the clinic writes itself is not translated: a campaign, a topic, a wording of consent has one language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_skeleton
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

CATALOGUES = Path(__file__).parent / "locale"
DOMAIN = "newsletter"
OWN_LANGUAGE = "en"
"""The language of the words in code and templates, and of readers whose own has no catalogue."""

# A quality value has three decimals at the most (RFC 9110, 12.4.2).
_PREFERENCE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_MOST_PREFERENCES = 20


@dataclass(frozen=True)
class SpokenLanguage:
    """A language that readers are spoken to in: its BCP 47 code, its name in itself, `ltr` or `rtl`, its words."""

    code: str
    name: str
    direction: str
    translations: NullTranslations = field(repr=False, compare=False)

    def translate(self, message: str) -> str:
        """A message in this language, in English where it has no words for it."""
        return self.translations.gettext(message)


def for_readers(message: str) -> str:
    """Marks a message for the catalogues that is translated only where it is shown, as that of an error is."""
    return message


def catalogue_files() -> Mapping[str, Path]:
    """The file of every catalogue by the code of its language."""
    return {path.parts[-3]: path for path in sorted(CATALOGUES.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))}


def read_catalogue(code: str) -> Catalog:
    """The catalogue of a language as it stands in its file."""
    with catalogue_files()[code].open("rb") as file:
        return read_po(file, locale=code.replace("-", "_"), domain=DOMAIN)


@cache
def spoken_languages() -> Mapping[str, SpokenLanguage]:
    """All of them by their codes, English first, the others by their names."""
    translated = [_spoken_language(code, _compile(read_catalogue(code))) for code in catalogue_files()]
    translated.sort(key=lambda language: language.name.casefold())
    return {one.code: one for one in (_spoken_language(OWN_LANGUAGE, NullTranslations()), *translated)}


def find_language(code: str) -> SpokenLanguage | None:
    """The spoken language that is nearest to a code, as `de` is to `de-AT`; None when there is none."""
    return _nearest([code])


def speak(code: str) -> SpokenLanguage:
    """The language in which to speak to somebody who reads `code`: the nearest, or English."""
    return find_language(code) or spoken_languages()[OWN_LANGUAGE]


def negotiate(accept_language: str) -> SpokenLanguage | None:
    """The spoken language that a browser likes best, by its Accept-Language (RFC 9110, 12.5.4), or None."""
    wished = []
    for part in accept_language.split(",")[:_MOST_PREFERENCES]:
        found = _PREFERENCE.fullmatch(part)
        if found and (quality := float(found[2] or 1)) > 0:
            wished.append((quality, found[1]))
    # What is wished as much stays in the order in which it is named.
    wished.sort(key=lambda wish: wish[0], reverse=True)
    return _nearest([code for _, code in wished])


def locale_of(code: str) -> Locale:
    """Babel's locale for a language: how it writes dates and numbers; raises ValueError for what is no language."""
    # Plain English is the world's, day before month, and not one country's.
    return Locale.parse("en-001" if code == OWN_LANGUAGE else code, sep="-")


def direction_of(code: str) -> str:
    """`rtl` for languages written from right to left, else `ltr`."""
    return "rtl" if locale_of(code).character_order == "right-to-left" else "ltr"


def spell_date(day: date, code: str) -> str:
    """A date in a language: `3 November 2026`."""
    return format_date(day, "long", locale=locale_of(code))


def spell_month(year: int, month: int, code: str) -> str:
    """A month in a language: `November 2026`."""
    words = format_skeleton("yMMMM", date(year, month, 1), locale=locale_of(code))
    return words[:1].upper() + words[1:]


def name_of(code: str) -> str:
    """The name of a language in itself: `Deutsch`; raises ValueError for what is no language."""
    name = Locale.parse(code, sep="-").get_display_name() or code
    return name[:1].upper() + name[1:]


def _nearest(codes: list[str]) -> SpokenLanguage | None:
    languages = spoken_languages()
    found = negotiate_locale(codes, languages, sep="-")
    return next((one for code, one in languages.items() if found and code.lower() == found.lower()), None)


def _spoken_language(code: str, translations: NullTranslations) -> SpokenLanguage:
    return SpokenLanguage(code, name_of(code), direction_of(code), translations)


def _compile(catalogue: Catalog) -> NullTranslations:
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)

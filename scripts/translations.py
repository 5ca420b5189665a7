"""Gathers the words for readers from code and templates, and brings every catalogue up to them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po

from newsletter.languages import CATALOGUES, DOMAIN, catalogue_files, read_catalogue

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ("newsletter/public/templates", "templates/email", "templates/notices/readers")
"""The folders of templates that readers see."""

_Keywords = dict[str, tuple[int, ...] | None]
_IN_CODE: _Keywords = {"for_readers": None, "translate": None}
_IN_TEMPLATES: _Keywords = {"_": None, "gettext": None, "ngettext": (1, 2)}
_JINJA = {"silent": "false", "newstyle_gettext": "true", "trimmed": "true", "trim_blocks": "true"}


def gather() -> Catalog:
    """Every message that readers may see, with the files that it stands in."""
    gathered = Catalog(domain=DOMAIN)
    _gather(gathered, "newsletter", [("**.py", "python")], _IN_CODE, {})
    for folder in TEMPLATES:
        _gather(gathered, folder, [("**.html", "jinja2"), ("**.j2", "jinja2")], _IN_TEMPLATES, _JINJA)
    return gathered


def _gather(
    catalogue: Catalog,
    folder: str,
    methods: list[tuple[str, str]],
    keywords: _Keywords,
    options: dict[str, str],
) -> None:
    found = extract_from_dir(
        ROOT / folder, methods, {pattern: options for pattern, _ in methods}, keywords=keywords, strip_comment_tags=True
    )
    for name, _, message, comments, context in found:
        catalogue.add(message, None, [(f"{folder}/{name}", 1)], auto_comments=comments, context=context)


def untranslated(catalogue: Catalog) -> list[Message]:
    """The messages that have no words yet, or words that somebody should look at."""
    return [one for one in catalogue if one.id and (one.fuzzy or not _is_whole(one))]


def _is_whole(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, tuple | list) else bool(message.string)


def main(arguments: list[str]) -> int:
    """Begin the catalogues that are named, bring all up to date, and list what is missing."""
    gathered = gather()
    for code in arguments:
        try:
            Locale.parse(code, sep="-")
        except (ValueError, UnknownLocaleError):
            print(f"`{code}` is not a language. Write its code, such as fr or pt-BR.", file=sys.stderr)
            return 2
        path = CATALOGUES / code / "LC_MESSAGES" / f"{DOMAIN}.po"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(_begin(code), path)
    for code, path in catalogue_files().items():
        catalogue = read_catalogue(code)
        catalogue.update(gathered, no_fuzzy_matching=True, update_creation_date=False)
        _write(catalogue, path)
        missing = untranslated(catalogue)
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} messages, {len(missing)} to translate")
        for message in missing:
            print(f"  {message.id}")
    return 0


def _begin(code: str) -> Catalog:
    locale = Locale.parse(code, sep="-")
    return Catalog(
        locale=locale,
        domain=DOMAIN,
        project="newsletter",
        version="1",
        header_comment=f"# The words for readers in {locale.english_name}.",
        msgid_bugs_address=" ",
        last_translator=" ",
        language_team=" ",
        creation_date=(now := datetime.now(UTC)),
        revision_date=now,
        fuzzy=False,
    )


def _write(catalogue: Catalog, path: Path) -> None:
    with path.open("wb") as file:
        write_po(file, catalogue, width=110, sort_by_file=True, ignore_obsolete=True, include_lineno=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

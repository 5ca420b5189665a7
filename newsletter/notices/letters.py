"""A notice as a mail, from `templates/notices/`: plain text by its kind, and the same in the clinic's colours.

The first line of a text is the subject; an empty line ends a paragraph. A workspace without that folder, or without one
of the texts, gets those of a fresh one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from newsletter.languages import SpokenLanguage, speak
from newsletter.rendering.brand import Brand
from newsletter.rendering.plaintext import wrap
from newsletter.staff.model import WantedNotice
from newsletter.subscribers.model import ReaderNoticeKind
from newsletter.workspace import starter_folder

FOLDER = "templates/notices"
OF_READERS = "readers"
"""The folder in it with what readers are told."""

_SMALL_PRINT = "---"
_RULE = "-" * 40


@dataclass(frozen=True)
class Letter:
    """A notice as its recipient reads it."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a reader's notice: words, or the words of a link and where it leads."""

    words: str
    link: str = ""
    is_first_link: bool = False


def write_letter(notice: WantedNotice, *, workspace: Path, brand: Brand, clinic: str) -> Letter:
    """The mail about a notice; raises jinja2.TemplateError when a template is broken, ValueError when it is empty."""
    templates = _templates(workspace, speak("en"))
    values = {"edition": notice.edition, "reason": notice.reason.rstrip("."), "attempts": notice.attempts}
    name = f"{_file_name(notice.kind.value)}.txt.j2"
    subject, body = _subject_and_body(templates, name, {**values, "clinic": clinic})
    paragraphs = [paragraph.strip("\n") for paragraph in body.split("\n\n")]
    html = templates.get_template("layout.html.j2").render(
        subject=subject, paragraphs=paragraphs, clinic=clinic, colours=brand.colours.light, fonts=brand.fonts
    )
    return Letter(subject, body + "\n", html)


def write_reader_letter(
    kind: ReaderNoticeKind, values: Mapping[str, Any], *, language: SpokenLanguage, workspace: Path, brand: Brand
) -> Letter:
    """The mail of a reader's own, in their language; `values` are the clinic's and the links. Raises as `write_letter`.

    A paragraph of two lines whose second is a web address is a link. What follows on `---` is small print.
    """
    templates = _templates(workspace, language)
    subject, body = _subject_and_body(templates, f"{OF_READERS}/{_file_name(kind.value)}.txt.j2", values)
    said, _, small_print = body.partition(f"\n\n{_SMALL_PRINT}\n\n")
    paragraphs, footer = list(_paragraphs(said)), list(_paragraphs(small_print))
    html = templates.get_template(f"{OF_READERS}/layout.html.j2").render(
        values,
        subject=subject,
        paragraphs=paragraphs,
        small_print=footer,
        language=language.code,
        direction=language.direction,
        light=brand.colours.light,
        dark=brand.colours.dark,
        fonts=brand.fonts,
    )
    text = "\n\n".join([*map(_as_text, paragraphs), _RULE, *map(_as_text, footer)])
    return Letter(subject, text + "\n", html)


def _templates(workspace: Path, language: SpokenLanguage) -> ImmutableSandboxedEnvironment:
    templates = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(workspace / FOLDER), FileSystemLoader(starter_folder() / FOLDER)]),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
    return templates


def _file_name(kind: str) -> str:
    return kind.replace(" ", "-")


def _subject_and_body(
    templates: ImmutableSandboxedEnvironment, name: str, values: Mapping[str, Any]
) -> tuple[str, str]:
    text = templates.get_template(name).render(values).strip()
    subject, _, body = text.partition("\n")
    if not subject or not body.strip():
        raise ValueError(f"{FOLDER}/{name} needs a first line for the subject, and a text.")
    return subject, body.strip()


def _paragraphs(text: str) -> Iterator[Paragraph]:
    has_link = False
    for block in re.split(r"\n(?:[ \t]*\n)+", text.strip()):
        *words, last = block.strip().split("\n")
        if words and re.match(r"https?://", last):
            yield Paragraph(" ".join(words), last.strip(), is_first_link=not has_link)
            has_link = True
        else:
            yield Paragraph(" ".join([*words, last]))


def _as_text(paragraph: Paragraph) -> str:
    if paragraph.link:
        return f"{paragraph.words}:\n{paragraph.link}"
    return wrap(paragraph.words)

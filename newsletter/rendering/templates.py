"""The Jinja environment of `templates/email/`: sandboxed, escaping, strict about missing names.

Every start tag of an MJML template is marked with its file and line on loading, so that a fault found in the rendered
document can be placed in the template that a person can open.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from newsletter.campaigns import markdown
from newsletter.errors import Fault, TemplateFault
from newsletter.languages import speak
from newsletter.rendering.lint import MARK, is_strange
from newsletter.rendering.plaintext import wrap

FOLDER = "templates/email"

_CODE_OR_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<!--.*?-->|<([A-Za-z][\w-]*)", re.DOTALL)


class _MarkingLoader(FileSystemLoader):
    def get_source(self, environment: Any, template: str) -> tuple[str, str, Callable[[], bool]]:
        try:
            source, path, fresh = super().get_source(environment, template)
        except UnicodeDecodeError:
            raise TemplateSyntaxError("it is not written in UTF-8", 0, template) from None
        return (mark(source, template) if template.endswith(".mjml.j2") else source), path, fresh


def mark(source: str, name: str) -> str:
    """A template's source with every start tag outside of Jinja code marked with its file and line."""
    line, counted = 1, 0

    def with_place(found: re.Match[str]) -> str:
        nonlocal line, counted
        line += source.count("\n", counted, found.start())
        counted = found.start()
        return f'{found[0]} {MARK}="{name}:{line}"' if found[1] else found[0]

    return _CODE_OR_TAG.sub(with_place, source)


def attribute(text: str) -> Markup:
    """Text for an MJML attribute: MRML prints many characters there as Rust escapes unless they are references."""
    # What gettext gives has its values escaped already.
    words = text.unescape() if isinstance(text, Markup) else str(text)
    safe = str(escape(unicodedata.normalize("NFC", " ".join(words.split()))))
    if safe.isascii() and safe.isprintable():
        return Markup(safe)  # noqa: S704 - escaped in the line above
    return Markup(  # noqa: S704 - escaped above
        "".join(f"&#{ord(c)};" if is_strange(c) else c for c in safe)
    )


def prose(text: str, styles: Mapping[str, str], top_heading: int = 3) -> Markup:
    """Markdown as sanitised HTML, each tag with the style that the template gives it."""
    return Markup(markdown.to_html(text, top_heading=top_heading, styles=styles))  # noqa: S704 - sanitised by nh3


def plain(text: str, width: int = 72) -> str:
    """Markdown as wrapped plain text, a blank line between blocks."""
    lines: list[str] = []
    before = ""
    for prefix, words in markdown.to_blocks(text):
        quote, quoted_before = (">" * p.count("> ") for p in (prefix, before))
        items = prefix[-2:] in _ITEM_ENDS and before[-2:] in _ITEM_ENDS
        if lines and not (items and quote == quoted_before):
            lines.append(" ".join(min(quote, quoted_before)))
        signs = "> " * len(quote)
        lines.append(wrap(words, width, first=prefix, rest=signs + " " * (len(prefix) - len(signs))))
        before = prefix
    return "\n".join(lines)


_ITEM_ENDS = ("* ", ". ")


def for_outlook(rule: str) -> str:
    """A dark-mode CSS rule as Outlook's web and phone programs need it: they mark what they recoloured."""
    selectors, _, declarations = rule.strip().partition("{")
    marks = [
        name
        for name, wanted in (("[data-ogsc]", "color: "), ("[data-ogsb]", "background-color: "))
        if re.search(rf"(^|[ ;]){wanted}", declarations)
    ]
    return "\n".join(f"{', '.join(f'{m} {s.strip()}' for s in selectors.split(','))} {{{declarations}" for m in marks)


@lru_cache(maxsize=16)
def environment(folder: Path, language: str) -> ImmutableSandboxedEnvironment:
    """The environment of one workspace's `templates/email/` for letters in a language, kept while the process lives."""
    env = ImmutableSandboxedEnvironment(
        loader=_MarkingLoader(folder),
        autoescape=lambda name: bool(name and name.endswith(".mjml.j2")),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(attr=attribute, prose=prose, plain=plain, wrap=wrap, outlook=for_outlook)
    translations = speak(language).translations
    env.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined] # of the i18n extension
    return env


def render(folder: Path, name: str, context: Mapping[str, Any], *, language: str) -> str:
    """A template with its values, its own words in a language; raises TemplateFault with file and line."""
    try:
        return environment(folder, language).get_template(name).render(context)
    except TemplateSyntaxError as error:
        raise TemplateFault(
            [_fault(error.name or name, error.lineno, f"cannot be read: {_end(error)}", _UNDO)]
        ) from None
    except TemplateNotFound as error:
        file, line = _last_template_line(error, folder, str(error.name))
        problem = f"includes {FOLDER}/{error.name}, which is not there." if line else "is not there."
        raise TemplateFault([_fault(file, line, problem, "Restore it from a fresh workspace.")]) from None
    except UndefinedError as error:
        named = re.findall(r"'([^']*)'", str(error))
        problem = f"names `{named[-1] if named else error}`, a value that is not there."
        remedy = "Check the spelling; docs/templates.md lists the values."
        raise TemplateFault([_fault(*_last_template_line(error, folder, name), problem, remedy)]) from None
    except RecursionError as error:
        ((file, line), _), *_ = Counter(_template_lines(error, folder, name)).most_common(1)
        raise TemplateFault([_fault(file, line, "includes itself, without an end.", _UNDO)]) from None
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        file, line = _last_template_line(error, folder, name)
        raise TemplateFault([_fault(file, line, f"fails: {_end(error)}", _UNDO)]) from None


_UNDO = "Undo the last change there, or restore the file from a fresh workspace."


def _end(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def _fault(name: str, line: int, problem: str, remedy: str) -> Fault:
    return Fault(f"{FOLDER}/{name}", line, "", problem, remedy)


def _last_template_line(error: BaseException, folder: Path, name: str) -> tuple[str, int]:
    return _template_lines(error, folder, name)[-1]


def _template_lines(error: BaseException, folder: Path, name: str) -> list[tuple[str, int]]:
    # Jinja rewrites tracebacks so that frames of templates bear the template's own file and line.
    frames = [(Path(frame.filename), frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    return [(str(path.relative_to(folder)), line) for path, line in frames if path.is_relative_to(folder)] or [
        (name, 0)
    ]

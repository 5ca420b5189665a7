"""MJML to HTML through MRML: the one place that knows its moods.

What kills or misleads MRML (deep nesting, raw `>`, includes) is refused by `lint` before this is called; a panic that
still happens becomes a TemplateFault here, for it is no ordinary exception and would end the process.
"""

from __future__ import annotations

import re

from mjml import mjml2html

from newsletter.errors import Fault, TemplateFault
from newsletter.rendering.lint import place_of, remove_marks
from newsletter.rendering.templates import FOLDER

OUTPUT_LIMIT = 2_000_000

_PREHEADER = re.compile(r'<div style="display:none;[^"]*opacity:0;[^"]*">')


def to_html(marked: str, *, language: str, direction: str) -> str:
    """The HTML of a linted MJML document, with or without marks; raises TemplateFault when the renderer refuses."""
    mjml = remove_marks(marked)
    try:
        html = mjml2html(mjml, disable_comments=True, fonts={}, social_icon_origin="")
    except ValueError as error:
        raise TemplateFault([_where(marked, mjml, str(error))]) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TemplateFault(
            [Fault(FOLDER, 0, "", "the renderer gave up on this mail.", "Undo the last change to a template.")]
        ) from None
    if len(html) > OUTPUT_LIMIT:
        raise TemplateFault([Fault(FOLDER, 0, "", "the rendered mail is larger than 2 MB.", "Remove items from it.")])
    return _mend(html, language, direction)


def _mend(html: str, language: str, direction: str) -> str:
    # White text of one pixel is what spam filters look for, and the preheader is the one child of body that MRML
    # leaves without a language.
    hidden = (
        f'<div lang="{language}" dir="{direction}" style="display:none;max-height:0;overflow:hidden;mso-hide:all;">'
    )
    html = _PREHEADER.sub(hidden, html, count=1)
    # MRML writes a style as an attribute on a button's cell; no standard has it.
    return re.sub(r'(<td[^>]*) vertical-align="middle"', r"\1", html)


def _where(marked: str, mjml: str, message: str) -> Fault:
    found = re.search(r"at position (\d+):", message)
    # Marks have no line breaks: a line of the one is that line of the other.
    lines = mjml.encode()[: int(found[1])].count(b"\n") + 1 if found else 0
    file, line = place_of(marked, len("".join(marked.splitlines(keepends=True)[:lines])))
    what = message.partition(" in root template")[0]
    return Fault(
        f"{FOLDER}/{file}".rstrip("/"),
        line,
        "",
        f"the renderer refuses the mail here or just below ({what}).",
        "Undo the last change to a template.",
    )

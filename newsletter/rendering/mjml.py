"""MJML to HTML through MRML: the one place that knows its moods.

What kills or misleads MRML (deep nesting, raw `>`, includes) is refused by `lint` before this is called; a panic that
still happens becomes a TemplateFault here, for it is no ordinary exception and would end the process.
"""

from __future__ import annotations

import re

from mjml import mjml2html

from newsletter.errors import Fault, TemplateFault

OUTPUT_LIMIT = 2_000_000

_PREHEADER = re.compile(r'<div style="display:none;font-size:1px;color:#ffffff;')


def to_html(mjml: str, *, language: str, direction: str) -> str:
    """The HTML of a linted MJML document; raises TemplateFault when the renderer refuses or panics."""
    try:
        html = mjml2html(mjml, disable_comments=True, fonts={}, social_icon_origin="")
    except ValueError as error:
        raise TemplateFault([_where(mjml, str(error))]) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TemplateFault(
            [Fault("", 0, "", "the MJML renderer gave up on this mail.", "Undo the last change to a template.")]
        ) from None
    if len(html) > OUTPUT_LIMIT:
        raise TemplateFault([Fault("", 0, "", "the rendered mail is larger than 2 MB.", "Remove items from it.")])
    return _mend(html, language, direction)


def _mend(html: str, language: str, direction: str) -> str:
    # White text of one pixel is what spam filters look for, and the preheader is the one child of body that MRML
    # leaves without a language.
    html = _PREHEADER.sub(f'<div lang="{language}" dir="{direction}" style="display:none;font-size:1px;', html, count=1)
    # MRML writes a style as an attribute on a button's cell; no standard has it.
    return re.sub(r'(<td[^>]*) vertical-align="middle"', r"\1", html)


def _where(mjml: str, message: str) -> Fault:
    found = re.search(r"at position (\d+):", message)
    line = mjml.encode()[: int(found[1])].count(b"\n") + 1 if found else 0
    place = f"line {line} of the MJML, " if line else ""
    return Fault(
        "", 0, "", f"the MJML renderer refuses this mail ({place}{message}).", "Undo the last change to a template."
    )

"""Can everybody read it? (WCAG 2.2 AA, as far as a mail's own bytes can tell.)"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from newsletter.preflight.model import Draft, Finding, Level
from newsletter.rendering.brand import BRAND_FILE, Palette, contrast

_PAIRS = (
    ("ink", "paper"),
    ("ink", "tint"),
    ("quiet", "paper"),
    ("quiet", "tint"),
    ("quiet", "page"),
    ("accent", "paper"),
    ("on_accent", "accent"),
)


def check(draft: Draft) -> Iterator[Finding]:
    """Contrast of the brand's colours in both modes, headings in order, an alt text on every picture."""
    for mode in ("light", "dark"):
        palette: Palette = getattr(draft.brand.colours, mode)
        for front, back in _PAIRS:
            ratio = contrast(getattr(palette, front), getattr(palette, back))
            if ratio < 4.5:
                yield Finding(
                    Level.STOP,
                    "accessibility",
                    BRAND_FILE,
                    f"{mode}: {front} on {back} has a contrast of {ratio:.1f}; readers need 4.5.",
                    "Make one darker or the other lighter.",
                )
    levels = [int(level) for level in re.findall(r"<h([1-6])[\s>]", draft.mail.html)]
    if levels[:1] != [1] or levels.count(1) > 1:
        yield Finding(
            Level.STOP, "accessibility", draft.place, "the mail needs one main heading, first.", "Use one <h1>."
        )
    for before, after in pairwise(levels):
        if after > before + 1:
            yield Finding(
                Level.WARN,
                "accessibility",
                draft.place,
                f"a heading jumps from level {before} to {after}.",
                "Skip no level.",
            )
    for image in re.findall(r"<img\b[^>]*>", draft.mail.html):
        if not re.search(r'\balt="', image):
            yield Finding(Level.STOP, "accessibility", draft.place, "a picture has no alt text.", "Add `alt`.")

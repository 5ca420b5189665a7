"""Wrapping for the text part: 72 columns, and an address never broken in two."""

from __future__ import annotations

import textwrap


def wrap(text: str, width: int = 72, first: str = "", rest: str | None = None) -> str:
    """Text wrapped at `width` columns; `first` begins the first line and `rest` the others (blanks by default)."""
    rest = " " * len(first) if rest is None else rest
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += textwrap.wrap(
            paragraph,
            width,
            initial_indent=rest if lines else first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)

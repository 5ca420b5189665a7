"""A mail's HTML as a list of lines that can be compared: the same for two ways of writing the same thing.

What stands in a conditional comment is read as the mail programs it is meant for read it, with the condition at the
head of its line. So it does not matter whether two engines cut their comments at the same places.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator
from html.parser import HTMLParser

_CONDITIONAL = re.compile(
    r"<!--\[if ([^\]]*)\]><!-->(.*?)<!--<!\[endif\]-->"  # everybody but Outlook reads what is between
    r"|<!--\[if ([^\]]*)\]>(.*?)<!\[endif\]-->",  # Outlook alone does
    re.DOTALL,
)

_COLUMN = re.compile(r"(?:\.moz-text-html )?\.mj-column-[\w-]+\{[^}]*\}")
_COLUMNS = re.compile(rf"(?:{_COLUMN.pattern}){{2,}}")


def read_html(html: str) -> list[str]:
    """One line for each tag and text, those in conditional comments with their condition before them."""
    lines: list[str] = []
    end = 0
    for found in _CONDITIONAL.finditer(html):
        lines += _pieces(html[end : found.start()])
        condition, content = (found[1], found[2]) if found[1] else (found[3], found[4])
        lines += [f"[if {condition}] {piece}" for piece in _pieces(content)]
        end = found.end()
    return [*lines, *_pieces(html[end:])]


def for_browsers(html: str) -> list[str]:
    """The lines that browsers and most mail programs see."""
    return [line for line in read_html(html) if not line.startswith("[if ") or line.startswith("[if !mso]")]


def for_outlook(html: str) -> list[str]:
    """The lines that Outlook for Windows sees and others do not."""
    return [line for line in read_html(html) if line.startswith("[if ") and not line.startswith("[if !mso]")]


def _pieces(html: str) -> Iterator[str]:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return iter(reader.lines)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        self.lines.append(f"<{tag}{''.join(sorted(_attribute(name, value or '') for name, value in attrs))}>")

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False
        self.lines.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if self.in_style:
            text = _COLUMNS.sub(_sorted_columns, re.sub(r"\s*([{}:;,>])\s*", r"\1", text))
        if text:
            self.lines.append(text)


def _sorted_columns(found: re.Match[str]) -> str:
    # Each column's class is written for itself alone, so the order of these rules means nothing.
    return "".join(sorted(_COLUMN.findall(found[0])))


def _attribute(name: str, value: str) -> str:
    if name == "class":
        value = " ".join(sorted(value.split()))
    if name == "style":
        value = ";".join(re.sub(r"\s*:\s*", ":", part.strip(), count=1) for part in value.split(";") if part.strip())
    return "" if name in ("class", "style") and not value else f' {name}="{entities.escape(value)}"'

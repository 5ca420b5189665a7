"""A text brought from outside as a value: blocks made of runs, whatever kind of file it came from, and its Markdown.

What an author typed stays what it is: a `#`, `*` or `1.` in a plain text is escaped, never obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from markdown_it import MarkdownIt

from newsletter.campaigns.citations import split_links

_parser = MarkdownIt("commonmark", {"html": False})


@dataclass(frozen=True)
class Run:
    """Words of one look; `\\n` is a line break, `link` an address that a mail can open."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False
    link: str = ""


PROSE = 90
"""Characters from which a line is a sentence of its own rather than one of an address or a verse."""

BlockKind = Literal["title", "heading", "paragraph", "item", "reference", "code", "rule"]


@dataclass(frozen=True)
class Block:
    """A paragraph or its like. `level` is a heading's level or a list's depth; `marker` what stands before an item.

    `quote` counts the quotations around it; `inner` says that it goes on with the item before it, `follows` that only
    a line break parts it from the block before.
    """

    kind: BlockKind
    runs: tuple[Run, ...]
    level: int = 0
    marker: str = ""
    quote: int = 0
    inner: bool = False
    follows: bool = False

    @property
    def text(self) -> str:
        """The bare words, lines separated by `\\n`."""
        return "".join(run.text for run in self.runs)

    @property
    def bold(self) -> bool:
        """Whether all of it is bold, as a heading that nobody gave a style."""
        return bool(self.text.strip()) and all(run.bold for run in self.runs if run.text.strip())

    def lines(self) -> list[Block]:
        """The block cut at its line breaks, empty lines left out."""
        lines: list[list[Run]] = [[]]
        for run in self.runs:
            first, *others = run.text.split("\n")
            lines[-1].append(replace(run, text=first))
            lines += [[replace(run, text=other)] for other in others]
        full = [tidy_runs(line) for line in lines if any(run.text.strip() for run in line)]
        return [replace(self, runs=runs, follows=self.follows or i > 0) for i, runs in enumerate(full)]

    def without(self, count: int) -> Block:
        """The block less its first characters."""
        rest: list[Run] = []
        for run in self.runs:
            rest.append(replace(run, text=run.text[count:]))
            count = max(count - len(run.text), 0)
        return replace(self, runs=tidy_runs(rest))


def plain_block(text: str, kind: BlockKind = "paragraph") -> Block:
    """A block of words without any look; the web addresses in it become links."""
    return Block(kind, tuple(Run(words, link=url or "") for words, url in split_links(text)))


def tidy_runs(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Runs of one look joined, spaces made single, none at the ends or around line breaks."""
    joined: list[Run] = []
    for run in runs:
        text = re.sub(r"[^\S\n]+", " ", run.text)
        if joined and (not text.strip(" ") or replace(run, text="") == replace(joined[-1], text="")):
            joined[-1] = replace(joined[-1], text=joined[-1].text + text)
        elif text:
            joined.append(replace(run, text=text))
    tidy: list[Run] = []
    for run in joined:
        text = re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", run.text))
        if not tidy or tidy[-1].text.endswith((" ", "\n")):
            text = text.lstrip(" \n" if not tidy else " ")
        if text:
            tidy.append(replace(run, text=text))
    while tidy and not (last := tidy[-1].text.rstrip()):
        tidy.pop()
    if tidy:
        tidy[-1] = replace(tidy[-1], text=last)
    return tuple(tidy)


# --- Markdown ---------------------------------------------------------------------------------------------------


ROW = "|"
"""The marker of an item that was a row of a table."""


def write_markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown that reads back as the same words, each block told apart by an empty line."""
    parts: list[str] = []
    offsets: list[int] = []
    styles: dict[int, str] = {}  # two kinds of list in a row need an empty line between them
    before: Block | None = None
    for block in blocks:
        if block.kind == "item":
            depth = min(block.level, len(offsets))
            indent = sum(offsets[:depth])
            numbered = re.fullmatch(r"\d{1,9}[.)]", block.marker)
            marker = f"{block.marker} " if numbered else f"{_bullet(block, before, styles.get(depth))} "
            offsets = [*offsets[:depth], len(marker)]
            text = marker + _lines(block, indent + len(marker))
            close = before is not None and before.kind == "item" and styles.get(depth, marker[-2]) == marker[-2]
            styles = {**{level: style for level, style in styles.items() if level < depth}, depth: marker[-2]}
        elif block.inner and offsets:
            indent = sum(offsets)
            text, close = _lines(block, indent), False
        else:
            offsets, styles, indent, close = [], {}, 0, False
            text = _lines(block, 0)
        prefix = "> " * block.quote
        text = "\n".join(prefix + line for line in (" " * indent + text).split("\n"))
        if parts:
            parts.append("\n" if close and before and before.quote == block.quote else "\n\n")
        parts.append(text)
        before = block
    return "".join(parts) + ("\n" if parts else "")


def _bullet(block: Block, before: Block | None, last: str | None) -> str:
    """The sign of an item; another one begins another list, so that a table stays apart from the list beside it."""
    if last is None or last not in "-*":
        return "-"
    beside_a_table = before is not None and (before.marker == ROW) != (block.marker == ROW)
    return {"-": "*", "*": "-"}[last] if beside_a_table else last


def _lines(block: Block, indent: int) -> str:
    margin = "\n" + " " * indent
    match block.kind:
        case "code":
            fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall(r"`+", block.text)), default=0))
            return margin.join([fence, *block.text.split("\n"), fence])
        case "rule":
            return "***"
        case "heading" | "title":
            one_line = tidy_runs(replace(run, text=run.text.replace("\n", " ")) for run in block.runs)
            return "#" * max(2, min(block.level, 6)) + " " + re.sub(r"(#+)$", r"\\\1", write_runs(one_line))
        case _:
            return write_runs(block.runs).replace("\n", "\\" + margin)


def write_runs(runs: Sequence[Run]) -> str:
    """Runs as the Markdown of one paragraph; a look that Markdown cannot carry there is given up, never a word."""
    wanted = "".join(run.text for run in runs)
    for attempt in (runs, [replace(run, bold=False, italic=False) for run in runs]):
        text = "\n".join(_escape_start(line) for line in "".join(map(_write_run, attempt)).split("\n"))
        if _reads_as(text) == wanted:
            return text
    return "\n".join(re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line) for line in wanted.split("\n"))


def _reads_as(text: str) -> str | None:
    tokens = _parser.parse(text.replace("\n", "\\\n"))
    if [token.type for token in tokens] != ["paragraph_open", "inline", "paragraph_close"]:
        return None
    breaks = {"softbreak": " ", "hardbreak": "\n"}
    return "".join(breaks.get(child.type, child.content) for child in tokens[1].children or ())


def _write_run(run: Run) -> str:
    if run.code and "\n" not in run.text:
        fence = "`" * (1 + max((len(ticks) for ticks in re.findall(r"`+", run.text)), default=0))
        pad = " " if run.text.startswith("`") or run.text.endswith("`") else ""
        text = f"{fence}{pad}{run.text}{pad}{fence}"
    elif run.link == run.text and re.fullmatch(r"[!#$&-;=?-Z_a-z~]+", run.text):
        return f"<{run.text}>"
    else:
        text = escape(run.text)
    if run.link:
        words = text if run.code else re.sub(r"(?<!\\)([\[\]])", r"\\\1", text)
        target = re.sub(r"[\s()<>\\]", lambda found: quote(found[0]), run.link)
        text = f"[{words}]({re.sub('&(?=#?[0-9A-Za-z]+;)', '&amp;', target)})"
    marks = "*" * (2 * run.bold + run.italic)
    return "\n".join(_emphasised(line, marks) for line in text.split("\n")) if marks else text


def _emphasised(line: str, marks: str) -> str:
    words = line.strip(" ")
    if not words:
        return line
    start = line.index(words)
    return line[:start] + marks + words + marks + line[start + len(words) :]


def escape(text: str) -> str:
    """Words as Markdown inside a line: what would be obeyed there is escaped."""
    text = re.sub(r"([\\`])", r"\\\1", text)
    text = re.sub(r"(?<!\S)\*(?!\S)|\*", lambda found: found[0] if _alone(found) else "\\*", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"<(?=\S)", r"\\<", text)
    text = re.sub(r"&(?=#?\w+;)", r"\\&", text)
    return re.sub(r"\](?=[(:\[])", r"\\]", text)


def _alone(found: re.Match[str]) -> bool:
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return before == " " and after == " "


def _escape_start(line: str) -> str:
    line = re.sub(r"^(\d{1,9})([.)])(?=\s|$)", r"\1\\\2", line)
    line = re.sub(r"^([-+*])(?=\s|$)", r"\\\1", line)
    return re.sub(r"^(?=#{1,6}(?:\s|$)|>|=+\s*$|-+\s*$|(?:- ?){3,}$|~~~|\+\s)", r"\\", line)


def cut_lines(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks with every line a block of its own; code is left whole."""
    for block in blocks:
        yield from [block] if block.kind in ("code", "rule") else block.lines()


def join_lines(blocks: Sequence[Block]) -> list[Block]:
    """What `cut_lines` has cut put together again, but for long lines, which were meant as paragraphs."""
    joined: list[Block] = []
    for block in blocks:
        if (
            block.follows
            and joined
            and block.kind == joined[-1].kind == "paragraph"
            and max(len(block.text), len(joined[-1].text.rpartition("\n")[2])) < PROSE
        ):
            joined[-1] = replace(joined[-1], runs=(*joined[-1].runs, Run("\n"), *block.runs))
        else:
            joined.append(block)
    return joined

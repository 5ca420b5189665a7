"""Markdown as authors write it: CommonMark without HTML and without pictures.

The same tokens become HTML for the mail and the archive, and plain text for the text part, so that neither is made
from the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from newsletter.errors import Fault

ALLOWED_TAGS = {"p", "ul", "ol", "li", "blockquote", "strong", "em", "a", "br", "code", "pre", "hr"} | {
    f"h{n}" for n in range(2, 7)
}
NESTING_LIMIT = 20

_parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_LIMIT * 2})
# A line break inside a paragraph is a space: MRML drops a line end between two inline elements and glues the words.
_parser.add_render_rule("softbreak", lambda self, tokens, idx, options, env: " ")


def _render_heading(self: object, tokens: Sequence[Token], idx: int, options: object, env: Mapping[str, int]) -> str:
    tag = f"h{env[str(idx)]}"
    return f"<{tag}>" if tokens[idx].nesting == 1 else f"</{tag}>\n"


_parser.add_render_rule("heading_open", _render_heading)
_parser.add_render_rule("heading_close", _render_heading)


@lru_cache(maxsize=64)
def _tokens(text: str) -> tuple[Token, ...]:
    # Faults, HTML, text and citations all ask for the same tokens; nobody may change them.
    return tuple(_parser.parse(text))


def find_faults(text: str, name: str, first_line: int) -> list[Fault]:
    """What a mail cannot carry in a Markdown text: pictures, HTML, links that lead nowhere."""
    faults: list[Fault] = []

    def add(line: int, problem: str, remedy: str) -> None:
        faults.append(Fault(name, first_line + line, "", problem, remedy))

    for token in _tokens(text):
        line = token.map[0] if token.map else 0
        if token.level > NESTING_LIMIT:
            add(line, "is nested too deeply.", "Use fewer levels of lists and quotes.")
            break
        for child in token.children or ():
            if child.type == "image":
                add(line, "has a picture inside the text.", "Give the item a `picture:` in campaign.yaml instead.")
            if child.type == "link_open" and not str(child.attrGet("href") or "").startswith(
                ("https://", "http://", "mailto:")
            ):
                add(
                    line,
                    f"has a link to `{child.attrGet('href')}`, which works in no mail.",
                    "Write the whole address, beginning with https://.",
                )
    return faults


def to_html(text: str, *, top_heading: int = 3, styles: Mapping[str, str] | None = None) -> str:
    """Markdown as safe HTML, sanitised after rendering.

    Headings begin at `top_heading`, whatever the author's first level is, and skip no level. `styles` gives each tag
    the inline style that mail clients without style sheets need.
    """
    tokens = _tokens(text)
    html = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, _heading_levels(tokens, top_heading)),
        tags=ALLOWED_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}, "*": set()},
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
        set_tag_attribute_values={tag: {"style": style} for tag, style in (styles or {}).items()},
    )
    # MJML is XML: what HTML leaves open must be closed.
    return re.sub(r"<(br|hr)([^>]*)>", r"<\1\2 />", html).strip()


def _heading_levels(tokens: Sequence[Token], top: int) -> dict[str, int]:
    """The level of each heading token by its index: the author's order of levels, begun at `top`, none skipped."""
    used = sorted({token.tag for token in tokens if token.type == "heading_open"})
    levels: dict[str, int] = {}
    level = top - 1
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            level = min(top + used.index(token.tag), level + 1, 6)
        if token.type in ("heading_open", "heading_close"):
            levels[str(at)] = level
    return levels


def to_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Markdown as blocks of plain text for the text part: (prefix of the first line, words with links written out).

    A link stands behind its words in angle brackets, as RFC 3986 (appendix C) advises; a nested block carries the
    indentation of its depth in its prefix.
    """
    counters: list[int | None] = []
    bullet = ""
    quote = 0
    for token in _tokens(text):
        match token.type:
            case "bullet_list_open":
                counters.append(None)
            case "ordered_list_open":
                counters.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                counters.pop()
            case "list_item_open":
                number = counters[-1]
                bullet = "* " if number is None else f"{number}. "
                if number is not None:
                    counters[-1] = number + 1
            case "blockquote_open":
                quote += 1
            case "blockquote_close":
                quote -= 1
            case "inline":
                indent = "  " * max(len(counters) - 1, 0)
                yield "> " * quote + indent + (bullet or ("  " if counters else "")), _inline_text(token)
                bullet = ""
            case "fence" | "code_block":
                yield "    ", token.content.rstrip("\n")
            case "hr":
                yield "", "* * *"


def _inline_text(token: Token) -> str:
    words: list[str] = []
    hrefs: list[tuple[str, int]] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline":
                words.append(child.content)
            case "softbreak":
                words.append(" ")
            case "hardbreak":
                words.append("\n")
            case "link_open":
                hrefs.append((str(child.attrGet("href")), len(words)))
            case "link_close":
                href, start = hrefs.pop()
                if "".join(words[start:]) != href.removeprefix("mailto:"):
                    words.append(f" <{href}>")
    return "".join(words)


def to_words(text: str) -> str:
    """The bare words of a Markdown text, for counting, reading level and citations."""
    return "\n".join(words for _, words in to_blocks(text))

"""Rules that our MJML must keep so that MRML renders it as MJML's own engine does, and safely.

MRML is fast and silent: it drops what it does not know, panics on some raw characters and dies on deep nesting. Each
rule here stands for one such finding; `docs/templates.md` explains them to people who write templates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from newsletter.errors import Fault

DEPTH_LIMIT = 60
SIZE_LIMIT = 1_000_000
MARK = "data-at"
"""The attribute by which a rendered element remembers the template file and line it came from."""

_MARKS = re.compile(rf' {MARK}="([^":]*):(\d+)"')
_TOKEN = re.compile(
    r"<!--(?P<comment>.*?)-->|<(?P<close>/?)(?P<name>[A-Za-z][\w:-]*+)(?P<attrs>(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_PIXELS = re.compile(r"\d+(\.\d+)?px( \d+(\.\d+)?px){0,3}")
_SHORT_COLOUR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{4})(?![0-9A-Fa-f])")
_SCRIPT = re.compile(r"\s*(javascript|data|vbscript):", re.IGNORECASE)
_VOID = frozenset({"br", "hr", "img", "meta", "link", "col"})
_INLINE = r"a|abbr|b|bdi|bdo|cite|code|em|i|small|span|strong|sub|sup|time|u"
_GLUED = re.compile(rf"</(?:{_INLINE})>(\n\s*)<(?:{_INLINE})[\s>]")
_FORBIDDEN = {
    "mj-include": "Use a Jinja `include` instead.",
    "mj-html-attributes": "Write the attribute itself.",
    "mj-carousel": "Use pictures one below the other.",
    "mj-accordion": "Write the text out.",
    "mj-navbar": "Use plain links.",
    "script": "No mail program runs it; many call it an attack.",
    "iframe": "Use a linked picture.",
    "form": "Link to a page with the form.",
}
_PLACES = {
    "mj-wrapper": {"mj-body"},
    "mj-section": {"mj-body", "mj-wrapper"},
    "mj-hero": {"mj-body", "mj-wrapper"},
    "mj-group": {"mj-section"},
    "mj-column": {"mj-section", "mj-group"},
    **{
        f"mj-{name}": {"mj-column", "mj-hero"}
        for name in ("text", "button", "image", "divider", "spacer", "table", "social")
    },
}

_TEXTS = {"mj-text", "mj-button", "mj-table"}
_HEAD = ("head", "title", "preview", "breakpoint", "attributes", "all", "class", "style", "font")
_KNOWN = {f"mj-{name}" for name in (*_HEAD, "body", "raw", "social-element")} | _PLACES.keys() | _FORBIDDEN.keys()


def remove_marks(marked: str) -> str:
    """The MJML without the marks of its origin."""
    return _MARKS.sub("", marked)


def place_of(marked: str, offset: int) -> tuple[str, int]:
    """The template file and line that the text at an offset came from; an empty name before the first mark."""
    marks = _MARKS.findall(marked, 0, max(offset, 0))
    return (marks[-1][0], int(marks[-1][1])) if marks else ("", 0)


def check_mjml(marked: str) -> list[Fault]:
    """Every breach of the rules L1 to L14 in a rendered MJML document, placed in the template it came from."""
    if len(marked) > SIZE_LIMIT:
        return [Fault("", 0, "", "the mail is larger than 1 MB before it is even rendered.", "Remove items from it.")]
    return [*_not_well_formed(marked)] or [*dict.fromkeys(_Document(marked).faults())]


def _not_well_formed(marked: str) -> Iterator[Fault]:
    parser = expat.ParserCreate()
    # Named entities such as &nbsp; are HTML's, not XML's: with a DTD announced, expat lets them stand.
    parser.UseForeignDTD(True)
    try:
        parser.Parse(marked.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        lines = marked.encode("utf-8", "surrogatepass").splitlines(keepends=True)
        offset = len(b"".join(lines[: error.lineno - 1]).decode("utf-8", "replace")) + error.offset
        if opened := _left_open(marked):
            yield Fault(*place_of(marked, opened.end()), "L12", f"<{opened['name']}> is never closed.", "Close it.")
            return
        near = " ".join((remove_marks(marked[:offset])[-40:] + remove_marks(marked[offset:])[:20]).split())
        yield Fault(
            *place_of(marked, offset),
            "L12",
            f"is broken here or just below, near `{near}`." if near else "is empty.",
            "Close every tag, put quotes around every attribute, and write & and < as &amp; and &lt;.",
        )


def _left_open(marked: str) -> re.Match[str] | None:
    """The start tag that the first end tag of another name leaves open."""
    stack: list[re.Match[str]] = []
    for token in _TOKEN.finditer(marked):
        if token["close"]:
            if stack and stack[-1]["name"] != token["name"]:
                return stack[-1]
            del stack[-1:]
        elif token["name"] and not token["attrs"].endswith("/"):
            stack.append(token)
    return None


@dataclass
class _Element:
    name: str
    attrs: dict[str, str]
    file: str
    line: int


class _Document:
    """Walks the tags of one well-formed document, once."""

    def __init__(self, marked: str) -> None:
        self.marked = marked
        self.stack: list[_Element] = []
        self.classes: dict[str, set[str]] = {}
        self.seen: set[str] = set()

    def faults(self) -> Iterator[Fault]:
        end = 0
        for token in _TOKEN.finditer(self.marked):
            yield from self._text(end, token.start())
            end = token.end()
            if token["comment"] is not None:
                yield from self._comment(token)
            elif token["close"]:
                self.stack.pop()
            else:
                yield from self._start(token)
        yield from self._glued()
        yield from self._missing()

    def _start(self, token: re.Match[str]) -> Iterator[Fault]:
        raw = {key: double or single for key, double, single in _ATTRIBUTE.findall(token["attrs"])}
        file, _, line = raw.pop(MARK, "").rpartition(":")
        if not file and self.stack:
            file, line = self.stack[-1].file, str(self.stack[-1].line)
        element = _Element(token["name"], raw, file, int(line or 0))
        yield from self._check(element)
        self.seen.add(element.name)
        if not token["attrs"].endswith("/") and element.name not in _VOID:
            self.stack.append(element)

    def _check(self, element: _Element) -> Iterator[Fault]:
        def fault(rule: str, problem: str, remedy: str) -> Fault:
            return Fault(element.file, element.line, rule, f"<{element.name}>: {problem}", remedy)

        name, attrs = element.name, element.attrs
        parent = self.stack[-1].name if self.stack else ""
        if len(self.stack) >= DEPTH_LIMIT:
            yield fault("L13", "is nested too deeply.", f"Keep to {DEPTH_LIMIT} levels.")
        if name.startswith("mj-") and name not in _KNOWN:
            yield fault("L10", "is not known to the renderer, which would drop it.", "Check the spelling.")
        if name in _FORBIDDEN:
            yield fault("L7", "cannot be used in a mail.", _FORBIDDEN[name])
        if name in _PLACES and parent not in _PLACES[name] | {"mj-attributes"}:
            inside = " or ".join(f"<{place}>" for place in sorted(_PLACES[name]))
            yield fault("L10", f"stands in <{parent}>.", f"Put it inside {inside}.")
        for key, value in attrs.items():
            yield from self._check_attribute(element, key, value)
        if name == "mj-image" and "alt" not in attrs and parent != "mj-attributes":
            yield fault("L9", "has no alt text.", 'Add `alt`, or `alt=""` for mere decoration.')
        if name == "mj-social-element" and not (attrs.get("src") and attrs.get("alt")):
            yield fault("L9", "needs both src and alt.", "Add them.")
        if name == "mjml" and not (attrs.get("lang") and attrs.get("dir")):
            yield fault("L11", "does not say its language and direction.", "Add `lang` and `dir`.")
        if name == "mj-class" and parent == "mj-attributes":
            self.classes[attrs.get("name", "")] = attrs.keys() - {"name"}
        used = attrs.get("mj-class", "").split()
        for at, one in enumerate(used):
            for other in used[at + 1 :]:
                if both := self.classes.get(one, set()) & self.classes.get(other, set()):
                    yield fault(
                        "L8", f"the classes {one} and {other} both set {', '.join(sorted(both))}.", "Set it in one."
                    )

    def _check_attribute(self, element: _Element, key: str, value: str) -> Iterator[Fault]:
        def fault(rule: str, problem: str, remedy: str) -> Fault:
            return Fault(element.file, element.line, rule, f"<{element.name} {key}>: {problem}", remedy)

        ours = element.name.startswith("mj-")
        if ours and "padding" in key and not _PIXELS.fullmatch(value):
            yield fault("L1", f"`{value}` needs px in every part.", "Write `0px 24px`, not `0 24px`.")
        if ours and key == "width" and not re.fullmatch(r"\d+(\.\d+)?(px|%)", value):
            yield fault("L1", f"`{value}` has no unit.", "Write px or %.")
        if "\n" in value or "\t" in value or "\\" in value:
            yield fault("L2", "holds a line break, a tab or a backslash.", "Write it on one line.")
        elif not value.isascii() and (strange := next((c for c in value if is_strange(c)), None)):
            yield fault(
                "L3", f"holds the character U+{ord(strange):04X} as it is.", "Use the filter `attr` on the value."
            )
        if element.name == "mj-hero" and key == "mode" and value == "fluid-height":
            yield fault("L7", "is rendered wrongly.", "Use fixed-height.")
        if (element.name, key) in {("mj-wrapper", "gap"), ("mj-section", "gutter")}:
            yield fault("L7", "is not known to the renderer.", "Use padding or <mj-spacer>.")
        if element.name == "mj-raw" and key == "position":
            yield fault("L7", "is not known to the renderer.", "Remove it.")
        if "#" in value and ("color" in key or key == "style") and _SHORT_COLOUR.search(value):
            yield fault("L14", f"`{value}` has a short colour.", "Write all six digits.")
        if key.lower().startswith("on") or _SCRIPT.match(value):
            yield fault("L7", "is a script.", "Remove it: no mail program runs it; many call it an attack.")

    def _text(self, start: int, end: int) -> Iterator[Fault]:
        text = self.marked[start:end]
        if found := re.search("[<>]", text):
            file, line = place_of(self.marked, start + found.start())
            yield Fault(file, line, "L4", f"has a bare `{found[0]}` in its text.", "Write &lt; or &gt;.")
        if self.stack and self.stack[-1].name in _PLACES.keys() - _TEXTS and text.strip():
            file, line = place_of(self.marked, end)
            near = " ".join(text.split())[:40]
            yield Fault(file, line, "L10", f"has words that would be dropped: `{near}`.", "Put them inside <mj-text>.")

    def _comment(self, token: re.Match[str]) -> Iterator[Fault]:
        if not re.match(r"\s*(\[if|<!\[endif\])", token["comment"]):
            file, line = place_of(self.marked, token.start())
            yield Fault(file, line, "L6", "has a comment that would go into the mail.", "Write it as {# … #}.")

    def _glued(self) -> Iterator[Fault]:
        for gap in _GLUED.finditer(self.marked):
            file, line = place_of(self.marked, gap.start())
            yield Fault(
                file,
                line,
                "L5",
                "has a line break between two words with markup; the renderer would glue them.",
                "Put both on one line.",
            )

    def _missing(self) -> Iterator[Fault]:
        for name, what in (("mj-title", "title"), ("mj-preview", "preheader")):
            if name not in self.seen:
                yield Fault("", 0, "L11", f"the mail has no {what}.", f"Add <{name}> to <mj-head>.")


def is_strange(character: str) -> bool:
    """Whether MRML prints a character of an attribute as a Rust escape; it must be written as a reference."""
    return character != " " and unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"}

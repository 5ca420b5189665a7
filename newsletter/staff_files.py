"""Reads the files that staff edit: UTF-8 text, YAML, TOML and front matter, with a line for every fault.

A YAML file is read as a tree in which every scalar is text; the Pydantic model says what it means. So `2026-11`,
`12:40` or `yes` never turn into something that nobody wrote. Anchors, tags and deep nesting have no use in these
files and are refused, which also disarms the YAML attacks that need them.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, TypeVar

import yaml
from babel import Locale, UnknownLocaleError
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from newsletter.errors import Fault

TEXT_LIMIT = 1_000_000
"""Bytes a text file may have; the longest campaign on record is a hundredth of it."""

DEPTH_LIMIT = 12


@lru_cache(maxsize=256)
def read_language(text: str) -> str:
    """A language code that Babel knows, in the one form for all its spellings: `en`, `pt-BR`; raises ValueError."""
    try:
        locale = Locale.parse(text.strip(), sep="-")
    except (ValueError, UnknownLocaleError):
        raise ValueError(f"`{text}` is not a language. | Write its code, such as en, fr or pt-BR.") from None
    return str(locale).replace("_", "-")


Language = Annotated[str, Field(max_length=35), AfterValidator(read_language)]
"""A language as staff write it in any file: a BCP 47 code that Babel knows."""

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]


class FileFaults(Exception):
    """What is wrong with one file; the reader of a whole folder gathers several of these."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(map(str, faults)))


@dataclass(frozen=True)
class Tree:
    """What a structured file says, and on which line it says it.

    `value` is made of dicts, lists, texts and None (and, from TOML, its own scalars); `lines` has the line of every
    place, counted from 1, with the empty place for the file itself.
    """

    name: str
    value: Any
    lines: Mapping[Place, int] = field(default_factory=dict)

    def line_of(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it that has one."""
        place = self.real_place(place)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)

    def real_place(self, place: Place) -> Place:
        """The place without the names of union branches, which Pydantic puts in and the file does not have."""
        real: list[str | int] = []
        value = self.value
        for at, part in enumerate(place):
            inner = value.get(part) if isinstance(value, dict) else None
            if isinstance(part, str) and at < len(place) - 1 and not isinstance(inner, dict | list):
                continue
            real.append(part)
            value = value[part] if isinstance(value, list) and isinstance(part, int) else inner
        return tuple(real)


def spell_place(place: Place) -> str:
    """A place as people read it, counted from 1: `mailings[2].items[1].title`."""
    named = (part for part in place if part != "[key]")  # so Pydantic calls the name of an entry
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in named).removeprefix(".")


def read_text(path: Path, name: str) -> str:
    """The text of a file, with line ends as `\\n`; raises FileFaults when it is missing, too large or not UTF-8.

    `name` is how the file is called in a fault: its path within the workspace.
    """
    try:
        kind = path.stat()
        if not S_ISREG(kind.st_mode):
            raise _fault(name, "is a folder or a device, not a file.", "Put the file itself in its place.")
        if kind.st_size > TEXT_LIMIT:
            raise _fault(name, "is larger than 1 MB.", "Is it the right file? Keep only the text in it.")
        content = path.read_bytes()
    except FileNotFoundError:
        raise _fault(name, "is not there.", "Check the name, or write the file.") from None
    except OSError as error:
        raise _fault(name, f"cannot be read ({error.strerror}).", "Check who may read it.") from None
    return decode_text(content, name)


def decode_text(content: bytes, name: str) -> str:
    """UTF-8 bytes as text, a byte-order mark removed; raises FileFaults that names the likely encoding."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        likely = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "Windows-1252"
        raise _fault(
            name,
            f"is not written in UTF-8 (it looks like {likely}).",
            "Save it again with the encoding UTF-8.",
            line=content.count(b"\n", 0, error.start) + 1,
        ) from None
    if hidden := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise _fault(
            name,
            f"has a control character (U+{ord(hidden[0]):04X}) that no text should have.",
            "Delete it, or paste the text again as plain text.",
            line=text.count("\n", 0, hidden.start()) + 1,
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_yaml(text: str, name: str, *, first_line: int = 1) -> Tree:
    """A YAML text as a tree of texts; raises FileFaults on what is no plain YAML mapping.

    `first_line` is the line of the file on which the text begins (front matter starts below its `---`).
    """
    try:
        events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        return _Composer(name, first_line, events).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tab = mark and "".join(text.split("\n")[mark.line : mark.line + 1])[mark.column :].startswith("\t")
        problem = "tab character" if tab else f"{error.context}, {error.problem}"
        words = next((words for sign, *words in _YAML_WORDS if sign in problem), None) or (
            "cannot be read here.",
            "Look at this line and the one above: indentation, a colon without a space, or a quotation mark left open.",
        )
        raise _fault(name, *words, line=first_line + (mark.line if mark else 0)) from None
    except yaml.YAMLError:
        raise _fault(
            name, "holds characters that no text should have.", "Paste the text again as plain text."
        ) from None


_YAML_WORDS = (
    ("tab character", "has a tab, which cannot stand here.", "Use spaces."),
    (
        "mapping values are not allowed",
        "has a colon too many, or is indented too far.",
        'Put quotes around a text with a colon: "Pain: a story".',
    ),
    ("quoted scalar", "has a quotation mark that is never closed.", "Close it, or remove the one at its beginning."),
    ("cannot start any token", "has a text that begins with a sign such as @, % or `.", "Put quotes around the text."),
    ("alias", "has a text that begins with * or &.", "Put quotes around the text."),
    ("anchor", "has a text that begins with * or &.", "Put quotes around the text."),
    ("tag", "has a text that begins with !.", "Put quotes around the text."),
)
"""What the parser says, and the same in a reader's words."""


class _Composer:
    """Builds the tree from parser events, refusing what these files never need."""

    def __init__(self, name: str, first_line: int, events: Iterator[Any]) -> None:
        self.name = name
        self.first_line = first_line
        self.events = events
        self.lines: dict[Place, int] = {(): first_line}

    def document(self) -> Tree:
        value: Any = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "goes on after a line `---`.", "Remove that line.")
                value = self._value(next(self.events), ())
        return Tree(self.name, {} if value is None else value, self.lines)

    def _value(self, event: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._refuse(event, "has a text that begins with * or &.", "Put quotes around the text.")
        if event.tag:
            raise self._refuse(event, "has a text that begins with !.", "Put quotes around the text.")
        if len(place) > DEPTH_LIMIT:
            raise self._refuse(event, "is nested too deeply.", "Look for brackets or dashes that should not be there.")
        self.lines.setdefault(place, self._line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place)
        plain = event.implicit[0]
        return None if plain and event.value in ("", "~", "null") else event.value

    def _sequence(self, place: Place) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*place, len(values))))
        return values

    def _mapping(self, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._value(event, (*place, "(key)"))
            if not isinstance(key, str):
                raise self._refuse(event, "has a key that is no text.", "Write `key: value`.")
            if key in values:
                raise self._refuse(event, f"has `{key}` twice.", "Keep one of the two.")
            self.lines[*place, key] = self._line(event)
            values[key] = self._value(next(self.events), (*place, key))
        self.lines.pop((*place, "(key)"), None)
        return values

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self.first_line

    def _refuse(self, event: Any, problem: str, remedy: str) -> FileFaults:
        return _fault(self.name, problem, remedy, line=self._line(event))


def split_front_matter(text: str, name: str) -> tuple[Tree, str, int]:
    """The front matter of a Markdown file, its body, and the line on which the body begins.

    Front matter is YAML between a first line `---` and the next one; raises FileFaults when it is absent or open.
    """
    found = re.match(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", text, re.DOTALL)
    if not found:
        begun = text.startswith("---")
        problem = "has no second line `---` above its text." if begun else "does not begin with a line `---`."
        raise _fault(name, problem, "Begin it with `---`, a line `title: …`, and `---` again.", line=1)
    return (
        read_yaml(found[1] or "", name, first_line=2),
        text[found.end() :],
        text.count("\n", 0, found.end()) + 1,
    )


def read_toml(text: str, name: str) -> Tree:
    """A TOML text as a tree; raises FileFaults with the line that the parser names."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        raise _fault(name, *_TOML_WORDS, line=int(at[1]) if at else 0) from None
    except RecursionError:
        raise _fault(name, *_TOML_WORDS) from None
    return Tree(name, value, _toml_lines(text))


_TOML_WORDS = (
    "cannot be read here.",
    'Each line is `key = "text"`, with straight quotation marks, and each key stands once below its `[section]`.',
)


def _toml_lines(text: str) -> dict[Place, int]:
    # tomllib keeps no positions; sections and keys at the start of a line are all that newsletter.toml has.
    lines: dict[Place, int] = {(): 1}
    section: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if head := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = tuple(part.strip() for part in head[1].split("."))
            lines.setdefault(section, number)
        elif key := re.match(r"""\s*["']?([\w-]+)["']?\s*=""", line):
            lines.setdefault((*section, key[1]), number)
    return lines


def parse(model: type[Model], tree: Tree) -> Model:
    """The tree as a model; raises FileFaults with one fault for every error that Pydantic found."""
    try:
        return model.model_validate(tree.value)
    except ValidationError as error:
        raise FileFaults(*(_from_pydantic(tree, details) for details in error.errors() if _is_news(details))) from None


def _is_news(details: ErrorDetails) -> bool:
    # Pydantic drops entries that have faults of their own, and then finds the list too short.
    return not (details["type"] == "too_short" and details["input"])


def _from_pydantic(tree: Tree, details: ErrorDetails) -> Fault:
    place = tree.real_place(details["loc"])
    return Fault(tree.name, tree.line_of(place), spell_place(place), *_words(details))


def _as_id(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")


def _words(details: ErrorDetails) -> tuple[str, str]:
    """Pydantic's finding in a reader's words: what is wrong, and how to mend it."""
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            return "is missing.", "Add it."
        case "extra_forbidden":
            return "is not a known key.", "Check the spelling, or remove the line."
        case "string_type" if details["input"] is None:
            return "is empty.", "Write something after the colon, or remove the line if it is not needed."
        case "string_type":
            return "must be text.", "Put the text in quotes."
        case "string_too_short":
            return "is empty.", "Write something after the colon, or remove the line if it is not needed."
        case "string_pattern_mismatch":
            suggested = _as_id(str(details["input"])) or "ines-varga"
            return (
                f"`{details['input']}` may have small letters, digits and dashes only.",
                f"Write it like {suggested}.",
            )
        case "string_unicode":
            return "has a damaged letter.", "Write the text again."
        case "string_too_long":
            return f"is longer than {context['max_length']} characters.", "Make it shorter."
        case "too_short":
            return "is an empty list.", "Add at least one."
        case "tuple_type" | "list_type":
            return "must be a list.", "Start each entry with a dash on a line of its own."
        case "dict_type" | "model_type" | "model_attributes_type":
            return "must have keys of its own.", "Write `key: value` lines below it, indented."
        case "bool_parsing" | "bool_type":
            return "must be yes or no.", "Write `true` or `false`."
        case "int_parsing" | "int_type" | "greater_than_equal" | "less_than_equal" | "int_from_float":
            low, high = context.get("ge"), context.get("le")
            span = f" of {low} or more" if low is not None else f" of {high} or less" if high is not None else ""
            return f"must be a whole number{span}.", "Write it in digits."
        case "date_from_datetime_parsing" | "date_parsing" | "date_type" | "date_from_datetime_inexact":
            return "must be a date.", "Write it as year-month-day, such as 2026-11-03."
        case "literal_error" | "enum":
            return f"must be {context['expected'].replace(chr(39), '')}.", "Use one of these words."
        case "value_error":
            problem, _, remedy = str(context["error"]).partition(" | ")
            return problem, remedy
        case _:
            problem, _, remedy = details["msg"].partition(" | ")
            return problem if problem.endswith(".") else f"{problem}.", remedy


def _fault(name: str, problem: str, remedy: str, *, line: int = 0) -> FileFaults:
    return FileFaults(Fault(name, line, "", problem, remedy))

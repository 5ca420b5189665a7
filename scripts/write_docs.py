"""Writes the reference pages of docs/ from the program itself, so that they say what it does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from newsletter.campaigns import definition
from newsletter.cli.main import app
from newsletter.rendering import brand
from newsletter.settings import PREFIX, Clinic, Machine, Sender, Sending
from newsletter.subscribers.sign_up_page import PrivacyNotice, SignUpPage, SignUpWords
from newsletter.subscribers.topics import TopicEntry, TopicWords

DOCS = Path(__file__).resolve().parent.parent / "docs"

_NOTICE = "<!-- Made by scripts/write-docs; do not edit. -->"

_FILES: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "newsletter.toml": {"`[clinic]`": Clinic, "`[sender]`": Sender, "`[sending]`": Sending},
    "campaigns/<month>-<theme>/campaign.yaml": {
        "The campaign": definition.CampaignEntry,
        "`audience`": definition.AudienceEntry,
        "Each of `mailings`": definition.MailingEntry,
        "An article among `items`": definition.ArticleEntry,
        "A video among `items`": definition.VideoEntry,
        "A podcast among `items`": definition.PodcastEntry,
        "A picture: `picture`, `thumbnail`, `cover` or `photo`": definition.PictureEntry,
    },
    "campaigns/<month>-<theme>/<article>.md": {"Between the lines `---`": definition.ArticleFrontMatter},
    "campaigns/authors.yaml": {"Each author, under an id": definition.AuthorEntry},
    "subscribers/topics.yaml": {
        "Each topic, under an id": TopicEntry,
        "Each language under `translations`": TopicWords,
    },
    "subscribers/signup.yaml": {
        "The page": SignUpPage,
        "`privacy_notice`": PrivacyNotice,
        "Each language under `translations`": SignUpWords,
    },
    "templates/brand.yaml": {
        "The brand": brand.BrandEntry,
        "`colours`": brand.Colours,
        "`light` and `dark`": brand.Palette,
        "`fonts`": brand.FontStacks,
    },
}


def pages() -> dict[str, str]:
    """Every generated page by its name in docs/."""
    return {"files.md": _files(), "commands.md": _commands(), "settings.md": _settings()}


def _files() -> str:
    lines = [
        "# The files that staff edit",
        "A key that is not in these tables is refused, and so is a value that does not fit; the message names the "
        "file, the line and how to mend it. `newsletter check` reads everything and says what is wrong.",
    ]
    for file, parts in _FILES.items():
        lines.append(f"## `{file}`")
        for name, model in parts.items():
            lines += [f"### {name}", _sentence(model), *_fields(model, "key", "{}")]
    return _page(lines)


def _settings() -> str:
    return _page(
        [
            "# Settings of the machine",
            "Each is read from the environment, else from `.env` in the workspace, else from `[settings]` in "
            "`newsletter.toml`, where its name is in small letters and without the prefix. "
            "What describes the clinic stands in `newsletter.toml`: see [the files that staff edit](files.md).",
            *_fields(Machine, "variable", PREFIX + "{}", str.upper),
        ]
    )


def _commands() -> str:
    lines = [
        "# Commands",
        "Every command exits with 0 when it is done, with 1 when it refused something and said why, and with 2 when it "
        "was called in a wrong way. `newsletter COMMAND --help` says what stands here.",
    ]
    for path, command in _leaves(typer.main.get_command(app), ("newsletter",)):
        lines += [f"## {' '.join(path[1:])}", re.sub(r"\s+", " ", command.help or "")]
        named = [(_names(parameter), parameter) for parameter in command.params if parameter.name != "help"]
        if named:
            rows = [f"| {names} | {_cell(getattr(p, 'help', '') or '')} |" for names, p in named]
            lines.append("\n".join(["| | |", "| --- | --- |", *rows]))
    return _page(lines)


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, sub in sorted(inner.items()):
        yield from _leaves(sub, (*path, name))


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in parameter.opts)


def _fields(model: type[BaseModel], head: str, form: str, spell: Any = str) -> list[str]:
    rows = [
        f"| `{form.format(spell(name))}` | {_cell(field.description or '')} | {_cell(_when_absent(field))} |"
        for name, field in model.model_fields.items()
    ]
    return ["\n".join([f"| {head} | | when absent |", "| --- | --- | --- |", *rows])]


def _when_absent(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "must be there"
    if hasattr(default, "get_secret_value"):
        default = default.get_secret_value()
    if default in (None, "", (), PydanticUndefined) or isinstance(default, BaseModel):
        return "nothing"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _sentence(model: type[BaseModel]) -> str:
    return re.sub(r"\s+", " ", (model.__doc__ or "").strip())


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _page(parts: list[str]) -> str:
    return "\n\n".join([parts[0], _NOTICE, *(part for part in parts[1:] if part)]) + "\n"


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    for page, text in pages().items():
        (DOCS / page).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/{page}\n")

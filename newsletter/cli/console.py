"""How every command speaks: where its workspace is, results for people or as JSON, refusals on stderr."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from newsletter.errors import FaultList, NewsletterError, Refused

if TYPE_CHECKING:
    from newsletter.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]


def load_settings() -> Settings:
    """The settings of the workspace that contains the present folder, or of NEWSLETTER_WORKSPACE."""
    from newsletter.settings import WORKSPACE_FILE, find_workspace, read_settings

    named = os.environ.get("NEWSLETTER_WORKSPACE")
    if named and not (Path(named) / WORKSPACE_FILE).is_file():
        raise Refused(f"NEWSLETTER_WORKSPACE is {named}, where there is no {WORKSPACE_FILE}. Correct or remove it.")
    return read_settings(Path(named).resolve() if named else find_workspace(Path.cwd()))


def say(text: str) -> None:
    """Print one line for a person."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Print one line for a person beside the result, which a program may be reading."""
    sys.stderr.write(text + "\n")


def people(count: int) -> str:
    """So many people, in words."""
    return f"{count} {'person' if count == 1 else 'people'}"


def agrees(question: str) -> bool:
    """What a person at a terminal answers; where nobody can be asked, the command itself is the answer."""
    return not sys.stdin.isatty() or typer.confirm(question, err=True)


def say_json(value: Any) -> None:
    """Print a result for a program."""
    say(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def fail(error: NewsletterError, *, as_json: bool) -> NoReturn:
    """Print why something was refused, for a program too when asked for, and exit 1."""
    if as_json:
        faults = [vars(fault) for fault in error.faults] if isinstance(error, FaultList) else []
        say_json({"refused": str(error), "faults": faults})
    sys.stderr.write(f"{error}\n")
    raise SystemExit(1)

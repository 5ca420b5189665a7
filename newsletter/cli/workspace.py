"""The command that makes a workspace: init."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli.console import Json, say, say_json


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; `.` for an empty one you are in.")],
    json: Json = False,
) -> None:
    """Make a workspace: a sample month to look at, templates, topics, and keys of its own."""
    from newsletter.campaigns.catalogue import list_campaigns
    from newsletter.workspace import create_workspace

    files = create_workspace(folder)
    workspace = folder.resolve()
    sample = list_campaigns(workspace)[0].name
    next_commands = [
        f"cd {shlex.quote(str(folder))}",
        f"newsletter check {sample}",
        f"newsletter render {sample} --output preview",
    ]
    if workspace == Path.cwd():
        next_commands = next_commands[1:]
    if json:
        say_json(
            {
                "workspace": str(workspace),
                "files": [path.resolve().relative_to(workspace).as_posix() for path in files],
                "next": next_commands,
            }
        )
        return
    say(f"A workspace with a sample month is in {workspace}. No mail can leave it yet.")
    say("")
    say("Next, type:")
    for command in next_commands:
        say(f"  {command}")
    say("")
    say("Then open newsletter.toml and write your clinic's name and address into it.")

"""Commands for the people who work with the newsletter: staff add, staff list."""

from __future__ import annotations

from typing import Annotated

import typer

from newsletter.cli.console import Json, load_settings, say, say_json
from newsletter.cli.rows import opened, who_acts
from newsletter.staff.roles import Act

app = typer.Typer(no_args_is_help=True, help="The people who work with the newsletter, and what each may do.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    parent.add_typer(app, name="staff")


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="Their address.")],
    role: Annotated[list[str], typer.Option("--role", help="author, reviewer, manager or administrator; repeatable.")],
    name: Annotated[str, typer.Option("--name", help="How they are called.")] = "",
    by: Annotated[
        str, typer.Option("--as", metavar="EMAIL", help="The administrator you are; the first needs none.")
    ] = "",
    json: Json = False,
) -> None:
    """Add a member of staff, or give one another role."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.errors import Refused
    from newsletter.staff.actions import add_person
    from newsletter.staff.roles import Role

    try:
        roles = {Role(word.strip().lower()) for word in role}
    except ValueError:
        raise Refused(f"`{', '.join(role)}` is not a role. Roles: {', '.join(Role)}.") from None
    with opened(load_settings()) as database, database.write() as session:
        actor = who_acts(session, by, Act.PEOPLE) if by else None
        person = add_person(
            session,
            email,
            name=name,
            roles=roles,
            by=actor.person if actor else None,
            actor=actor or SHELL,
            now=SystemClock().now(),
        )
    if json:
        say_json({"email": person.email, "name": person.name, "roles": sorted(person.roles)})
    else:
        say(f"{person.email} is {_listed(sorted(person.roles))}.")


@app.command("list")
def list_(json: Json = False) -> None:
    """Show all members of staff and their roles."""
    from newsletter.staff.queries import list_people

    with opened(load_settings()) as database, database.read() as session:
        people = list_people(session)
    if json:
        say_json([{"email": p.email, "name": p.name, "roles": sorted(p.roles)} for p in people])
        return
    for person in people:
        say(f"{person.email}  {person.name}  {', '.join(sorted(person.roles))}")
    if not people:
        say("Nobody yet. The first: newsletter staff add you@your-clinic.example --role administrator")


def _listed(roles: list[str]) -> str:
    return " and ".join([", ".join(roles[:-1]), roles[-1]] if len(roles) > 1 else roles)

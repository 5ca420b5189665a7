"""The database and the people of a command: opened, brought up to date where it is new, and closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from newsletter.database.session import Database
    from newsletter.settings import Settings
    from newsletter.staff.model import StaffActor
    from newsletter.staff.roles import Act

As = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="EMAIL",
        help="Who you are: your address among the staff.",
    ),
]


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The workspace's database; a new one gets its tables, one that lacks steps is refused with what to do.

    So is an empty one where the workspace belongs to another: most likely its name is misspelt.
    """
    from newsletter import migrations
    from newsletter.database.session import open_database
    from newsletter.errors import Refused

    with closing(open_database(settings.database_url)) as database:
        if migrations.is_empty(database.engine):
            if settings.instance_file.exists():
                raise Refused(
                    "DATABASE_URL leads to a database with nothing in it, and this workspace has one already. "
                    "Mend DATABASE_URL; if a new one is meant: newsletter database upgrade"
                )
            from newsletter.migrations.steps import upgrade

            upgrade(database.engine)
        if steps := migrations.pending(database.engine):
            raise Refused(
                f"The database is older than this program: it lacks {len(steps)} "
                f"{'step' if len(steps) == 1 else 'steps'}. Make a backup, then: newsletter database upgrade"
            )
        yield database


def who_acts(session: Session, email: str, act: Act, *, by_name: bool = False) -> StaffActor:
    """The member of staff that somebody at the shell says they are; said nothing, the only one whose job it is.

    `by_name` is for what a person puts their name to, such as an approval: then nobody is guessed.
    Raises NotFound for an address that is not of the staff, Refused when nothing is said and several may.
    """
    from newsletter.database.audit import Source
    from newsletter.errors import Refused
    from newsletter.staff.model import acting
    from newsletter.staff.queries import get_person, list_people
    from newsletter.staff.roles import MAY, Act

    if email:
        return acting(get_person(session, email), Source.SHELL)
    able = [person for person in list_people(session) if not person.roles.isdisjoint(MAY[act])]
    # Where an author, a reviewer and a manager may all submit, it is the author's job.
    usual = [person for person in able if MAY[act][0] in person.roles] or able
    if len(usual) == 1 and not by_name:
        return acting(usual[0], Source.SHELL)
    if able:
        raise Refused(f"Say who you are: --as EMAIL. These may {act.value}: {', '.join(p.email for p in able)}.")
    # The first administrator is added by nobody; then that one adds the others.
    by = "" if act is Act.PEOPLE else " --as ADMINISTRATOR"
    raise Refused(
        f"Nobody may {act.value} yet. Give somebody the role: newsletter staff add EMAIL --role {MAY[act][0]}{by}"
    )


@contextmanager
def acting(
    settings: Settings, by: str, act: Act, *, by_name: bool = False
) -> Iterator[tuple[Session, StaffActor, datetime]]:
    """A transaction, who acts in it, and when; see `who_acts`."""
    from newsletter.clock import SystemClock

    with opened(settings) as database, database.write() as session:
        yield session, who_acts(session, by, act, by_name=by_name), SystemClock().now()

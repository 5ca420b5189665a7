"""The database and the people of a command: opened, brought up to date where it is new, and closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.database.session import Database
    from newsletter.settings import Settings
    from newsletter.staff.model import StaffActor

As = Annotated[str, typer.Option("--as", metavar="EMAIL", help="Who you are: the address of a member of staff.")]


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The workspace's database; a new one gets its tables, one that lacks steps is refused with what to do."""
    from newsletter import migrations
    from newsletter.errors import Refused
    from newsletter.wiring import open_workspace_database

    database = open_workspace_database(settings)
    try:
        if migrations.is_empty(database.engine):
            migrations.upgrade(database.engine)
        if steps := migrations.pending(database.engine):
            raise Refused(
                f"The database is older than this program: it lacks {len(steps)} "
                f"{'step' if len(steps) == 1 else 'steps'}. Make a backup, then: newsletter database upgrade"
            )
        yield database
    finally:
        database.close()


def who_acts(session: Session, email: str) -> StaffActor:
    """The member of staff that somebody at the shell says they are; raises NotFound."""
    from newsletter.database.audit import Source
    from newsletter.staff.model import acting
    from newsletter.staff.queries import get_person

    return acting(get_person(session, email), Source.SHELL)

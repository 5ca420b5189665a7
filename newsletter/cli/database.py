"""Commands for the database: upgrade, check."""

from __future__ import annotations

import typer

from newsletter.cli.console import Json, load_settings, say, say_json

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, check.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    parent.add_typer(app, name="database")


@app.command()
def upgrade(json: Json = False) -> None:
    """Bring the database to the tables of this version; what is there stays."""
    from newsletter.database.session import open_database
    from newsletter.migrations import steps as migration_steps

    database = open_database(load_settings().database_url)
    try:
        steps = migration_steps.upgrade(database.engine)
    finally:
        database.close()
    if json:
        say_json({"steps": steps})
    else:
        say(f"Taken: {', '.join(steps)}. The database is up to date." if steps else "The database is up to date.")


@app.command()
def check(json: Json = False) -> None:
    """Look whether the database can be read, is up to date, and holds every edition as it was approved."""
    from newsletter import migrations
    from newsletter.database.session import open_database
    from newsletter.editions.queries import find_damage, list_editions
    from newsletter.errors import Refused

    database = open_database(load_settings().database_url)
    faults = []
    try:
        if steps := migrations.pending(database.engine):
            faults.append(f"It lacks {len(steps)} steps. Run: newsletter database upgrade")
        else:
            with database.read() as session:
                for edition in list_editions(session):
                    faults += [f"{edition.id}: {damage}." for damage in find_damage(session, edition.serial)]
    finally:
        database.close()
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    if json:
        say_json({"database": kind, "faults": faults})
    if faults:
        raise Refused("\n".join(faults))
    if not json:
        say(f"{kind}: up to date, and every edition is as it was approved.")

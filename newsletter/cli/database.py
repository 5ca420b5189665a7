"""Commands for the database: upgrade, check, backup, restore, unlock, move."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli.console import Json, load_settings, say, say_json
from newsletter.cli.rows import As, opened, who_acts

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, check, backup, restore, unlock, move.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    parent.add_typer(app, name="database")


@app.command()
def upgrade(json: Json = False) -> None:
    """Bring the database to the tables of this version; what is there stays."""
    from newsletter.database.session import open_database
    from newsletter.migrations import steps as migration_steps

    with closing(open_database(load_settings().database_url)) as database:
        steps = migration_steps.upgrade(database.engine)
    if json:
        say_json({"steps": steps})
    else:
        say(f"Taken: {', '.join(steps)}. The database is up to date." if steps else "The database is up to date.")


@app.command()
def check(json: Json = False) -> None:
    """Look whether the database is up to date, every edition is as it was approved, and every send adds up."""
    from newsletter import migrations
    from newsletter.database.integrity import find_broken
    from newsletter.database.session import open_database
    from newsletter.delivery.ledger import find_ledger_faults
    from newsletter.editions.queries import find_damage, list_editions
    from newsletter.errors import Refused
    from newsletter.providers.mailbox import MailboxTransport

    faults = []
    with closing(open_database(load_settings().database_url)) as database:
        kind = "SQLite" if database.is_sqlite else "PostgreSQL"
        if steps := migrations.pending(database.engine):
            faults.append(f"It lacks {len(steps)} steps. Run: newsletter database upgrade")
        else:
            with database.snapshot() as session:
                faults += find_broken(session)
                for edition in list_editions(session):
                    faults += [f"{edition.id}: {damage}." for damage in find_damage(session, edition.serial)]
                faults += map(str, find_ledger_faults(session, idempotent=MailboxTransport.name))
    if json:
        say_json({"database": kind, "faults": faults})
    if faults:
        raise Refused("\n".join(faults))
    if not json:
        say(f"{kind}: whole and up to date; every edition is as it was approved, and every send adds up.")


@app.command()
def backup(
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="A folder that gets a new file, or the name of one, with an ending."),
    ],
    json: Json = False,
) -> None:
    """Write everything in the database into one file, pictures too, while sends go on. Only you may read it."""
    import platform

    from newsletter.clock import SystemClock
    from newsletter.database.backup import write_backup
    from newsletter.database.heartbeat import BACKUP_PART, record_heartbeat
    from newsletter.database.session import open_database
    from newsletter.migrations import pending

    now = SystemClock().now()
    file = target if target.suffix and not target.is_dir() else _file_in(target, now)
    with closing(open_database(load_settings().database_url)) as database:
        # An older database can be kept as it is: that is what one does before an upgrade.
        pending(database.engine)
        contents = write_backup(database, file, now)
        with database.write() as session:
            record_heartbeat(session, part=BACKUP_PART, worker=platform.node(), now=now)
    if json:
        say_json({"file": file, "step": contents.step, "rows": contents.rows, "keys": _KEYS})
        return
    say(f"{file}: {sum(contents.rows.values())} rows in {len(contents.rows)} tables. It holds readers' addresses.")
    say(f"Keep a copy elsewhere, and apart from it the keys from .env: {' and '.join(_KEYS)}.")
    say("Without them, links in mails that were sent stop working, and erased people are not recognised.")


def _file_in(folder: Path, now: datetime) -> Path:
    from newsletter.errors import Refused

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"The folder {folder} cannot be made ({error.strerror}). Name another.") from None
    return folder / f"newsletter-{now:%Y%m%dT%H%M%SZ}.jsonl.gz"


_KEYS = ("NEWSLETTER_SECRET_KEY", "NEWSLETTER_SUPPRESSION_KEY")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `database backup` wrote.")], json: Json = False
) -> None:
    """Put a backup into an empty database, and lock it: nothing is sent until a person unlocks it."""
    from newsletter.clock import SystemClock
    from newsletter.database.session import open_database
    from newsletter.operations import restore as restoring

    settings = load_settings()
    with closing(open_database(settings.database_url)) as database:
        restored = restoring.restore(database, file, zone=settings.clinic.zone, now=SystemClock().now())
    contents, doubts = restored.contents, restored.doubts
    if json:
        say_json({"made_at": contents.made_at, "rows": contents.rows, "locked": True, **vars(doubts)})
        return
    say(f"Restored {sum(contents.rows.values())} rows as they were at {contents.made_at:%Y-%m-%d %H:%M} UTC.")
    say(f"Nothing is sent yet. Held: {doubts.held} editions; paused: {doubts.paused} sends.")
    if doubts.uncertain:
        say(f"Of {doubts.uncertain} people nobody knows whether a mail went to them after the backup was made.")
    say("Whoever left after the backup was made is not known as such: look at what the provider has, and tell it with:")
    say("  newsletter subscribers unsubscribe ADDRESS")
    say("When the old server is off for good: newsletter database unlock --as EMAIL")


@app.command()
def unlock(by: As = "", json: Json = False) -> None:
    """Say that this server is the real one, after a restore or a copy: from now on it sends."""
    from newsletter.clock import SystemClock
    from newsletter.database import instance
    from newsletter.staff.model import require
    from newsletter.staff.roles import Act

    settings = load_settings()
    with opened(settings) as database, database.write() as session:
        actor = who_acts(session, by, Act.STEER, by_name=True)
        require(actor.person, Act.STEER)
        named = instance.unlock(session, actor=actor, now=SystemClock().now())
        instance.remember_instance(settings.instance_file, named)
    if json:
        say_json({"locked": False, "instance": named})
    else:
        say("This server sends from now on. See to it that no other does, and look: newsletter status")


@app.command()
def move(
    url: Annotated[str, typer.Argument(metavar="URL", help="An empty one: postgresql://user@host/name.")],
    by: As = "",
    json: Json = False,
) -> None:
    """Move everything from SQLite to an empty PostgreSQL database; the old one never sends again."""
    from newsletter.clock import SystemClock
    from newsletter.database.session import open_database
    from newsletter.errors import Refused
    from newsletter.operations import move as moving
    from newsletter.schedule.leader import leader_lock
    from newsletter.staff.model import require
    from newsletter.staff.roles import Act

    with opened(load_settings()) as source:
        with source.read() as session:
            actor = who_acts(session, by, Act.STEER, by_name=True)
            require(actor.person, Act.STEER)
        with closing(open_database(url)) as target:
            alone = leader_lock(source)
            try:
                if not alone.acquire():
                    raise Refused("The newsletter is running. End every one of its processes first, the web too.")
                rows = moving.move(source, target, actor=actor, now=SystemClock().now())
            finally:
                alone.release()
    if json:
        say_json({"rows": rows})
    else:
        say(f"Moved {sum(rows.values())} rows, counted on both sides. The old database is locked; keep it as it is.")
        say("Now put the new address into .env as NEWSLETTER_DATABASE_URL, and start the newsletter.")

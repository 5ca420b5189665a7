"""Brings a database to the tables of this version, by numbered steps that can be taken back."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

HEAD = "head"


def upgrade(engine: Engine, revision: str = HEAD) -> list[str]:
    """Take every step up to a revision, all in one transaction; gives the steps taken, in order."""
    with engine.begin() as connection:
        steps = _pending(connection)
        command.upgrade(_config(connection), revision)
        return [step for step in steps if step not in _pending(connection)]


def downgrade(engine: Engine, revision: str) -> None:
    """Take back every step after a revision (`base` for all), in one transaction."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def pending(engine: Engine) -> list[str]:
    """The steps that a database has not taken yet, in order."""
    with engine.execution_options(read=True).connect() as connection:
        return _pending(connection)


def is_empty(engine: Engine) -> bool:
    """Whether a database has no table at all."""
    with engine.execution_options(read=True).connect() as connection:
        return not inspect(connection).get_table_names()


def _pending(connection: Connection) -> list[str]:
    done = MigrationContext.configure(connection).get_current_heads()
    steps = ScriptDirectory.from_config(_config(connection)).iterate_revisions(HEAD, done or "base")
    return [step.revision for step in steps][::-1]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

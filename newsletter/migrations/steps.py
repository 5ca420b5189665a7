"""Takes steps and takes them back, each run in one transaction."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from newsletter.migrations import FOLDER, pending

HEAD = "head"


def upgrade(engine: Engine, revision: str = HEAD) -> list[str]:
    """Take every step up to a revision; gives the steps taken, in order."""
    before = pending(engine)
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)
    after = pending(engine)
    return [step for step in before if step not in after]


def downgrade(engine: Engine, revision: str) -> None:
    """Take back every step after a revision (`base` for all)."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

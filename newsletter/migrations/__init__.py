"""The numbered steps that bring a database to the tables of this version.

Which steps a database lacks is asked by every command, so it is answered without Alembic, which takes long to load;
`steps` takes them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

FOLDER = Path(__file__).parent
VERSION_TABLE = "alembic_version"


def list_steps() -> list[str]:
    """The numbers of all steps, in order: each file in `versions/` bears its own."""
    return sorted(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


def pending(engine: Engine) -> list[str]:
    """The steps that a database has not taken yet, in order."""
    with engine.execution_options(read=True).connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return list_steps()
        done = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) or ""  # noqa: S608 - a constant
    return [step for step in list_steps() if step > done]


def is_empty(engine: Engine) -> bool:
    """Whether a database has no table at all."""
    with engine.execution_options(read=True).connect() as connection:
        return not inspect(connection).get_table_names()

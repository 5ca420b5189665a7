"""The numbered steps that bring a database to the tables of this version.

Which steps a database lacks is asked by every command, so it is answered without Alembic, which takes long to load;
`steps` takes them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect

from newsletter.database.schema import read_step
from newsletter.errors import Refused

FOLDER = Path(__file__).parent


def list_steps() -> list[str]:
    """The numbers of all steps, in order: each file in `versions/` bears its own."""
    return sorted(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


def pending(engine: Engine) -> list[str]:
    """The steps that a database has not taken yet, in order; raises Refused when it has taken later ones."""
    with engine.execution_options(read=True).connect() as connection:
        done = read_step(connection)
    require_known(done)
    return [step for step in list_steps() if step > done]


def require_known(step: str) -> None:
    """Raise Refused when a database, or a backup, has taken steps that this program does not know."""
    if step > list_steps()[-1]:
        raise Refused(
            f"The database is newer than this program: it has taken step {step}, and this program knows "
            f"{list_steps()[-1]}. Nothing was changed. Use the newer version of the program."
        )


def is_empty(engine: Engine) -> bool:
    """Whether a database has no table at all."""
    with engine.execution_options(read=True).connect() as connection:
        return not inspect(connection).get_table_names()

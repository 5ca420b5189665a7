"""Whether a database is whole, as it can tell itself."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

_SHOWN = 5


def find_broken(session: Session) -> list[str]:
    """What a database finds wrong with itself, a sentence each; empty when it is whole.

    SQLite reads all its pages (sqlite.org/pragma.html, integrity_check) and every reference. PostgreSQL keeps its
    references by itself; it is asked for indexes that it does not trust.
    """
    if session.get_bind().dialect.name == "sqlite":
        words = session.execute(text(f"PRAGMA integrity_check({_SHOWN})")).scalars().all()
        lost = session.execute(text("PRAGMA foreign_key_check")).all()
        return [f"The file is damaged: {word}. Restore a backup." for word in words if word != "ok"] + [
            f"A row of {row[0]} refers to a row of {row[2]} that is not there. Restore a backup."
            for row in lost[:_SHOWN]
        ]
    asked = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    return [f"The index {name} is not valid. Run: REINDEX INDEX {name}" for name in session.scalars(text(asked))]

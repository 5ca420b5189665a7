"""Runs migrations on the connection that `newsletter.migrations` hands over; Alembic reads this file."""

from __future__ import annotations

from alembic import context

from newsletter.migrations.tables import METADATA, is_ours

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    include_name=is_ours,
    render_as_batch=True,  # SQLite can change a table only by writing it anew
)
context.run_migrations()

"""The queue by which workers on several machines are woken: Procrastinate's own tables, on PostgreSQL alone.

Step 0003, after 0002.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP_TO = "03.04.00_50"
"""Its newest own step that is taken here. When a version of it has more, a step of ours takes those."""

TAKE_BACK = """
DO $$
DECLARE
    it record;
BEGIN
    FOR it IN SELECT format('DROP TABLE %s CASCADE', oid::regclass) AS statement FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname LIKE 'procrastinate\\_%'
    LOOP EXECUTE it.statement; END LOOP;
    FOR it IN SELECT format('DROP FUNCTION %s CASCADE', oid::regprocedure) AS statement FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'procrastinate\\_%'
    LOOP EXECUTE it.statement; END LOOP;
    FOR it IN SELECT format('DROP TYPE %s CASCADE', oid::regtype) AS statement FROM pg_type
        WHERE typnamespace = current_schema()::regnamespace AND typname LIKE 'procrastinate\\_%'
        AND typtype IN ('e', 'c')
    LOOP EXECUTE it.statement; END LOOP;
END;
$$;
"""


def upgrade() -> None:
    """Take the step."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for step in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql")):
        if step.name[: len(UP_TO)] <= UP_TO:
            _run(step.read_text("utf-8"))


def downgrade() -> None:
    """Take it back."""
    if op.get_bind().dialect.name == "postgresql":
        _run(TAKE_BACK)


def _run(sql: str) -> None:
    # Without parameters a % is a %, and several statements may stand in one text.
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})

"""Staff are told when so many sign up that no more are answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

BEFORE = ("held", "paused", "uncertain", "accepted twice")


def upgrade() -> None:
    """Take the step."""
    _change(BEFORE, (*BEFORE, "many sign-ups"))


def downgrade() -> None:
    """Take the step back; notices of that kind go."""
    op.execute("DELETE FROM notice WHERE kind = 'many sign-ups'")
    _change((*BEFORE, "many sign-ups"), BEFORE)


def _change(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    with op.batch_alter_table("notice") as table:
        table.alter_column("kind", existing_type=_kinds(before), type_=_kinds(after), existing_nullable=False)


def _kinds(words: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*words, name="noticekind", native_enum=False, create_constraint=True, length=20)

"""SendGrid's suppression lists: up to when each was read, and who is to be told to it.

Step 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def words(name: str, *members: str) -> sa.Enum:
    """One word of a set, as text with a check."""
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "pulled_list",
        sa.Column(
            "name", words("listname", "spam_reports", "bounces", "invalid_emails", "unsubscribes"), nullable=False
        ),
        sa.Column("pulled_until", instant, nullable=True),
        sa.Column("tried_at", instant, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", instant, nullable=True),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pulled_list"),
    )

    op.create_table(
        "list_entry",
        sa.Column("subscriber", serial, autoincrement=False, nullable=False),
        sa.Column("state", words("entrystate", "to add", "added", "found", "to remove"), nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("unsubscribe_group", sa.Integer(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before", instant, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("changed_at", instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber"], ["subscriber.number"], name="fk_list_entry_subscriber", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscriber", name="pk_list_entry"),
    )
    op.create_index("ix_list_entry_state_not_before", "list_entry", ["state", "not_before"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("list_entry")
    op.drop_table("pulled_list")

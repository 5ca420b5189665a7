"""What the provider tells: its posts, the events worth a row, and what they leave on attempts and deliveries.

Step 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def words(name: str, *members: str) -> sa.Enum:
    """One word of a set, as text with a check."""
    return sa.Enum(*members, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    """Take the step."""
    op.add_column("attempt", sa.Column("proved_at", instant, nullable=True))
    op.add_column("delivery", sa.Column("event_at", instant, nullable=True))
    op.create_table(
        "received_post",
        sa.Column("number", serial, nullable=False),
        sa.Column("received_at", instant, nullable=False),
        sa.Column("state", words("poststate", "waiting", "applied", "set aside"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("applied_at", instant, nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("foreign", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
        sa.Column("unread", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_received_post"),
    )
    op.create_index("ix_received_post_state_number", "received_post", ["state", "number"], unique=False)
    op.create_index("ix_received_post_received_at", "received_post", ["received_at"], unique=False)
    op.create_table(
        "provider_event",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            words(
                "eventkind",
                "processed",
                "delivered",
                "deferred",
                "hard bounce",
                "soft bounce",
                "dropped",
                "complaint",
                "left",
                "left group",
                "joined group",
                "account",
                "other",
            ),
            nullable=False,
        ),
        sa.Column("at", instant, nullable=False),
        sa.Column("edition", serial, nullable=True),
        sa.Column("subscriber", serial, nullable=True),
        sa.Column("attempt", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("classification", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_provider_event"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_provider_event_subscriber_at", "provider_event", ["subscriber", "at"], unique=False)
    op.create_index("ix_provider_event_edition_kind", "provider_event", ["edition", "kind"], unique=False)
    op.create_index("ix_provider_event_kind_at", "provider_event", ["kind", "at"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("provider_event")
    op.drop_table("received_post")
    op.drop_column("delivery", "event_at")
    op.drop_column("attempt", "proved_at")

"""What staff are to be told by mail.

Step 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Take the step."""
    kinds = sa.Enum(
        "held", "paused", "uncertain", name="noticekind", native_enum=False, create_constraint=True, length=20
    )
    op.create_table(
        "notice",
        sa.Column("number", serial, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", kinds, nullable=False),
        sa.Column("edition", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("wanted_at", instant, nullable=False),
        sa.Column("not_before", instant, nullable=False),
        sa.Column("sent_at", instant, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_notice"),
        sa.UniqueConstraint("cause", name="uq_notice_cause"),
    )
    op.create_index("ix_notice_edition", "notice", ["edition"], unique=False)


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("notice")

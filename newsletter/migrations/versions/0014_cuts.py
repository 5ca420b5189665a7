"""A batch knows after which attempt it was cut from another one.

Step 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step; of batches that were not tried since they were cut, the attempt is known still."""
    op.add_column("batch", sa.Column("cut_after", sa.Text(), nullable=True))
    op.execute(
        "UPDATE batch SET cut_after = attempt WHERE attempt IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM attempt AS own WHERE own.id = batch.attempt AND own.batch = batch.number)"
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_column("batch", "cut_after")

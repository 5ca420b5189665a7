"""What the public archive shows of an edition: its theme, and whether it is in the archive at all.

Step 0015, after 0014.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step."""
    op.add_column("edition", sa.Column("theme", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("edition", sa.Column("in_archive", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade() -> None:
    """Take the step back."""
    op.drop_column("edition", "in_archive")
    op.drop_column("edition", "theme")

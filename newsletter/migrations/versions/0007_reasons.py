"""An index of the reasons of those left out, so that how far a send is costs no look at everybody in it.

Step 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = "ix_delivery_edition_state_reason"


def upgrade() -> None:
    """Take the step."""
    has_one = sa.text("reason IS NOT NULL")
    op.create_index(NAME, "delivery", ["edition", "state", "reason"], sqlite_where=has_one, postgresql_where=has_one)


def downgrade() -> None:
    """Take the step back."""
    op.drop_index(NAME, table_name="delivery")

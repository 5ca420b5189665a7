"""An index of who is uncertain, so that what staff must decide is found without a look at everybody in the send.

Step 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NAME = "ix_delivery_edition_attempt"


def upgrade() -> None:
    """Take the step."""
    uncertain = sa.text("state = 'uncertain'")
    op.create_index(NAME, "delivery", ["edition", "attempt"], sqlite_where=uncertain, postgresql_where=uncertain)


def downgrade() -> None:
    """Take the step back."""
    op.drop_index(NAME, table_name="delivery")

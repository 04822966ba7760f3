"""Which account had the name: the token of the hook (its protocol, section 13).

Only additions, so that a component of revision 0006 that is at work goes on working.  What stands
in the tables already has no token, and is taken for its name's owner of now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("moves", "account"),
    ("moves", "old_account"),
    ("journeys", "old_account"),
    ("journeys", "new_account"),
    ("copies", "owner_account"),
    ("copies", "asker_account"),
    ("settings", "account"),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    for table, column in reversed(_COLUMNS):
        op.drop_column(table, column)

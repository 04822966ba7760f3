"""Which account had the new name, of moves between two accounts here.

Only an addition, so that a component of the revision before that is at work goes on working.  What
stands in the table already has no token: ways back of such moves are shown to the mover.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("moves", sa.Column("new_account", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("moves", "new_account")

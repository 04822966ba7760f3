"""An index that finds a contact's earlier move between two addresses.

It was looked for among all moves that were ever followed (SQLite: by their state), which took the
longer the more there were.  Only indexes change, so that a component of revision 0005 that is at
work goes on working.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    columns = ["contact", "old", "new", "settled_at"]
    op.create_index("ix_moves_contact_old_new_settled_at", "moves", columns)
    op.drop_index("ix_moves_contact", "moves")


def downgrade() -> None:
    """Take the change back."""
    op.create_index("ix_moves_contact", "moves", ["contact"])
    op.drop_index("ix_moves_contact_old_new_settled_at", "moves")

"""Which account a contact of a move had: the token of the hook (its protocol, section 13).

Only additions, so that a component of the revision before that is at work goes on working.  What
stands in the table already has no token: it is asked for where the move is under way.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("journey_contacts", sa.Column("account", sa.Text(), nullable=True))
    op.create_index("ix_journey_contacts_jid", "journey_contacts", ["jid"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_journey_contacts_jid", "journey_contacts")
    op.drop_column("journey_contacts", "account")

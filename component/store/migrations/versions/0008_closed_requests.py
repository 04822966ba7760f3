"""The text of a request goes when its record closes: only what is open may have to be handed back.

Whoever sends a request chooses how long it is, and all were kept for a year.  Only contents change,
so that a component of the revision before that is at work goes on working.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the contents to this revision."""
    op.execute(
        "UPDATE moves SET stanza = ''"
        " WHERE state IN ('done', 'released', 'handed-back') AND stanza <> ''"
    )


def downgrade() -> None:
    """Nothing to take back: what was emptied is needed by no revision."""

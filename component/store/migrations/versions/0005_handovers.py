"""Hand-overs of journeys: how far each is, and until when something stands.

Only additions, so that a component of revision 0004 that is at work goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "handovers",
        sa.Column("journey_id", _id(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parcel", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("journey_id", name="pk_handovers"),
        sa.ForeignKeyConstraint(
            ["journey_id"],
            ["journeys.id"],
            name="fk_handovers_journey_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_handovers_state", "handovers", ["state"])


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_handovers_state", "handovers")
    op.drop_table("handovers")

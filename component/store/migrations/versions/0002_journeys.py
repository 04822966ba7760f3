"""Users' own moves, their settings, what an admin set, who was answered, what was undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema to this revision."""
    # Plain ADD COLUMN: copying the table, as a batch does, would drop the audit with it.
    op.add_column("moves", sa.Column("noticed_at", _time(), nullable=True))
    op.add_column("moves", sa.Column("undone_at", _time(), nullable=True))
    op.create_table(
        "journeys",
        sa.Column("id", _id(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), nullable=True),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("started_at", _time(), nullable=True),
        sa.Column("ended_at", _time(), nullable=True),
        sa.Column("resume_to", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("progress_id", sa.Text(), nullable=True),
        sa.Column("told", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_journeys"),
        sqlite_autoincrement=True,
    )
    for column in ("old", "new", "owner", "state"):
        op.create_index(f"ix_journeys_{column}", "journeys", [column])
    op.create_table(
        "journey_contacts",
        sa.Column("journey_id", _id(), nullable=False),
        sa.Column("jid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", _time(), nullable=True),
        sa.Column("due_at", _time(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("journey_id", "jid", name="pk_journey_contacts"),
        sa.ForeignKeyConstraint(
            ["journey_id"],
            ["journeys.id"],
            name="fk_journey_contacts_journey_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "settings",
        sa.Column("jid", sa.Text(), nullable=False),
        sa.Column("follow", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("jid", name="pk_settings"),
    )
    op.create_table(
        "run_time",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_run_time"),
    )
    op.create_table(
        "answered",
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("old", "sender", name="pk_answered"),
    )
    op.create_index("ix_answered_at", "answered", ["at"])


def downgrade() -> None:
    """Take the change back."""
    for table in ("answered", "run_time", "settings", "journey_contacts", "journeys"):
        op.drop_table(table)
    op.drop_column("moves", "undone_at")
    op.drop_column("moves", "noticed_at")

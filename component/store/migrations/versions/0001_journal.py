"""The journal of diverted requests, the audit of roster changes, the counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "moves",
        sa.Column("id", _id(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("decided_at", _time(), nullable=True),
        sa.Column("settled_at", _time(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("old_item", sa.Text(), nullable=False),
        sa.Column("new_item", sa.Text(), nullable=True),
        sa.Column("stanza", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_moves"),
        sa.UniqueConstraint(
            "request_id", "instance", "contact", name="uq_moves_request_id_instance_contact"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_moves_state_settled_at", "moves", ["state", "settled_at"])
    op.create_index("ix_moves_contact", "moves", ["contact"])
    op.create_index("ix_moves_old", "moves", ["old"])
    op.create_index("ix_moves_new", "moves", ["new"])
    op.create_table(
        "audit",
        sa.Column("id", _id(), nullable=False),
        sa.Column("move_id", _id(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("jid", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sa.ForeignKeyConstraint(
            ["move_id"], ["moves.id"], name="fk_audit_move_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_move_id", "audit", ["move_id"])
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"key": "pings", "value": 0}])


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("meta")
    op.drop_table("audit")
    op.drop_table("moves")

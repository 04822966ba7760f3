"""Copies of an account's things: what comes, what became of it, what was there before.

Only additions, so that a component of revision 0003 that is at work goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None

_INDEXED = ("owner", "asker", "state", "journey")


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "copies",
        sa.Column("id", _id(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("asker", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("overwrite", sa.Boolean(), nullable=False),
        sa.Column("journey", _id(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_copies"),
        sqlite_autoincrement=True,
    )
    for name in _INDEXED:
        op.create_index(f"ix_copies_{name}", "copies", [name])
    op.create_table(
        "copy_things",
        sa.Column("copy_id", _id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sort", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("copy_id", "number", name="pk_copy_things"),
        sa.ForeignKeyConstraint(
            ["copy_id"], ["copies.id"], name="fk_copy_things_copy_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("copy_things")
    for name in _INDEXED:
        op.drop_index(f"ix_copies_{name}", "copies")
    op.drop_table("copies")

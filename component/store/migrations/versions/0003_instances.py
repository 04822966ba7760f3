"""Several instances on one PostgreSQL: who they are, who holds what, what the others learn.

Only additions, so that a component of revision 0002 that is at work goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

# A trigger, so that what a component of revision 0002 does is noted too.  The number of the
# transaction is what makes reading exact: see component/store/changed.py.
_NOTE = """
CREATE FUNCTION xmpp_moved_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ref text := '';
BEGIN
    IF TG_TABLE_NAME = 'moves' THEN
        ref := NEW.id;
    ELSIF TG_TABLE_NAME = 'settings' THEN
        ref := NEW.jid;
    END IF;
    INSERT INTO changes (xact, at, what, ref)
        VALUES (pg_current_xact_id()::text::bigint, now(), TG_TABLE_NAME, ref);
    RETURN NULL;
END
$$
"""
_TRIGGERS = (
    """
    CREATE TRIGGER note AFTER UPDATE OF state, undone_at ON moves FOR EACH ROW
    WHEN (
        NEW.state = 'done' AND OLD.state <> 'done'
        OR NEW.undone_at IS DISTINCT FROM OLD.undone_at
    )
    EXECUTE FUNCTION xmpp_moved_note()
    """,
    """
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON settings FOR EACH ROW
    EXECUTE FUNCTION xmpp_moved_note()
    """,
    """
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON run_time FOR EACH STATEMENT
    EXECUTE FUNCTION xmpp_moved_note()
    """,
)


def _id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema to this revision."""
    # Plain ADD COLUMN, as in revision 0002; PostgreSQL does not rewrite the table for it.
    op.add_column("moves", sa.Column("holder", sa.Text(), nullable=True))
    op.add_column("journeys", sa.Column("holder", sa.Text(), nullable=True))
    op.add_column("journeys", sa.Column("wanted_by", sa.Text(), nullable=True))
    op.create_index("ix_journeys_wanted_by", "journeys", ["wanted_by"])
    instances = op.create_table(
        "instances",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", _time(), nullable=False),
        sa.Column("beat_at", _time(), nullable=True),
        sa.Column("run", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_instances"),
    )
    op.create_table(
        "changes",
        sa.Column("id", _id(), nullable=False),
        sa.Column("xact", sa.BigInteger(), nullable=False),
        sa.Column("at", _time(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.create_index("ix_changes_xact", "changes", ["xact"])
    op.create_index("ix_changes_at", "changes", ["at"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for statement in (_NOTE, *_TRIGGERS):
        op.execute(statement)
    before = context.config.attributes.get("instance")
    if before is not None:
        # The component of revision 0002 that may be at work still: it will not beat.
        op.execute(sa.insert(instances).values(name=before, since=sa.func.now()))


def downgrade() -> None:
    """Take the change back."""
    if op.get_bind().dialect.name == "postgresql":
        for name in ("moves", "settings", "run_time"):
            op.execute(f"DROP TRIGGER note ON {name}")
        op.execute("DROP FUNCTION xmpp_moved_note()")
    op.drop_table("changes")
    op.drop_table("instances")
    op.drop_index("ix_journeys_wanted_by", "journeys")
    op.drop_column("journeys", "wanted_by")
    op.drop_column("journeys", "holder")
    op.drop_column("moves", "holder")

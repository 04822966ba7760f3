"""INSERT with ON CONFLICT, which SQLAlchemy has for each database in a module of its own.

That of PostgreSQL takes 2 MiB, so only the one that is needed is loaded, when a first row is
written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert_into(table: Table, dialect: str) -> Insert:
    """An INSERT that knows ``on_conflict_do_update``.

    :param dialect: ``sqlite`` or ``postgresql``, as ``connection.dialect.name`` says it.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)

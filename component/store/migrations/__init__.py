"""Alembic migrations, run by :mod:`component.store.schema`; there is no alembic.ini.

The revisions are named here too, so that opening a database need not load Alembic
(11 MiB and half a second); a test compares the list with the files.
"""

from __future__ import annotations

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""All revisions this code knows, oldest first."""

HEAD = REVISIONS[-1]
"""The revision this code works with."""

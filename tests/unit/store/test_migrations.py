"""Models and migrations agree; migrating is quiet, complete or not at all."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from component.store import upgrade
from component.store.migrations import HEAD, REVISIONS
from component.store.models import Base

from .support import url_of


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))


async def test_models_and_migrations_agree(url: str) -> None:
    await upgrade(url)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_the_known_revisions_are_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", "component.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


async def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    assert await upgrade(url_of(path)) == HEAD
    before = dump(path)
    assert await upgrade(url_of(path)) == HEAD
    assert dump(path) == before


async def test_logging_is_left_alone(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("alembic").level)
    await upgrade(url_of(tmp_path / "m.db"))
    assert (list(root.handlers), root.level, logging.getLogger("alembic").level) == before
    assert not logging.getLogger("component").disabled


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()

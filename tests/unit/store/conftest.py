"""A fresh database for each test: an SQLite file, and PostgreSQL where one is given."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from component.store import Store

from .support import url_of

PG_URL = os.environ.get("XMPP_MOVED_TEST_PG_URL")
"""A database that the tests may empty, such as postgresql+asyncpg://user@host/name."""


@pytest.fixture(params=["sqlite", "postgresql"] if PG_URL else ["sqlite"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite" or PG_URL is None:
        return url_of(tmp_path / "moved.db")
    engine = create_async_engine(PG_URL)
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()
    return PG_URL


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A writing store."""
    async with await Store.open(url) as opened:
        yield opened

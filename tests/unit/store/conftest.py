"""A fresh database for each test: an SQLite file, and one on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from component.store import Store
from tests.postgres import Postgres

from .support import url_of


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return url_of(tmp_path / "moved.db")
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture(scope="session")
def schema(postgres: Postgres) -> Iterator[str]:
    """The name of a database with the schema: a copy costs a quarter of making it."""

    async def make(url: str) -> None:
        async with await Store.open(url):
            pass

    with postgres.database() as url, asyncio.Runner() as runner:
        runner.run(make(url))
        yield url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without rows."""
    if request.param == "sqlite":
        yield url_of(tmp_path / "moved.db")
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database(request.getfixturevalue("schema")) as url:
        yield url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """A writing store."""
    async with await Store.open(store_url) as opened:
        yield opened

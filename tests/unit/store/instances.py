"""Several instances on one PostgreSQL, for the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from component.store import Store
from component.store.shared import LEASE_SECONDS
from tests.postgres import Postgres

A, B, C = "moved.x.example", "moved2.x.example", "moved3.x.example"


@asynccontextmanager
async def instances(url: str, *names: str) -> AsyncIterator[list[Store]]:
    """Stores under these names, all of which have beaten.

    On PostgreSQL as if in an hour, so that a slow machine ends no lease that a test needs.
    """
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(await Store.open(url, holder=name)) for name in names
        ]
        if url.startswith("postgresql"):
            later = "UPDATE instances SET beat_at = now() + interval '1 hour' WHERE name = '{}'"
            async with transaction(url, *(later.format(name) for name in names)):
                pass
        yield stores


def sql(postgres: Postgres, url: str, *statements: str) -> str:
    """Execute in the database at ``url``, past the store."""
    return postgres.sql(*statements, database=url.rpartition("/")[2])


def silence(postgres: Postgres, url: str, *names: str, seconds: float = LEASE_SECONDS + 1) -> None:
    """Make it so long since these instances beat."""
    listed = ", ".join(f"'{name}'" for name in names)
    age = f"now() - interval '{seconds} seconds'"
    sql(postgres, url, f"UPDATE instances SET beat_at = {age} WHERE name IN ({listed})")


@asynccontextmanager
async def transaction(url: str, *statements: str) -> AsyncIterator[None]:
    """A transaction of somebody else that executed these, and commits when the block ends."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
            yield
    finally:
        await engine.dispose()

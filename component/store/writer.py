"""Where transactions that write are executed, one after the other.

SQLite: a synchronous connection in a thread of its own, so that a transaction of many
statements costs the event loop one hand-over; through aiosqlite each statement needs three
or four, which took 4 times the CPU per transaction and 14 times the event loop's time.
PostgreSQL: asyncpg on the event loop.  The statements are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from component.store.connect import STATEMENT_SECONDS, Location, server_engine, writer_engine
from component.store.errors import was_rolled_back

T = TypeVar("T")

_TRIES = 3


class Writer(Protocol):
    """Executes functions inside transactions."""

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` and commit, or roll back and pass on its error, or the driver's."""

    async def close(self) -> None:
        """Close the connection and end its thread, after what is running; idempotent."""


class FileWriter:
    """Writes to an SQLite file, in one thread."""

    def __init__(self, path: Path) -> None:
        self._engine = writer_engine(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._closed = False

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """See :class:`Writer`.  A cancelled caller does not stop the transaction."""

        def transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    async def close(self) -> None:
        """See :class:`Writer`."""
        if self._closed:
            return
        self._closed = True
        try:
            disposing = asyncio.get_running_loop().run_in_executor(
                self._thread, self._engine.dispose
            )
            await asyncio.shield(disposing)
        finally:
            self._thread.shutdown(wait=False)


class ServerWriter:
    """Writes to a database server."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """See :class:`Writer`.  ``work`` runs again where the server chose it to end a deadlock."""
        for _ in range(_TRIES - 1):
            try:
                return await self._once(work)
            except DBAPIError as error:
                if not was_rolled_back(error):
                    raise
        return await self._once(work)

    async def _once(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """See :class:`Writer`."""
        await self._engine.dispose()


def open_writer(location: Location, *, seconds: float | None = STATEMENT_SECONDS) -> Writer:
    """The writer that fits; it connects at its first transaction.

    :param seconds: how long a database server may take for one statement; None: as long as it
        needs, as for a migration
    """
    if location.path is not None:
        return FileWriter(location.path)
    return ServerWriter(server_engine(location, seconds=seconds))

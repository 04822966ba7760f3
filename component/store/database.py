"""One open database, as the parts of the store share it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from component.store.errors import StoreClosed, translate
from component.store.journal import Journal


class Database:
    """Hands out the journal to write through, and sessions to read with."""

    def __init__(self, where: str, reader: AsyncEngine, journal: Journal | None) -> None:
        self._where = where
        self._reader = reader
        self._journal = journal
        self.closed = False
        """Set once: from then on everything is refused."""

    def writing(self) -> Journal:
        """The journal; StoreClosed where nothing may be written."""
        if self.closed:
            raise StoreClosed(f"{self._where} was closed; nothing was written")
        if self._journal is None:
            raise StoreClosed(f"{self._where} was opened for reading; open it with writer=True")
        return self._journal

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that cannot write; its failures come as StoreError."""
        if self.closed:
            raise StoreClosed(f"{self._where} was closed")
        try:
            async with AsyncSession(self._reader) as session:
                yield session
        except Exception as error:
            raise translate(error, self._where) from error

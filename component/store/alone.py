"""One process with an SQLite file: there are no others, and all is its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from component.core.records import MoveRecord
from component.store.database import Database
from component.store.journeys import Journeys
from component.store.shared import Beat, Changes, Cursor


class Alone:
    """Implements :class:`~component.store.shared.Shared` without writing anything."""

    def __init__(
        self,
        database: Database,
        name: str | None,
        unsettled: Callable[[], Awaitable[list[MoveRecord]]],
        journeys: Journeys,
    ) -> None:
        self._database = database
        self._alive = frozenset() if name is None else frozenset({name})
        self._unsettled = unsettled
        self._journeys = journeys

    async def beat(self) -> Beat:
        """See :class:`Shared`."""
        self._database.writing()
        return Beat(self._alive)

    async def leave(self) -> None:
        """See :class:`Shared`."""
        self._database.writing()

    async def claim_moves(self) -> list[MoveRecord]:
        """See :class:`Shared`."""
        self._database.writing()
        return await self._unsettled()

    async def claim_journeys(self) -> list[int]:
        """See :class:`Shared`."""
        self._database.writing()
        return await self._journeys.with_work()

    async def want(self, id: int) -> str | None:
        """See :class:`Shared`."""
        self._database.writing()
        return None

    async def hand_over(self, id: int, to: str) -> bool:
        """See :class:`Shared`."""
        self._database.writing()
        return False

    async def changes(self, since: Cursor | None) -> tuple[Cursor, Changes]:
        """See :class:`Shared`."""
        self._database.writing()
        return Cursor("", datetime.now(UTC)), Changes()

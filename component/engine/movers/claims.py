"""Which journeys this instance works on: with SQLite all, else those that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from component.core.journey.model import Problem, Refused
from component.store.shared import LEASE_SECONDS, Shared

PATIENCE_SECONDS = LEASE_SECONDS + 5.0
"""How long a journey is waited for that another instance holds.  One that lives hands it over in a
second or two; what a dead one held is free when its lease is over."""
ASK_SECONDS = 0.25


class Claims:
    """Asks the other instances for journeys.

    :param held: ids of the journeys with work to do that this instance holds
    :param patience: seconds
    """

    def __init__(
        self,
        shared: Shared,
        held: Callable[[], Awaitable[Sequence[int]]],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._shared = shared
        self._held = held
        self._patience = patience

    async def claim(self) -> tuple[Sequence[int], frozenset[int]]:
        """Claim what nobody holds any more; raises StoreError.

        :returns: all with work to do that are held now, and those of them that were another's.
        """
        before = await self._held()
        now = await self._shared.claim_journeys()
        return now, frozenset(now).difference(before)

    async def obtain(self, id: int) -> bool:
        """Become the holder of a journey; whether another instance had it until now.

        :raises Refused: the other one does not hand it over.
        :raises StoreError: see :class:`Shared`.
        """
        holder = await self._shared.want(id)
        if holder is None:
            return False
        try:
            async with asyncio.timeout(self._patience):
                while holder is not None:
                    await asyncio.sleep(ASK_SECONDS)
                    holder = await self._shared.want(id)
        except TimeoutError:
            why = f"{holder} works on it and does not hand it over; try again, or order it there"
            raise Refused(Problem.UNAVAILABLE, why=why) from None
        return True

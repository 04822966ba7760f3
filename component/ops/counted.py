"""The admin's orders, each counted on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from component.core.journey.model import Journey, JourneyContact, Progress
from component.core.restore import Undone
from component.engine.movers.leaving import Withdrawal
from component.engine.movers.orders import ControlOrders, RunTime


class CountedOrders:
    """Passes every order on, and says its name to ``count``.

    Reading what is in force is no order.
    """

    def __init__(self, orders: ControlOrders, count: Callable[[str], None]) -> None:
        self._orders = orders
        self._count = count

    def is_admin(self, jid: str) -> bool:
        """See :class:`AdminOrders`."""
        return self._orders.is_admin(jid)

    async def all_journeys(self, *, running_only: bool = False) -> Sequence[Progress]:
        """See :class:`AdminOrders`."""
        self._count("list")
        return await self._orders.all_journeys(running_only=running_only)

    async def show_any(self, journey: int) -> tuple[Progress, Sequence[JourneyContact]]:
        """See :class:`AdminOrders`."""
        self._count("show")
        return await self._orders.show_any(journey)

    async def pause_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        self._count("pause")
        return await self._orders.pause_any(journey)

    async def resume_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        self._count("resume")
        return await self._orders.resume_any(journey)

    async def undo_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        self._count("undo")
        return await self._orders.undo_any(journey)

    async def undo_any_followed(self, record: int) -> Undone:
        """See :class:`AdminOrders`."""
        self._count("undo-followed")
        return await self._orders.undo_any_followed(record)

    async def standing(self) -> Sequence[Journey]:
        """See :class:`ControlOrders`."""
        return await self._orders.standing()

    async def withdraw_all(self) -> Withdrawal:
        """See :class:`ControlOrders`."""
        self._count("withdraw-all")
        return await self._orders.withdraw_all()

    async def run_time(self) -> RunTime:
        """See :class:`AdminOrders`."""
        return await self._orders.run_time()

    async def set_run_time(self, settings: RunTime) -> None:
        """See :class:`AdminOrders`."""
        self._count("set-run-time")
        await self._orders.set_run_time(settings)

    def watch(self) -> AsyncIterator[Progress]:
        """See :class:`AdminOrders`."""
        self._count("watch")
        return self._orders.watch()

"""An admin's orders: everybody's journeys, and what holds for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from component.core import jids
from component.core.journey.model import (
    Journey,
    JourneyContact,
    JourneyState,
    Problem,
    Progress,
    Refused,
)
from component.core.journey.stages import Word
from component.core.restore import Undone
from component.engine.movers.drafts import Domains
from component.engine.movers.leaving import Withdrawal
from component.engine.movers.orders import RunTime, explained
from component.engine.movers.ports import JourneyStore
from component.engine.movers.service import Movers
from component.engine.undo import ContactUndo

log = structlog.get_logger(__name__)

RATE_MAX = 10_000
"""Contacts notified per second that an admin may set at most."""
T = TypeVar("T")


class RunTimeStore(Protocol):
    """Keeps what admins set."""

    async def run_time(self) -> dict[str, object]:
        """What was kept."""

    async def put_run_time(self, values: dict[str, object]) -> None:
        """Keep it; durable on return."""


class Admin:
    """Implements :class:`~component.engine.movers.orders.ControlOrders`.

    :param configured: what the configuration says, in force where nothing else was set.
    :param apply: puts the domains in force, for contacts and for drafts.
    """

    def __init__(
        self,
        movers: Movers,
        store: JourneyStore,
        kept: RunTimeStore,
        contact_undo: ContactUndo,
        admins: Collection[str],
        configured: RunTime,
        apply: Callable[[Domains], None],
    ) -> None:
        self._movers = movers
        self._store = store
        self._kept = kept
        self._contact_undo = contact_undo
        self._admins = frozenset(jids.key(jid) for jid in admins)
        self._configured = configured
        self._apply = apply
        self._set = RunTime()

    def reconfigure(self, admins: Collection[str], configured: RunTime) -> None:
        """Put another configuration in force; what admins have set stays set."""
        self._admins = frozenset(jids.key(jid) for jid in admins)
        self._configured = configured
        self._enforce()

    def is_admin(self, jid: str) -> bool:
        """See :class:`AdminOrders`."""
        return jids.key(jid) in self._admins

    async def load(self) -> None:
        """Put in force what was set before a restart; raises StoreError."""
        self.take_in(await self._kept.run_time())

    def take_in(self, kept: Mapping[str, object]) -> None:
        """Put in force what is kept: here, or by an admin's order to another instance."""
        self._set = _read(kept)
        self._enforce()

    async def all_journeys(self, *, running_only: bool = False) -> Sequence[Progress]:
        """See :class:`AdminOrders`."""
        with explained():
            found = await self._store.list(running=running_only)
        return [(await self._movers.find(journey.id)).progress() for journey in found]

    async def show_any(self, journey: int) -> tuple[Progress, Sequence[JourneyContact]]:
        """See :class:`AdminOrders`."""
        run = await self._movers.find(journey)
        return run.progress(), sorted(run.book, key=lambda contact: contact.jid)

    async def pause_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        return await self._movers.order(await self._movers.find(journey), Word.PAUSE)

    async def resume_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        return await self._movers.order(await self._movers.find(journey), Word.RESUME)

    async def undo_any(self, journey: int) -> Progress:
        """See :class:`AdminOrders`."""
        run = await self._movers.find(journey)
        if run.book.journey.state is JourneyState.UNDONE:
            raise Refused(Problem.WRONG_STATE, state=JourneyState.UNDONE.value)
        return await self._movers.order(run, Word.UNDO)

    async def undo_any_followed(self, record: int) -> Undone:
        """See :class:`AdminOrders`."""
        return await self._contact_undo.undo_any(record)

    async def standing(self) -> Sequence[Journey]:
        """See :class:`AdminOrders`."""
        with explained():
            return await self._movers.leaving.standing()

    async def withdraw_all(self) -> Withdrawal:
        """See :class:`AdminOrders`."""
        with explained():
            return await self._movers.leaving.once()

    async def run_time(self) -> RunTime:
        """See :class:`AdminOrders`."""
        return self._in_force()

    async def set_run_time(self, settings: RunTime) -> None:
        """See :class:`AdminOrders`."""
        rate = settings.overall_per_second
        if rate is not None and not 0 < rate <= RATE_MAX:
            raise Refused(Problem.BAD_RATE, most=str(RATE_MAX))
        settings = self._changed(settings)
        with explained():
            await self._kept.put_run_time(_write(settings))
        self._set = settings
        self._enforce()
        log.warning("an admin changed the settings", **_write(settings))

    async def watch(self) -> AsyncIterator[Progress]:
        """See :class:`AdminOrders`."""
        async for progress in self._movers.changes():
            yield progress

    def _changed(self, wanted: RunTime) -> RunTime:
        """Only what differs from the configuration, so that a later change of that counts."""
        rate, allow, deny = wanted.overall_per_second, wanted.allow_domains, wanted.deny_domains
        configured = self._configured
        return RunTime(
            wanted.paused,
            None if rate == configured.overall_per_second else rate,
            None if allow == configured.allow_domains else allow,
            None if deny == configured.deny_domains else deny,
        )

    def _in_force(self) -> RunTime:
        given, configured = self._set, self._configured

        return RunTime(
            given.paused,
            _either(given.overall_per_second, configured.overall_per_second),
            _either(given.allow_domains, configured.allow_domains),
            _either(given.deny_domains, configured.deny_domains),
        )

    def _enforce(self) -> None:
        now = self._in_force()
        self._apply(Domains(frozenset(now.allow_domains or ()), frozenset(now.deny_domains or ())))
        if now.overall_per_second is not None:
            self._movers.set_overall(now.overall_per_second)
        self._movers.paused = now.paused
        self._movers.wake_all()


def _either(mine: T | None, theirs: T | None) -> T | None:
    return theirs if mine is None else mine


def _read(kept: Mapping[str, object]) -> RunTime:
    """What was kept, as far as it still means something."""
    rate = kept.get("overall_per_second")
    return RunTime(
        kept.get("paused") is True,
        float(rate) if isinstance(rate, int | float) and rate > 0 else None,
        _domains(kept.get("allow_domains")),
        _domains(kept.get("deny_domains")),
    )


def _domains(value: object) -> tuple[str, ...] | None:
    return tuple(str(domain) for domain in value) if isinstance(value, list) else None


def _write(settings: RunTime) -> dict[str, object]:
    return {
        "paused": settings.paused,
        "overall_per_second": settings.overall_per_second,
        "allow_domains": None if settings.allow_domains is None else list(settings.allow_domains),
        "deny_domains": None if settings.deny_domains is None else list(settings.deny_domains),
    }

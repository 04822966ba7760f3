"""The other instances on the same database: signs of life, what they changed, what they leave.

With SQLite there are none, and nothing here ever runs.
"""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Awaitable, Callable, Collection
from typing import Literal, Protocol

import structlog

from component.engine.ports import Wire
from component.store.errors import LeaseLost, StoreError
from component.store.shared import (
    BEAT_SECONDS,
    LEASE_SECONDS,
    Beat,
    Changes,
    Cursor,
    Shared,
    WantedJourney,
)
from component.xmpp.errors import LinkError

log = structlog.get_logger(__name__)

SURE_SECONDS = LEASE_SECONDS - 3.0
"""How long after a beat nobody else can have claimed anything.  The rest is for a stanza on its way
to the server, and for clocks of different speed."""
CLAIM_SECONDS = 5.0
"""How often is looked for what a dead instance held, whether a death was seen or not: the answer to
a claim may have been lost."""


def responsible(jid: str, name: str, alive: Collection[str]) -> bool:
    """Whether of the instances that live it is the one of this name that looks after a user."""
    names = sorted(alive)
    return not names or names[zlib.crc32(jid.encode()) % len(names)] == name


class LeaseInDoubt(LinkError):
    """This instance has not beaten for long: what it would do may be another's to do by now."""


def boot_seconds() -> float:
    """Seconds that go on while the machine sleeps (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Whether what this instance holds is surely its own still.

    The database refuses every write of one that slept too long; this does it for what leaves for
    the server.

    :param clock: monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = boot_seconds) -> None:
        self.now = clock
        self._until = float("-inf")

    @property
    def sure(self) -> bool:
        """Nobody else can have claimed anything yet."""
        return self.now() < self._until

    def renew(self, asked_at: float) -> None:
        """A beat succeeded that was sent at this time."""
        self._until = max(self._until, asked_at + SURE_SECONDS)

    def end(self) -> None:
        """It was given up."""
        self._until = float("-inf")


class FencedWire:
    """A wire on which nothing leaves while the lease is in doubt."""

    def __init__(self, wire: Wire, lease: Lease) -> None:
        self._wire = wire
        self._lease = lease

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """See :class:`Wire`.

        :raises LeaseInDoubt: nothing was sent.
        """
        if not self._lease.sure:
            raise LeaseInDoubt("no sign of life reached the database for long; nothing is done")
        return await self._wire.request(kind, to, payload, timeout=timeout)


class Workers(Protocol):
    """Whoever works on journeys (:class:`component.engine.movers.runs.Runs`)."""

    async def claim(self) -> int:
        """Take up what is this instance's to do; how many journeys were another's until now."""

    async def give_up(self, id: int) -> None:
        """Stop working on a journey, everything saved."""

    def let_go(self) -> None:
        """Stop working on all of them at once: they may be others' already."""


class PeerGauges(Protocol):
    """Figures on the instances."""

    def instances(self, alive: int) -> None:
        """How many live, this one included."""

    def taken_over(self, kind: str, number: int) -> None:
        """So many ``journeys`` or ``requests`` were another's until now."""


class Peers:
    """Keeps step with the other instances.

    :param name: of this one
    :param take_in: takes in what others changed; raises StoreError
    :param on_alive: told of how many live, at each beat
    :param on_death: somebody else has to do now what a dead instance did, or this one before it was
        taken for dead
    :param up: whether the stream to the server stands
    """

    def __init__(
        self,
        shared: Shared,
        name: str,
        workers: Workers,
        *,
        lease: Lease,
        take_in: Callable[[Changes], Awaitable[None]],
        on_alive: Callable[[int], None],
        on_death: Callable[[], None],
        up: Callable[[], bool],
        gauges: PeerGauges,
    ) -> None:
        self._shared = shared
        self._workers = workers
        self._lease = lease
        self._take_in = take_in
        self._on_alive = on_alive
        self._on_death = on_death
        self._up = up
        self._gauges = gauges
        self._cursor: Cursor | None = None
        self._claimed_at = float("-inf")
        self._claiming: asyncio.Task[None] | None = None
        self._giving: dict[int, asyncio.Task[None]] = {}
        self._up_at = lease.now()
        self._away = False
        self.alive = frozenset({name})
        """Names of the instances that live."""
        self.trouble: str | None = None
        """Why the last beat failed; None while they succeed."""

    async def begin(self) -> None:
        """Note the moment from which on changes are to be told; raises StoreError.

        To be called before anything is loaded.
        """
        self._cursor, _ = await self._shared.changes(None)

    async def run(self) -> None:
        """Beat until cancelled.

        :raises LeaseLost: another process works under this name; this one has to end.
        """
        try:
            while True:
                began = self._lease.now()
                try:
                    await self.beat()
                except LeaseLost:
                    self._workers.let_go()
                    raise
                except StoreError as error:
                    if self.trouble is None:
                        log.error("the other instances cannot be reached", error=str(error))
                    self.trouble = str(error)
                else:
                    self.trouble = None
                await asyncio.sleep(max(0.0, began + BEAT_SECONDS - self._lease.now()))
        finally:
            tasks = [*self._giving.values(), *([self._claiming] if self._claiming else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def beat(self) -> None:
        """One sign of life, and all that comes of it.

        :raises LeaseLost: see :meth:`run`.
        :raises StoreError: it is unknown whether the others have seen it.
        """
        if await self._without_stream():
            await self._follow_changes()
            return
        asked_at = self._lease.now()
        beat = await self._shared.beat()
        if beat.lapsed:
            log.warning("this instance slept, and begins anew with what the others left")
            self._workers.let_go()
        self._lease.renew(asked_at)
        self._look_around(beat)
        for wanted in beat.wanted:
            self._give(wanted)
        await self._follow_changes()

    def _look_around(self, beat: Beat) -> None:
        gone = self.alive - beat.alive
        if beat.alive != self.alive:
            log.info("instances", alive=sorted(beat.alive), gone=sorted(gone))
            self.alive = beat.alive
        self._on_alive(len(beat.alive))
        self._gauges.instances(len(beat.alive))
        if gone or beat.lapsed:
            self._on_death()
        if gone or beat.lapsed or self._lease.now() - self._claimed_at >= CLAIM_SECONDS:
            self._claim()

    async def leave(self) -> None:
        """Give up the lease: others take over at once."""
        self._lease.end()
        await self._shared.leave()

    async def _without_stream(self) -> bool:
        """Whether this instance can do nothing, and has left its work to others.

        One that lives and cannot reach the server would keep what it holds from those who can.
        """
        if self._up():
            self._up_at = self._lease.now()
            self._away = False
        elif not self._away and self._lease.now() - self._up_at >= LEASE_SECONDS:
            self._away = len(self.alive) > 1
            if self._away:
                log.warning("no stream for long: the work is left to the other instances")
                self._workers.let_go()
                await self.leave()
        return self._away

    def _claim(self) -> None:
        """In the background: loading much must not keep the next beat."""
        if self._claiming is None or self._claiming.done():
            self._claimed_at = self._lease.now()
            self._claiming = asyncio.create_task(self._claim_now(), name="claim journeys")

    async def _claim_now(self) -> None:
        try:
            taken = await self._workers.claim()
        except StoreError as error:
            log.warning("journeys cannot be claimed now", error=str(error))
            return
        if taken:
            self._gauges.taken_over("journeys", taken)
            log.warning("journeys of other instances are taken over", journeys=taken)

    def _give(self, wanted: WantedJourney) -> None:
        task = self._giving.get(wanted.id)
        if task is None or task.done():
            for id in [id for id, task in self._giving.items() if task.done()]:
                del self._giving[id]
            work = self._give_now(wanted)
            self._giving[wanted.id] = asyncio.create_task(work, name=f"give {wanted.id}")

    async def _give_now(self, wanted: WantedJourney) -> None:
        try:
            await self._workers.give_up(wanted.id)
            given = await self._shared.hand_over(wanted.id, wanted.by)
        except StoreError as error:
            # The next claim has it taken up again where it is still ours.
            log.warning("a journey is not handed over", id=wanted.id, error=str(error))
            return
        log.info("a journey is handed over", id=wanted.id, to=wanted.by, done=given)

    async def _follow_changes(self) -> None:
        cursor, changes = await self._shared.changes(self._cursor)
        await self._take_in(changes)
        self._cursor = cursor

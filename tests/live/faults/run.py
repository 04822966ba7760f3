"""Runs schedules, and says what became of every request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from component.core.records import MoveRecord, MoveState
from tests.live.faults.house import POLL, Contact, Family, FaultHouse, doubled, until
from tests.live.faults.schedule import SENDERS, Schedule

CONVERGED = 30.0
"""Seconds from healing until everything has its end."""
WORKS = 5.0
"""Seconds from a server's return until the component works (p99)."""


@dataclass
class Figures:
    """What many schedules came to."""

    converged: list[float] = field(default_factory=list)
    """Seconds from healing to the end of everything."""
    returned: list[float] = field(default_factory=list)
    """Seconds from the server's return to a healthy component."""
    followed: int = 0
    released: int = 0
    died: int = 0
    """Requests that a killed server had and the component had never seen, or had given back."""
    failed: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Take another's in."""
        self.converged += other.converged
        self.returned += other.returned
        self.followed += other.followed
        self.released += other.released
        self.died += other.died
        self.failed += other.failed

    def __str__(self) -> str:
        return (
            f"{len(self.converged)} schedules: {self.followed} followed, {self.released} released, "
            f"{self.died} died with a killed server; converged after {_spread(self.converged)}; "
            f"at work after the server's return, {len(self.returned)} times: "
            f"{_spread(self.returned)}"
        )


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * part // 1)
    return ordered[max(0, int(rank) - 1)]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    median, late, last = (percentile(values, part) for part in (0.5, 0.99, 1.0))
    return f"median {median:.2f} s, p99 {late:.2f} s, longest {last:.2f} s"


class Trial:
    """One schedule in a house."""

    def __init__(self, house: FaultHouse, schedule: Schedule) -> None:
        self.house = house
        self.schedule = schedule
        self.figures = Figures()
        self._killed_at: datetime | None = None
        self._story = str(schedule)

    async def run(self) -> Figures:
        """Do it; raises AssertionError where a promise was broken."""
        async with Family(self.house, SENDERS + 1) as family:
            loop = asyncio.get_running_loop()
            asked, probe = family.contacts[1:], family.contacts[0]
            began = loop.time()
            sending = asyncio.create_task(self._send(family, asked, began))
            await self._faults(began)
            await sending
            if self.schedule.restart:
                await self._restart(family)
            else:
                self.house.proxy.heal(self.schedule.healing)
            healed = loop.time()

            async def converged() -> bool:
                return await self._converged(family, asked)

            await until(converged, "converged", CONVERGED, lambda: self._story)
            self.figures.converged.append(loop.time() - healed)
            await self._account(family, asked)
            await self._works(family, probe)
        return self.figures

    async def _send(self, family: Family, contacts: Sequence[Contact], began: float) -> None:
        for at, contact in zip(self.schedule.moves, contacts, strict=True):
            await _at(began + at)
            await family.send(contact)

    async def _faults(self, began: float) -> None:
        for step in self.schedule.steps:
            await _at(began + step.at)
            step.apply(self.house.proxy)
        await _at(began + self.schedule.seconds)

    async def _restart(self, family: Family) -> None:
        server = self.house.server
        self._killed_at = datetime.now(UTC) if self.schedule.restart == "kill" else None
        await (server.kill() if self._killed_at else server.stop())
        self.house.proxy.heal(self.schedule.healing)
        await server.start()
        loop = asyncio.get_running_loop()
        returned = loop.time()
        await family.enter()
        await family.publish()  # ejabberd writes late: a killed one may have forgotten it

        async def well() -> bool:
            return self.house.proxy.passes and (await self.house.health())[0]

        await until(well, "at work again", CONVERGED, lambda: str(self.schedule))
        self.figures.returned.append(loop.time() - returned)

    async def _converged(self, family: Family, asked: Sequence[Contact]) -> bool:
        well, said = await self.house.health()
        left = await self.house.open_records()
        self._story = f"{said}, {left}, {self.schedule}"
        if not well or left or not self.house.proxy.passes:
            return False
        if self._killed_at is not None:
            return True  # the server has forgotten what it held: nothing more can come
        for contact in asked:
            if contact.jid in family.sent and not any(await family.fate(contact)):
                self._story = f"{contact.jid} has no end; {self.schedule}"
                return False
        return True

    async def _account(self, family: Family, asked: Sequence[Contact]) -> None:
        records = await self.house.records()
        assert not doubled(records)
        for contact in asked:
            if contact.jid in family.sent:
                mine = [record for record in records if record.contact == contact.jid]
                await self._look(family, contact, mine)

    async def _look(self, family: Family, contact: Contact, records: list[MoveRecord]) -> None:
        followed, pending = await family.fate(contact)
        story = (
            f"{contact.jid} followed={followed} pending={pending} records="
            f"{[(r.state.value, r.reason, r.detail) for r in records]} {self.schedule}"
        )
        assert len(records) <= 1, story
        done = any(record.state is MoveState.DONE for record in records)
        assert not (followed and pending), story
        assert contact.requests(family.new) <= 1, story
        if not followed and not pending and self._may_have_died(records):
            self.figures.died += 1
            return
        assert followed or pending, f"lost: {story}"
        assert done is followed, story
        if followed and not self.schedule.restart:
            assert family.answers("subscribed", contact) == 1, story
            assert await family.lets_in(contact), story
        elif not followed:
            assert family.answers("subscribed", contact) == 0, story
        self.figures.followed += followed
        self.figures.released += pending

    def _may_have_died(self, records: Sequence[MoveRecord]) -> bool:
        """A server that is killed takes with it what was in its hands alone: a request that we were
        not told of yet, or one that we had given back and that it had not written down."""
        if self._killed_at is None:
            return False
        return all(
            record.state is MoveState.RELEASED
            and record.settled_at is not None
            and record.settled_at < self._killed_at
            for record in records
        )

    async def _works(self, family: Family, probe: Contact) -> None:
        await family.send(probe)

        async def followed() -> bool:
            return (await family.fate(probe))[0]

        await until(
            followed, "a request after it all is followed", WORKS, lambda: f"{self.schedule}"
        )


async def _at(time: float) -> None:
    delay = time - asyncio.get_running_loop().time()
    if delay > 0:
        await asyncio.sleep(delay)


async def run_all(houses: Sequence[FaultHouse], schedules: Sequence[Schedule]) -> Figures:
    """Run the schedules, one at a time in each house."""
    waiting = list(reversed(schedules))
    figures = Figures()

    async def work(house: FaultHouse) -> None:
        while waiting:
            schedule = waiting.pop()
            try:
                figures.add(await Trial(house, schedule).run())
            except Exception as error:
                figures.failed.append(f"{type(error).__name__}: {error}; {house.daemon.log_path}")
                house.proxy.heal()
                await asyncio.sleep(POLL)

    await asyncio.gather(*map(work, houses))
    return figures

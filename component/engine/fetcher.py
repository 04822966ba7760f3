"""Asks old accounts for their statements: one question at a time for each account, paced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from component.core import jids
from component.core.answers import Answers
from component.core.model import Reason
from component.core.statement import Answer, ErrorRead, ItemsRead, judge, read
from component.engine.ports import Clock, Gauges

Ask = Callable[[str, str], Awaitable[ItemsRead | ErrorRead]]


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Questions under way at once, for each old server and in all."""

    per_domain: int = 10
    overall: int = 128


@dataclass(frozen=True, slots=True)
class _Flown:
    """An answer, as whom the question was put, and when."""

    answer: Answer
    contact: str
    asked: float


class _Lane:
    """The questions to one domain; dropped when nobody uses it."""

    def __init__(self, width: int) -> None:
        self.gate = asyncio.Semaphore(width)
        self.users = 0


class Fetcher:
    """Coalesces questions about one old account and remembers the answers for a while."""

    def __init__(
        self, ask: Ask, answers: Answers, limits: FetchLimits, clock: Clock, gauges: Gauges
    ) -> None:
        """``ask(contact, old)`` puts the question to ``old`` as ``contact``."""
        self._ask = ask
        self._answers = answers
        self._limits = limits
        self._clock = clock
        self._gauges = gauges
        self._overall = asyncio.Semaphore(limits.overall)
        self._lanes: dict[str, _Lane] = {}
        self._flights: dict[str, asyncio.Task[_Flown]] = {}

    def known(self, old: str, new: str) -> Answer | None:
        """The answer, if nobody has to be asked for it; see :meth:`answer`."""
        return self._answers.lookup(old, new, self._clock.tick())

    async def answer(self, contact: str, old: str, new: str) -> Answer:
        """The old account's answer as far as it can be used for this contact's claim.

        :raises LinkError: the stream was lost meanwhile.  Cancelling the caller leaves the
            question under way for those who wait for it too.
        """
        key, came = jids.key(old), self._clock.tick()
        while True:
            known = self.known(old, new)
            if known is not None:
                return known
            flight = self._flights.get(key)
            # One that has just ended is there until its callbacks run: to await it would not yield.
            if flight is None or flight.done():
                pause = self._answers.wait(old, contact, self._clock.tick())
                if pause > 0:
                    await asyncio.sleep(pause)
                    continue
                flight = asyncio.create_task(self._fly(contact, old, new), name=f"fetch {old}")
                self._flights[key] = flight
                flight.add_done_callback(lambda done: self._landed(key, done))
            flown = await asyncio.shield(flight)
            supports = judge(flown.answer, new) is Reason.VERIFIED
            for_me = flown.answer.shareable or flown.contact == contact
            if for_me and (supports or flown.asked >= came):
                return flown.answer

    def _landed(self, key: str, flight: asyncio.Task[_Flown]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # every waiter got it; nobody may be left to

    async def _fly(self, contact: str, old: str, new: str) -> _Flown:
        domain = jids.domain(old)
        lane = self._lanes.setdefault(domain, _Lane(self._limits.per_domain))
        lane.users += 1
        try:
            async with lane.gate, self._overall:
                asked = self._clock.tick()
                answer = read(await self._ask(contact, old), old)
        finally:
            lane.users -= 1
            if not lane.users:
                self._lanes.pop(domain, None)
        ended = self._clock.tick()
        self._answers.note(old, new, contact, answer, ended)
        result = answer.failure.value if answer.failure is not None else "statement"
        self._gauges.fetched(result, ended - asked)
        return _Flown(answer, contact, asked)

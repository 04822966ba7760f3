"""Asks old accounts for their statements: one question at a time for each account, paced.

Whoever is asked may be silent, for as long as a question lasts, and anybody may claim to have been
anybody.  So what is under way is shared: of one contact, of one sender, to one domain and to all
that belongs to the same owner there are a few at a time, and others go ahead.  Where all is full
nevertheless, a question has a few seconds until it makes room, and a domain that is silent is asked
less at once from then on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from component.core import jids
from component.core.answers import Answers
from component.core.conditions import Condition
from component.core.limits import registrable
from component.core.model import Reason
from component.core.statement import Answer, ErrorRead, ItemsRead, judge, read
from component.engine.lanes import Lanes
from component.engine.ports import Clock, Gauges

Ask = Callable[[str, str], Awaitable[ItemsRead | ErrorRead]]
_ALL = "all"
_REMEMBERED = 10_000
"""Silent domains that are remembered."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Questions under way at once."""

    per_domain: int = 10
    overall: int = 128
    per_person: int = 8
    """As one contact, and for the claims of one new address."""
    per_owner: int = 32
    """To the domains of one owner (:func:`component.core.limits.registrable`)."""
    hasty_seconds: float = 5.0
    """What each has while others wait because all is full."""


@dataclass(frozen=True, slots=True)
class _Flown:
    """An answer, as whom the question was put, and when."""

    answer: Answer
    contact: str
    asked: float


@dataclass(slots=True, eq=False)
class _Flight:
    """A question under way, and how many wait for its answer."""

    task: asyncio.Task[_Flown]
    waiters: int = 0


@dataclass(slots=True, eq=False)
class _Asked:
    """A question that has left."""

    domain: str
    since: float
    timeout: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))


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
        self._people = Lanes(lambda _: limits.per_person)
        self._servers = Lanes(self._width)
        self._silent: OrderedDict[str, int] = OrderedDict()
        """How often each domain gave no answer since it last gave one."""
        self._asked: dict[_Asked, None] = {}
        """Those that have left, the oldest first."""
        self._hurry: asyncio.TimerHandle | None = None
        self._queued = 0
        self._flights: dict[str, _Flight] = {}
        self._begun: dict[str, set[asyncio.Future[None]]] = {}
        """Who waits to ask about an account, and is told when somebody else does."""

    def known(self, old: str, new: str) -> Answer | None:
        """The answer, if nobody has to be asked for it; see :meth:`answer`."""
        return self._answers.lookup(old, new, self._clock.tick())

    def forget(self, jid: str) -> None:
        """An account here is gone: see :meth:`Answers.forget`."""
        self._answers.forget(jid)

    async def answer(self, contact: str, old: str, new: str) -> Answer:
        """The old account's answer as far as it can be used for this contact's claim.

        :raises LinkError: the stream was lost meanwhile.  Cancelling the caller leaves the
            question under way for those who wait for it too; where there is nobody, it ends.
        """
        key, came = jids.key(old), self._clock.tick()
        people = (f"contact {contact}", f"sender {new}")
        turn = False
        try:
            while True:
                known = self.known(old, new)
                if known is not None:
                    return known
                flight = self._flights.get(key)
                # One that has just ended is there until its callbacks run: to await it would not
                # yield.
                if flight is None or flight.task.done():
                    pause = self._answers.wait(old, contact, self._clock.tick())
                    if pause > 0:
                        turn = self._give_up(turn, people)
                        await asyncio.sleep(pause)
                        continue
                    if not turn and not self._people.try_enter(people):
                        turn = await self._turn(key, people)
                        continue
                    turn = False  # the question has it now
                    flight = self._begin(key, people, contact, old, new)
                turn = self._give_up(turn, people)
                flown = await self._landing(key, flight)
                supports = judge(flown.answer, new) is Reason.VERIFIED
                for_me = flown.answer.shareable or flown.contact == contact
                if for_me and (supports or flown.asked >= came):
                    return flown.answer
        finally:
            self._give_up(turn, people)

    def _give_up(self, turn: bool, people: tuple[str, str]) -> bool:
        if turn:
            self._people.leave(people)
        return False

    async def _turn(self, key: str, people: tuple[str, str]) -> bool:
        """Wait until these people may ask; False, and they may not, if somebody else has asked."""
        begun = asyncio.get_running_loop().create_future()
        self._begun.setdefault(key, set()).add(begun)
        entering = asyncio.create_task(self._people.enter(people), name="a turn to ask")
        try:
            await asyncio.wait({entering, begun}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            if entering.done() and not entering.cancelled():
                self._people.leave(people)
            raise
        finally:
            waiting = self._begun.get(key, set())
            waiting.discard(begun)
            if not waiting:
                self._begun.pop(key, None)
            entering.cancel()
        return entering.done() and not entering.cancelled()

    def _begin(
        self, key: str, people: tuple[str, str], contact: str, old: str, new: str
    ) -> _Flight:
        task = asyncio.create_task(self._fly(contact, old, new), name=f"fetch {old}")
        flight = self._flights[key] = _Flight(task)
        task.add_done_callback(lambda _: self._landed(key, flight, people))
        for waiter in self._begun.pop(key, ()):
            if not waiter.done():
                waiter.set_result(None)
        return flight

    async def _landing(self, key: str, flight: _Flight) -> _Flown:
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def _landed(self, key: str, flight: _Flight, people: tuple[str, str]) -> None:
        self._people.leave(people)
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.task.cancelled():
            flight.task.exception()  # every waiter got it; nobody may be left to

    async def _fly(self, contact: str, old: str, new: str) -> _Flown:
        domain = jids.domain(jids.key(old))
        lanes = (f"domain {domain}", f"owner {registrable(domain)}", _ALL)
        if not self._servers.try_enter(lanes):
            self._queued += 1
            self._watch()
            try:
                await self._servers.enter(lanes)
            finally:
                self._queued -= 1
        try:
            asked = self._clock.tick()
            answer = read(await self._put(contact, old, domain), old)
        finally:
            self._servers.leave(lanes)
        ended = self._clock.tick()
        self._answers.note(old, new, contact, answer, ended)
        result = answer.failure.value if answer.failure is not None else "statement"
        self._gauges.fetched(result, ended - asked)
        return _Flown(answer, contact, asked)

    async def _put(self, contact: str, old: str, domain: str) -> ItemsRead | ErrorRead:
        """Put the question; one that has to make room has had no answer."""
        now = asyncio.get_running_loop().time
        asked = _Asked(domain, now())
        reply: ItemsRead | ErrorRead = ErrorRead(Condition.REMOTE_SERVER_TIMEOUT)
        try:
            async with asked.timeout:
                self._asked[asked] = None
                reply = await self._ask(contact, old)
        except TimeoutError:
            if not asked.timeout.expired():
                raise
        except asyncio.CancelledError:
            if now() - asked.since >= self._limits.hasty_seconds:
                self._heard(domain, reply)
            raise
        finally:
            self._asked.pop(asked, None)
        self._heard(domain, reply)
        return reply

    def _heard(self, domain: str, reply: ItemsRead | ErrorRead) -> None:
        before = self._silent.pop(domain, 0)
        if isinstance(reply, ErrorRead) and reply.condition == Condition.REMOTE_SERVER_TIMEOUT:
            self._silent[domain] = before + 1
            if len(self._silent) > _REMEMBERED:
                self._silent.popitem(last=False)

    def _width(self, lane: str) -> int:
        kind, _, name = lane.partition(" ")
        if kind == "domain":
            return max(1, self._limits.per_domain >> min(self._silent.get(name, 0), 16))
        return self._limits.overall if lane == _ALL else self._limits.per_owner

    def _watch(self) -> None:
        if self._hurry is None and self._queued:
            delay = self._limits.hasty_seconds / 5
            self._hurry = asyncio.get_running_loop().call_later(delay, self._make_room)

    def _make_room(self) -> None:
        """Where all is full, have those end that took longest, the silent ones first."""
        self._hurry = None
        now = asyncio.get_running_loop().time()
        late = [one for one in self._asked if now - one.since >= self._limits.hasty_seconds]
        late.sort(key=lambda one: -self._silent.get(one.domain, 0))
        for one in late[: self._servers.waiting(_ALL)]:
            del self._asked[one]
            one.timeout.reschedule(now)
        self._watch()

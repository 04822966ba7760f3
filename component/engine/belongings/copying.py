"""One copy at work: writes what its lines say and looks whether it stands; or takes it all back.

A line's ``before`` is durable before anything is written.  After a crash the account itself says
what had been written: nothing is written twice, and what was not is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import structlog

from component.account.model import PrivateXml
from component.core.belongings.model import Job, Line, Result, Sort, Thing, Why
from component.core.belongings.plan import Back, outstanding, verified, way_back
from component.engine.belongings.ports import CopyStore
from component.engine.belongings.read import KNOWN_PRIVATE, look
from component.engine.belongings.things import entry_of, lines_of, piece_of, things
from component.engine.belongings.write import AT_ONCE, Writer
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp.errors import BadStanza, RemoteError, RequestTimeout

MARKED_AT_ONCE = 50
"""Things written before it is written down; a crash costs one look at the account."""
_Write = Callable[[Iterable[Thing]], Awaitable[None]]
_Numbered = Sequence[tuple[int, Line]]
_NO_ANSWER = "remote-server-timeout"
log = structlog.get_logger(__name__)


class Copying:
    """Works on one copy.  Both ways raise LinkError and StoreError: call again, later.

    :param job: as it is stored; the caller changes its state.
    """

    def __init__(self, accounts: Accounts, hook: Hook, store: CopyStore, job: Job) -> None:
        self._accounts = accounts
        self._store = store
        self._job = job
        self._writer = Writer(accounts, hook, job.owner)
        self._lines: list[Line] = []
        self._unmarked: set[int] = set()

    async def there(self, coming: Iterable[Thing] | None = None) -> list[Thing]:
        """Everything that the account has now; of private XML, what is known or comes."""
        asked = (line.thing for line in self._lines) if coming is None else coming
        stored = (piece_of(thing) for thing in asked if thing.sort is Sort.PRIVATE)
        names = [(one.name, one.ns) for one in stored if isinstance(one, PrivateXml)]
        private = tuple(dict.fromkeys((*KNOWN_PRIVATE, *names)))
        reading = await look(self._accounts, self._job.owner, private=private)
        return await asyncio.to_thread(things, reading.pieces)

    async def _load(self) -> None:
        entries = await self._store.entries(self._job.id)
        self._lines = await asyncio.to_thread(lines_of, entries)

    # There ----------------------------------------------------------------------------------------

    async def copy(self) -> None:
        """Write all that is not written, block list first, and look whether it stands."""
        await self._load()
        if all(line.done for line in self._lines):
            return
        there = await self.there()
        todo = {line.thing.id for line in outstanding(self._lines, there)}
        for number, line in enumerate(self._lines):
            if not line.done and line.thing.id not in todo:
                self._becomes(number, replace(line, done=True))
        await self._together(Sort.BLOCKED, self._writer.block)
        await self._together(Sort.CONTACT, self._writer.enter)
        nodeless = {line.thing.key for line in self._lines if _no_node(line)}
        for number, line in enumerate(self._lines):
            if line.done:
                continue
            if line.thing.sort is Sort.ITEM and line.thing.node in nodeless:
                now = replace(line, result=Result.REFUSED, why=Why.NO_NODE, done=True)
            else:
                now = await self._put(line)
            if _no_node(now):
                nodeless.add(now.thing.key)
            self._becomes(number, now)
            if len(self._unmarked) >= MARKED_AT_ONCE:
                await self._mark()
        await self._mark()
        numbers = {line.thing.id: number for number, line in enumerate(self._lines)}
        for line in verified(self._lines, await self.there()):
            self._becomes(numbers[line.thing.id], line)
        await self._mark()

    async def _together(self, sort: Sort, write: _Write) -> None:
        """As many as one stanza takes; those of one that is refused come one by one later."""
        waiting = [
            (number, line)
            for number, line in enumerate(self._lines)
            if line.thing.sort is sort and not line.done
        ]
        for part in _parts(waiting):
            try:
                await write(line.thing for _, line in part)
            except (BadStanza, RemoteError, RequestTimeout):
                continue
            for number, line in part:
                self._becomes(number, replace(line, done=True))
            await self._mark()

    async def _put(self, line: Line) -> Line:
        try:
            await self._put_surely(line)
        except RequestTimeout as error:
            if line.thing.sort is Sort.NODE:  # published without it, items would be for others too
                return replace(line, result=Result.REFUSED, why=_NO_ANSWER, done=True)
            log.warning("a thing was written, or not", sort=line.thing.sort, error=str(error))
        except RemoteError as error:
            return replace(line, result=Result.REFUSED, why=error.condition, done=True)
        except BadStanza:
            return replace(line, result=Result.REFUSED, why="not-acceptable", done=True)
        return replace(line, done=True)

    async def _put_surely(self, line: Line) -> None:
        """Write it; a node twice where the first answer is lost, for it takes several steps.

        What else has no answer may have had its effect: the look afterwards tells.
        """
        try:
            await self._writer.put(line)
        except RequestTimeout:
            if line.thing.sort is not Sort.NODE:
                raise
            await self._writer.put(line)

    # And back -------------------------------------------------------------------------------------

    async def take_back(self) -> None:
        """Bring back what was before, the last thing first; block lists at the end."""
        await self._load()
        there = {thing.id: thing for thing in await self.there()}
        await self._leave(there)
        lines = [(n, line) for n, line in enumerate(self._lines) if line.result.written]
        for number, line in reversed(lines):
            back, why = way_back(line, there)
            if back is Back.RESTORE:
                now = await self._restore(line, there)
            elif back is Back.NOTHING:
                now = replace(line, result=Result.RESTORED, why=None)
            else:
                now = replace(line, why=why)
            if now.result is Result.RESTORED:
                there.pop(line.thing.id, None)
            self._becomes(number, now)
            if len(self._unmarked) >= MARKED_AT_ONCE:
                await self._mark()
        await self._mark()

    async def _leave(self, there: dict[tuple[Sort, str, str], Thing]) -> None:
        """Contacts that the copy added, together; what is refused comes one by one later."""
        added = [
            (number, line)
            for number, line in enumerate(self._lines)
            if line.thing.sort is Sort.CONTACT
            and line.result is Result.ADDED
            and line.thing.id in there
            and way_back(line, there)[0] is Back.RESTORE
        ]
        for part in _parts(added):
            try:
                await self._writer.leave(line.thing for _, line in part)
            except (RemoteError, RequestTimeout):
                continue
            for number, line in part:
                there.pop(line.thing.id)
                self._becomes(number, replace(line, result=Result.RESTORED, why=None))
            await self._mark()

    async def _restore(self, line: Line, there: Mapping[tuple[Sort, str, str], Thing]) -> Line:
        node = line.thing.key if line.thing.sort is Sort.NODE and not line.before else None
        if node is not None and any(thing.node == node for thing in there.values()):
            return replace(line, why=Why.IN_USE)
        try:
            await self._writer.take_back(line)
        except RemoteError as error:
            return replace(line, why=error.condition)
        return replace(line, result=Result.RESTORED, why=None)

    # Small things ---------------------------------------------------------------------------------

    def _becomes(self, number: int, line: Line) -> None:
        if line != self._lines[number]:
            self._lines[number] = line
            self._unmarked.add(number)

    async def _mark(self) -> None:
        """Write down what became of the last few."""
        marked = sorted(self._unmarked)
        await self._store.mark(self._job.id, [entry_of(n, self._lines[n]) for n in marked])
        self._unmarked.clear()


def _parts(waiting: _Numbered) -> Iterator[_Numbered]:
    for start in range(0, len(waiting), AT_ONCE):
        yield waiting[start : start + AT_ONCE]


def _no_node(line: Line) -> bool:
    return line.thing.sort is Sort.NODE and line.done and line.result is Result.REFUSED

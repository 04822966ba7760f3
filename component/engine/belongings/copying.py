"""One copy at work: plans its lines, writes what they say and looks whether it stands; or takes it
all back.

A line's ``before`` is durable before anything is written.  After a crash the account itself says
what had been written: nothing is written twice, and what was not is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import replace

import structlog

from component.core.belongings.model import WRITTEN, Job, Line, Pick, Result, Sort, Thing, Why
from component.core.belongings.plan import Back, Planner, Standing, stands, verified, way_back
from component.core.conditions import Condition
from component.engine.belongings.filling import Numbered, pages
from component.engine.belongings.ports import CopyStore
from component.engine.belongings.there import There
from component.engine.belongings.things import entry_of
from component.engine.belongings.write import AT_ONCE, Writer
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp.errors import BadStanza, RemoteError, RequestTimeout

MARKED_AT_ONCE = 50
"""Things written before it is written down; a crash costs one look at the account."""
_Write = Callable[[Iterable[Thing]], Awaitable[None]]
Skip = Callable[[Thing], Why | None]
_NO_ANSWER = Condition.REMOTE_SERVER_TIMEOUT
_TODO = Pick(done=False)
log = structlog.get_logger(__name__)


class Copying:
    """Works on one copy.  All its ways raise LinkError and StoreError: call again, later.

    :param job: as it is stored; the caller changes its state.
    """

    def __init__(self, accounts: Accounts, hook: Hook, store: CopyStore, job: Job) -> None:
        self._accounts = accounts
        self._hook = hook
        self._store = store
        self._job = job
        self._writer = Writer(accounts, hook, job.owner)
        self._changed: dict[int, Line] = {}

    async def plan(self, skip: Skip) -> None:
        """Say of each line what is to become of it, by what the account has now.

        :param skip: the rule by which a thing is left out.
        """
        planner = Planner(overwrite=self._job.overwrite, skip=skip)
        async for page, there in self._seen(Pick()):
            for number, line in page:
                self._becomes(number, line, planner.line(line.thing, there))
            await self._mark()

    # There ----------------------------------------------------------------------------------------

    async def copy(self) -> None:
        """Write all that is not written, block list first, and look whether it stands."""
        if not await self._store.page(self._job.id, _TODO, most=1):
            return
        await self._note_standing()
        await self._together(Sort.BLOCKED, self._writer.block)
        await self._together(Sort.CONTACT, self._writer.enter)
        await self._one_by_one()
        await self._verify()

    async def _note_standing(self) -> None:
        """What stands already is done: it was written before a crash."""
        async for page, there in self._seen(_TODO):
            for number, line in page:
                if stands(line, there):
                    self._becomes(number, line, replace(line, done=True))
            await self._mark()

    async def _verify(self) -> None:
        async for page, there in self._seen(Pick(results=WRITTEN)):
            for number, line in page:
                self._becomes(number, line, verified(line, there))
            await self._mark()

    async def _together(self, sort: Sort, write: _Write) -> None:
        """As many as one stanza takes; those of one that is refused come one by one later."""
        async for page in self._pages(replace(_TODO, sort=sort), most=AT_ONCE):
            try:
                await write(line.thing for _, line in page)
            except (BadStanza, RemoteError, RequestTimeout):
                continue
            for number, line in page:
                self._becomes(number, line, replace(line, done=True))
            await self._mark()

    async def _one_by_one(self) -> None:
        refused = Pick(Sort.NODE, frozenset({Result.REFUSED}), done=True)
        nodeless = {line.thing.key async for page in self._pages(refused) for _, line in page}
        async for page in self._pages(_TODO):
            for number, line in page:
                if line.thing.sort is Sort.ITEM and line.thing.node in nodeless:
                    now = replace(line, result=Result.REFUSED, why=Why.NO_NODE, done=True)
                else:
                    now = await self._put(line)
                if now.thing.sort is Sort.NODE and now.result is Result.REFUSED:
                    nodeless.add(now.thing.key)
                self._becomes(number, line, now)
                if len(self._changed) >= MARKED_AT_ONCE:
                    await self._mark()
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
            return replace(line, result=Result.REFUSED, why=Condition.NOT_ACCEPTABLE, done=True)
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
        await self._leave()
        async for page, there in self._seen(Pick(results=WRITTEN), backwards=True):
            for number, line in page:
                back, why = way_back(line, there)
                if back is Back.RESTORE:
                    now = await self._restore(line, there)
                elif back is Back.NOTHING:
                    now = replace(line, result=Result.RESTORED, why=None)
                else:
                    now = replace(line, why=why)
                if now.result is Result.RESTORED:
                    there.remove(line.thing)
                self._becomes(number, line, now)
                if len(self._changed) >= MARKED_AT_ONCE:
                    await self._mark()
            await self._mark()

    async def _leave(self) -> None:
        """Contacts that the copy added, together; what is refused comes one by one later."""
        added = Pick(Sort.CONTACT, frozenset({Result.ADDED}))
        async for page, there in self._seen(added, most=AT_ONCE):
            part = [
                (number, line)
                for number, line in page
                if there.get(line.thing) is not None and way_back(line, there)[0] is Back.RESTORE
            ]
            if not part:
                continue
            try:
                await self._writer.leave(line.thing for _, line in part)
            except (RemoteError, RequestTimeout):
                continue
            for number, line in part:
                self._becomes(number, line, replace(line, result=Result.RESTORED, why=None))
            await self._mark()

    async def _restore(self, line: Line, there: Standing) -> Line:
        made = line.thing.sort is Sort.NODE and not line.before
        if made and there.room(line.thing.key):
            return replace(line, why=Why.IN_USE)
        try:
            await self._writer.take_back(line)
        except RemoteError as error:
            return replace(line, why=error.condition)
        return replace(line, result=Result.RESTORED, why=None)

    # Small things ---------------------------------------------------------------------------------

    def _pages(
        self, pick: Pick, *, most: int | None = None, backwards: bool = False
    ) -> AsyncIterator[Numbered]:
        return pages(self._store, self._job.id, pick, most=most, backwards=backwards)

    async def _seen(
        self, pick: Pick, *, most: int | None = None, backwards: bool = False
    ) -> AsyncIterator[tuple[Numbered, Standing]]:
        """Lines, and what the account has in their places when they come."""
        there = There(self._accounts, self._hook, self._job.owner)
        async for page in self._pages(pick, most=most, backwards=backwards):
            yield page, await there.of(line for _, line in page)

    def _becomes(self, number: int, line: Line, now: Line) -> None:
        if now != line:
            self._changed[number] = now

    async def _mark(self) -> None:
        """Write down what became of the last few."""
        entries = [entry_of(number, line) for number, line in sorted(self._changed.items())]
        await self._store.mark(self._job.id, entries)
        self._changed.clear()


def skipping(owner: Collection[str], left_out: Collection[str]) -> Skip:
    """The rules by which things are left out.

    :param owner: keys of who the account itself is, and its server.
    :param left_out: keys of contacts that are left out of a move.
    """

    def skip(thing: Thing) -> Why | None:
        if thing.sort in (Sort.BLOCKED, Sort.CONTACT) and thing.key in owner:
            return Why.SELF
        if thing.sort is Sort.CONTACT and thing.key in left_out:
            return Why.LEFT_OUT
        return None

    return skip

"""The runs of this instance: one for each journey that it works on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from component.engine.acting import acting_for
from component.engine.movers.book import Book
from component.engine.movers.claims import Claims
from component.engine.movers.ports import JourneyStore
from component.engine.movers.run import Run
from component.store.errors import LeaseLost

log = structlog.get_logger(__name__)

FAILED_SECONDS = 60.0
GIVE_UP_SECONDS = 10.0
"""How long a run has to come to the end of what it is at, before it is cut off."""


class Runs:
    """Keeps a run, and a task for it, for each journey that is under way here.

    :param make: a run of a journey with its contacts
    """

    def __init__(self, store: JourneyStore, claims: Claims, make: Callable[[Book], Run]) -> None:
        self._store = store
        self._claims = claims
        self._make = make
        self.by_id: dict[int, Run] = {}
        """Paused ones included."""
        self._of: dict[str, dict[int, Run]] = {}
        """The same by account: a server that closes has thousands of them."""
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self.by_id.values()))

    def of(self, jid: str) -> list[Run]:
        """Those of which this is an account."""
        return list(self._of.get(jid, {}).values())

    def _add(self, run: Run) -> None:
        journey = run.book.journey
        self.by_id[journey.id] = run
        for jid in (journey.old, journey.new):
            self._of.setdefault(jid, {})[journey.id] = run

    def _remove(self, run: Run) -> None:
        journey = run.book.journey
        if self.by_id.get(journey.id) is not run:
            return
        del self.by_id[journey.id]
        for jid in {journey.old, journey.new}:
            of = self._of[jid]
            of.pop(journey.id, None)
            if not of:
                del self._of[jid]

    async def read(self, id: int, *, taken_over: bool = False) -> Run | None:
        """A run of a journey as it is stored, at work or not; raises StoreError."""
        journey = await self._store.get(id)
        if journey is None:
            return None
        if taken_over:
            # Only who has sent a message may correct it (XEP-0308 section 3).
            journey = replace(journey, progress_id=None)
        run = self._make(Book(journey, await self._store.contacts(id)))
        if taken_over:
            # The hook may have told the other one things, and hold ways back for it still.
            run.notifier.cut_off()
        return run

    def start(self, run: Run) -> None:
        """Work on it, until nothing is left to do."""
        id = run.book.journey.id
        self._add(run)
        if id in self.tasks and not self.tasks[id].done():
            run.wake()
            return
        self.tasks[id] = asyncio.create_task(self._work(run), name=f"journey {id}")

    async def _work(self, run: Run) -> None:
        with acting_for(run.book.journey.accounts):
            await self._work_for_owner(run)

    async def _work_for_owner(self, run: Run) -> None:
        id = run.book.journey.id
        while True:
            try:
                await run.work()
                while run.busy():  # an order came while it was ending
                    await run.work()
                break
            except LeaseLost:
                log.info("a journey is with another instance now", id=id)
                self._drop(run)
                return
            except Exception:
                log.exception("a journey failed; it is taken up again in a minute", id=id)
                await asyncio.sleep(FAILED_SECONDS)
        if run.book.journey.state.final:
            self._remove(run)

    async def stop(self) -> None:
        """End all of them; the journal knows where each stood."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Where there are other instances --------------------------------------------------------------

    async def claim(self) -> int:
        """Take up what is this instance's to do, and nothing else; raises StoreError.

        :returns: how many journeys were another instance's until now.
        """
        known = dict(self.by_id)
        held, others = await self._claims.claim()
        for id in known.keys() - held:
            run = known[id]
            if self.by_id.get(id) is run and run.busy():
                self._drop(run)
        taken_over = 0
        for id in held:
            if id not in self.by_id:
                found = await self.read(id, taken_over=id in others)
                if found is not None and id not in self.by_id:
                    self.start(found)
                    taken_over += id in others
        return taken_over

    async def obtain(self, run: Run) -> Run | None:
        """The run of the same journey that is the only one anywhere; None: no such journey.

        :raises Refused: another instance works on it and does not hand it over.
        :raises StoreError: nothing has changed.
        """
        id = run.book.journey.id
        if id in self.by_id:
            return self.by_id[id]
        others = await self._claims.obtain(id)
        fresh = await self.read(id, taken_over=others)
        if fresh is None or id in self.by_id:  # another order may have brought it up meanwhile
            return self.by_id.get(id)
        if fresh.busy():
            self.start(fresh)
        return fresh

    async def give_up(self, id: int) -> None:
        """Stop working on a journey, between two steps, and save what is known of it.

        :raises StoreError: not everything could be saved; what is missing stands on the rosters.
        """
        run, task = self.by_id.get(id), self.tasks.get(id)
        if run is None:
            return
        run.leave()
        if task is not None:
            await asyncio.wait({task}, timeout=GIVE_UP_SECONDS)
        self._drop(run)
        if task is not None:
            await asyncio.wait({task})
        await run.save()

    def let_go(self) -> None:
        """Stop working on all journeys, at once: they may be other instances' already."""
        for run in self:
            self._drop(run)

    def _drop(self, run: Run) -> None:
        """Forget a run: another instance works on its journey, or is about to."""
        id = run.book.journey.id
        run.leave()
        if self.by_id.get(id) is run:
            self._remove(run)
            task = self.tasks.pop(id, None)
            if task is not None and task is not asyncio.current_task():
                task.cancel()
            run.box.pace.forget(id)

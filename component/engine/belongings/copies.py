"""Copies into accounts here: takes orders about them, works on them, and goes on after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from component.account.model import Piece
from component.core import jids
from component.core.belongings.model import ORDER, Job, JobState, Line, Pick, Result, Sort, Unread
from component.core.belongings.report import NAMED, Report
from component.core.conditions import Condition
from component.core.journey.model import Journey, Kind, Problem, Refused
from component.core.model import same_account
from component.engine.acting import acting_for
from component.engine.belongings.copying import Copying, skipping
from component.engine.belongings.filling import fill, pages
from component.engine.belongings.ports import CopyStore, FromMove, Parcels, Source
from component.engine.belongings.read import look
from component.engine.belongings.things import lines_of
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.orders import explained
from component.engine.ports import Clock
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, RemoteError

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
_AT_WORK = (JobState.PLANNING, JobState.RUNNING, JobState.UNDOING)


class Copies:
    """Implements :class:`~component.engine.belongings.ports.CopyOrders` and, for moves,
    :class:`~component.engine.movers.ports.Carrier`.

    :param proven: a move between two accounts here of which the asker has shown that both are
        theirs; raises Refused.
    :param serves: whether a bare JID is on a served host.
    :param parcels: what comes from old accounts elsewhere.
    :param retry_seconds: wait after the server, or the journal, refused to work.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        hook: Hook,
        store: CopyStore,
        clock: Clock,
        serves: Callable[[str], bool],
        proven: Callable[[str, int], Awaitable[Journey]],
        parcels: Parcels | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._hook = hook
        self._store = store
        self._clock = clock
        self._serves = serves
        self._proven = proven
        self._parcels = parcels
        self._retry_seconds = retry_seconds
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By the account that is written to: one copy at a time.  Dropped when nobody has it."""
        self._tasks: dict[int, asyncio.Task[None]] = {}

    # Life -----------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up what was cut off; raises StoreError.  Copies of moves go on with their moves."""
        for job in await self._store.at_work():
            self._begin(job)

    async def stop(self) -> None:
        """End the work; the journal knows where each copy stood."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def done(self, id: int) -> None:
        """Wait until nothing works on a copy any more."""
        task = self._tasks.get(id)
        if task is not None:
            await asyncio.wait({task})

    # Orders ---------------------------------------------------------------------------------------

    async def preview(self, asker: str, source: Source) -> Report:
        """See :class:`CopyOrders`."""
        pieces: Iterable[Piece]
        known: str | None = None
        unread: Sequence[Unread] = ()
        if isinstance(source, FromMove):
            journey = await self._proven(asker, source.journey)
            owner, name, known = journey.new, journey.old, journey.new_account
            with explained(), acting_for(journey.accounts):
                reading = await look(self._accounts, journey.old)
            pieces, unread = reading.pieces, reading.unread
        else:
            if not self._serves(asker):
                raise Refused(Problem.NOT_SERVED, jid=asker)
            owner, name, pieces = asker, source.name, source.pieces
        with explained():
            job = Job(
                0,
                owner,
                asker,
                name,
                JobState.FILLING,
                False,
                None,
                self._clock.now(),
                owner_account=known or await self._accounts.account(owner),
                asker_account=await self._accounts.account(asker),
            )
            with acting_for({owner: job.owner_account}):
                job = await self._filled(job, pieces, JobState.DRAFT)
                return await self._report(job, unread)

    async def start(self, asker: str, id: int, *, overwrite: bool = False) -> Report:
        """See :class:`CopyOrders`."""
        with explained():
            job = await self._mine(asker, id, JobState.DRAFT)
            lock = self._locks.get(job.owner)
            if lock is not None and lock.locked():
                raise Refused(Problem.BUSY, jid=job.owner)
            job = replace(job, state=JobState.PLANNING, overwrite=overwrite)
            await self._moved(job, JobState.DRAFT)
            report = await self._report(job)
        self._begin(job)
        return report

    async def report(self, asker: str, id: int) -> Report:
        """See :class:`CopyOrders`."""
        with explained():
            return await self._report(await self._mine(asker, id))

    async def copies(self, asker: str) -> Mapping[Job, Mapping[Result, int]]:
        """See :class:`CopyOrders`."""
        with explained():
            jobs = await self._store.of(asker)
            account = await self._accounts.account(asker) if jobs else None
            jobs = [job for job in jobs if _theirs(job, asker, account)]
            counts = await self._store.counts([job.id for job in jobs])
            return {job: counts[job.id] for job in jobs}

    async def undo(self, asker: str, id: int) -> Report:
        """See :class:`CopyOrders`."""
        with explained():
            job = await self._mine(asker, id, JobState.DONE)
            job = replace(job, state=JobState.UNDOING, ended_at=None)
            await self._moved(job, JobState.DONE)
        self._begin(job)
        return await self.report(asker, id)

    async def _mine(self, asker: str, id: int, state: JobState | None = None) -> Job:
        """The asker's own copy.  :raises Refused: there is none, or it is in another state."""
        job = await self._store.get(id)
        if job is None:
            raise Refused(Problem.NO_SUCH_COPY, id=str(id))
        if not _theirs(job, asker, await self._accounts.account(asker)):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        if state is not None and job.state is not state:
            raise Refused(Problem.WRONG_STATE, state=job.state.value)
        return job

    async def _moved(self, job: Job, before: JobState) -> None:
        """Give a copy its next state.  :raises Refused: somebody else has given it another."""
        if not await self._store.save(job, expect={before}):
            raise Refused(Problem.WRONG_STATE)

    async def _report(self, job: Job, unread: Sequence[Unread] = ()) -> Report:
        tally = await self._store.tally(job.id)
        named: list[Line] = []
        for mark in tally:
            if mark.telling:
                pick = Pick(mark.sort, frozenset({mark.result}), mark.done, mark.hindered)
                page = await self._store.page(job.id, pick, most=NAMED)
                named += [line for _, line in lines_of(page)]
        named.sort(key=lambda line: ORDER.index(line.thing.sort))
        return Report(job, tally, named, unread)

    # Planning -------------------------------------------------------------------------------------

    async def _filled(
        self, job: Job, pieces: Iterable[Piece], then: JobState, left_out: Collection[str] = ()
    ) -> Job:
        """Put down all that comes, and what is to become of it.

        :param then: the state of a copy that is ready.
        :raises Refused: its asker has begun another meanwhile.
        :raises LinkError, StoreError: and whatever reading the pieces raises; there is none then.
        """
        job = await self._store.create(job)
        try:
            await fill(self._store, job.id, pieces)
            await self._plan(job, left_out)
            job = replace(job, state=then)
            await self._moved(job, JobState.FILLING)
        except BaseException:
            await self._store.drop(job.id)
            raise
        return job

    async def _plan(self, job: Job, left_out: Collection[str] = ()) -> None:
        own = {jids.key(job.owner), jids.key(jids.domain(job.owner))}
        skip = skipping(own, {jids.key(jid) for jid in left_out})
        await self._copying(job).plan(skip)

    def _copying(self, job: Job) -> Copying:
        return Copying(self._accounts, self._hook, self._store, job)

    # As a step of a move --------------------------------------------------------------------------

    async def carry(self, journey: Journey, left_out: Collection[str]) -> None:
        """See :class:`~component.engine.movers.ports.Carrier`."""
        job = await self._store.of_journey(journey.id)
        if job is None or job.state is JobState.FILLING:
            pieces = await self._old_things(journey)
            if pieces is None:
                return
            now, asker = self._clock.now(), journey.owner
            new, old, filling = journey.new, journey.old, JobState.FILLING
            made = Job(
                0,
                new,
                asker,
                old,
                filling,
                False,
                journey.id,
                now,
                owner_account=journey.new_account,
                asker_account=journey.accounts[asker],
            )
            job = await self._filled(made, pieces, JobState.RUNNING, left_out)
        if job.state is JobState.RUNNING:
            await self._work(job)

    async def _old_things(self, journey: Journey) -> Iterable[Piece] | None:
        if journey.kind is Kind.BOTH:
            return (await look(self._accounts, journey.old)).pieces
        return await self._parcels.pieces(journey) if self._parcels is not None else None

    async def blocked(self, journey: Journey) -> Collection[str]:
        """See :class:`~component.engine.movers.ports.Carrier`."""
        job = await self._store.of_journey(journey.id)
        if job is None:
            return set()
        found = pages(self._store, job.id, Pick(Sort.BLOCKED))
        return {line.thing.key async for page in found for _, line in page}

    async def take_back(self, journey: Journey) -> None:
        """See :class:`~component.engine.movers.ports.Carrier`."""
        job = await self._store.of_journey(journey.id)
        if job is None or job.state in (JobState.FILLING, JobState.UNDONE):
            return
        undoing = replace(job, state=JobState.UNDOING, ended_at=None)
        if await self._store.save(undoing, expect={job.state}):
            await self._work(undoing)

    # The work -------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._until_done(job), name=f"copy {job.id}")
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _until_done(self, job: Job) -> None:
        while True:
            try:
                # As it is stored: it may have got further than the try before said.
                found = await self._store.get(job.id)
                if found is not None and found.state in _AT_WORK:
                    with acting_for({found.owner: found.owner_account}):
                        await self._work_for_owner(found)
                return
            except (LinkError, StoreError) as error:
                log.warning("a copy waits", id=job.id, error=str(error))
            except Exception:
                log.exception("a copy failed; it is taken up again at the next start", id=job.id)
                return
            await asyncio.sleep(self._retry_seconds)

    async def _work_for_owner(self, job: Job) -> None:
        """As :meth:`_work`; where the owner's account is gone the copy ends as it is."""
        try:
            await self._work(job)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND or await self._is_there(job):
                raise
            undoing = job.state is JobState.UNDOING
            state = JobState.UNDONE if undoing else JobState.DONE
            ended = replace(job, state=state, ended_at=self._clock.now())
            await self._store.save(ended, expect=_AT_WORK)
            log.warning("the account of a copy is gone", id=job.id, owner=job.owner)

    async def _is_there(self, job: Job) -> bool:
        now = await self._accounts.account_now(job.owner)
        return now is not None and same_account(job.owner_account, now)

    async def _work(self, job: Job) -> None:
        """Bring a copy, or its undoing, to its end; raises LinkError and StoreError."""
        async with self._locks.setdefault(job.owner, asyncio.Lock()):
            if job.state is JobState.PLANNING:
                await self._plan(job)
                planned, job = job, replace(job, state=JobState.RUNNING)
                await self._store.save(job, expect={planned.state})
            if job.state is JobState.RUNNING:
                await self._copying(job).copy()
                state = JobState.DONE
            else:
                await self._copying(job).take_back()
                state = JobState.UNDONE
            ended = replace(job, state=state, ended_at=self._clock.now())
            await self._store.save(ended, expect={job.state})
        log.info("copy", id=job.id, state=state.value, owner=job.owner, source=job.source)


def _theirs(job: Job, asker: str, account: str | None) -> bool:
    """Whether a copy is the asker's, who may have only the name of whoever ordered it.

    :param account: the token of the account that asks.
    """
    known = {job.owner: job.owner_account, job.asker: job.asker_account}
    return asker in known and same_account(known[asker], account)

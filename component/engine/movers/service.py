"""The mover's side as a whole: takes orders and keeps a run for each journey.

The authority of an order is its ``asker``: an account that the server has authenticated.  A draft
obeys its owner; a journey that was started obeys both of its accounts that are here, since both
were proven then; an admin's orders come through :class:`~component.engine.movers.admin.Admin`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from component.core import jids
from component.core.journey import stages
from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Preflight,
    Problem,
    Progress,
    Refused,
)
from component.core.journey.pace import Pace
from component.core.journey.stages import Word
from component.core.model import Reason
from component.core.notices import CodeSent, Settings, Stopped
from component.core.records import MoveRecord
from component.core.statement import judge
from component.engine.movers import backwards
from component.engine.movers.accounts import Accounts
from component.engine.movers.book import Book
from component.engine.movers.box import Box, MoverSettings
from component.engine.movers.drafts import Drafts
from component.engine.movers.housekeeping import Housekeeping
from component.engine.movers.orders import Given
from component.engine.movers.ports import JourneyStore, MoverGauges, NoGauges
from component.engine.movers.proofs import Proofs
from component.engine.movers.run import Run
from component.engine.movers.watches import Watches
from component.engine.ports import Clock, Teller
from component.engine.preferences import Preferences
from component.engine.undo import ContactUndo
from component.store.errors import StoreError
from component.xmpp.errors import LinkError

log = structlog.get_logger(__name__)

FAILED_SECONDS = 60.0
_LISTENERS_QUEUE = 1000


class Movers:
    """Implements :class:`~component.engine.movers.orders.MoverOrders`."""

    def __init__(
        self,
        *,
        hosts: Collection[str],
        accounts: Accounts,
        store: JourneyStore,
        teller: Teller,
        clock: Clock,
        settings: MoverSettings,
        preferences: Preferences,
        contact_undo: ContactUndo,
        gauges: MoverGauges | None = None,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._accounts = accounts
        self._store = store
        self._teller = teller
        self._clock = clock
        self._settings = settings
        self._preferences = preferences
        self._contact_undo = contact_undo
        self._up = asyncio.Event()
        self._runs: dict[int, Run] = {}
        self._starting = asyncio.Lock()
        """Held from the checks to the start, so that of two drafts of one account one starts."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._listeners: set[asyncio.Queue[Progress]] = set()
        self._proven: set[int] = set()
        """Drafts between two accounts of which the asker has shown that both are theirs."""
        self._proofs = Proofs(settings.code_minutes * 60.0)
        self.pace = Pace(settings.rates, self._hosts)
        self.paused = False
        """An admin holds everything."""
        self.drafts = Drafts(accounts, store, clock, settings, hosts)
        self.watches = Watches(accounts, store, clock, settings, self._hosts, self.runs_of)
        self.housekeeping = Housekeeping(
            accounts, store, clock, settings, self._up, self.watches.renew
        )
        self._box = Box(
            accounts=accounts,
            store=store,
            teller=teller,
            clock=clock,
            pace=self.pace,
            settings=settings,
            hosts=self._hosts,
            up=self._up,
            held=lambda: self.paused,
            rewatch=self.watches.renew,
            changed=self._publish,
            gauges=gauges or NoGauges(),
        )

    # Life ---------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up every journey that was under way; raises StoreError."""
        for journey in await self._store.list(limit=100_000):
            if journey.state.final and journey.state is not JourneyState.CANCELLED:
                continue
            book = Book(journey, await self._store.contacts(journey.id))
            if journey.state is JourneyState.CANCELLED and not backwards.to_withdraw(book):
                continue
            self._start(Run(self._box, book))

    async def on_up(self) -> None:
        """The stream is up and the hooks are greeted."""
        self._up.set()
        for run in self._runs.values():
            run.reconnected()
        self._renewing = asyncio.create_task(self._renew(), name="renew watches")

    async def _renew(self) -> None:
        try:
            await self.watches.renew_all()
        except (LinkError, StoreError) as error:
            log.warning("old accounts are not watched yet", error=str(error))

    def on_down(self) -> None:
        """The stream is lost; every run waits."""
        self._up.clear()
        if self._renewing is not None:
            self._renewing.cancel()

    async def stop(self) -> None:
        """End the runs; the journal knows where each stood."""
        tasks = [*self._tasks.values(), *([self._renewing] if self._renewing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, run: Run) -> None:
        id = run.book.journey.id
        self._runs[id] = run
        if id in self._tasks and not self._tasks[id].done():
            run.wake()
            return
        task = asyncio.create_task(self._work(run), name=f"journey {id}")
        self._tasks[id] = task

    async def _work(self, run: Run) -> None:
        id = run.book.journey.id
        while True:
            try:
                await run.work()
                while run.busy():  # an order came while it was ending
                    await run.work()
                break
            except Exception:
                log.exception("a journey failed; it is taken up again in a minute", id=id)
                await asyncio.sleep(FAILED_SECONDS)
        if run.book.journey.state.final:
            self._runs.pop(id, None)

    def reconfigure(self, settings: MoverSettings) -> None:
        """Put other settings in force; the overall rate and the domains are the admin's."""
        switched = settings.answer_senders is not self._settings.answer_senders
        self._settings.take_over(settings)
        self._proofs.seconds = settings.code_minutes * 60.0
        self.pace.set_rates(settings.rates)
        self.wake_all()
        if switched and self._up.is_set():
            if self._renewing is not None:
                self._renewing.cancel()
            self._renewing = asyncio.create_task(self._renew(), name="renew watches")

    def contact_counts(self) -> Counter[ContactState]:
        """Contacts of the journeys at work, by state."""
        total: Counter[ContactState] = Counter()
        for run in self._runs.values():
            total.update(run.book.counts)
        return total

    def runs_of(self, jid: str) -> list[Run]:
        """Runs, paused ones included, of which this is an account."""
        return [
            run
            for run in self._runs.values()
            if jid in (run.book.journey.old, run.book.journey.new)
        ]

    # Drafts -------------------------------------------------------------------------------------

    def serves(self, jid: str) -> bool:
        """Whether a bare JID is on a served host."""
        return jids.domain(jid) in self._hosts

    async def prepare_away(self, asker: str, new: str) -> Preflight:
        """See :class:`MoverOrders`."""
        prepared = self._prepared(asker, new)
        with self._explained():
            return await self.drafts.begin(asker, asker, prepared, None)

    async def prepare_arrive(
        self, asker: str, old: str, contacts: Sequence[Given] | None = None
    ) -> Preflight:
        """See :class:`MoverOrders`."""
        prepared = self._prepared(asker, old)
        with self._explained():
            return await self.drafts.begin(asker, prepared, asker, contacts)

    def _prepared(self, asker: str, other: str) -> str:
        if not self.serves(asker) or not self._settings.enabled:
            raise Refused(Problem.NOT_SERVED, jid=asker)
        prepared = jids.bare(other)
        if prepared is None:
            raise Refused(Problem.BAD_JID, jid=other[:200])
        return prepared

    async def choose(self, asker: str, journey: int, jids: Collection[str]) -> Preflight:
        """See :class:`MoverOrders`."""
        with self._explained():
            draft = await self._draft(asker, journey)
            if draft.kind is Kind.BOTH and journey not in self._proven:
                raise Refused(Problem.CODE_EXPIRED)
            return await self.drafts.choose(draft, jids)

    async def access(self, asker: str, journey: int, access: Access | None) -> Preflight:
        """See :class:`MoverOrders`."""
        with self._explained():
            draft = replace(await self._draft(asker, journey), access=access)
            if not await self._store.save(draft, expect={JourneyState.DRAFT}):
                raise Refused(Problem.WRONG_STATE)
            return await self._examine(draft)

    async def preflight(self, asker: str, journey: int) -> Preflight:
        """See :class:`MoverOrders`."""
        with self._explained():
            return await self._examine(await self._draft(asker, journey))

    async def _examine(self, draft: Journey) -> Preflight:
        contacts = await self._store.contacts(draft.id)
        return await self.drafts.examine(draft, contacts, proven=draft.id in self._proven)

    async def send_code(self, asker: str, journey: int) -> None:
        """See :class:`MoverOrders`."""
        with self._explained():
            draft = await self._draft(asker, journey)
            if draft.kind is not Kind.BOTH:
                raise Refused(Problem.WRONG_STATE)
            other = draft.new if draft.owner == draft.old else draft.old
            if await self._accounts.trouble(other) is not None:
                raise Refused(Problem.CHECKS_FAILED, jid=other)
            code = self._proofs.make(journey, asker, other, self._clock.tick())
            minutes = self._settings.code_minutes
            self._teller.tell(other, CodeSent(asker, draft.old, draft.new, code, minutes))

    async def prove(self, asker: str, journey: int, code: str) -> Preflight:
        """See :class:`MoverOrders`."""
        with self._explained():
            draft = await self._draft(asker, journey)
            if draft.kind is not Kind.BOTH:
                raise Refused(Problem.WRONG_STATE)
            self._proofs.use(journey, code, self._clock.tick())
            found = await self.drafts.fill(draft)
            self._proven.add(journey)
            return found

    async def start(self, asker: str, journey: int) -> Journey:
        """See :class:`MoverOrders`."""
        with self._explained():
            async with self._starting:
                return await self._begin(await self._draft(asker, journey))

    async def _begin(self, draft: Journey) -> Journey:
        if draft.kind is Kind.BOTH and draft.id not in self._proven:
            raise Refused(Problem.CODE_EXPIRED)
        found = await self._examine(draft)
        if not found.ok:
            failed = ", ".join(check.name.value for check in found.checks if not check.ok)
            raise Refused(Problem.CHECKS_FAILED, checks=failed)
        chosen = replace(draft, access=draft.access or found.suggested)
        run = Run(self._box, Book(chosen, found.contacts))
        if not await run.become(Word.CONFIRMED):
            raise Refused(Problem.WRONG_STATE)
        self._proven.discard(draft.id)
        self._start(run)
        return run.book.journey

    async def _draft(self, asker: str, id: int) -> Journey:
        journey = await self._store.get(id)
        if journey is None:
            raise Refused(Problem.NO_SUCH_JOURNEY, id=str(id))
        if journey.owner != asker or not self.serves(asker):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        if journey.state is not JourneyState.DRAFT:
            raise Refused(Problem.WRONG_STATE, state=journey.state.value)
        return journey

    # Journeys -----------------------------------------------------------------------------------

    async def journeys(self, asker: str) -> Sequence[Journey]:
        """See :class:`MoverOrders`."""
        with self._explained():
            found = await self._store.list(account=asker, limit=50)
        return [journey for journey in found if _may(asker, journey)]

    async def progress(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        return (await self.find(journey, asker)).progress()

    async def contacts(self, asker: str, journey: int) -> Sequence[JourneyContact]:
        """See :class:`MoverOrders`."""
        return sorted((await self.find(journey, asker)).book, key=lambda c: c.jid)

    async def pause(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        return await self.order(await self.find(journey, asker), Word.PAUSE)

    async def resume(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        return await self.order(await self.find(journey, asker), Word.RESUME)

    async def cancel(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        return await self.order(await self.find(journey, asker), Word.CANCEL)

    async def undo(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        run = await self.find(journey, asker)
        until = stages.undo_until(run.book.journey, self._settings.undo_hours)
        if until is not None and until < self._clock.now():
            raise Refused(Problem.TOO_LATE, until=until.isoformat())
        return await self.order(run, Word.UNDO)

    async def find(self, id: int, asker: str | None = None) -> Run:
        """The run of a journey, one that ended included.

        :param asker: who must be one of its accounts; None for an admin.
        :raises Refused: there is none, or it is not the asker's.
        """
        run = self._runs.get(id)
        with self._explained():
            if run is None:
                journey = await self._store.get(id)
                if journey is None or (journey.started_at is None):
                    raise Refused(Problem.NO_SUCH_JOURNEY, id=str(id))
                if asker is not None and not _may(asker, journey):
                    raise Refused(Problem.NOT_YOURS, id=str(id))
                contacts = await self._store.contacts(id)
                # Another order may have brought it up meanwhile.
                run = self._runs.get(id) or Run(self._box, Book(journey, contacts))
        if asker is not None and not _may(asker, run.book.journey):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        return run

    async def order(self, run: Run, word: Word) -> Progress:
        """Say a word to a journey.

        :raises Refused: it is in no state for that, or the proof of an undo is missing.
        """
        journey = run.book.journey
        if not stages.allows(journey, word):
            raise Refused(Problem.WRONG_STATE, state=journey.state.value)
        with self._explained():
            if word is Word.UNDO and journey.kind is Kind.AWAY:
                await self._way_back_is_stated(journey)
            begun = backwards.begin_undo(run.book) if word is Word.UNDO else ()
            if not await run.become(word, contacts=begun):
                raise Refused(Problem.WRONG_STATE, state=run.book.journey.state.value)
            if word is Word.UNDO:
                for contact in backwards.begin_undo(run.book):
                    run.book.put(contact)
            self._start(run)
            if word in (Word.PAUSE, Word.CANCEL):
                await run.tell_once(f"stopped-{journey.state.value}", Stopped(run.progress()))
        return run.progress()

    async def _way_back_is_stated(self, journey: Journey) -> None:
        """The new account, elsewhere, must name the old one before its contacts are led back."""
        answer = await self._accounts.statement(journey.old, journey.new)
        back = judge(answer, journey.old) is Reason.VERIFIED
        if not back and await self._some_followed(journey):
            raise Refused(Problem.PROOF_MISSING, jid=journey.new, old=journey.old)

    async def _some_followed(self, journey: Journey) -> bool:
        roster = await self._accounts.roster(journey.old)
        return any(
            contact.state is not ContactState.SKIPPED
            and contact.subscription.receives
            and not (contact.jid in roster and roster[contact.jid].subscription.receives)
            for contact in await self._store.contacts(journey.id)
        )

    # Settings, and changes made for the asker as somebody's contact ------------------------------

    async def settings(self, asker: str) -> Settings:
        """See :class:`MoverOrders`."""
        return self._preferences.of(asker)

    async def set_settings(self, asker: str, settings: Settings) -> None:
        """See :class:`MoverOrders`."""
        if not self.serves(asker):
            raise Refused(Problem.NOT_SERVED, jid=asker)
        with self._explained():
            await self._preferences.put(asker, settings)

    async def followed(self, asker: str) -> Sequence[MoveRecord]:
        """See :class:`MoverOrders`."""
        with self._explained():
            return await self._contact_undo.undoable(asker)

    async def undo_followed(self, asker: str, record: int) -> MoveRecord:
        """See :class:`MoverOrders`."""
        with self._explained():
            return await self._contact_undo.undo(asker, record)

    # What is shown --------------------------------------------------------------------------------

    def _publish(self, progress: Progress) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(progress)

    async def changes(self) -> AsyncIterator[Progress]:
        """Every change of progress from now on."""
        queue: asyncio.Queue[Progress] = asyncio.Queue(_LISTENERS_QUEUE)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def wake_all(self) -> None:
        """Something that holds for all changed."""
        for run in self._runs.values():
            run.wake()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the surroundings could not do into a refusal that people understand."""
        try:
            yield
        except (LinkError, StoreError) as error:
            log.warning("an order could not be carried out", error=str(error))
            raise Refused(Problem.UNAVAILABLE, why=str(error)) from error


def _may(asker: str, journey: Journey) -> bool:
    """Both accounts of a journey that are here were proven when it was started."""
    if journey.kind is Kind.BOTH and journey.started_at is not None:
        return asker in (journey.old, journey.new)
    return asker == journey.owner

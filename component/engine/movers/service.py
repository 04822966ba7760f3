"""The mover's side at work: takes orders about journeys and keeps a run for each.

The authority of an order is its ``asker``: an account that the server has authenticated.  A
journey obeys both of its accounts that are here, since both were proven when it was started; an
admin's orders come through :class:`~component.engine.movers.admin.Admin`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import stages
from component.core.journey.model import (
    Access,
    CheckName,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Problem,
    Progress,
    Refused,
)
from component.core.journey.pace import ANSWERS, Pace
from component.core.journey.stages import Word
from component.core.model import NOBODYS, Reason, same_account
from component.core.notices import Follow, Settings
from component.core.records import MoveRecord
from component.core.restore import Undone
from component.core.statement import judge
from component.engine.acting import acting_for
from component.engine.movers import backwards
from component.engine.movers.accounts import Accounts
from component.engine.movers.book import Book
from component.engine.movers.box import Box, MoverSettings
from component.engine.movers.claims import Claims
from component.engine.movers.handovers import Handovers
from component.engine.movers.housekeeping import Housekeeping
from component.engine.movers.leaving import Leaving
from component.engine.movers.orders import explained
from component.engine.movers.others import OthersMoves
from component.engine.movers.ports import (
    Carrier,
    FollowJournal,
    JourneyStore,
    MoverGauges,
    NoGauges,
)
from component.engine.movers.run import RETRY_SECONDS, Run
from component.engine.movers.runs import Runs
from component.engine.movers.tombstones import Tombstones
from component.engine.movers.watches import Watches
from component.engine.ports import Clock, Teller
from component.engine.preferences import Preferences
from component.engine.undo import ContactUndo
from component.store.errors import LeaseLost, StoreError
from component.xmpp.errors import LinkError, RemoteError

log = structlog.get_logger(__name__)

_LISTENERS_QUEUE = 1000


class Movers:
    """Implements :class:`~component.engine.movers.orders.MoverOrders`."""

    def __init__(
        self,
        *,
        hosts: Collection[str],
        accounts: Accounts,
        store: JourneyStore,
        journal: FollowJournal,
        teller: Teller,
        clock: Clock,
        settings: MoverSettings,
        preferences: Preferences,
        contact_undo: ContactUndo,
        claims: Claims,
        watches: Callable[[str], bool] = lambda _: True,
        gauges: MoverGauges | None = None,
        carrier: Carrier | None = None,
        handovers: Handovers | None = None,
    ) -> None:
        """``watches(jid)``: whether it is this instance that has an old account watched whose
        journey is over."""
        self._hosts = frozenset(hosts)
        self._accounts = accounts
        self._store = store
        self._teller = teller
        self._clock = clock
        self._settings = settings
        self._preferences = preferences
        self._contact_undo = contact_undo
        self._configured = settings.rates
        self._overall = settings.rates.overall_per_second
        self._instances = 1
        self._counted = False
        self._up = asyncio.Event()
        self.runs = Runs(store, claims, lambda book: Run(self._box, book))
        self._renewing: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()
        """Contacts whose accounts are gone, and who may be on whitelists still."""
        self._listeners: set[asyncio.Queue[Progress]] = set()
        self.pace = Pace(settings.rates, self._hosts)
        self.paused = False
        """An admin holds everything."""
        self.others = OthersMoves(
            accounts, store, journal, clock, self._hosts, self._works_on, self._watch
        )
        self.tombstones = Tombstones(accounts, store, clock, settings, self._hosts)
        self.watches = Watches(
            accounts,
            store,
            clock,
            settings,
            self._hosts,
            self.tombstones,
            self.runs.of,
            self.others,
            watches,
        )
        self.housekeeping = Housekeeping(
            accounts,
            store,
            clock,
            settings,
            self._up,
            self.watches.renew,
            claims.obtain,
            handovers,
            self._looks_after,
            self.look_at_owners,
        )
        self.leaving = Leaving(
            store,
            self.housekeeping,
            handovers,
            teller,
            clock,
            self.find,
            self.order,
            self.look_at_owners,
        )
        self.on_gone: Callable[[str], None] = lambda jid: None
        """Told of each account that is gone."""
        self._mine = watches
        self._handovers = handovers
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
            keep=self.watches.keep,
            changed=self._publish,
            let_out=self._let_out,
            gauges=gauges or NoGauges(),
            journal=journal,
            follows=lambda jid, account: preferences.of(jid, account).follow is Follow.AUTO,
            carrier=carrier,
            handovers=handovers,
        )

    # Life ---------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up every journey that was under way; raises StoreError."""
        await self.runs.claim()
        await self.others.load()

    async def on_up(self) -> None:
        """The stream is up and the hooks are greeted."""
        self._up.set()
        for run in self.runs:
            run.reconnected()
        if self._handovers is not None:
            self._handovers.hurry()
        self.renew_watches()

    def renew_watches(self) -> None:
        """Have all watches set anew, in the background, if the stream is up."""
        if not self._up.is_set():
            return

        self._stop_renewing()
        self._in_background(self.watches.renew_all, "watches")
        for contact in list(self._leaving):
            self._let_out(contact)

    def _in_background(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        """Do something for old accounts that may fail, until the stream is lost."""

        async def do() -> None:
            while True:
                try:
                    await work()
                    return
                except RemoteError as error:
                    log.warning("not done for an old account", what=what, error=str(error))
                    if error.type != "wait":
                        return
                except (LinkError, StoreError) as error:
                    log.warning("not done yet for old accounts", what=what, error=str(error))
                me = asyncio.current_task()
                if me is not None and me.cancelling():
                    return  # the store has made an error of it: it is not said twice
                await asyncio.sleep(RETRY_SECONDS)

        task = asyncio.create_task(do(), name=what)
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    def _stop_renewing(self) -> None:
        for task in self._renewing:
            # Once: it may be giving a connection back, and one that is cancelled again while it
            # is closed never ends (aiosqlite 0.22).
            if not task.cancelling():
                task.cancel()

    def on_down(self) -> None:
        """The stream is lost; every run waits."""
        self._up.clear()
        self._stop_renewing()

    async def stop(self) -> None:
        """End the runs; the journal knows where each stood."""
        self._stop_renewing()
        # Before the store is closed, which they may be reading.
        await asyncio.gather(*self._renewing, return_exceptions=True)
        await self.runs.stop()
        if self._handovers is not None:
            await self._handovers.stop()

    def on_followed(self, contact: str, old: str, new: str) -> None:
        """The contact side has followed somebody for an account here."""
        for run in self.runs.of(contact):
            run.onward.tell()
        if self._up.is_set() and self.watches.has_left(contact):
            self._in_background(partial(self._let_in, contact, old, new), "a reader")

    async def _let_in(self, user: str, contact: str, new: str) -> None:
        """An account that has moved follows a contact, who may read the statement still."""
        journey = await self._store.successor(user)
        if journey is None or journey.access is not Access.WHITELIST:
            return
        known = await self._store.contact(journey.id, contact)
        if known is not None and known.state is not ContactState.SKIPPED:
            with acting_for(journey.accounts):
                await self._accounts.admit(user, [new])

    def _let_out(self, contact: str) -> None:
        """A contact's account is gone: its name's next owner reads no statement in its place.

        Where the stream is down, that is done at the next connection.
        """
        self._leaving.add(contact)
        if self._up.is_set():
            self._in_background(partial(self._expel, contact), "a reader who is gone")

    async def _expel(self, contact: str) -> None:
        for journey in await self._store.read_by(contact):
            known = await self._store.contact(journey.id, contact)
            if known is None or await self._accounts.still(contact, known.account):
                continue
            with acting_for(journey.accounts):
                try:
                    await self._accounts.expel(journey.old, (contact,))
                except RemoteError as error:
                    if error.condition != Condition.ITEM_NOT_FOUND:
                        raise  # else: nothing stands there any more
        self._leaving.discard(contact)

    def _works_on(self, old: str, new: str) -> bool:
        """Whether a journey is under way between two accounts here, whichever way it leads."""
        pair = {old, new}
        return any(
            {run.book.journey.old, run.book.journey.new} == pair for run in self.runs.of(new)
        )

    async def _watch(self, user: str) -> None:
        if self._up.is_set():
            await self.watches.renew(user)

    def _looks_after(self, journey: Journey) -> bool:
        """Whether this instance looks after a journey's hand-over: as it does after watches."""
        if journey.id in self.runs.by_id:
            return True
        here = journey.old if journey.kind is Kind.AWAY else journey.new
        return journey.state.final and self._mine(here)

    async def begin(self, draft: Journey, contacts: Sequence[JourneyContact]) -> Journey:
        """Set out on a draft that was confirmed.

        :raises Refused: it is no draft any more, or another journey of its accounts began since
            it was examined, perhaps on another instance.
        """
        run = Run(self._box, Book(draft, contacts))
        if not await run.become(Word.CONFIRMED):
            stored = await self._box.store.get(draft.id)
            if stored is not None and stored.state is JourneyState.DRAFT:
                raise Refused(Problem.CHECKS_FAILED, checks=CheckName.IDLE.value)
            raise Refused(Problem.WRONG_STATE)
        self.runs.start(run)
        return run.book.journey

    def reconfigure(self, settings: MoverSettings) -> None:
        """Put other settings in force; the overall rate and the domains are the admin's."""
        before = self._settings
        switched = (settings.answer_senders, settings.tombstones) != (
            before.answer_senders,
            before.tombstones,
        )
        self._configured = settings.rates
        self._settings.take_over(settings)
        self._set_rates()
        self.wake_all()
        if switched:
            self.renew_watches()

    def set_overall(self, per_second: float) -> None:
        """Change how many notifications a second leave, over all journeys and instances."""
        self._overall = per_second
        self._set_rates()

    def share_with(self, instances: int) -> None:
        """Of what holds for all instances together, each has the same share."""
        if instances != self._instances:
            self._instances = max(1, instances)
            self._set_rates()

    def see_counters(self, counters: Iterable[tuple[int, float]]) -> None:
        """What our own servers' counters let pass of one stream: presences, in so many seconds.

        One that passes what our highest rate brings is none to us.
        """
        needed = ANSWERS * self._configured.domain_per_minute_max / 60.0
        counted = any(count < needed * seconds for count, seconds in counters)
        if counted != self._counted:
            self._counted = counted
            self._set_rates()

    def _set_rates(self) -> None:
        whole, share = self._configured, self._instances
        self._settings.rates = replace(
            whole,
            overall_per_second=whole.overall_per_second / share,
            domain_per_minute=whole.domain_per_minute / share,
            domain_per_minute_max=whole.domain_per_minute_max / share,
            counted=self._counted,
        )
        self.pace.set_rates(self._settings.rates)
        self.pace.set_overall(self._overall / share)

    def contact_counts(self) -> Counter[ContactState]:
        """Contacts of the journeys at work, by state."""
        total: Counter[ContactState] = Counter()
        for run in self.runs:
            total.update(run.book.counts)
        return total

    def serves(self, jid: str) -> bool:
        """Whether a bare JID is on a served host."""
        return jids.domain(jid) in self._hosts

    # Journeys -----------------------------------------------------------------------------------

    async def journeys(self, asker: str) -> Sequence[Journey]:
        """See :class:`MoverOrders`."""
        with explained():
            found = await self._store.list(account=asker, limit=50)
            account = await self._accounts.account(asker) if found else None
        return [journey for journey in found if _may(asker, account, journey)]

    async def account(self, asker: str) -> str | None:
        """See :class:`MoverOrders`."""
        if not self.serves(asker):
            return None
        with explained():
            return await self._accounts.account(asker)

    async def progress(self, asker: str, journey: int) -> Progress:
        """See :class:`MoverOrders`."""
        found = (await self.find(journey, asker)).progress()
        if found.journey.kind is not Kind.BOTH or asker == found.journey.old:
            return found
        with explained():
            now = await self._accounts.account_now(found.journey.old)
        gone = now is None or not same_account(found.journey.old_account, now)
        return replace(found, old_is_gone=found.old_is_gone or gone)

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
        run = self.runs.by_id.get(id)
        with explained():
            if run is None:
                run = await self.runs.read(id)
                if run is None or run.book.journey.started_at is None:
                    raise Refused(Problem.NO_SUCH_JOURNEY, id=str(id))
                # Another order may have brought it up meanwhile.
                run = self.runs.by_id.get(id) or run
            account = None if asker is None else await self._accounts.account(asker)
        if asker is not None and not _may(asker, account, run.book.journey):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        return run

    async def order(self, run: Run, word: Word) -> Progress:
        """Say a word to a journey.

        :raises Refused: it is in no state for that, the proof of an undo is missing, or another
            instance does not hand it over.
        """
        with explained():
            mine = await self.runs.obtain(run)
        if mine is None:
            raise Refused(Problem.NO_SUCH_JOURNEY, id=str(run.book.journey.id))
        run = mine
        journey = run.book.journey
        if not stages.allows(journey, word):
            raise Refused(Problem.WRONG_STATE, state=journey.state.value)
        with explained(), acting_for(journey.accounts):
            if word is Word.UNDO and journey.kind is Kind.BOTH:
                await self._old_is_there(journey)
            if word is Word.UNDO and journey.kind is Kind.AWAY:
                await self._way_back_is_stated(journey)
            begun = backwards.begin_undo(run.book) if word is Word.UNDO else ()
            if not await run.become(word, contacts=begun):
                raise Refused(Problem.WRONG_STATE, state=run.book.journey.state.value)
            self.runs.start(run)
        return run.progress()

    async def _old_is_there(self, journey: Journey) -> None:
        if await self._accounts.trouble(journey.old) == Condition.ITEM_NOT_FOUND:
            raise Refused(Problem.OLD_IS_GONE, jid=journey.old)

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

    async def deleted(self, jid: str, account: str | None, now: str | None = None) -> None:
        """An account is gone: what is under way for it ends, and nobody is led to its name.

        Nor is the name a contact of others any more.

        :param account: its token; None: it never had one.
        :param now: the token of the account that has the name by now; None: nobody has it.
        :raises StoreError: the journal could not be written.
        """
        self.on_gone(jid)
        self.others.forget(jid)
        for run in self.runs.of(jid):
            if now is None and run.book.journey.old == jid and run.outlives_old:
                run.look_anew()  # as long as nobody else has the name, its tombstone speaks for it
            elif now is None or run.book.journey.accounts[jid] != now:
                await run.lost(jid, now)
        for run in self.runs:
            with contextlib.suppress(LeaseLost):  # whoever works on it asks
                await run.departed(jid, now)
        await self._store.disown(jid, left=now or account, led=now)
        self._let_out(jid)
        for journey in await self._store.list(account=jid):
            if journey.new == jid and journey.new_account == NOBODYS and self.serves(journey.old):
                await self._lead_nowhere(journey.old, jid, journey.old_account, now)
        for move in await self.others.left_behind(jid, now):
            await self._lead_nowhere(move.old, jid, move.old_account, now)
        self.on_gone(jid)  # once more: somebody may have asked before that was done
        try:
            await self.watches.renew(jid)
        except LinkError as error:
            log.warning("the hook is told later where nobody goes", jid=jid, error=str(error))

    async def _lead_nowhere(
        self, old: str, gone: str, account: str | None, now: str | None
    ) -> None:
        """Take back a statement that names an address which anybody can have now.

        :param account: the token of the old account.
        :param now: that of whoever has the address by now: the old account may have moved to them.
        """
        if now is not None and await self._box.journal.led_to(old, gone, account) == now:
            return
        try:
            with acting_for({old: account}):
                answer = await self._accounts.statement(old, old)
                if judge(answer, gone) is Reason.VERIFIED:
                    await self._accounts.withdraw(old)
                    log.warning("a statement is withdrawn", old=old, gone=gone)
            await self.watches.renew(old)
        except LinkError as error:
            log.warning("a statement cannot be withdrawn", old=old, error=str(error))

    async def look_at_owners(self, journey: Journey) -> None:
        """See whether the accounts of a journey are still whose they were.

        :raises LinkError, StoreError: it is looked at again.
        """
        for jid, account in journey.accounts.items():
            if account in (None, NOBODYS):
                continue
            now = await self._accounts.account_now(jid)
            # Its server would have said if it were gone for good.
            if now not in (None, account):
                await self.deleted(jid, account, now)

    # Settings, and changes made for the asker as somebody's contact ------------------------------

    async def settings(self, asker: str) -> Settings:
        """See :class:`MoverOrders`."""
        with explained():
            return self._preferences.of(asker, await self._accounts.account(asker))

    async def set_settings(self, asker: str, settings: Settings) -> None:
        """See :class:`MoverOrders`."""
        if not self.serves(asker):
            raise Refused(Problem.NOT_SERVED, jid=asker)
        with explained():
            account = await self._accounts.account(asker)
            await self._preferences.put(asker, replace(settings, account=account))

    async def followed(self, asker: str) -> Sequence[MoveRecord]:
        """See :class:`MoverOrders`."""
        with explained():
            found = await self._contact_undo.undoable(asker)
            ways_back = [r for r in found if await self._led_back(r)]
        # What led there is hidden with it: neither is the contact's to take back any more.
        hidden = {pair for r in ways_back for pair in ((r.old, r.new), (r.new, r.old))}
        return [r for r in found if (r.old, r.new) not in hidden]

    async def _led_back(self, record: MoveRecord) -> bool:
        """Whether it followed the undo of a move: without it the contact has what was left."""
        return any(
            (journey.old, journey.new) == (record.new, record.old)
            and journey.state in (JourneyState.UNDOING, JourneyState.UNDONE)
            and journey.started_at is not None
            and journey.started_at < record.at
            for journey in await self._store.list(account=record.old)
        )

    async def undo_followed(self, asker: str, record: int) -> Undone:
        """See :class:`MoverOrders`."""
        with explained():
            return await self._contact_undo.undo(asker, record)

    # What is shown --------------------------------------------------------------------------------

    def _publish(self, progress: Callable[[], Progress]) -> None:
        if not self._listeners:
            return
        now = progress()
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(now)

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
        for run in self.runs:
            run.wake()


def _may(asker: str, account: str | None, journey: Journey) -> bool:
    """Both accounts of a journey that are here were proven when it was started.

    :param account: the token of the account that asks: its name may have been another's then.
    """
    if asker not in journey.accounts or not same_account(journey.accounts[asker], account):
        return False
    return asker == journey.owner or (journey.kind is Kind.BOTH and journey.started_at is not None)

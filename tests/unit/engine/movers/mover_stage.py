"""The mover's side with a real store and the model server, and movers to put through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from component.core.journey.contacts import Schedule
from component.core.journey.model import Journey, JourneyContact, JourneyState, Progress
from component.core.journey.pace import Rates
from component.core.limits import Declined, Followed, Policy
from component.core.model import RosterItem, Subscription
from component.core.notices import CodeSent
from component.engine.acting import MeantWire
from component.engine.belongings.copies import Copies
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.admin import Admin
from component.engine.movers.box import MoverSettings
from component.engine.movers.claims import Claims
from component.engine.movers.desk import Desk
from component.engine.movers.drafts import Domains
from component.engine.movers.handovers import Handovers
from component.engine.movers.inbound import Inbound
from component.engine.movers.orders import Given, RunTime
from component.engine.movers.ports import Carrier, JourneyStore
from component.engine.movers.run import Run
from component.engine.movers.service import Movers
from component.engine.preferences import Preferences
from component.engine.telling import ContactNotices
from component.engine.undo import ContactUndo, Restorer
from component.store import Store
from sim.fast_loop import LoopClock
from sim.messages import Messages
from sim.model_server import FakeServer
from sim.model_world import Manner

HOST = "montague.example"
OLD, NEW = f"romeo@{HOST}", f"romeo.new@{HOST}"
FAR = "romeo@far.example"
MALLORY = f"mallory@{HOST}"
BOTH = Subscription.BOTH
PATIENCE = 3000.0
"""Seconds of the fast loop that a test waits for something at most."""


class GatedStore:
    """The real store's journeys, with a gate before and after each call."""

    def __init__(self, inner: JourneyStore, gate: Callable[[str], Any]) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def gated(*args: Any, **named: Any) -> Any:
            await self._gate(f"before store {name}")
            result = await method(*args, **named)
            await self._gate(f"after store {name}")
            return result

        return gated


def quick(**changes: Any) -> MoverSettings:
    """Settings under which the pace does not matter."""
    settings: dict[str, Any] = {
        "rates": Rates(10_000.0, 10_000.0, 600_000.0, 600_000.0),
        "schedule": Schedule(
            tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168)), timedelta(minutes=10)
        ),
        "look_seconds": 5.0,
        "code_minutes": 60,  # of the fast loop: a slow machine needs some
        "cooldown": timedelta(0),
        "failed_cooldown": timedelta(0),
    }
    return MoverSettings(**{**settings, **changes})


@dataclass
class Stage:
    """One component; ``restart`` makes another on the same store and server."""

    store: Store
    settings: MoverSettings
    server: FakeServer = field(default_factory=lambda: FakeServer((HOST,)))
    messages: Messages = field(default_factory=Messages)
    clock: LoopClock = field(default_factory=LoopClock)
    seen: list[Progress] = field(default_factory=list)
    carrier: Carrier | None = None
    accounts: Accounts = field(init=False)
    handovers: Handovers = field(init=False)
    faults: Callable[[str], None] = lambda _: None
    """Called at each gate: may raise what the wire or the store would."""
    copies: Copies = field(init=False)
    movers: Movers = field(init=False)
    desk: Desk = field(init=False)
    admin: Admin = field(init=False)
    inbound: Inbound = field(init=False)
    _moved_on: asyncio.Event = field(default_factory=asyncio.Event)
    _dead: bool = False
    _watching: asyncio.Task[None] | None = None

    async def restart(self) -> None:
        """A component that knows nothing but what is in the store, and its stream."""
        life = _Life()
        self._life = life
        self.server.world.tick = self.clock.tick

        async def gate(name: str) -> None:
            self._moved_on.set()
            await life.pass_on()
            self.faults(name)
            await life.pass_on()

        self.server.gate = gate
        wire = MeantWire(self.server)
        hook = Hook(wire)
        journeys = cast(JourneyStore, GatedStore(self.store.journeys, gate))
        preferences = Preferences(self.store.user_settings)
        await preferences.load()
        undo = ContactUndo(
            hosts=(HOST,),
            hook=hook,
            restorer=Restorer(hook, self.store),
            past=self.store,
            followed=Followed(Policy()),
            declined=Declined(),
            notices=ContactNotices(self.messages),
            clock=self.clock,
        )
        accounts = self.accounts = Accounts(wire, hook)
        self.handovers = Handovers(
            accounts, self.store.handovers, journeys, self.messages, self.clock, self.settings
        )
        self.copies = Copies(
            accounts=accounts,
            hook=hook,
            store=self.store.belongings,
            clock=self.clock,
            serves=lambda jid: jid.endswith(f"@{HOST}"),
            proven=lambda asker, id: self.desk.both_proven(asker, id),
            parcels=self.handovers.arrivals,
        )
        self.movers = Movers(
            hosts=(HOST,),
            accounts=accounts,
            store=journeys,
            journal=self.store,
            teller=self.messages,
            clock=self.clock,
            settings=self.settings,
            preferences=preferences,
            contact_undo=undo,
            claims=Claims(self.store.shared, self.store.journeys.with_work),
            carrier=self.carrier or self.copies,
            handovers=self.handovers,
        )
        self.desk = Desk(
            hosts=(HOST,),
            accounts=accounts,
            store=journeys,
            teller=self.messages,
            clock=self.clock,
            settings=self.settings,
            begin=self.movers.begin,
            handovers=self.handovers,
        )
        self.admin = Admin(
            self.movers,
            journeys,
            self.store.user_settings,
            undo,
            (f"admin@{HOST}",),
            RunTime(False, self.settings.rates.overall_per_second, (), ()),
            self._apply,
        )
        self.inbound = Inbound(
            self.movers,
            journeys,
            self.messages,
            self.clock,
            (HOST,),
            _unexpected,
            _unexpected,
        )
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        await self.admin.load()
        await self.movers.load()
        await self.connect()

    def _apply(self, domains: Domains) -> None:
        self.desk.drafts.domains = domains

    async def _watch(self) -> None:
        async for progress in self.movers.changes():
            self.seen.append(progress)
            self._moved_on.set()

    async def connect(self) -> None:
        """The stream is there."""
        self.server.up = True
        self.server.world.plug(self.inbound)
        await self.movers.on_up()

    def disconnect(self) -> None:
        """The stream is lost."""
        self.server.lose()
        self.movers.on_down()

    async def crash(self) -> None:
        """kill -9: nothing that was under way has any effect from now on."""
        self._life.end()
        self.server.lose()
        await self.movers.stop()
        if self._watching is not None:
            self._watching.cancel()

    async def close(self) -> None:
        """End."""
        await self.crash()
        await self.server.world.close()

    # Movers -------------------------------------------------------------------------------------

    def people(self, *contacts: str, manner: Manner = Manner.FOLLOWS, of: str = OLD) -> None:
        """Mutual contacts of an account, with rosters of their own."""
        for jid in contacts:
            self.contact(jid, BOTH, manner, of=of)

    def contact(
        self, jid: str, subscription: Subscription, manner: Manner, *, of: str = OLD
    ) -> None:
        """A contact of an account, as the account sees it."""
        mirrored = {Subscription.TO: Subscription.FROM, Subscription.FROM: Subscription.TO}
        roster = self.server.rosters.setdefault(of, {})
        roster[jid] = RosterItem(jid, subscription, False, jid.partition("@")[0], ("Verona",))
        theirs = RosterItem(of, mirrored.get(subscription, subscription), False, "Romeo")
        self.server.rosters.setdefault(jid, {})[of] = theirs
        self.server.world.manners[jid] = manner

    async def begin(
        self, *, old: str = OLD, new: str = NEW, choose: Sequence[str] | None = None
    ) -> Journey:
        """The owner of ``old`` moves away to ``new``; the code is read in the other chat."""
        found = await self.desk.prepare_away(old, new)
        assert found.ok, [check for check in found.checks if not check.ok]
        id_ = found.journey.id
        if found.needs_code is not None:
            assert not found.contacts
            await self.desk.send_code(old, id_)
            proven = await self.desk.prove(old, id_, self.messages.of(CodeSent)[-1].code)
            assert proven.ok, [check for check in proven.checks if not check.ok]
        if choose is not None:
            await self.desk.choose(old, id_, choose)
        return await self.desk.start(old, id_)

    async def arrive(self, *contacts: Given) -> Journey:
        """The owner of NEW arrives from FAR, whose statement is there; with these contacts, or
        those that FAR hands over."""
        found = await self.desk.prepare_arrive(NEW, FAR, contacts or None)
        assert found.ok, [check for check in found.checks if not check.ok]
        return await self.desk.start(NEW, found.journey.id)

    # What became of it --------------------------------------------------------------------------

    def run(self, id_: int) -> Run:
        """A run that is in memory."""
        return self.movers.runs.by_id[id_]

    async def stored(self, id_: int) -> Journey:
        """A journey as the store has it."""
        journey = await self.store.journeys.get(id_)
        assert journey is not None
        return journey

    async def contacts(self, id_: int) -> dict[str, JourneyContact]:
        """A journey's contacts as the store has them."""
        return {contact.jid: contact for contact in await self.store.journeys.contacts(id_)}

    async def until(self, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is so; looked at whenever anything happened."""
        async with asyncio.timeout(seconds):
            while not reached():
                self._moved_on.clear()
                await self._moved_on.wait()

    async def until_state(self, id_: int, *states: JourneyState) -> Journey:
        """Wait until a journey stands there, durably and told."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._moved_on.clear()  # before it is read: it may change while it is
                journey = await self.stored(id_)
                if journey.state in states:
                    return journey
                await self._moved_on.wait()

    async def ended(self, id_: int) -> Journey:
        """Wait until nothing more is done for a journey."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self.movers.runs.tasks[id_]})
        return await self.stored(id_)

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.clock.jump(timedelta(**time).total_seconds())
        self.movers.wake_all()


class _Life:
    """What lets one component's calls through until it dies."""

    def __init__(self) -> None:
        self._dead = False

    def end(self) -> None:
        self._dead = True

    async def pass_on(self) -> None:
        if self._dead:
            await asyncio.get_running_loop().create_future()


async def _unexpected(_: object) -> Any:
    raise AssertionError("the contact's side is not played here")


@asynccontextmanager
async def opened(folder: Path, **changes: Any) -> AsyncIterator[Stage]:
    """A stage with an old account and a new one, and nobody else."""
    async with await Store.open(f"sqlite+aiosqlite:///{folder / 'moved.db'}") as store:
        stage = Stage(store, quick(**changes))
        stage.server.add(OLD)
        stage.server.add(NEW)
        await stage.restart()
        try:
            yield stage
        finally:
            await stage.close()

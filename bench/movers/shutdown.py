"""A whole server's users move: the real engine, pace and machines, on simulated time."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any, cast

from bench.movers.ledger import Ledger
from bench.movers.moves import move
from bench.movers.network import Network
from bench.movers.tally import Outcome
from bench.movers.town import HOUR, NEW_HOST, OLD_HOST, Size, Town, build
from component.core.journey.model import JourneyState
from component.core.journey.pace import Rates
from component.core.model import Reason, RosterItem, Subscription
from component.core.notices import Settings
from component.core.records import Accepted, Change, FollowedBy, MoveRecord
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.box import MoverSettings
from component.engine.movers.claims import Claims
from component.engine.movers.inbound import Inbound
from component.engine.movers.service import Movers
from component.engine.preferences import Preferences
from component.engine.undo import ContactUndo
from sim.messages import Messages
from sim.model_server import FakeServer
from sim.virtual import VirtualClock, play

BOTH = Subscription.BOTH
RESTART_SECONDS = 20.0
"""How long the component is away after it was killed."""


def simulate(size: Size, seed: int, rates: Rates | None = None) -> Outcome:
    """Run it; the same for the same seed."""
    return play(_Shutdown(build(size, seed), size, seed, rates or Rates()).run())


class _Shutdown:
    def __init__(self, town: Town, size: Size, seed: int, rates: Rates) -> None:
        self.town, self.size, self.seed = town, size, seed
        self.settings = MoverSettings(rates=rates)
        self.ledger = Ledger()
        self.requests: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        self.clock = VirtualClock()
        self.server = FakeServer((OLD_HOST, NEW_HOST))
        self.server.gate = self._count
        self.network = self.server.world = Network(self.server, self.town)
        for name in self.town.movers:
            self._settle(name)
        await self._start()
        ordered = asyncio.create_task(self._order_all())
        for at in self.town.restarts:
            await asyncio.sleep(max(0.0, at - self.network.now))
            await self._restart()
        await asyncio.sleep(max(0.0, self.size.hours * HOUR - self.network.now))
        await ordered
        await self.movers.stop()
        await self.network.close()
        assert not self.network.trouble, self.network.trouble[:3]
        return self._outcome()

    async def _count(self, name: str) -> None:
        self.requests[name] += name.startswith("before")

    def _settle(self, name: str) -> None:
        """Both accounts of a mover, and the contacts with their own rosters."""
        old = f"{name}@{OLD_HOST}"
        contacts = self.town.movers[name]
        self.server.add(old, *(RosterItem(c.jid, BOTH, False, "Contact") for c in contacts))
        self.server.add(f"{name}@{NEW_HOST}")
        for contact in contacts:
            self.server.add(contact.jid, RosterItem(old, BOTH, False, name))
            self.network.manners[contact.jid] = contact.manner
            self.network.hesitates[contact.jid] = contact.hesitates
            if self.town.domains[contact.jid.partition("@")[2]].refuses:
                self.network.errors[contact.jid] = "policy-violation"

    # The component ------------------------------------------------------------------------------

    async def _start(self) -> None:
        accounts, messages = Accounts(self.server, Hook(self.server)), Messages()
        self.movers = Movers(
            hosts=(OLD_HOST, NEW_HOST),
            accounts=accounts,
            store=self.ledger,
            teller=messages,
            clock=self.clock,
            settings=self.settings,
            # Nobody here is anybody's contact, or sets anything.
            journal=_Nobody(),
            preferences=cast(Preferences, _Nobody()),
            contact_undo=cast(ContactUndo, None),
            claims=cast(Claims, self.ledger),
        )
        inbound = Inbound(
            self.movers,
            self.ledger,
            messages,
            self.clock,
            (OLD_HOST, NEW_HOST),
            _unexpected,
            _unexpected,
        )
        await self.movers.load()
        self.server.up = True
        self.network.plug(inbound)
        await self.movers.on_up()

    async def _restart(self) -> None:
        """kill -9, and systemd."""
        self.server.lose()
        self.movers.on_down()
        await self.movers.stop()
        await asyncio.sleep(RESTART_SECONDS)
        await self._start()

    async def _order_all(self) -> None:
        for name, at in sorted(self.town.begins.items(), key=lambda pair: pair[1]):
            await asyncio.sleep(max(0.0, at - self.network.now))
            known = (contact.jid for contact in self.town.movers[name])
            draft, contacts = move(0, name, known, JourneyState.DRAFT, self.clock.now())
            created = await self.ledger.create(draft, contacts)
            await self.movers.begin(created, contacts)

    # What came of it ----------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        return self.network.tally.outcome(
            "engine",
            self.size,
            self.seed,
            self.town,
            (c for known in self.ledger.people.values() for c in known.values()),
            unreadable=sum(not told.readable for told in self.server.told),
            saves=self.ledger.saves,
            looks=self.requests["before get query"],
            guards=self.requests["before get pubsub items"],
        )


class _Nobody:
    """The contact side's journal, and what users have chosen: there is nothing."""

    def of(self, jid: str) -> Settings:
        return Settings()

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        return []

    async def followed_by(self, contact: str, since: datetime) -> list[FollowedBy]:
        return []

    async def list_moves(
        self, *, limit: int = 50, old: str | None = None, new: str | None = None
    ) -> list[MoveRecord]:
        return []

    async def newest_to(self, old: str, new: str, account: str | None) -> int | None:
        return None

    async def led_to(self, old: str, new: str, old_account: str | None) -> str | None:
        return None

    async def leading_to(self, new: str) -> list[Accepted]:
        return []

    async def explained(
        self, old: str, new: str, account: str | None, jid: str, reason: Reason
    ) -> bool:
        return False

    async def explain(
        self, id: int, at: datetime, user: str, changes: tuple[Change, ...], reason: Reason
    ) -> bool:
        return False


async def _unexpected(_: object) -> Any:
    raise AssertionError("the contact's side is not played here")

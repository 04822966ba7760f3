"""The contact's side with a real store and a played server, and moves to put through it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from component.core.answers import Answers
from component.core.limits import Declined, Followed, Gate, Policy
from component.core.model import RosterItem, Subscription
from component.core.notices import Follow
from component.core.records import MoveRecord
from component.core.roster import Carry
from component.core.statement import ErrorRead, ItemsRead
from component.engine.acting import MeantWire
from component.engine.contacts import ContactSide, Timing
from component.engine.fetcher import Fetcher, FetchLimits
from component.engine.hook import Hook
from component.engine.preferences import Preferences
from component.engine.recovery import Recovery
from component.engine.telling import ContactNotices
from component.engine.undo import ContactUndo, Restorer
from component.ops.metrics import Metrics
from component.store import Store
from component.xmpp.codecs import tag
from component.xmpp.names import NS_CLIENT, NS_COMPONENT, NS_FORWARD, NS_HOOK, NS_MOVED, NS_ROSTER
from tests.unit.engine.roster_server import HOST, Messages, RosterServer, TestClock

JULIET = f"juliet@{HOST}"
OLD, NEW, THIRD = "romeo@old.example", "romeo@new.example", "romeo@third.example"
ENTRY = RosterItem(OLD, Subscription.BOTH, False, "Romeo", ("Friends", "Verona"))


@dataclass
class Stage:
    """One component; ``restart`` makes another on the same store and server."""

    store: Store
    server: RosterServer = field(default_factory=RosterServer)
    messages: Messages = field(default_factory=Messages)
    clock: TestClock = field(default_factory=TestClock)
    follow: Follow = Follow.AUTO
    notice: bool = True
    instance: str = "i1"
    timing: Timing = field(default_factory=Timing)
    _asked: int = 0

    async def restart(self) -> None:
        """A component that knows nothing but what is in the store."""
        hook = Hook(MeantWire(self.server))
        metrics = Metrics()
        self.followed = Followed(Policy())
        self.declined = Declined()
        self.gate = Gate(Policy())
        for move in await self.store.accepted_since(self.clock.now().replace(year=2020)):
            self.followed.note(move.old, move.new, move.at.timestamp())
        self.preferences = Preferences(self.store.user_settings, self.follow)
        await self.preferences.load()
        self.notices = ContactNotices(self.messages, on=self.notice, undo_days=30)
        self.restorer = Restorer(hook, self.store)

        async def ask(contact: str, old: str) -> ItemsRead | ErrorRead:
            return await hook.statement(contact, old, timeout=1)

        self.side = ContactSide(
            hosts=(HOST,),
            hook=hook,
            journal=self.store,
            fetcher=Fetcher(
                ask,
                Answers(verified_seconds=0, failure_seconds=0),
                FetchLimits(),
                self.clock,
                metrics,
            ),
            gate=self.gate,
            followed=self.followed,
            declined=self.declined,
            preferences=self.preferences,
            restorer=self.restorer,
            notices=self.notices,
            clock=self.clock,
            gauges=metrics,
            timing=self.timing,
            carry=Carry(),
        )
        self.recovery = Recovery(
            hook,
            self.store,
            self.followed,
            self.restorer,
            self.notices,
            self.clock,
            self.side.is_open,
            lambda: self.side.unfinished,
        )
        self.undo = ContactUndo(
            hosts=(HOST,),
            hook=hook,
            restorer=self.restorer,
            past=self.store,
            followed=self.followed,
            declined=self.declined,
            notices=self.notices,
            clock=self.clock,
        )

    async def move(
        self,
        old: str = OLD,
        new: str = NEW,
        *,
        contact: str = JULIET,
        before_outcome: Callable[[], None] = lambda: None,
        idle: bool = True,
    ) -> str:
        """``new`` asks, naming ``old``: the verdict, carried out and told, "take" or "release".

        :param idle: wait until nothing is open any more.
        """
        self._asked += 1
        # The clock moves on, so that what was learnt before is too old to be used again.
        self.clock.pass_days(0.001)
        id_ = f"d{self._asked}"
        answer = await self.side.on_divert(self.divert(id_, contact, old, new))
        send = answer.find(tag(NS_HOOK, "send"))
        taken = answer.tag == tag(NS_HOOK, "take")
        if taken:
            assert send is not None
            self.server.send(contact, send)
        before_outcome()
        await self.tell(id_, contact, taken=taken, old=old, new=new)
        if idle:
            await self.side.idle()
        return "take" if taken else "release"

    async def tell(
        self, id_: str, contact: str, *, taken: bool, old: str = OLD, new: str = NEW
    ) -> None:
        """The server says what became of a request."""
        await self.side.on_outcome(self._outcome(id_, contact, taken, old, new))

    async def recover(self) -> int:
        """Settle what was left over."""
        return await self.recovery.run({HOST: {self.instance}})

    async def records(self, contact: str = JULIET) -> list[MoveRecord]:
        """The journal, oldest first."""
        return (await self.store.list_moves(contact=contact))[::-1]

    def divert(self, id_: str, contact: str, old: str, new: str) -> ET.Element:
        """The server's question."""
        iq = ET.Element(tag(NS_COMPONENT, "iq"), {"type": "set", "id": id_, "from": contact})
        divert = ET.SubElement(
            iq, tag(NS_HOOK, "divert"), {"instance": "i1", "account": self.server.token(contact)}
        )
        forwarded = ET.SubElement(divert, tag(NS_FORWARD, "forwarded"))
        presence = ET.SubElement(
            forwarded,
            tag(NS_CLIENT, "presence"),
            {"type": "subscribe", "from": new, "to": contact},
        )
        moved = ET.SubElement(presence, tag(NS_MOVED, "moved"))
        ET.SubElement(moved, tag(NS_MOVED, "old-jid")).text = old
        self._add_items(divert, contact, old, new)
        return iq

    def _outcome(self, id_: str, contact: str, taken: bool, old: str, new: str) -> ET.Element:
        message = ET.Element(tag(NS_COMPONENT, "message"), {"from": contact})
        attributes = {"id": id_, "state": "taken" if taken else "released"}
        if not taken:
            attributes["reason"] = "verdict"
        outcome = ET.SubElement(message, tag(NS_HOOK, "outcome"), attributes)
        self._add_items(outcome, contact, old, new)
        return message

    def _add_items(self, parent: ET.Element, contact: str, *jids: str) -> None:
        roster = self.server.rosters[contact]
        for jid in jids:
            item = roster.get(jid)
            if item is None:
                continue
            attributes = {"jid": jid, "subscription": item.subscription.value}
            if item.ask:
                attributes["ask"] = "subscribe"
            if item.name:
                attributes["name"] = item.name
            element = ET.SubElement(parent, tag(NS_ROSTER, "item"), attributes)
            for group in item.groups:
                ET.SubElement(element, tag(NS_ROSTER, "group")).text = group


@asynccontextmanager
async def opened(
    folder: Path, *, follow: Follow = Follow.AUTO, notice: bool = True
) -> AsyncIterator[Stage]:
    """A stage whose Juliet has Romeo's old address; he has published his new one."""
    async with await Store.open(f"sqlite+aiosqlite:///{folder / 'moved.db'}") as store:
        stage = Stage(store, follow=follow, notice=notice)
        stage.server.add(JULIET, ENTRY)
        stage.server.statements[OLD] = NEW
        await stage.restart()
        yield stage

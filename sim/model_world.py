"""What contacts and their servers do with what the model server sends, and what the hook tells."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING, Any

from component.core import jids
from component.core.model import PresenceKind, RosterItem
from component.xmpp.codecs import tag
from component.xmpp.names import NS_CLIENT, NS_COMPONENT, NS_FORWARD, NS_HOOK, NS_ROSTER

if TYPE_CHECKING:
    from component.engine.movers.inbound import Inbound
    from sim.model_server import FakeServer

K = PresenceKind


class Manner(Enum):
    """How a contact takes a subscription request."""

    FOLLOWS = auto()
    """Their server runs xmpp-moved, or what does the same."""
    ACCEPTS = auto()
    """By hand, and asks back."""
    GRANTS = auto()
    """By hand, and does not ask back."""
    REFUSES = auto()
    SILENT = auto()
    """A person who has not looked yet."""


@dataclass
class PresCounter:
    """ejabberd's mod_pres_counter, of one stream: so many in a time that the first one begins."""

    most: int = 5
    seconds: float = 60.0
    dropped: int = 0
    _begin: float = float("-inf")
    _passed: int = 0

    def passes(self, now: float) -> bool:
        """Whether one presence of the subscription types is let through."""
        if now - self._begin > self.seconds:
            self._begin, self._passed = now, 0
        passes = self._passed < self.most
        self._passed += passes
        self.dropped += not passes
        return passes


class World:
    """Carries presences, in order, to their addressees and lets those react."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.manners: dict[str, Manner] = {}
        self.down: set[str] = set()
        """Domains that cannot be reached."""
        self.errors: dict[str, str] = {}
        """Addresses whose server answers requests with this condition."""
        self.pending: dict[str, set[str]] = {}
        """Requests that wait for a person, by addressee."""
        self.counters: dict[str, PresCounter] = {}
        """Domains that drop what comes from elsewhere too fast, all of it as of one stream."""
        self.tick: Callable[[], float] = lambda: asyncio.get_running_loop().time()
        self.answers_withdrawals = False
        """Contacts' servers answer ``unsubscribe`` with ``unsubscribed`` (ejabberd does)."""
        self.dropped: list[tuple[str, str]] = []
        """Second requests while one was pending."""
        self.trouble: list[BaseException] = []
        """What handlers raised."""
        self.inbound: Inbound | None = None
        self._queue: asyncio.Queue[tuple[str, K | str, str, str | None]] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Any] | None = None
        self._ids = count(1)

    def plug(self, inbound: Inbound) -> None:
        """The component is there: it hears what its watches allow."""
        self.inbound = inbound
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="world")

    def unplug(self) -> None:
        """The component is gone; a request that it was asked about is processed normally."""
        self.inbound = None
        if self._asking is not None:
            self._asking.cancel()

    async def close(self) -> None:
        """End."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    async def idle(self) -> None:
        """Until everything has arrived."""
        await self._queue.join()

    def post(self, sender: str, kind: K | str, to: str, old: str | None = None) -> None:
        """Put a presence, or an error's condition, on its way."""
        self._queue.put_nowait((sender, kind, to, old))

    async def _run(self) -> None:
        while True:
            sender, kind, to, old = await self._queue.get()
            try:
                await self._arrives(sender, kind, to, old)
            finally:
                self._queue.task_done()

    async def _arrives(self, sender: str, kind: K | str, to: str, old: str | None) -> None:
        server = self.server
        if jids.domain(to) in self.down:
            self.post(to, "remote-server-not-found", sender)
            return
        if to not in server.rosters or not self._passes(sender, kind, to):
            return
        if not isinstance(kind, K):
            await self._heard(to, sender, "error", kind)
            return
        if kind is not K.SUBSCRIBE:
            if kind is K.UNSUBSCRIBE:
                self.pending.get(to, set()).discard(sender)
                if self.answers_withdrawals and to in self.manners:
                    self.post(to, K.UNSUBSCRIBED, sender)
            server.received(to, kind, sender)
            await self._heard(to, sender, kind.value, None)
            return
        await self._asked(sender, to, old)

    def _passes(self, sender: str, kind: K | str, to: str) -> bool:
        counter = self.counters.get(jids.domain(to))
        if counter is None or not isinstance(kind, K) or jids.domain(sender) == jids.domain(to):
            return True
        return counter.passes(self.tick())

    async def _asked(self, sender: str, to: str, old: str | None) -> None:
        server, item = self.server, self.server.entry(to, sender)
        if to in self.errors:
            self.post(to, self.errors[to], sender)
            return
        if item is not None and item.subscription.grants:
            server.speak(to, K.SUBSCRIBED, sender)  # RFC 6121 3.1.3
            return
        manner = self.manners.get(to)
        if manner is Manner.FOLLOWS and old is not None and self._follow(sender, to, old):
            return
        if "requests" in server.watches.get(to, ()) and await self._diverted(sender, to):
            return
        waiting = self.pending.setdefault(to, set())
        if sender in waiting:
            self.dropped.append((sender, to))
            return
        waiting.add(sender)
        self._decide(to, sender, manner)

    def answer(self, contact: str, manner: Manner) -> None:
        """A person looks at last: decides on every request that waits."""
        self.manners[contact] = manner
        for sender in list(self.pending.get(contact, ())):
            self._decide(contact, sender, manner)

    def _decide(self, contact: str, sender: str, manner: Manner | None) -> None:
        waiting = self.pending.setdefault(contact, set())
        if manner in (Manner.ACCEPTS, Manner.GRANTS, Manner.REFUSES):
            waiting.discard(sender)
        if manner is Manner.REFUSES:
            self.server.speak(contact, K.UNSUBSCRIBED, sender)
        elif manner in (Manner.ACCEPTS, Manner.GRANTS):
            self.server.speak(contact, K.SUBSCRIBED, sender)
            if manner is Manner.ACCEPTS:
                self.server.speak(contact, K.SUBSCRIBE, sender)

    def _follow(self, new: str, contact: str, old: str) -> bool:
        """XEP-0283 4.3 and 4.4 as the contact's server does it."""
        item = self.server.entry(contact, old)
        if item is None or not item.subscription.grants:
            return False
        if self.server.read(old, contact) != new:
            return False
        mutual = item.subscription.receives
        self.server.speak(contact, K.SUBSCRIBED, new)
        self.server.speak(contact, K.UNSUBSCRIBED, old)
        if mutual:
            there = self.server.entry(contact, new)
            if there is None or not there.subscription.receives:
                self.server.speak(contact, K.SUBSCRIBE, new)
        return True

    # What the hook tells ------------------------------------------------------------------------

    async def _diverted(self, sender: str, user: str) -> bool:
        """Section 8: whether the component took the request."""
        if self.inbound is None:
            return False
        id_ = f"w{next(self._ids)}"
        iq = ET.Element(tag(NS_COMPONENT, "iq"), {"type": "set", "id": id_, "from": user})
        attributes = {"instance": "i1", "watched": "true", "account": self.server.token(user)}
        divert = ET.SubElement(iq, tag(NS_HOOK, "divert"), attributes)
        forwarded = ET.SubElement(divert, tag(NS_FORWARD, "forwarded"))
        request = {"type": "subscribe", "from": sender, "to": user}
        ET.SubElement(forwarded, tag(NS_CLIENT, "presence"), request)
        self._add_item(divert, self.server.entry(user, sender))
        verdict = await self._ask(self.inbound.on_divert(iq))
        send = None if verdict is None else verdict.find(tag(NS_HOOK, "send"))
        if send is None:
            return False
        self.server.send(user, send)
        message = ET.Element(tag(NS_COMPONENT, "message"), {"from": user})
        outcome = ET.SubElement(message, tag(NS_HOOK, "outcome"), {"id": id_, "state": "taken"})
        self._add_item(outcome, self.server.entry(user, sender))
        if self.inbound is not None:
            await self._ask(self.inbound.on_outcome(message))
        return True

    async def _heard(self, user: str, sender: str, what: str, condition: str | None) -> None:
        """Section 9."""
        if self.inbound is None or "answers" not in self.server.watches.get(user, ()):
            return
        message = ET.Element(tag(NS_COMPONENT, "message"), {"from": user})
        heard = ET.SubElement(message, tag(NS_HOOK, "heard"), {"type": what, "jid": sender})
        if condition is not None:
            heard.set("condition", condition)
        self._add_item(heard, self.server.entry(user, sender))
        await self._ask(self.inbound.on_heard(message))

    async def _ask(self, question: Coroutine[Any, Any, Any]) -> Any:
        """A handler's answer; None where the component died over it."""
        self._asking = asyncio.create_task(question)
        await asyncio.wait({self._asking})
        asked, self._asking = self._asking, None
        if asked.cancelled():
            return None
        error = asked.exception()
        if error is not None:
            self.trouble.append(error)
            return None
        return asked.result()

    def _add_item(self, parent: ET.Element, item: RosterItem | None) -> None:
        if item is not None:
            parent.append(item_element(item))


def item_element(item: RosterItem) -> ET.Element:
    """A roster item on the wire."""
    element = ET.Element(
        tag(NS_ROSTER, "item"), {"jid": item.jid, "subscription": item.subscription.value}
    )
    if item.ask:
        element.set("ask", "subscribe")
    if item.name:
        element.set("name", item.name)
    for group in item.groups:
        ET.SubElement(element, tag(NS_ROSTER, "group")).text = group
    return element

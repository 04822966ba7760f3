"""People with a device: they talk to the component, and treat requests in their own manner."""

from __future__ import annotations

import asyncio
import contextlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from xml.sax.saxutils import escape, quoteattr

from tests.live.arrange import NS_MOVED, NS_PUBSUB
from tests.live.client import Client, ClientError, Received
from tests.live.movers.readings import (
    STATEMENT_GET,
    Notification,
    Proof,
    Readings,
    notification_of,
    read_statement,
)
from tests.live.servers.base import RosterEntry, Server
from tests.live.vocabulary import parse_roster

CLIENT = "{jabber:client}"
PRESENCE, MESSAGE = f"{CLIENT}presence", f"{CLIENT}message"
BODY = f"{CLIENT}body"
REPLACE = "{urn:xmpp:message-correct:0}replace"
PATIENCE = 60.0
"""Seconds within which what a person waits for must come."""

_numbers = count(1)


class Manner(StrEnum):
    """What a person does about subscription requests."""

    NOTHING = "nothing"
    """Leaves them; what happens is the server's doing."""
    APPROVES = "approves"
    """As most people with an ordinary client: approves, and asks back."""
    REFUSES = "refuses"


@dataclass
class Line:
    """One chat message with its corrections (XEP-0308): ``body`` is the last."""

    id: str
    sender: str
    body: str
    versions: list[str] = field(default_factory=list)
    lang: str | None = None
    thread: str | None = None


class Person:
    """A user with one device at a time.

    Args:
        jid: bare JID; the account must exist.
        server: of the account.
        noise: see :class:`tests.live.client.Client`.
        manner: what is done about requests.
        reads: whether the statement is read the moment a notification comes (``proofs``).
    """

    def __init__(
        self,
        jid: str,
        server: Server,
        *,
        noise: Callable[[ET.Element], bool] | None = None,
        manner: Manner = Manner.NOTHING,
        reads: bool = False,
    ) -> None:
        self.jid = jid
        self.server = server
        self.manner = manner
        self.reads = reads
        self.lang: str | None = None
        self.lines: list[Line] = []
        self.requests: list[Received] = []
        self.notifications: list[Notification] = []
        self.news = asyncio.Event()
        self.readings = Readings(self.news.set)
        self._noise = noise
        self._heard: list[tuple[Line, str]] = []
        self._next = 0
        self._device: Client | None = None

    def __repr__(self) -> str:
        return f"Person({self.jid})"

    @property
    def device(self) -> Client:
        """The connected device."""
        assert self._device is not None, f"{self.jid} is not logged in"
        return self._device

    @property
    def proofs(self) -> list[Proof]:
        """What the statement said when each notification came, if this person ``reads``."""
        return self.readings.proofs

    @property
    def online(self) -> bool:
        """Whether a device is connected."""
        return self._device is not None and self._device.connected

    async def log_in(self, resource: str = "phone") -> Person:
        """Connect, read the roster, become available."""
        device = Client(
            self.jid, f"{self.jid}/{resource}", self.server.spec.address, noise=self._noise
        )
        device.listeners.append(self._on_stanza)
        await device.open()
        await device.roster()
        self._device = device
        self.readings.resume(device)
        device.send("<presence/>")
        await device.ping()
        return self

    async def log_out(self) -> None:
        """Disconnect in order; harmless where there is no device."""
        device, self._device = self._device, None
        self.readings.stop()
        if device is not None:
            if device.connected:
                device.send("<presence type='unavailable'/>")
            await device.close()

    async def roster(self) -> dict[str, RosterEntry]:
        """The roster as the server has it now, whether a device is connected or not."""
        if self.online:
            return parse_roster(await self.device.roster())
        hidden = Client(
            f"{self.jid} (hidden)",
            f"{self.jid}/hidden{next(_numbers)}",
            self.server.spec.address,
            noise=self._noise,
        )
        await hidden.open()
        try:
            return parse_roster(await hidden.roster())
        finally:
            await hidden.close()

    # The chat -----------------------------------------------------------------------------------

    def says(self, to: str, text: str, *, more: str = "") -> str:
        """Send a chat message; return its id."""
        id_ = f"say-{next(_numbers)}"
        lang = f" xml:lang={quoteattr(self.lang)}" if self.lang else ""
        self.device.send(
            f"<message type='chat' id='{id_}' to={quoteattr(to)}{lang}>"
            f"<body>{escape(text)}</body>{more}</message>"
        )
        return id_

    async def hears(
        self,
        pattern: str = "",
        *,
        sender: str,
        thread: str | None = None,
        timeout: float = PATIENCE,
    ) -> Line:
        """The next message or correction from ``sender`` in which ``pattern`` is found.

        ``thread``: only messages of this one.  What came before counts as heard too.
        Raises AssertionError after ``timeout`` seconds.
        """
        wanted = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while self._next < len(self._heard):
                        line, body = self._heard[self._next]
                        self._next += 1
                        fits = line.sender == sender and thread in (None, line.thread)
                        if fits and wanted.search(body):
                            return line
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            said = "\n---\n".join(body for _, body in self._heard[-6:])
            raise AssertionError(
                f"{self.jid} did not hear {pattern!r} from {sender} in {timeout} s; heard:\n{said}"
            ) from None

    async def asks(self, to: str, text: str, pattern: str = "") -> Line:
        """Say something and hear the answer that comes after it."""
        self._next = len(self._heard)
        self.says(to, text)
        return await self.hears(pattern, sender=to)

    async def told(self, pattern: str, *, sender: str, timeout: float = PATIENCE) -> Line:
        """A message in whose last version ``pattern`` is found, whenever it came or comes."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := self.heard(pattern, sender=sender)):
                    self.news.clear()
                    await self.news.wait()
                return found[0]
        except TimeoutError:
            said = "\n---\n".join(line.body for line in self.lines[-6:])
            raise AssertionError(
                f"{self.jid} was not told {pattern!r} by {sender} in {timeout} s; heard:\n{said}"
            ) from None

    def heard(self, pattern: str = "", *, sender: str | None = None) -> list[Line]:
        """All messages from the beginning in whose last version ``pattern`` is found."""
        wanted = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        return [
            line
            for line in self.lines
            if sender in (None, line.sender) and wanted.search(line.body)
        ]

    # What a person does -------------------------------------------------------------------------

    def subscribes(self, kind: str, to: str, payload: str = "") -> None:
        """Send a subscription presence by hand."""
        self.device.send(f"<presence type='{kind}' to={quoteattr(to)}>{payload}</presence>")

    async def blocks(self, jid: str) -> None:
        """Block an address (XEP-0191)."""
        await self._must(f"<block xmlns='urn:xmpp:blocking'><item jid={quoteattr(jid)}/></block>")

    async def removes(self, jid: str) -> None:
        """Remove a roster entry."""
        await self._must(
            f"<query xmlns='jabber:iq:roster'><item jid={quoteattr(jid)} subscription='remove'/>"
            "</query>"
        )

    async def deletes_account(self) -> None:
        """Delete the own account (XEP-0077 section 3.2); the server ends the stream."""
        with contextlib.suppress(ClientError):  # some end the stream before they answer
            await self._must("<query xmlns='jabber:iq:register'><remove/></query>")
            while True:
                await self.device.ping()
        await self.log_out()

    async def reads_statement(self, old: str) -> tuple[str | None, str | None]:
        """Read the statement of ``old`` as a contact does: (new address, error condition)."""
        return read_statement(await self.device.request(STATEMENT_GET, to=old))

    async def retracts_statement(self) -> None:
        """Take the own statement back as a plain client does: the whole node."""
        await self._must(f"<pubsub xmlns='{NS_PUBSUB}#owner'><delete node='{NS_MOVED}'/></pubsub>")

    async def seen_requests(self, sender: str, *, timeout: float = PATIENCE) -> Received:
        """The first request of ``sender`` that was shown, now or within ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            while True:
                for received in self.requests:
                    if received.element.get("from") == sender:
                        return received
                self.news.clear()
                await self.news.wait()

    async def _must(self, payload: str) -> None:
        answer = await self.device.request(payload, kind="set")
        if answer.get("type") != "result":
            raise ClientError(f"{self.jid}: {ET.tostring(answer, 'unicode')}")

    # What comes in ------------------------------------------------------------------------------

    def _on_stanza(self, received: Received) -> None:
        element = received.element
        if element.tag == MESSAGE and element.get("type") != "error":
            self._on_message(element)
        elif element.tag == PRESENCE and element.get("type") == "subscribe":
            self._on_request(received)
        self.news.set()

    def _on_message(self, message: ET.Element) -> None:
        body = message.findtext(BODY)
        if body is None:
            return
        sender = message.get("from", "").partition("/")[0]
        replaced = message.find(REPLACE)
        line = next(
            (
                line
                for line in self.lines
                if replaced is not None and (line.id, line.sender) == (replaced.get("id"), sender)
            ),
            None,
        )
        if line is None:
            lang = message.get("{http://www.w3.org/XML/1998/namespace}lang")
            thread = message.findtext(f"{CLIENT}thread")
            line = Line(message.get("id", ""), sender, body, [], lang, thread)
            self.lines.append(line)
        line.body = body
        line.versions.append(body)
        self._heard.append((line, body))

    def _on_request(self, received: Received) -> None:
        element = received.element
        self.requests.append(received)
        sender = element.get("from", "").partition("/")[0]
        notification = notification_of(received, self.jid)
        if notification is not None:
            self.notifications.append(notification)
            if self.reads:
                self.readings.add(self.device, notification)
        if self.manner is Manner.APPROVES:
            self.subscribes("subscribed", sender)
            self.subscribes("subscribe", sender)
        elif self.manner is Manner.REFUSES:
            self.subscribes("unsubscribed", sender)

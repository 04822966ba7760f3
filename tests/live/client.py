"""Scripted XMPP entities on raw sockets: they keep everything they receive, in order."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import cast
from xml.sax.saxutils import quoteattr

from tests.live.matching import DELAY
from tests.live.servers.base import C2S_PORT, COMPONENT_PORT, COMPONENT_SECRET, PASSWORD

NS_CLIENT = "jabber:client"
NS_COMPONENT = "jabber:component:accept"
NS_STREAM = "http://etherx.jabber.org/streams"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_ROSTER = "jabber:iq:roster"
NS_PING = "urn:xmpp:ping"
NS_SM = "urn:xmpp:sm:3"

TIMEOUT = 15.0
"""Seconds within which any server must answer anything."""
_OWN_IDS = "harness-"


class ClientError(Exception):
    """A stream broke, or an answer did not come or was an error."""


@dataclass(frozen=True, slots=True)
class Received:
    """One stanza as it came: ``serial`` orders it among all stanzas of this test process."""

    serial: int
    element: ET.Element


_serials = itertools.count(1)


class Stream:
    """One XML stream: reads stanzas, answers what every entity must, keeps the rest.

    ``inbox`` holds the stanzas that nobody has consumed yet, ``history`` all of them; each of the
    ``listeners`` is called with every one as it comes.  Answers to the harness's own IQs appear
    nowhere.
    """

    answers = True
    """Whether questions of others are answered, each with an error."""

    def __init__(
        self,
        name: str,
        namespace: str,
        noise: Callable[[ET.Element], bool] | None = None,
    ) -> None:
        self.name = name
        self.jid = ""
        self.inbox: list[Received] = []
        self.history: list[Received] = []
        self.listeners: list[Callable[[Received], None]] = []
        self.closed_by_peer = False
        self._namespace = namespace
        self._noise = noise
        self._available: dict[str, bytes] = {}
        self._answers: dict[str, asyncio.Future[ET.Element]] = {}
        self._arrival = asyncio.Event()
        self._ids = itertools.count(1)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._parser: ET.XMLPullParser[ET.Element] = ET.XMLPullParser(("start", "end"))
        self._depth = 0
        self._root: ET.Element | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """True while the stream can carry stanzas."""
        return self._task is not None and not self._task.done()

    def send(self, xml: str | bytes) -> None:
        """Write raw XML, or what is none; the stream's default namespace applies."""
        if self._writer is None or not self.connected:
            raise ClientError(f"{self.name} is not connected")
        self._writer.write(xml.encode() if isinstance(xml, str) else xml)

    async def request(
        self, payload: str, *, kind: str = "get", to: str | None = None, sender: str | None = None
    ) -> ET.Element:
        """Send an IQ of the harness's own and return the answer, whatever its type.

        A component may name another ``sender`` at its domain.
        Raises ClientError when none comes within ``TIMEOUT`` or the stream ends.
        """
        id_ = f"{_OWN_IDS}{next(self._ids)}"
        answer: asyncio.Future[ET.Element] = asyncio.get_running_loop().create_future()
        self._answers[id_] = answer
        target = f" to={quoteattr(to)}" if to else ""
        named = self._namespace == NS_COMPONENT or sender is not None
        origin = f" from={quoteattr(sender or self.jid)}" if named else ""
        self.send(f"<iq type='{kind}' id='{id_}'{target}{origin}>{payload}</iq>")
        try:
            return await asyncio.wait_for(answer, TIMEOUT)
        except TimeoutError as slow:
            raise ClientError(f"{self.name}: no answer from {to or 'the server'}") from slow
        finally:
            self._answers.pop(id_, None)

    async def ping(self, to: str | None = None) -> None:
        """XEP-0199: return when an answer came, an error being one; flushes the way in order."""
        await self.request(f"<ping xmlns='{NS_PING}'/>", to=to)

    async def wait_for_inbox(self, count: int, timeout: float) -> bool:
        """Return True once ``count`` stanzas wait in the inbox, False after ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while len(self.inbox) < count and self.connected:
                    self._arrival.clear()
                    await self._arrival.wait()
        return len(self.inbox) >= count

    async def close(self) -> None:
        """End the stream and wait until the server has ended it too."""
        if self._writer is None:
            return
        if self.connected:
            with contextlib.suppress(OSError):
                self._writer.write(b"</stream:stream>")
            with contextlib.suppress(TimeoutError, OSError):
                assert self._task is not None
                await asyncio.wait_for(asyncio.shield(self._task), 2.0)
        self.drop()

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._task is not None:
            self._task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _dial(self, address: str, port: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            self._reader, self._writer = await asyncio.open_connection(address, port)

    async def _header(self, to: str, version: str = " version='1.0'") -> ET.Element:
        """Open a (new) stream and return its header element."""
        self._parser = ET.XMLPullParser(("start", "end"))
        self._depth = 0
        self._root = None
        assert self._writer is not None
        self._writer.write(
            f"<?xml version='1.0'?><stream:stream to={quoteattr(to)}{version}"
            f" xmlns='{self._namespace}' xmlns:stream='{NS_STREAM}'>".encode()
        )
        while self._root is None:
            await self._feed()
        return self._root

    async def _next(self) -> ET.Element:
        """Read the next child of the stream during negotiation."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                for element in self._elements():
                    return element
                await self._feed()

    async def _feed(self) -> None:
        assert self._reader is not None
        data = await self._reader.read(65536)
        if not data:
            self.closed_by_peer = True
            raise ClientError(f"{self.name}: the server closed the connection")
        self._parser.feed(data)
        if self._root is None:
            for kind, element in self._events():
                if kind == "start":
                    self._root = element
                    self._depth = 1
                    return

    def _elements(self) -> list[ET.Element]:
        found: list[ET.Element] = []
        for kind, element in self._events():
            if kind == "start":
                self._depth += 1
            elif kind == "end":
                self._depth -= 1
                if self._depth == 1:
                    found.append(element)
                    if self._root is not None:
                        self._root.clear()
        return found

    def _events(self) -> Iterator[tuple[str, ET.Element]]:
        return cast(Iterator[tuple[str, ET.Element]], self._parser.read_events())

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"stream {self.name}")

    async def _run(self) -> None:
        try:
            while True:
                for element in self._elements():
                    self._handle(element)
                await self._feed()
        except (ClientError, OSError, ET.ParseError):
            self.closed_by_peer = True
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ClientError(f"{self.name}: the stream ended"))
            self._arrival.set()

    def _handle(self, element: ET.Element) -> None:
        if not element.tag.startswith(f"{{{self._namespace}}}"):
            return  # a stream error: the end of the stream follows and is what counts
        id_, kind = element.get("id", ""), element.get("type")
        is_iq = element.tag == f"{{{self._namespace}}}iq"
        if is_iq and kind in ("result", "error") and id_.startswith(_OWN_IDS):
            answer = self._answers.get(id_)
            if answer is not None and not answer.done():
                answer.set_result(element)
            return
        if is_iq and kind in ("get", "set") and self.answers:
            self._answer(element)
        received = Received(next(_serials), element)
        if self._repeats(element) or (self._noise is not None and self._noise(element)):
            return
        self.inbox.append(received)
        self.history.append(received)
        self._arrival.set()
        for listener in self.listeners:
            listener(received)

    def _repeats(self, element: ET.Element) -> bool:
        """True for availability that this stream was told before (servers repeat it at probes)."""
        sender, kind = element.get("from", ""), element.get("type")
        if element.tag != f"{{{self._namespace}}}presence" or kind not in (None, "unavailable"):
            return False
        known = self._available.get(sender)
        if kind == "unavailable":
            self._available.pop(sender, None)
            return False
        parts = [ET.tostring(child) for child in element if child.tag != DELAY]
        self._available[sender] = b"".join(parts)
        return known == self._available[sender]

    def _answer(self, iq: ET.Element) -> None:
        """Answer as every entity must (RFC 6120 8.2.3): roster pushes yes, the rest no."""
        sender = iq.get("from")
        to = f" to={quoteattr(sender)}" if sender else ""
        if self._namespace == NS_COMPONENT:  # speaks for many
            to += f" from={quoteattr(iq.get('to', ''))}"
        push = iq.get("type") == "set" and iq.find(f"{{{NS_ROSTER}}}query") is not None
        if push:
            self.send(f"<iq type='result' id={quoteattr(iq.get('id', ''))}{to}/>")
        else:
            self.send(
                f"<iq type='error' id={quoteattr(iq.get('id', ''))}{to}><error type='cancel'>"
                "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )


class Client(Stream):
    """A user's device.

    Args:
        name: what failures call it.
        jid: full JID; the resource is asked for and must be granted.
        address: of the user's server.
        noise: says which stanzas to drop unseen.
    """

    def __init__(
        self,
        name: str,
        jid: str,
        address: str,
        *,
        noise: Callable[[ET.Element], bool] | None = None,
    ) -> None:
        super().__init__(name, NS_CLIENT, noise)
        self.jid = jid
        self._address = address
        self._on_enabled: Callable[[str], None] = lambda _: None

    @property
    def bare(self) -> str:
        """Bare JID."""
        return self.jid.partition("/")[0]

    async def open(self) -> None:
        """Connect, authenticate (SASL PLAIN) and bind; no roster get, no presence."""
        await self._log_in()
        self._begin()
        resource = self.jid.partition("/")[2]
        bound = await self.request(
            f"<bind xmlns='{NS_BIND}'><resource>{resource}</resource></bind>", kind="set"
        )
        granted = bound.findtext(f"{{{NS_BIND}}}bind/{{{NS_BIND}}}jid")
        if granted != self.jid:
            raise ClientError(f"{self.name} was bound as {granted}")

    async def resumable(self) -> Callable[[], Awaitable[None]]:
        """Have the session kept where the connection breaks; returns how to break it and come back
        on another one (XEP-0198)."""
        enabled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_enabled = enabled.set_result
        self.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        id_ = await asyncio.wait_for(enabled, TIMEOUT)

        async def come_back() -> None:
            self.drop()
            await self._log_in()
            assert self._writer is not None
            self._writer.write(f"<resume xmlns='{NS_SM}' h='0' previd={quoteattr(id_)}/>".encode())
            outcome = await self._next()
            if outcome.tag != f"{{{NS_SM}}}resumed":
                raise ClientError(f"{self.name}: {ET.tostring(outcome, 'unicode')}")
            self._begin()

        return come_back

    def _handle(self, element: ET.Element) -> None:
        if element.tag == f"{{{NS_SM}}}enabled":
            self._on_enabled(element.get("id", ""))
        super()._handle(element)

    async def _log_in(self) -> None:
        user, _, host = self.bare.partition("@")
        await self._dial(self._address, C2S_PORT)
        await self._header(host)
        await self._next()
        secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        assert self._writer is not None
        self._writer.write(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{secret}</auth>".encode())
        outcome = await self._next()
        if outcome.tag != f"{{{NS_SASL}}}success":
            raise ClientError(f"{self.name} cannot log in: {ET.tostring(outcome, 'unicode')}")
        await self._header(host)
        await self._next()

    async def roster(self) -> ET.Element:
        """Get the roster (which makes this an interested resource) and return ``<query/>``."""
        answer = await self.request(f"<query xmlns='{NS_ROSTER}'/>")
        query = answer.find(f"{{{NS_ROSTER}}}query")
        if query is None:
            raise ClientError(f"{self.name}: no roster: {ET.tostring(answer, 'unicode')}")
        return query


class RawComponent(Stream):
    """An external component (XEP-0114) that does what a test tells it; it answers nothing unless
    ``answers`` is set."""

    answers = False

    def __init__(self, name: str, domain: str, address: str) -> None:
        super().__init__(name, NS_COMPONENT)
        self.jid = domain
        self._address = address

    async def open(self, secret: str = COMPONENT_SECRET) -> None:
        """Connect and shake hands; raises ClientError when refused."""
        await self._dial(self._address, COMPONENT_PORT)
        header = await self._header(self.jid, version="")
        digest = hashlib.sha1((header.get("id", "") + secret).encode()).hexdigest()
        assert self._writer is not None
        self._writer.write(f"<handshake>{digest}</handshake>".encode())
        outcome = await self._next()
        if outcome.tag != f"{{{NS_COMPONENT}}}handshake":
            raise ClientError(f"{self.name} was refused: {ET.tostring(outcome, 'unicode')}")
        self._begin()

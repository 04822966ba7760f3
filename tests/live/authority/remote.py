"""A server that lies: it proves its own domain by dialback (XEP-0220), then says what it likes."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import suppress
from xml.sax.saxutils import quoteattr

from component.xmpp.guard import StanzaParser
from tests.live.news import News
from tests.live.servers.base import S2S_PORT

_DIALBACK = "jabber:server:dialback"
_RESULT = f"{{{_DIALBACK}}}result"
_VERIFY = f"{{{_DIALBACK}}}verify"
_TIMEOUT = 15.0
_TRIES = 8


class Remote:
    """Plays the server of a domain, to one other server.

    :param address: where the other server looks for the domain.
    :param peer: address of the other server.
    """

    def __init__(self, domain: str, address: str, peer: str) -> None:
        self.domain = domain
        self._address = address
        self._peer = peer
        self._server: asyncio.Server | None = None
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.inbox: list[ET.Element] = []
        """Stanzas that the other server sent to this domain."""
        self.said: list[ET.Element] = []
        """What the other server said on streams of ours: errors, before it ends one."""
        self._news = News()
        self.ended: set[str] = set()
        """Domains of the other server whose stream it has ended."""

    @property
    def connected(self) -> frozenset[str]:
        """Domains to which there is a stream."""
        return frozenset(self._writers.keys() - self.ended)

    async def start(self) -> None:
        """Listen for the other server, which asks whether the keys are ours."""
        self._server = await asyncio.start_server(self._incoming, self._address, S2S_PORT)

    async def connect(self, to: str) -> None:
        """Have a stream to a domain of the other server, proven to be from ours.

        Prosody 13.0.1 takes a connection of its own that is established but has nothing to read yet
        for one that timed out, now and then, and gives the proof up: then it is asked again.
        """
        for _ in range(_TRIES):
            if await self._connected(to):
                return
        raise AssertionError(f"{to} ended the stream {_TRIES} times")

    async def _connected(self, to: str) -> bool:
        reader, writer = await asyncio.open_connection(self._peer, S2S_PORT)
        writer.write(
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='{_DIALBACK}'"
            " xmlns:stream='http://etherx.jabber.org/streams'"
            f" from={quoteattr(self.domain)} to={quoteattr(to)}>".encode()
        )
        writer.write(
            f"<db:result from={quoteattr(self.domain)} to={quoteattr(to)}>key</db:result>".encode()
        )
        stanzas = self._stanzas(reader)
        async with asyncio.timeout(_TIMEOUT):
            async for stanza in stanzas:
                if stanza.tag == _RESULT:
                    assert stanza.get("type") == "valid", ET.tostring(stanza)
                    break
            else:
                return False
        self._writers[to] = writer
        self.ended.discard(to)
        self._tasks.add(asyncio.create_task(self._drain(stanzas, to)))
        return True

    def send(self, through: str, xml: str) -> None:
        """Write on the stream to a domain."""
        self._writers[through].write(xml.encode())

    async def sent(self, through: str) -> bool:
        """Wait until the other server has read what was written; False where it ended the stream.

        A request to its domain comes back, in order, over its own stream to us.
        """
        id_ = f"flush{len(self.inbox)}-{len(self.ended)}"
        self.send(
            through,
            f"<iq type='get' id='{id_}' from={quoteattr('flush@' + self.domain)}"
            f" to={quoteattr(through)}><ping xmlns='urn:xmpp:ping'/></iq>",
        )
        answered = False

        def known() -> bool:
            nonlocal answered
            answered = any(stanza.get("id") == id_ for stanza in self.inbox)
            return answered or through in self.ended

        await self._news.until(
            known,
            f"{through} answers",
            _TIMEOUT,
            story=lambda: str([ET.tostring(stanza) for stanza in self.said]),
        )
        return answered

    async def stop(self) -> None:
        """End it."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers.values():
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _incoming(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='{_DIALBACK}'"
            f" xmlns:stream='http://etherx.jabber.org/streams' id='x'"
            f" from={quoteattr(self.domain)}>".encode()
        )
        async for stanza in self._stanzas(reader):
            sender, to = stanza.get("from", ""), stanza.get("to", "")
            if stanza.tag in (_RESULT, _VERIFY):
                name = stanza.tag.rpartition("}")[2]
                id_ = f" id={quoteattr(stanza.get('id', ''))}" if stanza.tag == _VERIFY else ""
                writer.write(
                    f"<db:{name} type='valid' from={quoteattr(to)} to={quoteattr(sender)}"
                    f"{id_}/>".encode()
                )
            else:
                self.inbox.append(stanza)
                self._news.wake()
        writer.close()

    async def _drain(self, stanzas: AsyncIterator[ET.Element], to: str) -> None:
        with suppress(OSError):
            async for stanza in stanzas:
                self.said.append(stanza)
        self.ended.add(to)
        self._news.wake()

    async def _stanzas(self, reader: asyncio.StreamReader) -> AsyncIterator[ET.Element]:
        parser = StanzaParser(1 << 20, 100, lambda _top, _reason: None)
        depth = 0
        while data := await reader.read(65536):
            parser.feed(data)
            for event, element in parser.read_events():
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1:
                    yield element

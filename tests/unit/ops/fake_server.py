"""As much of a server as a component needs to be ready: the stream, and a hook that says hello."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

JID = "moved.montague.example"
HOST = "montague.example"
_HEADER = (
    f"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    f"xmlns:stream='http://etherx.jabber.org/streams' id='1' from='{JID}'>"
)
_IQ = re.compile(rb"<iq\b[^>]*/>|<iq\b.*?</iq>", re.DOTALL)
_TO_ITSELF = re.compile(rb"""<iq\b[^>]*\bto=["']%s["']""" % JID.encode())
_ID = re.compile(rb"""\bid=["']([^"']+)["']""")
_HELLO = """\
<hello xmlns='urn:xmpp-moved:hook:0' version='0.2.0' instance='{instance}' server='Fake'
 server-version='1' timeout='60' max-held='5000' held='0'>
<feature>watch</feature><feature>tombstone</feature><feature>answer</feature>
<feature>account</feature></hello>"""
_REFUSAL = (
    b"<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    b"</stream:stream>"
)
_NO_HOOK = """\
<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"""


class FakeServer:
    """Listens on loopback; its hook can be taken away, loaded anew, or made to say nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.instance = "one"
        self.hook = True
        self.silent = False
        self.refuses = False
        """It does not take the secret."""
        self.hellos = 0
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, where it listened before if it did."""
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every stream and listen no more."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for stream in list(self._streams):
            stream.transport.abort()
        await server.wait_closed()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            self._streams.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"<stream:stream")
        await reader.readuntil(b">")
        writer.write(_HEADER.encode())
        await reader.readuntil(b"</handshake>")
        if self.refuses:
            writer.write(_REFUSAL)
            return
        writer.write(b"<handshake/>")
        heard = b""
        while chunk := await reader.read(65536):
            heard += chunk
            while found := _IQ.search(heard):
                heard = heard[found.end() :]
                self._answer(found[0], writer)
            if b"</stream:stream>" in heard:
                writer.write(b"</stream:stream>")

    def _answer(self, iq: bytes, writer: asyncio.StreamWriter) -> None:
        if _TO_ITSELF.match(iq):
            writer.write(iq)  # as every server does: it is how the component sees that we live
            return
        id_ = _ID.search(iq)
        if id_ is None or b"hello" not in iq or self.silent:
            return
        self.hellos += 1
        kind = "result" if self.hook else "error"
        body = _HELLO.format(instance=self.instance) if self.hook else _NO_HOOK
        head = f"<iq type='{kind}' id='{id_[1].decode()}' from='{HOST}' to='{JID}'>"
        writer.write(f"{head}{body}</iq>".encode())


@contextlib.asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A server that listens for as long as the block lasts."""
    server = FakeServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()

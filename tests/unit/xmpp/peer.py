"""A TCP peer that plays a server's part, for faults that no real server can be made to commit."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    b"xmlns:stream='http://etherx.jabber.org/streams' id='1' from='moved.example'>"
)


class Peer:
    """One connection, seen from the server's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def accept(self) -> None:
        """Take the stream header and any secret."""
        await self.reader.readuntil(b'to="moved.example">')
        await self.send(HEADER)
        await self.reader.readuntil(b"</handshake>")
        await self.send(b"<handshake/>")

    async def send(self, data: bytes | str) -> None:
        """Send bytes as they are."""
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def farewell(self) -> bytes:
        """Read up to the end of the stream, and end ours: nobody waits for it then."""
        data = await self.reader.readuntil(b"</stream:stream>")
        await self.send("</stream:stream>")
        return data

    async def request_id(self) -> str:
        """Read up to the end of the next iq, and return its id."""
        data = await self.reader.readuntil(b"</iq>")
        found = re.search(rb'id="([^"]+)"', data)
        assert found is not None
        return found.group(1).decode()


@contextlib.asynccontextmanager
async def serve(
    script: Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Run ``script`` for each connection, which begins with TLS if told; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(Peer(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(set(tasks), timeout=5)

"""A server from which nothing comes any more, though TCP sees a connection."""

from __future__ import annotations

import asyncio

from tests.unit.xmpp.peer import Peer
from tests.unit.xmpp.test_link_faults import linked

PROBE = b'type="result"'


async def test_a_connection_without_life_is_left_for_a_new_one() -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.accept()
        asked.put_nowait(await peer.reader.readuntil(b"/>"))
        await peer.reader.read()

    async with linked(script, probe_after=0.05, silence_timeout=0.3) as harness:
        reason = await asyncio.wait_for(harness.down.get(), 5)
        assert reason == "nothing came from the server for 0.3 s"
        probe = await asyncio.wait_for(asked.get(), 5)
        assert PROBE in probe
        assert b'to="moved.example"' in probe
        await asyncio.wait_for(harness.down.get(), 5)  # it came back, and found the same


async def test_a_server_that_hands_the_probe_back_is_alive() -> None:
    probes: asyncio.Queue[None] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.accept()
        while True:  # also the end of the stream
            part = await peer.reader.readuntil(b">")
            await peer.send(part)
            if part.endswith(b"/>"):
                probes.put_nowait(None)

    async with linked(script, probe_after=0.1, silence_timeout=1.0) as harness:
        async with asyncio.timeout(30):
            for _ in range(15):
                await probes.get()
        assert harness.down.empty()
        assert harness.link.connected
        assert harness.link.stats.received == 0


async def test_any_byte_is_a_sign_of_life() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        for _ in range(15):
            await peer.send(b" ")
            await asyncio.sleep(0.1)
        await peer.send(b"</stream:stream>")

    async with linked(script, probe_after=0.1, silence_timeout=1.0) as harness:
        assert await asyncio.wait_for(harness.down.get(), 30) == "the server ended the stream"

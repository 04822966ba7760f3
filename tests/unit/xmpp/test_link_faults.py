"""The link against a peer that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from component.xmpp.errors import LinkBusy, LinkLost
from component.xmpp.link import Link, LinkSettings
from component.xmpp.names import NS_PING
from tests.unit.xmpp.peer import HEADER, Peer, serve

SERVER = "server.example"


class Harness:
    """A running link and what it reported."""

    def __init__(self, port: int, ups: asyncio.Queue[None] | None = None, **settings: Any) -> None:
        self.up = asyncio.Event()
        self.ups: asyncio.Queue[None] = ups or asyncio.Queue()
        self.down: asyncio.Queue[str] = asyncio.Queue()
        options: dict[str, Any] = {"backoff_first": 0.01, "backoff_max": 0.01} | settings
        self.link = Link(
            LinkSettings(jid="moved.example", secret="x", port=port, **options),
            on_up=self._on_up,
            on_down=self.down.put_nowait,
        )

    async def _on_up(self) -> None:
        self.up.set()
        self.ups.put_nowait(None)

    async def ping(self, timeout: float = 5.0, size: int = 0) -> ET.Element:
        payload = ET.Element(f"{{{NS_PING}}}ping")
        payload.text = "x" * size
        return await self.link.request("get", SERVER, payload, timeout=timeout)


@contextlib.asynccontextmanager
async def linked(
    script: Callable[[Peer], Awaitable[None]],
    ups: asyncio.Queue[None] | None = None,
    **settings: Any,
) -> AsyncIterator[Harness]:
    async with serve(script) as port:
        harness = Harness(port, ups, **settings)
        task = asyncio.create_task(harness.link.run())
        try:
            yield harness
        finally:
            await asyncio.wait_for(harness.link.stop(0.1), 5)
            await asyncio.wait_for(task, 5)


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        ("<message></iq>", "not-well-formed"),
        ("<!-- hello -->", "restricted-xml"),
    ],
)
async def test_what_no_stream_may_hold_ends_the_session(data: str, condition: str) -> None:
    farewell: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(data)
        farewell.put_nowait(await peer.reader.read())

    async with linked(script, stanza_bytes=4096) as harness:
        assert (await asyncio.wait_for(harness.down.get(), 5)).startswith(condition)
        sent = await asyncio.wait_for(farewell.get(), 5)
        assert f"<stream:error><{condition} ".encode() in sent
        assert sent.endswith(b"</stream:stream>")
        await asyncio.wait_for(harness.down.get(), 5)  # it came back, and was refused again


async def test_a_tag_without_end_ends_the_session() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send("<message a='" + "x" * 5_000_000)
        await peer.farewell()

    async with linked(script) as harness:
        reason = await asyncio.wait_for(harness.down.get(), 5)
        assert reason.startswith("policy-violation: a tag is larger")


async def test_one_byte_at_a_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        id_ = await peer.request_id()
        for byte in f"<iq type='result' id='{id_}' from='{SERVER}'><a>ü</a></iq>".encode():
            await peer.send(bytes([byte]))
        await peer.farewell()

    async with linked(script) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        answer = await harness.ping()
        assert answer[0].text == "ü"


async def test_answers_count_only_from_whom_was_asked() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        id_ = await peer.request_id()
        for sender in ("from='evil.example'", f"from='x@{SERVER}'", ""):
            await peer.send(f"<iq type='result' id='{id_}' {sender}><evil/></iq>")
        await peer.send(f"<iq type='result' id='x{id_}' from='{SERVER}'/>")
        await peer.send(f"<iq type='result' id='{id_}' from='{SERVER.upper()}'><good/></iq>")
        await peer.send(f"<iq type='result' id='{id_}' from='{SERVER}'><twice/></iq>")
        await peer.farewell()

    async with linked(script) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        with capture_logs() as logs:
            answer = await harness.ping()
        assert answer[0].tag.endswith("good")
        refused = [entry for entry in logs if entry["event"] == "an answer from someone else"]
        assert len(refused) == 3


async def test_a_black_hole_is_left_and_tried_again() -> None:
    attempts: asyncio.Queue[None] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        attempts.put_nowait(None)
        await peer.reader.read()

    with capture_logs() as logs:
        async with linked(script, handshake_timeout=0.05) as harness:
            for _ in range(3):
                await asyncio.wait_for(attempts.get(), 5)
            assert not harness.link.connected
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "no handshake" in warnings[0]["reason"]


async def test_refused_connections_warn_once_and_stop_ends_the_wait() -> None:
    async with serve(Peer.accept) as port:
        pass
    harness = Harness(port, backoff_first=0.02, backoff_max=60)
    with capture_logs() as logs:
        task = asyncio.create_task(harness.link.run())
        async with asyncio.timeout(10):
            while sum("retry_seconds" in entry for entry in logs) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # capture_logs tells nobody of a new entry
        assert not task.done()
        await asyncio.wait_for(harness.link.stop(), 5)
        await asyncio.wait_for(task, 5)
    levels = [entry["log_level"] for entry in logs if "retry_seconds" in entry]
    assert len(levels) > 1
    assert levels[0] == "warning"
    assert set(levels[1:]) == {"debug"}
    assert harness.down.empty()


async def test_stanzas_before_the_handshake_are_ignored() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b">")
        await peer.send(
            HEADER + b"<iq type='get' id='1' from='x'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        await peer.reader.readuntil(b"</handshake>")
        await peer.send(b"<handshake/>")
        await peer.farewell()

    async with linked(script) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        assert harness.link.stats.received == 0


async def test_requests_in_flight_are_bounded() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.farewell()

    async with linked(script, max_in_flight=3) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        asked = [asyncio.create_task(harness.ping()) for _ in range(4)]
        done, pending = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert len(pending) == 3
        assert isinstance(done.pop().exception(), LinkBusy)
        await harness.link.stop(0)
        results = await asyncio.gather(*pending, return_exceptions=True)
        assert {type(result) for result in results} == {LinkLost}


async def flood(link: Link, message: ET.Element) -> None:
    for _ in range(500):
        link.send(message)
        await asyncio.sleep(0)  # lets the socket take what it can


async def test_a_server_that_does_not_read() -> None:
    release = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await release.wait()

    async with linked(script, max_queue=20, stall_timeout=2.0) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        message = ET.Element("{jabber:component:accept}message", {"to": SERVER})
        message.text = "x" * 400_000
        with pytest.raises(LinkBusy):
            await flood(harness.link, message)
        assert harness.link.stats.queue_depth == 20
        assert "read nothing for 2 s" in await asyncio.wait_for(harness.down.get(), 15)
        assert harness.link.stats.queue_depth == 0
        release.set()


async def test_on_up_of_a_lost_session_is_over_before_the_next() -> None:
    events: list[str] = []
    twice = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        if len(events) < 2:
            await peer.send("</stream:stream>")
        else:
            await peer.farewell()

    async def on_up() -> None:
        events.append("begin")
        if events.count("begin") == 2:
            twice.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("end")

    async with serve(script) as port:
        link = Link(
            LinkSettings("moved.example", "x", port=port, backoff_first=0.01, backoff_max=0.01),
            on_up=on_up,
        )
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(twice.wait(), 5)
        await link.stop(0)
        await task
    assert events[:3] == ["begin", "end", "begin"]


async def test_handshake_is_the_digest_of_xep_0114() -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.send(HEADER)
        seen.put_nowait(await peer.reader.readuntil(b"</handshake>"))

    async with linked(script):
        data = await asyncio.wait_for(seen.get(), 5)
    found = re.search(rb"<handshake[^>]*>([0-9a-f]{40})</handshake>", data)
    assert found is not None
    # sha1 of the stream id "1" and the secret "x"
    assert found.group(1) == b"6fe62d0dd7db314b7f9bb945672f078e01d27f0f"

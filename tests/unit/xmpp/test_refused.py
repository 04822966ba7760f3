"""What becomes of stanzas beyond the bounds, on a link that stays up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest
from structlog.testing import capture_logs

from component.xmpp.errors import RemoteError, RequestTimeout
from tests.unit.xmpp.peer import Peer
from tests.unit.xmpp.test_link_faults import SERVER, linked

PING = "<ping xmlns='urn:xmpp:ping'/>"
ALIVE = f"<iq type='get' id='alive' from='x.example' to='moved.example'>{PING}</iq>"
BAD: dict[str, str] = {
    "deep": "<a>" * 80 + "</a>" * 80,
    "big": "<a>" + "x" * 5000 + "</a>",
    "both": "<a b='>'>" * 300_000 + "</a>" * 300_000,
}


def iq(kind: str, id_: str, sender: str, content: str) -> str:
    return f"<iq type='{kind}' id='{id_}' from='{sender}' to='moved.example'>{content}</iq>"


@pytest.mark.parametrize("kind", ["get", "set"])
@pytest.mark.parametrize("bad", BAD)
async def test_a_request_is_answered_and_its_neighbours_too(bad: str, kind: str) -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.accept()
        first = ALIVE.replace("alive", "first")
        await peer.send(first + iq(kind, "bad", "evil.example", BAD[bad]) + ALIVE)
        # The refusal comes first: the others are answered by handlers, in tasks.
        for end in (b"</iq>", b"/>", b"/>"):
            answers.put_nowait(await peer.reader.readuntil(end))
        await peer.farewell()

    with capture_logs() as logs:
        async with linked(script, stanza_bytes=4096) as harness:
            got = [await asyncio.wait_for(answers.get(), 10) for _ in range(3)]
            assert harness.link.connected
            assert harness.link.stats.refused == 1
            assert harness.link.stats.received == 2
            assert harness.link.stats.sessions == 1
    assert b'to="evil.example"' in got[0]
    assert b'<error type="modify"><policy-violation ' in got[0]
    assert b'id="first"' in got[1]
    assert b'id="alive"' in got[2]
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["sender"] for entry in warnings] == ["evil.example"]


@pytest.mark.parametrize("kind", ["result", "error"])
@pytest.mark.parametrize("bad", BAD)
async def test_a_pending_request_fails_at_once(bad: str, kind: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        id_ = await peer.request_id()
        await peer.send(iq(kind, id_, "evil.example", BAD[bad]))
        end = BAD[bad].index("</")
        await peer.send(iq(kind, id_, SERVER, BAD[bad])[: end + 60])  # the rest never comes
        await peer.farewell()

    async with linked(script, stanza_bytes=4096) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        with pytest.raises(RemoteError) as error:
            await asyncio.wait_for(harness.ping(timeout=60), 10)
        assert (error.value.condition, error.value.type) == ("policy-violation", "modify")
        assert harness.link.stats.refused == 2
        assert harness.link.stats.in_flight == 0


async def test_nobody_else_can_fail_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        id_ = await peer.request_id()
        await peer.send(iq("result", id_, "evil.example", BAD["deep"]))
        await peer.farewell()

    async with linked(script) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        with pytest.raises(RequestTimeout):
            await harness.ping(timeout=0.3)
        assert harness.link.stats.refused == 1


async def test_one_warning_for_many_and_no_answer_to_others() -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(f"<message from='evil.example'>{BAD['deep']}</message>" * 50)
        await peer.send(f"<presence from='evil.example'>{BAD['big']}</presence>" * 50)
        await peer.send(iq("get", "x" * 5000, "evil.example", PING) + ALIVE)
        answers.put_nowait(await peer.reader.readuntil(b"/>"))
        await peer.farewell()

    with capture_logs() as logs:
        async with linked(script, stanza_bytes=4096) as harness:
            assert b'id="alive"' in await asyncio.wait_for(answers.get(), 5)
            assert harness.link.stats.refused == 101
            assert harness.link.stats.sent == 1
    assert len([entry for entry in logs if entry["log_level"] == "warning"]) == 1


async def test_one_byte_at_a_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        id_ = await peer.request_id()
        bad = iq("result", "other", SERVER, BAD["deep"])
        good = iq("result", id_, SERVER, "<a>ü</a>")
        for byte in (bad + good).encode():
            await peer.send(bytes([byte]))
        await peer.farewell()

    async with linked(script) as harness:
        await asyncio.wait_for(harness.up.wait(), 5)
        answer = await harness.ping()
        assert answer[0].text == "ü"
        assert harness.link.stats.refused == 1


MEMORY = """
    import resource
    from component.xmpp.guard import StanzaParser

    parts = {
        "text": lambda n: b"<c>" + b"x" * 1_000_000 + b"</c>",
        "deep": lambda n: b"<a>" * 50_000,
        "names": lambda n: b"".join(b"<n%x/>" % (n * 10_000 + i) for i in range(10_000)),
    }
    refused, stanzas = [], []
    parser = StanzaParser(524288, 64, lambda top, reason: refused.append(reason))
    def feed(data):
        parser.feed(data)
        stanzas.extend(e for event, e in parser.read_events() if event == "end")
    feed(b"<s:stream xmlns='a' xmlns:s='b'><iq/>")
    for name, part in parts.items():
        feed(b"<iq>" + part(0) + part(1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for n in range(100):
            feed(part(n))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 4096, f"{name}: {grown} KiB"
        if name == "deep":
            for n in range(102):
                feed(b"</a>" * 50_000)
        feed(b"</iq><iq/>")
    assert len(refused) == 3, refused
    assert len(stanzas) == 4, stanzas
"""


def test_memory_stays_flat_while_a_hundred_megabytes_are_skipped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr

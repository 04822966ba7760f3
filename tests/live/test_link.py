"""The link against a real Prosody: sessions, losses, and what anyone may ask the component."""

from __future__ import annotations

import asyncio
import contextlib
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from component.xmpp.errors import (
    BadStanza,
    LinkLost,
    RemoteError,
    RequestTimeout,
    SecretRefused,
    StanzaError,
)
from component.xmpp.link import Link, LinkSettings
from component.xmpp.names import (
    IQ,
    MESSAGE,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_PING,
    NS_VERSION,
    PRESENCE,
)
from tests.live.link_server import PROSODY, LinkServer
from tests.live.shared import kept

pytestmark = pytest.mark.skipif(PROSODY is None, reason="needs prosody")

MOVED, PEER, SECRET = "moved.link.example", "peer.link.example", "s3cret"
NS_TEST = "urn:example:test"
SECRETS = {MOVED: SECRET, PEER: SECRET}
ATTEMPT = "Incoming Jabber component"


class Runner:
    """A link with its task, and what it reported."""

    def __init__(self, port: int, jid: str = MOVED, **settings: Any) -> None:
        self.up: asyncio.Queue[int] = asyncio.Queue()
        self.down: asyncio.Queue[str] = asyncio.Queue()
        options: dict[str, Any] = {
            "secret": SECRET,
            "backoff_first": 0.05,
            "backoff_max": 0.5,
            "version": "9.9",
        } | settings
        self.link = Link(
            LinkSettings(jid=jid, port=port, **options),
            on_up=self._on_up,
            on_down=self.down.put_nowait,
        )
        self.task: asyncio.Task[None] | None = None

    async def _on_up(self) -> None:
        self.up.put_nowait(self.link.stats.sessions)

    async def __aenter__(self) -> Runner:
        self.task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.stop(1.0)
        assert self.task is not None
        with contextlib.suppress(SecretRefused):
            await asyncio.wait_for(self.task, 10)

    async def wait_up(self) -> Runner:
        await asyncio.wait_for(self.up.get(), 10)
        return self


def element(namespace: str, name: str, **attributes: str) -> ET.Element:
    return ET.Element(f"{{{namespace}}}{name}", attributes)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkServer]:
    """For every test that lets it run and does not count what it logs."""
    with kept(LinkServer(tmp_path_factory.mktemp("link"), SECRETS)) as running:
        yield running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    """One of a test's own."""
    running = LinkServer(tmp_path, SECRETS)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def pair(shared: LinkServer) -> AsyncIterator[tuple[Runner, Runner]]:
    """The component under test, and another one that asks it things."""
    async with Runner(shared.port) as moved, Runner(shared.port, PEER) as peer:
        yield await moved.wait_up(), await peer.wait_up()


@pytest.fixture
async def narrow(shared: LinkServer) -> AsyncIterator[tuple[Runner, Runner]]:
    """The same with a bound below what the server lets through."""
    bound = 512 * 1024
    async with (
        Runner(shared.port, stanza_bytes=bound) as moved,
        Runner(shared.port, PEER, stanza_bytes=bound) as peer,
    ):
        yield await moved.wait_up(), await peer.wait_up()


async def test_says_who_it_is(pair: tuple[Runner, Runner]) -> None:
    _, peer = pair
    answer = await peer.link.request("get", MOVED, element(NS_DISCO_INFO, "query"), timeout=5)
    identity = answer.find(f".//{{{NS_DISCO_INFO}}}identity")
    assert identity is not None
    assert identity.attrib == {"category": "component", "type": "generic", "name": "xmpp-moved"}
    features = {found.get("var") for found in answer.iter(f"{{{NS_DISCO_INFO}}}feature")}
    assert features == {NS_DISCO_INFO, NS_DISCO_ITEMS, NS_VERSION, NS_PING}

    with pytest.raises(RemoteError) as refused:
        await peer.link.request("get", MOVED, element(NS_DISCO_INFO, "query", node="x"), timeout=5)
    assert refused.value.condition == "item-not-found"


async def test_answers_version_and_ping(pair: tuple[Runner, Runner]) -> None:
    _, peer = pair
    answer = await peer.link.request("get", MOVED, element(NS_VERSION, "query"), timeout=5)
    assert answer.findtext(f".//{{{NS_VERSION}}}version") == "9.9"
    pong = await peer.link.request("get", MOVED, element(NS_PING, "ping"), timeout=5)
    assert (pong.get("type"), len(pong)) == ("result", 0)


@pytest.mark.parametrize("to", [MOVED, f"someone@{MOVED}", f"{MOVED}/resource"])
async def test_refuses_what_it_does_not_know(pair: tuple[Runner, Runner], to: str) -> None:
    _, peer = pair
    with pytest.raises(RemoteError) as refused:
        await peer.link.request("set", to, element(NS_TEST, "unknown"), timeout=5)
    assert (refused.value.condition, refused.value.type) == ("service-unavailable", "cancel")


async def test_handlers_answer(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair

    async def echo(iq: ET.Element) -> ET.Element:
        return iq[0]

    async def refuse(_iq: ET.Element) -> None:
        raise StanzaError("not-allowed", "auth", "äöü <&>")

    async def break_(_iq: ET.Element) -> None:
        raise ZeroDivisionError("the reason stays here")

    async def unspeakable(_iq: ET.Element) -> ET.Element:
        return element(NS_TEST, "x", y="\x00")

    moved.link.route_iq("set", NS_TEST, "echo", echo)
    moved.link.route_iq("set", NS_TEST, "refuse", refuse)
    moved.link.route_iq("set", NS_TEST, "break", break_)
    moved.link.route_iq("set", NS_TEST, "unspeakable", unspeakable)

    asked = element(NS_TEST, "echo", a="'\"<&>")
    asked.text = "ünï <&> ]]>"
    ET.SubElement(asked, "{urn:other}child", {"{urn:attr}b": "c"})
    answer = await peer.link.request("set", MOVED, asked, timeout=5)
    assert ET.tostring(answer[0]) == ET.tostring(asked)
    assert answer.get("from") == MOVED

    with pytest.raises(RemoteError) as refused:
        await peer.link.request("set", MOVED, element(NS_TEST, "refuse"), timeout=5)
    assert refused.value.condition == "not-allowed"
    assert (refused.value.type, refused.value.text) == ("auth", "äöü <&>")

    with capture_logs() as logs:
        for name in ("break", "unspeakable"):
            with pytest.raises(RemoteError) as refused:
                await peer.link.request("set", MOVED, element(NS_TEST, name), timeout=5)
            assert refused.value.condition == "internal-server-error"
            assert refused.value.text is None
    assert [entry["log_level"] for entry in logs] == ["error", "error"]


async def test_messages_reach_their_handler(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair
    got: asyncio.Queue[ET.Element] = asyncio.Queue()
    moved.link.route_message(NS_TEST, "note", got.put)
    for type_ in ("error", "normal"):
        message = ET.Element(MESSAGE, {"to": MOVED, "type": type_, "id": type_})
        message.append(element(NS_TEST, "note"))
        peer.link.send(message)
    message = await asyncio.wait_for(got.get(), 5)
    assert (message.get("id"), message.get("from")) == ("normal", PEER)
    assert got.empty()


async def test_presence_is_answered_for_itself_only(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair
    for to in (f"nobody@{MOVED}", MOVED):
        for kind in ("probe", "unavailable", "subscribed"):
            peer.link.send(ET.Element(PRESENCE, {"to": to, "type": kind}))
    await peer.link.request("get", MOVED, element(NS_PING, "ping"), timeout=5)
    assert moved.link.stats.received == 7
    assert moved.link.stats.sent == 2  # one presence, one pong
    peer.link.send(ET.Element(PRESENCE, {"to": MOVED, "type": "subscribe", "from": f"u@{PEER}"}))
    await peer.link.request("get", MOVED, element(NS_PING, "ping"), timeout=5)
    assert moved.link.stats.sent == 5  # subscribed, presence, pong


async def test_wrong_secret(shared: LinkServer) -> None:
    moved = Runner(shared.port, secret="wrong")
    with pytest.raises(SecretRefused, match=r"secret.*moved\.link\.example"):
        await asyncio.wait_for(moved.link.run(), 10)
    assert not moved.link.connected
    await moved.link.stop()


async def test_unknown_component_is_explained_once(server: LinkServer) -> None:
    with capture_logs() as logs:
        async with Runner(server.port, "unknown.example", backoff_max=0.05) as moved:
            await server.wait_log(ATTEMPT, 3)
            assert not moved.link.connected
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "host-unknown" in warnings[0]["reason"]
    assert "no component of this name" in warnings[0]["remedy"]


async def test_conflict_is_retried(server: LinkServer) -> None:
    async with Runner(server.port) as first:
        await first.wait_up()
        with capture_logs() as logs:
            async with Runner(server.port, backoff_max=0.05) as second:
                await server.wait_log(ATTEMPT, 4)
                assert first.link.connected
                assert not second.link.connected
                await first.link.stop()
                await second.wait_up()
    conflicts = [entry for entry in logs if "conflict" in entry.get("reason", "")]
    assert [entry["log_level"] for entry in conflicts].count("warning") == 1


@pytest.mark.parametrize("kill", [False, True])
async def test_comes_back_after_a_restart(server: LinkServer, kill: bool) -> None:
    async with Runner(server.port) as moved:
        await moved.wait_up()
        await server.stop(kill=kill)
        await asyncio.wait_for(moved.down.get(), 10)
        assert not moved.link.connected
        with pytest.raises(LinkLost):
            await moved.link.request("get", MOVED, element(NS_PING, "ping"), timeout=5)
        with pytest.raises(LinkLost):
            moved.link.send(ET.Element(PRESENCE, {"to": PEER}))
        await server.start()
        await moved.wait_up()
        await moved.link.request("get", MOVED, element(NS_PING, "ping"), timeout=5)
        assert moved.link.stats.reconnects == 1


async def test_pending_requests_fail_at_once(server: LinkServer) -> None:
    async with Runner(server.port) as moved, Runner(server.port, PEER) as peer:
        await pending_requests_fail(server, await moved.wait_up(), await peer.wait_up())


async def pending_requests_fail(server: LinkServer, moved: Runner, peer: Runner) -> None:
    """Fifty of them, when the server is killed."""
    asked, never = asyncio.Event(), asyncio.Event()
    count = 0

    async def silent(_iq: ET.Element) -> None:
        nonlocal count
        count += 1
        if count == 50:
            asked.set()
        await never.wait()

    peer.link.route_iq("get", NS_TEST, "silent", silent)
    requests = [
        asyncio.create_task(
            moved.link.request("get", PEER, element(NS_TEST, "silent"), timeout=600)
        )
        for _ in range(50)
    ]
    await asyncio.wait_for(asked.wait(), 5)
    assert moved.link.stats.in_flight == 50
    await server.stop(kill=True)
    results = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 5)
    assert {type(result) for result in results} == {LinkLost}
    assert moved.link.stats.in_flight == 0
    never.set()


async def test_request_times_out(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair
    never = asyncio.Event()

    async def silent(_iq: ET.Element) -> None:
        await never.wait()

    peer.link.route_iq("get", NS_TEST, "silent", silent)
    with pytest.raises(RequestTimeout):
        await moved.link.request("get", PEER, element(NS_TEST, "silent"), timeout=0.05)
    assert moved.link.stats.in_flight == 0
    never.set()  # the late answer finds nobody, and does no harm
    await moved.link.request("get", PEER, element(NS_PING, "ping"), timeout=5)


async def test_what_cannot_be_sent_does_not_cost_the_stream(pair: tuple[Runner, Runner]) -> None:
    moved, _ = pair
    with pytest.raises(BadStanza):
        await moved.link.request("get", PEER, element(NS_TEST, "x", y="\x0b"), timeout=5)
    with pytest.raises(ValueError, match="not in the domain"):
        await moved.link.request(
            "get", PEER, element(NS_PING, "ping"), timeout=5, from_="u@elsewhere.example"
        )
    answer = await moved.link.request(
        "get", PEER, element(NS_PING, "ping"), timeout=5, from_=f"u@{MOVED}"
    )
    assert (answer.tag, answer.get("to")) == (IQ, f"u@{MOVED}")
    assert moved.link.connected


def nested(depth: int) -> ET.Element:
    top = found = element(NS_TEST, "deep")
    for _ in range(depth):
        found = ET.SubElement(found, f"{{{NS_TEST}}}deep")
    return top


async def test_nobody_can_end_the_session(narrow: tuple[Runner, Runner]) -> None:
    """Another component attacks with all that the server lets through."""
    moved, peer = narrow
    large = element(NS_TEST, "large")
    large.text = "'" * 100_000  # the server writes six bytes for each
    for payload in (nested(100), large):
        message = ET.Element(MESSAGE, {"to": MOVED})
        message.append(payload)
        peer.link.send(message)
        for kind in ("get", "set"):
            with pytest.raises(RemoteError) as refused:
                await peer.link.request(kind, MOVED, payload, timeout=10)
            assert (refused.value.condition, refused.value.type) == ("policy-violation", "modify")
    assert moved.link.stats.refused == 6

    # An answer with this id would be too large for the server.
    for payload in (element(NS_PING, "ping"), large):
        iq = ET.Element(IQ, {"to": MOVED, "type": "get", "id": "'" * 90_000})
        iq.append(payload)
        peer.link.send(iq)
    pong = await peer.link.request("get", MOVED, element(NS_PING, "ping"), timeout=10)
    assert pong.get("type") == "result"
    assert moved.link.stats.refused == 8
    assert moved.link.stats.sessions == peer.link.stats.sessions == 1
    assert moved.down.empty()


async def test_what_is_within_bounds_does_not_end_it_either(pair: tuple[Runner, Runner]) -> None:
    """The component takes more than the server does: an answer must not repeat it."""
    moved, peer = pair
    large = element(NS_TEST, "large")
    large.text = "'" * 100_000
    for id_ in ("'" * 90_000, "short"):
        iq = ET.Element(IQ, {"to": MOVED, "type": "get", "id": id_})
        iq.append(large)
        peer.link.send(iq)
    pong = await peer.link.request("get", MOVED, element(NS_PING, "ping"), timeout=10)
    assert pong.get("type") == "result"
    assert moved.link.stats.refused == 0
    assert moved.link.stats.sessions == peer.link.stats.sessions == 1
    assert moved.down.empty()


async def test_a_large_answer_fails_its_request(narrow: tuple[Runner, Runner]) -> None:
    moved, peer = narrow

    async def large(_iq: ET.Element) -> ET.Element:
        found = element(NS_TEST, "large")
        found.text = "'" * 100_000
        return found

    async def deep(_iq: ET.Element) -> ET.Element:
        return nested(100)

    peer.link.route_iq("get", NS_TEST, "large", large)
    peer.link.route_iq("get", NS_TEST, "deep", deep)
    for name in ("large", "deep"):
        with pytest.raises(RemoteError) as refused:
            await asyncio.wait_for(
                moved.link.request("get", PEER, element(NS_TEST, name), timeout=600), 10
            )
        assert refused.value.condition == "policy-violation"
    assert moved.link.stats.sessions == 1


async def test_stop_waits_for_handlers(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_iq: ET.Element) -> None:
        begun.set()
        await go.wait()

    moved.link.route_iq("get", NS_TEST, "slow", slow)
    early = asyncio.create_task(
        peer.link.request("get", MOVED, element(NS_TEST, "slow"), timeout=10)
    )
    await asyncio.wait_for(begun.wait(), 5)
    stopping = asyncio.create_task(moved.link.stop(5))
    with pytest.raises(RemoteError) as late:
        await peer.link.request("get", MOVED, element(NS_TEST, "slow"), timeout=10)
    assert (late.value.condition, late.value.type) == ("resource-constraint", "wait")
    go.set()
    assert (await early).get("type") == "result"
    await asyncio.wait_for(stopping, 5)
    assert moved.task is not None
    await asyncio.wait_for(moved.task, 5)
    assert await asyncio.wait_for(moved.down.get(), 1) == "closed by us"


async def test_stop_cancels_handlers_that_take_too_long(pair: tuple[Runner, Runner]) -> None:
    moved, peer = pair
    begun = asyncio.Event()

    async def stuck(_iq: ET.Element) -> None:
        begun.set()
        await asyncio.Event().wait()

    moved.link.route_iq("get", NS_TEST, "stuck", stuck)
    asked = asyncio.create_task(
        peer.link.request("get", MOVED, element(NS_TEST, "stuck"), timeout=10)
    )
    await asyncio.wait_for(begun.wait(), 5)
    await asyncio.wait_for(moved.link.stop(0.05), 5)
    with pytest.raises(RemoteError) as refused:
        await asked
    assert refused.value.condition == "resource-constraint"


async def test_reconnects_leave_no_tasks_behind(server: LinkServer) -> None:
    async with Runner(server.port, backoff_first=0.01, backoff_max=0.01) as moved:
        await moved.wait_up()
        before = len(asyncio.all_tasks())
        for _ in range(3):
            await server.stop(kill=True)
            await server.start()
            await moved.wait_up()
        assert len(asyncio.all_tasks()) <= before

"""A stage for tests of the hook itself: real servers, and a component that obeys the test."""

from __future__ import annotations

import asyncio
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import pytest

from tests.live.client import Client, RawComponent, Stream
from tests.live.servers.base import COMPONENT_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd
from tests.live.topology import Arrangement, Topology

NS_HOOK = "urn:xmpp-moved:hook:0"
HOOK = f"{{{NS_HOOK}}}"
FORWARDED = "{urn:xmpp:forward:0}forwarded"
ROSTER = "{jabber:iq:roster}"
CLIENT = "{jabber:client}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
HOST, CAPULET = "montague.example", "capulet.example"
ACCEPT = "{jabber:component:accept}"
TIMEOUT = 10.0

_numbers = count(1)


@dataclass
class Stage:
    """Both servers; on "montague" the hook, and ``component`` once it is connected."""

    topology: Topology
    stack: AsyncExitStack
    component: RawComponent = field(init=False)

    async def connect(self, domain: str = COMPONENT_HOST) -> RawComponent:
        """Connect the component, or a stranger; closed at the end of the test."""
        address = self.topology.servers["montague"].spec.address
        component = RawComponent(domain, domain, address)
        await component.open()
        self.stack.push_async_callback(component.close)
        if domain == COMPONENT_HOST:
            first, self.component = not hasattr(self, "component"), component
            if first:
                await self._forget_earlier()
        return component

    async def _forget_earlier(self) -> None:
        """What an earlier test left held is released when its stream ends, perhaps only now, and
        whoever is connected by then is told."""
        async with asyncio.timeout(TIMEOUT):
            while (await self.hello()).get("held") != "0":
                continue
        self.component.inbox.clear()

    def account(self, name: str, host: str = HOST) -> str:
        """Create an account that no other test has; return its bare JID."""
        jid = f"{name}{next(_numbers)}@{host}"
        server = self.topology.server_of(host)
        assert server is not None
        server.add_user(jid)
        return jid

    def roster(self, jid: str, *entries: RosterEntry) -> None:
        """Arrange a roster; before its owner's first login."""
        server = self.topology.server_of(jid.partition("@")[2])
        assert server is not None
        server.set_roster(jid, entries)

    def remove(self, jid: str) -> None:
        """Delete an account as its admin would."""
        server = self.topology.server_of(jid.partition("@")[2])
        assert server is not None
        server.remove_user(jid)

    async def device(self, jid: str, resource: str = "phone") -> Client:
        """An interested and available device; what connecting brought is forgotten."""
        client = await self.device_as_it_comes(jid, resource)
        await client.ping()
        client.inbox.clear()
        return client

    async def device_as_it_comes(self, jid: str, resource: str = "phone") -> Client:
        """The same that keeps what connecting brings: requests, and messages from storage."""
        server = self.topology.server_of(jid.partition("@")[2])
        assert server is not None
        noise = self.topology.kind.noise
        client = Client(jid, f"{jid}/{resource}", server.spec.address, noise=noise)
        await client.open()
        self.stack.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        return client

    async def watch(self, user: str, *what: str) -> None:
        """Let the component watch: "requests", "answers", "messages"."""
        answer = await self.component.request(watch(*what), kind="set", to=user)
        assert answer.get("type") == "result", ET.tostring(answer, "unicode")

    async def hello(self) -> ET.Element:
        """What the hook says of itself."""
        answer = await self.component.request(f"<hello xmlns='{NS_HOOK}'/>", to=HOST)
        hello = answer.find(f"{HOOK}hello")
        assert hello is not None, ET.tostring(answer, "unicode")
        return hello

    async def quiet(self, *streams: Stream) -> None:
        """What these sent has been processed, and what that made for the component is there."""
        for _ in range(2):
            for stream in (*streams, self.component):
                await stream.ping(to=HOST if isinstance(stream, RawComponent) else None)


@asynccontextmanager
async def on_stage(
    kind: Kind,
    hook: HookOptions,
    running: dict[tuple[str, Arrangement], Topology],
    factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """A stage on servers that all tests share (``running``), the component not yet connected.

    An ejabberd is told of other options of the hook while it runs, and brought back.
    """
    changed = {
        f"modules.mod_moved_hook.{name}": json.dumps(math.ceil(value))
        for name, value in (("timeout", hook.timeout), ("max_held", hook.max_held))
        if value is not None and kind.name.startswith("ejabberd")
    }
    arrangement = Arrangement(hook=HookOptions() if changed else hook)
    topology = running.get((kind.name, arrangement))
    if topology is None:
        topology = Topology(kind, arrangement, factory.mktemp(kind.name))
        try:
            await topology.start()
        except BaseException:
            await topology.stop()
            raise
        running[kind.name, arrangement] = topology
    async with AsyncExitStack() as stack:
        server = topology.servers["montague"]
        if changed:
            assert isinstance(server, Ejabberd)
            stack.callback(server.reload, {})
            server.reload(changed)
        yield Stage(topology, stack)


def kill_watcher(stage: Stage) -> None:
    """Have the process of an ejabberd that knows watches, and whom it asked about, start anew."""
    server = stage.topology.servers["montague"]
    assert isinstance(server, Ejabberd)
    server.evaluate(
        f"P = whereis('mod_moved_hook_watch_{HOST}'), R = monitor(process, P), exit(P, kill), "
        "receive {'DOWN', R, _, _, _} -> supervisor:count_children(ejabberd_gen_mod_sup) end."
    )


def watch(*what: str) -> str:
    """A ``<watch/>``."""
    flags = "".join(f" {name}='true'" for name in what)
    return f"<watch xmlns='{NS_HOOK}'{flags}/>"


def send(*presences: str, items: str = "") -> str:
    """A ``<send/>`` of what :func:`presence` makes."""
    return f"<send xmlns='{NS_HOOK}'>{items}{''.join(presences)}</send>"


def presence(kind: str, to: str, payload: str = "") -> str:
    """A presence as it stands in a ``<send/>``."""
    return f"<presence xmlns='jabber:client' type='{kind}' to='{to}'>{payload}</presence>"


def answer(component: RawComponent, request: ET.Element, payload: str = "") -> None:
    """Give a result."""
    component.send(
        f"<iq type='result' id='{request.get('id')}' from='{component.jid}'"
        f" to='{request.get('from')}'>{payload}</iq>"
    )


async def block(client: Client, *jids: str) -> None:
    """Block these as the user of this device (XEP-0191)."""
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    answer = await client.request(f"<block xmlns='urn:xmpp:blocking'>{items}</block>", kind="set")
    assert answer.get("type") == "result", ET.tostring(answer, "unicode")


def notification(to: str, old: str, more: str = "") -> str:
    """A moved notification (XEP-0283 4.2)."""
    moved = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved>"
    return f"<presence type='subscribe' to='{to}'>{moved}{more}</presence>"


async def outcome(component: RawComponent) -> tuple[str | None, str | None]:
    """State and reason of the next outcome."""
    found = (await take(component, f"{HOOK}outcome")).find(f"{HOOK}outcome")
    assert found is not None
    return found.get("state"), found.get("reason")


async def take(stream: Stream, path: str) -> ET.Element:
    """The next stanza that holds ``path`` (see ``Element.find``); those before are dropped."""
    while await stream.wait_for_inbox(1, TIMEOUT):
        element = stream.inbox.pop(0).element
        if element.find(path) is not None:
            return element
    raise AssertionError(f"{stream.name} got no {path}")


async def take_presence(stream: Stream, kind: str, sender: str) -> ET.Element:
    """The next presence of a type from a bare JID; what comes before it is dropped."""
    while await stream.wait_for_inbox(1, TIMEOUT):
        element = stream.inbox.pop(0).element
        bare = element.get("from", "").partition("/")[0]
        if element.tag == f"{CLIENT}presence" and (element.get("type"), bare) == (kind, sender):
            return element
    raise AssertionError(f"{stream.name} got no {kind} of {sender}")


def held(stream: Stream, path: str) -> Sequence[ET.Element]:
    """What lies in the inbox and holds ``path``."""
    found = (received.element.find(path) for received in stream.inbox)
    return [element for element in found if element is not None]


def entries(parent: ET.Element | None) -> dict[str, tuple[str | None, str | None]]:
    """Subscription and ask of the roster items in an element, by JID."""
    assert parent is not None
    return {
        item.get("jid", ""): (item.get("subscription"), item.get("ask"))
        for item in parent.findall(f"{ROSTER}item")
    }

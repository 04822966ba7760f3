"""RFC 6121 appendix A on a real server: what the hook sends as a user does to the roster, and to
the addressee, what the server's own code does when the user's client sends it.

Every state of a roster entry, every subscription presence; the same with client and hook.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from component.core.model import PresenceKind, Subscription
from component.core.roster import Entry, outbound
from tests.live.client import Client, RawComponent
from tests.live.hooked import on_stage
from tests.live.servers.base import HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.shared import kinds
from tests.live.topology import Arrangement, Topology

pytestmark = kinds(group="hook")

HOST, OTHER = "montague.example", "verona.example"
_numbers = count(1)

# (subscription, ask, a request of the contact is pending): the nine states of appendix A.1.
STATES = [
    ("none", False, False),
    ("none", True, False),
    ("none", False, True),
    ("none", True, True),
    ("to", False, False),
    ("to", False, True),
    ("from", False, False),
    ("from", True, False),
    ("both", False, False),
]


@pytest.fixture
async def stage(
    kind: Kind,
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Topology, RawComponent]]:
    """A server with the hook, and a component that obeys the test."""
    async with on_stage(kind, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        yield stage.topology, await stage.connect()


class Pair:
    """A user with two interested devices and a contact online, the entry between them arranged."""

    def __init__(self, topology: Topology, state: tuple[str, bool, bool]) -> None:
        number = next(_numbers)
        server = topology.servers["montague"]
        self.user, self.contact = f"u{number}@{HOST}", f"c{number}@{OTHER}"
        subscription, ask, pending = state
        mirrored = {"none": "none", "to": "from", "from": "to", "both": "both"}[subscription]
        for jid in (self.user, self.contact):
            server.add_user(jid)
        mine = RosterEntry(self.contact, subscription, ask=ask, pending=pending)
        theirs = RosterEntry(self.user, mirrored, ask=pending, pending=ask)
        server.set_roster(self.user, [mine])
        server.set_roster(self.contact, [theirs])
        make = {"address": server.spec.address, "noise": topology.kind.noise}
        self.device = Client("device", f"{self.user}/a", **make)  # type: ignore[arg-type]
        self.peer = Client("peer", f"{self.contact}/a", **make)  # type: ignore[arg-type]

    async def __aenter__(self) -> Pair:
        for client in (self.peer, self.device):
            await client.open()
            await client.roster()
            client.send("<presence/>")
        await self.quiet()
        for client in (self.peer, self.device):
            client.inbox.clear()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(self.peer.close(), self.device.close())

    async def quiet(self) -> None:
        """Everything that was sent has arrived (one server: each ping flushes it in order)."""
        for _ in range(2):
            for client in (self.device, self.peer):
                await client.ping()

    async def result(self) -> dict[str, Any]:
        """What can be seen afterwards, on both sides."""
        await self.quiet()
        pushes = [_push(r.element) for r in self.device.inbox if r.element.tag.endswith("}iq")]
        told = [
            r.element.get("type", "available")
            for r in self.peer.inbox
            if r.element.tag.endswith("}presence")
        ]
        return {
            "mine": _entries(await self.device.roster()).get(self.contact),
            "theirs": _entries(await self.peer.roster()).get(self.user),
            "pushes": pushes,
            "told": told,
        }


def _item(element: ET.Element) -> tuple[str, bool]:
    return element.get("subscription", "none"), element.get("ask") == "subscribe"


def _entries(query: ET.Element) -> dict[str, tuple[str, bool]]:
    return {item.get("jid", ""): _item(item) for item in query}


def _push(iq: ET.Element) -> tuple[str, bool]:
    return _item(iq[0][0])


@pytest.mark.parametrize("sent", list(PresenceKind), ids=lambda k: k.value)
async def test_the_hook_sends_as_the_server_would(
    stage: tuple[Topology, RawComponent], sent: PresenceKind
) -> None:
    topology, component = stage
    wrong: list[str] = []
    for state in STATES:
        subscription, ask, pending = state
        # What we send answers a request that is held and so on no roster: for the client the same
        # request has to be pending.
        stock_state = state
        if sent is PresenceKind.SUBSCRIBED and subscription in ("none", "to"):
            stock_state = (subscription, ask, True)
        async with Pair(topology, stock_state) as pair:
            pair.device.send(f"<presence type='{sent}' to='{pair.contact}'/>")
            stock = await pair.result()
        async with Pair(topology, stock_state if pending else state) as pair:
            presence = f"<presence xmlns='jabber:client' type='{sent}' to='{pair.contact}'/>"
            answer = await component.request(
                f"<send xmlns='urn:xmpp-moved:hook:0'>{presence}</send>",
                kind="set",
                to=pair.user,
            )
            assert answer.get("type") == "result", ET.tostring(answer, "unicode")
            ours = await pair.result()
        rfc = outbound(Entry(Subscription(subscription), ask), sent)
        mine = ours["mine"] or ("none", False)
        if mine != (rfc.subscription.value, rfc.ask):
            wrong.append(f"{state}: {mine} instead of {rfc} as RFC 6121 has it")
        changed = rfc != Entry(Subscription(subscription), ask)
        if len(ours["pushes"]) != (1 if changed else 0):
            wrong.append(f"{state}: pushes {ours['pushes']}")
        if f"stock-{sent}" in topology.kind.excused:
            continue  # the server's own way is not that of the RFC
        if ours["mine"] != stock["mine"]:
            wrong.append(f"{state}: {mine} where the server makes {stock['mine']}")
        hidden = ours["mine"] is None  # None + Pending In: some servers hide the entry
        if changed and not hidden and ours["pushes"] != stock["pushes"]:
            wrong.append(f"{state}: pushes {ours['pushes']}, the server's {stock['pushes']}")
        # The contact of a request that we hold was told nothing before; else both see the same.
        if stock_state == state and subscription not in ("from", "both"):
            if ours["theirs"] != stock["theirs"]:
                wrong.append(f"{state}: contact has {ours['theirs']}, stock {stock['theirs']}")
            if ours["told"] != stock["told"]:
                wrong.append(f"{state}: contact was told {ours['told']}, stock {stock['told']}")
    assert not wrong, "\n".join(wrong)


async def test_a_move_costs_one_save(stage: tuple[Topology, RawComponent], kind: Kind) -> None:
    if not kind.name.startswith("prosody"):
        pytest.skip("ejabberd writes the rows that changed, in one transaction")
    topology, component = stage
    log = topology.servers["montague"].log_path

    def saves(pair: Pair) -> int:
        return log.read_text().count(f"Roster of {pair.user.partition('@')[0]} saved")

    async with Pair(topology, ("both", False, False)) as pair:
        new = f"new-{pair.contact}"
        topology.servers["montague"].add_user(new)
        pair.device.send(
            f"<presence type='subscribed' to='{new}'/>"
            f"<presence type='unsubscribed' to='{pair.contact}'/>"
            f"<presence type='subscribe' to='{new}'/>"
        )
        await pair.quiet()
        assert saves(pair) == 3
    async with Pair(topology, ("both", False, False)) as pair:
        new = f"new-{pair.contact}"
        topology.servers["montague"].add_user(new)
        answer = await component.request(
            "<send xmlns='urn:xmpp-moved:hook:0'>"
            f"<presence xmlns='jabber:client' type='subscribed' to='{new}'/>"
            f"<presence xmlns='jabber:client' type='unsubscribed' to='{pair.contact}'/>"
            f"<presence xmlns='jabber:client' type='subscribe' to='{new}'/></send>",
            kind="set",
            to=pair.user,
        )
        assert answer.get("type") == "result"
        await pair.quiet()
        assert saves(pair) == 1
        assert len(pair.device.inbox) == 3

"""The other server of a hand-over: its component is played by the engine's own two sides."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from component.account import model
from component.account.handover import Manifest
from component.account.parcels import NODE, RECEIPT_NODE, chunk_id
from component.core.journey.handover import HandoverState
from component.core.journey.model import Access
from component.core.model import RosterItem, Subscription
from component.engine.belongings import asks
from component.engine.belongings.read import look
from component.engine.handover.give import Giver
from component.engine.handover.take import Taker
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from sim.model_server import FakeServer
from tests.unit.engine.movers.mover_stage import FAR, NEW, OLD, Stage, opened

FAR_HOSTS = ("far.example", "farther.example")
NURSE, STRANGER, TYBALT = "nurse@d1.example", "stranger@d2.example", "tybalt@d3.example"
PROFILE = model.VcardTemp(model.Xml('<vCard xmlns="vcard-temp"><FN>Rómeo 🌹</FN></vCard>'))
ROOMS = model.PepNode("urn:example:rooms", (("pubsub#access_model", ("open",)),))
ROOM = model.PepItem("urn:example:rooms", "1", model.Xml('<x xmlns="urn:example:x"/>'))
THINGS: Sequence[model.Piece] = (model.Blocked(TYBALT), PROFILE, ROOMS, ROOM)
"""What an account has beside contacts."""


class Elsewhere:
    """The wire of a component that serves the other server."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Ask."""
        return self._server.answer(FAR_HOSTS, to, payload)


class Far:
    """Accounts there, and both sides of hand-overs."""

    def __init__(self, stage: Stage) -> None:
        self._server = stage.server
        self._clock = stage.clock
        wire = Elsewhere(stage.server)
        self.accounts = Accounts(wire, Hook(wire))
        self.giver = Giver(self.accounts, stage.clock)

    def taker(self, new: str = FAR) -> Taker:
        """Who fetches OLD's parcel there."""
        return Taker(self.accounts, self._clock, OLD, new)

    async def say(self, new: str = NEW) -> None:
        """FAR states where it went, for its contacts to read."""
        readers = [new, *self._server.rosters[FAR]]
        await self.accounts.publish(FAR, new, Access.WHITELIST, readers)

    async def pack(self) -> Manifest:
        """FAR has things, and a contact in name only; it moves to NEW, and hands them over."""
        known = RosterItem(STRANGER, Subscription.NONE, False, "Known", ("Ä",))
        self._server.rosters[FAR][STRANGER] = known
        await put(self.accounts, FAR)
        await self.say()
        return (await self.giver.offer(FAR, NEW)).manifest

    def chunk(self, manifest: Manifest, number: int = 0) -> ET.Element:
        """The payload of a chunk that FAR offers, for a test to change."""
        item = self._server.things.of(FAR).nodes[NODE].items[chunk_id(manifest.id, number)]
        return item[0]


async def put(accounts: Accounts, jid: str) -> None:
    """Put ``THINGS`` into an account, as its owner's client does."""
    for piece in THINGS:
        match piece:
            case model.Blocked(blocked):
                payload = asks.block([blocked])
            case model.VcardTemp(element):
                payload = asks.element(element)
            case model.PepNode():
                payload = asks.create(piece)
            case model.PepItem():
                payload = asks.publish(piece)
            case _:
                raise TypeError(piece)
        await accounts.query(jid, "set", payload)


async def things_of(accounts: Accounts, jid: str) -> list[model.Piece]:
    """What of ``THINGS``, or like them, an account has."""
    found = (await look(accounts, jid)).pieces
    ours = (NODE, RECEIPT_NODE)
    return [
        piece
        for piece in found
        if not isinstance(piece, model.Identity | model.Contact)
        and getattr(piece, "node", "") not in ours
    ]


async def state_of(stage: Stage, id: int) -> HandoverState | None:
    """How far the hand-over of a journey is."""
    known = await stage.store.handovers.get(id)
    return known.state if known is not None else None


@asynccontextmanager
async def two(folder: Path, **changes: Any) -> AsyncIterator[tuple[Stage, Far]]:
    """A stage with hand-overs, an OLD that has things, and the other server with an account."""
    async with opened(folder, **{"carry": True, **changes}) as stage:
        stage.server.add(FAR)
        await put(stage.accounts, OLD)
        yield stage, Far(stage)

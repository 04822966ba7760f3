"""Our own link to a test server's hook, in the process of the test: what the engine works with."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp.errors import LinkLost
from component.xmpp.link import Link, LinkSettings
from tests.live.servers.base import COMPONENT_PORT, COMPONENT_SECRET, Server


class Wire:
    """A link that can be lost before a certain request, and counts those that leave."""

    def __init__(self, link: Link) -> None:
        self.count = 0
        self._link = link
        self._left: int | None = None

    def lose_after(self, requests: int | None) -> None:
        """Let so many more leave, and then none; None: as many as there are."""
        self._left = requests

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Ask.  :raises LinkLost: it is lost."""
        if self._left == 0:
            raise LinkLost("cut by the test")
        if self._left is not None:
            self._left -= 1
        self.count += 1
        return await self._link.request(kind, to, payload, timeout=timeout)


class Side:
    """What the engine works with on one server."""

    def __init__(self, link: Link) -> None:
        self.wire = Wire(link)
        self.accounts = Accounts(self.wire, Hook(self.wire))


STANZA_BYTES = 8 * 1024 * 1024
"""A roster of 10,000 contacts comes in one stanza."""


@asynccontextmanager
async def linked(server: Server, component: str) -> AsyncIterator[Side]:
    """Connect as this component, for the length of a ``with`` block."""
    up = asyncio.Event()

    async def greet() -> None:
        for host in server.spec.hosts:
            await Hook(link).hello(host)
        up.set()

    settings = LinkSettings(
        component,
        COMPONENT_SECRET,
        host=server.spec.address,
        port=COMPONENT_PORT,
        stanza_bytes=STANZA_BYTES,
    )
    link = Link(settings, on_up=greet)
    running = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(up.wait(), 20.0)
        yield Side(link)
    finally:
        await link.stop(1.0)
        await asyncio.wait({running})

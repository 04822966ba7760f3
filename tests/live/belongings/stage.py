"""A server with the hook, our link to it, a journal, and copies between two of its accounts.

The tests share the server; link, journal and accounts are each test's own.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

from component.account.model import Blocked, Identity, Piece
from component.core.belongings.report import Report
from component.core.journey.model import Journey, JourneyState, Kind, Problem, Refused
from component.engine.belongings import asks
from component.engine.belongings.copies import Copies
from component.engine.belongings.ports import FromMove
from component.engine.belongings.read import look
from component.engine.clock import SystemClock
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.store import Store
from component.xmpp.link import Link, LinkSettings
from tests.live.account.servers import HOSTS, House
from tests.live.servers.base import COMPONENT_PORT, COMPONENT_SECRET
from tests.live.servers.differences import Kind as ServerKind

MOVED = f"moved.{HOSTS[0]}"
MOVE = FromMove(7)
STANZA_BYTES = 8 * 1024 * 1024
"""Rosters of 10,000 contacts come in one stanza."""


class Wire:
    """The link, with a count of what was asked."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.count = 0
        self._asked = asyncio.Condition()

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Ask."""
        async with self._asked:
            self.count += 1
            self._asked.notify_all()
        return await self._link.request(kind, to, payload, timeout=timeout)

    async def reach(self, more: int) -> None:
        """Wait until so many more questions have been asked."""
        target = self.count + more
        async with self._asked:
            await self._asked.wait_for(lambda: self.count >= target)


class Stage:
    """Use as an async context manager.

    Args:
        house: a server that runs, see :func:`hooked`.
        folder: gets the journal.
    """

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self._url = f"sqlite+aiosqlite:///{folder / 'moved.db'}"
        self._stack = AsyncExitStack()
        self._up = asyncio.Event()

    async def __aenter__(self) -> Stage:
        self._stack.push_async_callback(self.house.log_out)
        self.old = self.house.account("jülïet", HOSTS[0])
        self.new = self.house.account("джульетта", HOSTS[1])
        await self._connect()
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._stack.aclose()

    async def _connect(self) -> None:
        settings = LinkSettings(
            MOVED,
            COMPONENT_SECRET,
            host=self.house.server.spec.address,
            port=COMPONENT_PORT,
            stanza_bytes=STANZA_BYTES,
            silence_timeout=120.0,  # of a busy machine with a roster of 10,000 contacts
        )
        self.link = Link(settings, on_up=self._greet)
        self.wire = Wire(self.link)
        self.hook = Hook(self.wire, timeout=120.0)
        self.accounts = Accounts(self.wire, self.hook, timeout=120.0)
        running = asyncio.create_task(self.link.run())
        self._stack.push_async_callback(asyncio.wait, {running})
        self._stack.push_async_callback(self.link.stop, 1.0)
        await asyncio.wait_for(self._up.wait(), 20.0)

    async def _greet(self) -> None:
        self.hellos = [await self.hook.hello(host) for host in HOSTS]
        self._up.set()

    async def open(self) -> None:
        """Open the journal, as a start does."""
        self.store = await Store.open(self._url)
        self.copies = Copies(
            accounts=self.accounts,
            hook=self.hook,
            store=self.store.belongings,
            clock=SystemClock(),
            serves=lambda jid: jid.rpartition("@")[2] in HOSTS,
            proven=self._proven,
        )

    async def close(self) -> None:
        """End all work at once, and close the journal."""
        await self.copies.stop()
        await self.store.close()

    async def things(self, jid: str) -> list[Piece]:
        """What an account has, as the component reads it."""
        pieces = (await look(self.accounts, jid)).pieces
        return [piece for piece in pieces if not isinstance(piece, Identity)]

    async def block(self, jid: str, blocked: Sequence[Blocked]) -> None:
        """Keep these out of an account."""
        await self.accounts.query(jid, "set", asks.block(one.jid for one in blocked))

    async def copy(self, *, overwrite: bool = False) -> Report:
        """Preview, start, and what became of it."""
        seen = await self.copies.preview(self.new.jid, MOVE)
        await self.copies.start(self.new.jid, seen.job.id, overwrite=overwrite)
        await self.copies.done(seen.job.id)
        return await self.copies.report(self.new.jid, seen.job.id)

    async def undo(self, report: Report) -> Report:
        """Take a copy back, and what became of it."""
        await self.copies.undo(self.new.jid, report.job.id)
        await self.copies.done(report.job.id)
        return await self.copies.report(self.new.jid, report.job.id)

    async def _proven(self, asker: str, id: int) -> Journey:
        """The one move there is: whose accounts are whose is another test's."""
        old, new = self.old.jid, self.new.jid
        if asker not in (old, new) or id != MOVE.journey:
            raise Refused(Problem.NOT_YOURS, id=str(id))
        now = SystemClock().now()
        return Journey(id, Kind.BOTH, old, new, old, JourneyState.DRAFT, None, now)


def hooked(kind: ServerKind, folder: Path, extra: Mapping[str, str] | None = None) -> House:
    """A server for :class:`Stage`, not started yet.  ``extra`` are options of it."""
    return House(kind, folder, extra, component=MOVED)

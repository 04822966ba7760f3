"""Scenes in which the server dies before the component starts: what it held is forgotten."""

from __future__ import annotations

import asyncio

from tests.live.crash.following import SEEN, Move
from tests.live.crash.points import Target
from tests.live.faults.house import until
from tests.live.servers.base import Fault


class Forgotten(Move):
    """The server dies while it holds requests: the journal gives them back."""

    async def enter(self) -> None:
        """The requests are held; server and component are killed, and the server returns."""
        await super().enter()
        server, daemon = self.theatre.house.server, self.theatre.daemon
        server.set_fault(self.old.jid, Fault("silent"))
        await daemon.begin()
        await self.send()

        for contact in self.contacts:
            await daemon.journal_says(contact.jid, lambda moves: bool(moves), "it is written down")
        await self.restart_server()
        server.set_fault(self.old.jid, None)
        await self.cast.enter(self.new, *self.near)

    async def restart_server(self) -> None:
        """SIGKILL for both; only the server comes back.

        The server first: it would release, and show, what it holds for a component that is gone.
        """
        self.server_died = True
        await self.theatre.house.server.kill()
        await self.theatre.daemon.kill()
        await asyncio.gather(*(person.log_out() for person in self.cast.people.values()))
        await self.theatre.house.server.start()

    async def approve_the_rest(self) -> None:
        """See :class:`Move`; the mover's own entry may be gone with the server."""

    async def agree(self) -> None:
        """What the killed server had not written down is gone: see docs/lab/faults.md."""


class Half(Forgotten):
    """The server dies after it did what the verdict said: the plan is sent once more."""

    async def enter(self) -> None:
        """The component dies when the verdict has left, the server when it is carried out."""
        await Move.enter(self)
        daemon = self.theatre.daemon
        await daemon.begin(Target("after answer take"))
        self.contacts = self.near[:1]
        await self.send()
        await daemon.ended()

        async def followed() -> bool:
            return (await self.fate(self.near[0]))[0]

        await until(followed, "followed", SEEN, self.story)
        await self.restart_server()
        await self.cast.enter(self.new, *self.near)

"""The model server's world with distances: stanzas need their time, servers go and come back."""

from __future__ import annotations

import asyncio

from bench.movers.tally import Tally
from bench.movers.town import Town
from component.core import jids
from component.core.model import PresenceKind
from sim.model_server import FakeServer
from sim.model_world import Manner, World

BOUNCE_SECONDS = 30.0
"""How long our server tries to reach one that is down before it bounces a stanza."""


class Network(World):
    """Carries stanzas at each domain's own speed, and writes down every notification."""

    def __init__(self, server: FakeServer, town: Town) -> None:
        super().__init__(server)
        self.town = town
        self.tally = Tally()
        self.hesitates: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._links: dict[tuple[str, str], float] = {}
        for domain in town.domains.values():
            for start, end in domain.outages:
                self._loop.call_later(start, self.down.add, domain.name)
                if end < 1e9:
                    self._loop.call_later(end, self.down.discard, domain.name)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._begin

    def post(self, sender: str, kind: PresenceKind | str, to: str, old: str | None = None) -> None:
        """Put a stanza on its way; two of the same pair never overtake each other."""
        if old is not None:
            self.tally.left(sender, to, self.now)
        theirs = self.town.domains.get(jids.domain(to)) or self.town.domains.get(
            jids.domain(sender)
        )
        delay = theirs.delay if theirs is not None else 0.01
        if not isinstance(kind, PresenceKind) and kind.startswith("remote-server"):
            delay = BOUNCE_SECONDS
        arrives = max(self._loop.time() + delay, self._links.get((sender, to), 0.0) + 1e-3)
        self._links[sender, to] = arrives
        self._loop.call_at(arrives, self._queue.put_nowait, (sender, kind, to, old))

    async def _asked(self, sender: str, to: str, old: str | None) -> None:
        waiting = sender in self.pending.get(to, ())
        known = self.server.entry(to, sender)
        granted = known is not None and known.subscription.grants
        await super()._asked(sender, to, old)
        if old is not None and to not in self.errors and not waiting and not granted:
            # An ordinary server answers for who has accepted, and shows no second request.
            self.tally.arrived(sender, to, self.now)

    def _decide(self, contact: str, sender: str, manner: Manner | None) -> None:
        if manner in (None, Manner.SILENT):
            return
        decide = super()._decide

        def look() -> None:
            if sender in self.pending.get(contact, ()):
                decide(contact, sender, manner)

        self._loop.call_later(self.hesitates.get(contact, 0.0), look)

"""A mover with two hundred contacts: bots behind s2s, neighbours behind the hook, and ordinary
people on another server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from component.core.records import MoveState
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.guides import GUIDES, PASTED, code_of
from tests.live.movers.moves import check_views, is_of, progress_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.readings import Proof
from tests.live.movers.world import House, Settings, World

SETTINGS: Settings = (
    ("movers.per_mover_per_second", 40.0),
    ("movers.retry_hours", [1, 1, 1]),
    ("movers.pending_minutes", 0.3),
    ("movers.look_seconds", 1.0),
    ("limits.per_domain_per_minute", 6000),
)
"""No retry comes due within a test: whatever reaches a contact twice was sent twice."""
BOTS, NEIGHBOURS, FRIARS = 170, 25, 5
ELSEWHERE = BOTS + FRIARS
TOTAL = ELSEWHERE + NEIGHBOURS
LONG = 240.0


class Crowd:
    """The mover and the contacts.

    Args:
        new_host: of the new account; the old one is at montague.example.
    """

    def __init__(self, world: World, cast: Cast, new_host: str = "verona.example") -> None:
        self.world = world
        self.cast = cast
        self.old = cast.person("old", "montague.example")
        self.new = cast.person("new", new_host)
        self.bots = Bots(cast)
        self.names = [self.bots.jid(f"b{n:03}-{cast.token}") for n in range(BOTS)]
        self.neighbours = [
            cast.person(
                f"n{n}",
                ("montague.example", "verona.example")[n % 2],
                manner=Manner.APPROVES,
            )
            for n in range(NEIGHBOURS)
        ]
        self.friars = [
            cast.person(f"f{n}", "mantua.example", manner=Manner.APPROVES, reads=True)
            for n in range(FRIARS)
        ]
        for name in self.names:
            cast.friends(self.old, name)
        for person in (*self.neighbours, *self.friars):
            cast.friends(self.old, person, called="Juliet")
        cast.arrange()

    @property
    def home(self) -> House:
        """The server of the new account: its component tells the contacts."""
        return self.world.house_of(self.new.jid)

    @property
    def left(self) -> House:
        """The server of the old account and of the neighbours."""
        return self.world.house_of(self.old.jid)

    @property
    def everybody(self) -> list[str]:
        """All contacts."""
        return [*self.names, *(person.jid for person in (*self.neighbours, *self.friars))]

    @property
    def proofs(self) -> list[Proof]:
        """What everybody elsewhere read when they were told."""
        return [*self.bots.proofs, *(proof for friar in self.friars for proof in friar.proofs)]

    async def enter(self) -> None:
        """Bots, a few neighbours and the friars come online, and the mover."""
        await self.bots.open()
        await self.cast.enter(self.old, self.new, *self.neighbours[:5], *self.friars)

    async def begin(self) -> None:
        """Order the move: from one server to another the list is pasted, as it was given."""
        ask_old = GUIDES["chat"](self.old, self.left.component)
        if self.left is self.home:
            code = code_of(self.new, self.home.component)
            said = await ask_old.order("away", new=self.new.jid, code=code)
        else:
            await ask_old.order("away", new=self.new.jid)
            pasted = await self.old.hears(PASTED, sender=self.left.component)
            ask_new = GUIDES["chat"](self.new, self.home.component)
            said = await ask_new.order("arrive", old=self.old.jid, list=pasted.body)
        assert "has begun" in said

    @property
    def told(self) -> int:
        """Notifications that contacts elsewhere have seen."""
        return len(self.bots.notifications) + sum(len(f.notifications) for f in self.friars)

    async def until_told(self, count: int) -> None:
        """Wait until so many contacts elsewhere have seen a notification."""
        await self.bots.until(lambda: self.told >= count, f"{count} are told", LONG)

    async def finish(self) -> None:
        """Everybody comes online, as they will; wait for the end of the move."""
        absent = [person for person in self.neighbours if not person.online]
        await asyncio.gather(*(person.log_in() for person in absent))
        async with self.home.orders.watch() as watch:
            progress = await progress_of(self.home, self.old, self.new)
            if progress["journey"]["state"] != "done":
                await until(watch, self.old, self.new, ("done",), timeout=LONG)
                watch.check_totals(TOTAL, is_of(self.old, self.new))

    async def check(self, half_way: int = 0) -> None:
        """See that everybody was asked, told once at most, and only with a statement to read.

        ``half_way``: so many neighbours may still wait for the approval of their way back.
        """
        await self.bots.until_proven()
        assert self.bots.asked == {(name, self.new.jid) for name in self.names}
        twice = {bot: count for bot, count in self.bots.counts.items() if count > 1}
        assert not twice, twice
        for friar in self.friars:
            assert len(friar.notifications) <= 1, friar
            assert friar.requests, friar
        assert len(self.proofs) == self.told
        missed = [proof for proof in self.proofs if not proof.holds]
        assert not missed, missed
        waiting = [await self._check_neighbour(neighbour) for neighbour in self.neighbours]
        assert sum(waiting) <= half_way, waiting
        # A way back that came while nobody watched is shown to the mover, and approved without
        # them as soon as the component is back: the mover's client here never answers any.
        wanted = dict.fromkeys(self.everybody, "mutual")
        await check_views(self.home, self.old, self.new, wanted, "done")
        await self.cast.settled()
        roster = await self.new.roster()
        assert {jid: (entry.subscription, entry.ask) for jid, entry in roster.items()} == (
            dict.fromkeys(self.everybody, ("both", False))
        )

    async def _check_neighbour(self, neighbour: Person) -> bool:
        """Followed by their server; or, where the component was dead at that moment, shown one
        ordinary request.  Returns whether their way back waits for its approval."""
        moves = await self.left.running_daemon.moves(neighbour.jid)
        followed = [move for move in moves if move.state is MoveState.DONE]
        assert {(move.old, move.new) for move in moves} <= {(self.old.jid, self.new.jid)}
        assert len(followed) + len(neighbour.notifications) == 1, (moves, neighbour.notifications)
        roster = await neighbour.roster()
        entry = roster[self.new.jid]
        waits = (entry.subscription, entry.ask) == ("from", True)
        if followed:
            roster[self.new.jid] = (
                replace(entry, subscription="both", ask=False) if waits else entry
            )
            wanted = after_follow(self.cast.arranged(neighbour), self.old.jid, self.new.jid)
            differs = compare({neighbour.jid: wanted}, {neighbour.jid: roster})
            assert not differs, differs
        return waits

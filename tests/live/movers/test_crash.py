"""Two hundred contacts, and everything is killed on the way: nobody is told twice or forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from component.core.records import MoveState
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, PASTED, code_of
from tests.live.movers.moves import check_views, is_of, progress_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.world import House, Settings, World
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind

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
POINTS = 50
LONG = 240.0
QUIET = 3.0
"""Seconds after which no progress line is awaited any more."""


class Crowd:
    """A mover with two hundred contacts: bots behind s2s, neighbours behind the hook, and
    ordinary people on another server."""

    def __init__(self, world: World, cast: Cast) -> None:
        self.world = world
        self.cast = cast
        self.old = cast.person("old", "montague.example")
        self.new = cast.person("new", "verona.example")
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
        """The mover's server."""
        return self.world.houses["montague"]

    async def enter(self) -> None:
        """Bots, a few neighbours and the friars come online, and the mover."""
        await self.bots.open()
        await self.cast.enter(self.old, self.new, *self.neighbours[:5], *self.friars)

    async def begin(self) -> None:
        """Order the move."""
        said = await GUIDES["chat"](self.old, COMPONENT_HOST).order(
            "away", new=self.new.jid, code=code_of(self.new, COMPONENT_HOST)
        )
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
                watch.check_totals(TOTAL)

    async def check(self) -> None:
        """See that everybody was told exactly once, after the statement could be read."""
        await self.bots.until_proven()
        assert self.bots.counts == Counter((name, self.new.jid) for name in self.names)
        for friar in self.friars:
            assert len(friar.notifications) == 1, friar
        proofs = [*self.bots.proofs, *(proof for friar in self.friars for proof in friar.proofs)]
        assert not [proof for proof in proofs if not proof.holds]
        for neighbour in self.neighbours:
            await self._check_neighbour(neighbour)
        # A way back that came while nobody watched is shown to the mover, and approved without
        # them as soon as the component is back: the mover's client here never answers any.
        everybody = [*self.names, *(p.jid for p in (*self.neighbours, *self.friars))]
        await check_views(self.home, self.old, self.new, dict.fromkeys(everybody, "mutual"), "done")
        await self.cast.settled()
        roster = await self.new.roster()
        assert {jid: (entry.subscription, entry.ask) for jid, entry in roster.items()} == (
            dict.fromkeys(everybody, ("both", False))
        )

    async def _check_neighbour(self, neighbour: Person) -> None:
        """Followed by their server; or, where the component was dead at that moment, shown one
        ordinary request."""
        moves = await self.home.running_daemon.moves(neighbour.jid)
        followed = [move for move in moves if move.state is MoveState.DONE]
        assert {(move.old, move.new) for move in moves} <= {(self.old.jid, self.new.jid)}
        assert len(followed) + len(neighbour.notifications) == 1, (moves, neighbour.notifications)
        if followed:
            wanted = after_follow(self.cast.arranged(neighbour), self.old.jid, self.new.jid)
            assert compare({"": wanted}, {"": await neighbour.roster()}) == ""


async def kill_and_restart(house: House) -> None:
    """SIGKILL for the component, and a new one that is ready."""
    await house.running_daemon.kill()
    await house.running_daemon.start()


async def next_progress(crowd: Crowd, lines: int) -> None:
    """Return after so many more progress lines of the move; or when there seem to be no more."""
    picks = is_of(crowd.old, crowd.new)
    with contextlib.suppress(TimeoutError):
        async with crowd.home.orders.watch() as watch, asyncio.timeout(QUIET):
            await watch.until(
                lambda _: sum(map(picks, watch.lines)) > lines, f"{lines} progress lines", LONG
            )


@pytest.mark.parametrize("seed", [1597])
async def test_the_component_is_killed_at_fifty_points(
    kind: Kind, world_for: WorldFor, seed: int
) -> None:
    """Half of the points are the n-th notification that a contact sees, half the n-th progress
    line, from the publication of the statement to the last answers."""
    dice = random.Random(seed)
    settings = (*SETTINGS, ("movers.per_mover_per_second", 4.0))
    world = await world_for(kind, names=("montague", "mantua"), settings=settings, own=True)
    async with Cast(world) as cast:
        crowd = Crowd(world, cast)
        await crowd.enter()
        await crowd.begin()
        for point in range(POINTS):
            if point % 2 and crowd.told < ELSEWHERE:
                await crowd.until_told(min(crowd.told + dice.randint(1, 6), ELSEWHERE))
            else:
                await next_progress(crowd, dice.randint(1, 3))
            await kill_and_restart(crowd.home)
        await crowd.finish()
        await crowd.check()


@pytest.mark.parametrize("early", [0.0, 0.02, 0.1, 0.3])
async def test_the_component_is_killed_before_anybody_is_told(
    kind: Kind, world_for: WorldFor, early: float
) -> None:
    """Between the order and the first notification: the time is what is varied here."""
    world = await world_for(kind, names=("montague", "mantua"), settings=SETTINGS, own=True)
    async with Cast(world) as cast:
        crowd = Crowd(world, cast)
        await crowd.enter()
        await crowd.begin()
        await asyncio.sleep(early)
        await kill_and_restart(crowd.home)
        state = (await progress_of(crowd.home, crowd.old, crowd.new))["journey"]["state"]
        assert state not in ("draft", "cancelled")
        await crowd.finish()
        await crowd.check()


@pytest.mark.parametrize("house", ["montague", "mantua"])
@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_server_is_restarted_in_the_middle(
    kind: Kind, world_for: WorldFor, house: str, way: str
) -> None:
    world = await world_for(kind, names=("montague", "mantua"), settings=RETRYING, own=True)
    server = world.houses[house].server
    async with Cast(world) as cast:
        crowd = Crowd(world, cast)
        await crowd.enter()
        await crowd.begin()
        await crowd.until_told(TOTAL // 3)
        gone = [p for p in cast.people.values() if p.online and p.server is server]
        await (server.kill() if way == "kill" else server.stop())
        for person in gone:
            await person.log_out()
        if house == "mantua":
            await crowd.bots.close()
        await server.start()
        if house == "mantua":
            await crowd.bots.open()
        else:
            await world.houses[house].running_daemon.log_says("ready", 90.0)
        await asyncio.gather(*(person.log_in() for person in gone))
        await crowd.finish()
        await crowd.bots.until_proven()
        # What died on its way is tried again, with the knowledge of the journal: nobody is told
        # more often than it meant to, and never before there is something to read.
        shown = await crowd.home.orders.order(
            "show", id=(await progress_of(crowd.home, crowd.old, crowd.new))["journey"]["id"]
        )
        attempts = {contact["jid"]: contact["attempts"] for contact in shown["contacts"]}
        counts = Counter({bot: count for (bot, _), count in crowd.bots.counts.items()})
        assert crowd.bots.asked == {(name, crowd.new.jid) for name in crowd.names}
        assert not {bot: n for bot, n in counts.items() if n > attempts[bot]}
        assert not [proof for proof in crowd.bots.proofs if not proof.holds]
        # A way back that was in a server's hands when it went down, or that bounced off it, is
        # gone: its sender does not repeat it.  That is a handful; all the others count.
        roster = await crowd.new.roster()
        assert len(roster) == TOTAL
        subscriptions = Counter(entry.subscription for entry in roster.values())
        assert set(subscriptions) <= {"both", "to"}
        assert subscriptions["to"] <= TOTAL // 20


RETRYING: Settings = (
    *SETTINGS,
    ("movers.retry_hours", [0.002] * 8),
    ("movers.pending_minutes", 0.2),
)
"""Requests that died with a server are tried again."""


async def test_both_sides_of_a_move_across_servers_are_killed(
    pair: Kind, world_for: WorldFor
) -> None:
    """Old and new account have servers and components of their own; each dies a few times."""
    dice = random.Random(1595)
    world = await world_for(
        pair, names=("montague", "capulet", "mantua"), settings=SETTINGS, own=True
    )
    away, here = world.houses["montague"], world.houses["capulet"]
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "capulet.example")
        bots = await Bots(cast).open()
        names = [bots.jid(f"b{n:03}-{cast.token}") for n in range(60)]
        # Whose server's component is dead when they are told are asked themselves.
        ours = [
            cast.person(
                f"n{n}", ("montague.example", "capulet.example")[n % 2], manner=Manner.APPROVES
            )
            for n in range(20)
        ]
        contacts: list[Person | str] = [*names, *ours]
        for contact in contacts:
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter()
        await GUIDES["chat"](old, away.component).order("away", new=new.jid)
        await kill_and_restart(away)
        pasted = await old.hears(PASTED, sender=away.component)
        said = await GUIDES["chat"](new, here.component).order(
            "arrive", old=old.jid, list=pasted.body
        )
        assert "has begun" in said
        for number in range(8):
            goal = min(len(names), len(bots.notifications) + dice.randint(2, 9))
            await bots.until(lambda goal=goal: len(bots.notifications) >= goal, "told")  # type: ignore[misc]
            await kill_and_restart((here, away)[number % 2])
        async with here.orders.watch() as watch:
            if (await progress_of(here, old, new))["journey"]["state"] != "done":
                await until(watch, old, new, ("done",), timeout=LONG)
        await bots.until_proven()
        assert bots.counts == Counter(dict.fromkeys(((name, new.jid) for name in names), 1))
        assert all(proof.holds for proof in bots.proofs)
        roster = await new.roster()
        assert {jid: e.subscription for jid, e in roster.items()} == dict.fromkeys(
            [*names, *(p.jid for p in ours)], "both"
        )
        for person in ours:
            assert len(person.notifications) <= 1, person
        # The old account's side counts those whose servers followed; who was asked while a
        # component was dead has approved by hand, which nobody tells the old account.
        counts = (await progress_of(away, old, new))["counts"]
        assert sum(counts.values()) == 80
        assert 60 <= counts["pending"] < 80

"""Two hundred contacts, and the component is killed on the way: each of them is told once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from tests.live.cases import cases
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import PAIRS, WorldFor
from tests.live.movers.crowd import ELSEWHERE, LONG, SETTINGS, Crowd
from tests.live.movers.guides import GUIDES, PASTED
from tests.live.movers.moves import is_of, progress_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.stage import NAMES
from tests.live.movers.world import House
from tests.live.servers.differences import KINDS, Kind

POINTS = 50
QUIET = 3.0
"""Seconds after which no progress line is awaited any more."""


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


@pytest.mark.full
@pytest.mark.parametrize("seed", [1597])
async def test_the_component_is_killed_at_fifty_points(
    kind: Kind, world_for: WorldFor, seed: int
) -> None:
    """Half of the points are the n-th notification that a contact sees, half the n-th progress
    line, from the publication of the statement to the last answers."""
    dice = random.Random(seed)
    settings = (*SETTINGS, ("movers.per_mover_per_second", 4.0))
    world = await world_for(kind, names=NAMES, settings=settings)
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
        assert crowd.told == ELSEWHERE


@pytest.mark.parametrize(
    ("kind", "state"),
    cases(["prosody-0.12-published"], KINDS.values(), ["preflighted", "published", "notifying"]),
    indirect=["kind"],
)
async def test_the_component_is_killed_as_a_move_begins(
    kind: Kind, world_for: WorldFor, state: str
) -> None:
    """Between the order and the first notifications, as soon as it says that it is so far."""
    world = await world_for(kind, names=NAMES, settings=SETTINGS)
    async with Cast(world) as cast:
        crowd = Crowd(world, cast)
        await crowd.enter()
        async with crowd.home.orders.watch() as watch:
            order = asyncio.create_task(crowd.begin())
            await until(watch, crowd.old, crowd.new, (state,))
            await crowd.home.running_daemon.kill()
        order.cancel()  # its last word may have died with the component
        await asyncio.wait({order})
        assert crowd.told < ELSEWHERE
        await crowd.home.running_daemon.start()
        await crowd.finish()
        await crowd.check()
        assert crowd.told == ELSEWHERE


@pytest.mark.parametrize("pair", cases(["prosody-0.12+ejabberd-24.12"], PAIRS), indirect=True)
async def test_both_sides_of_a_move_across_servers_are_killed(
    pair: Kind, world_for: WorldFor
) -> None:
    """Old and new account have servers and components of their own; each dies a few times."""
    dice = random.Random(1595)
    world = await world_for(pair, names=("montague", "capulet", "mantua"), settings=SETTINGS)
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

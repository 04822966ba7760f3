"""Contacts who are gone, or go while a move is under way: the others follow all the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from tests.live.arrange import publish
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.control import Watch
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import is_of
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.world import Settings, World
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind

SLOW: Settings = (("movers.per_mover_per_second", 1.0),)
STAYS = 4


async def begin(world: World, old: Person, new: Person) -> None:
    """Order a move by chat."""
    said = await GUIDES["chat"](old, COMPONENT_HOST).order(
        "away", new=new.jid, code=code_of(new, COMPONENT_HOST)
    )
    assert "has begun" in said


async def followed(contacts: Iterable[Person], new: Person) -> None:
    """Wait until these have followed."""
    async with asyncio.timeout(PATIENCE):
        for contact in contacts:
            while True:
                contact.news.clear()
                entry = (await contact.roster()).get(new.jid)
                if entry is not None and entry.subscription == "both":
                    break
                await contact.news.wait()


def check_never_stopped(old: Person, new: Person, watch: Watch) -> None:
    """See that the move went on all the time."""
    states = {line["journey"]["state"] for line in watch.lines if is_of(old, new)(line)}
    assert states
    assert not states & {"paused", "cancelled"}, states
    assert not [line for line in old.lines if re.search("is (paused|cancelled)", line.body)]


async def test_who_was_gone_before(kind: Kind, world_for: WorldFor) -> None:
    """The first contacts of the roster have no account any more, or have blocked the mover."""
    world = await world_for(kind, names=("montague", "mantua"))
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        blocker = cast.person("a-blocker", "montague.example")
        stay = [cast.person(f"s{n}", "montague.example") for n in range(STAYS)]
        for name in ("a-dead", "b-dead", "z-dead"):
            cast.friends(old, cast.jid(name, "montague.example"))
        for contact in (blocker, *stay):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter()
        await blocker.blocks(old.jid)
        async with world.houses["montague"].orders.watch() as watch:
            await begin(world, old, new)
            await followed(stay, new)
            check_never_stopped(old, new, watch)


async def test_who_goes_meanwhile(kind: Kind, world_for: WorldFor) -> None:
    """One removes the old entry, one is deleted, one blocks the old address, one is removed."""
    world = await world_for(kind, names=("montague", "mantua"), settings=SLOW)
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        first = cast.person("f", "montague.example")
        remover, deleted, blocker, removed = (
            cast.person(f"g{n}", "montague.example") for n in range(4)
        )
        stay = [first, *(cast.person(f"s{n}", "montague.example") for n in range(STAYS - 1))]
        for contact in (first, remover, deleted, blocker, removed, *stay[1:]):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter(old, new, remover, blocker, *stay)
        async with world.houses["montague"].orders.watch() as watch:
            await begin(world, old, new)
            await followed([first], new)
            await remover.removes(old.jid)
            await blocker.blocks(old.jid)
            await old.removes(removed.jid)
            world.houses["montague"].server.remove_user(deleted.jid)
            await followed(stay, new)
            check_never_stopped(old, new, watch)


async def test_the_old_server_is_away(kind: Kind, world_for: WorldFor) -> None:
    """Elsewhere, while its user's contacts are told: the mover is told why nothing happens."""
    settings: Settings = (("movers.per_mover_per_second", 0.4),)
    world = await world_for(kind, names=("montague", "mantua"), settings=settings)
    there = world.houses["mantua"].server
    async with Cast(world) as cast:
        old = cast.person("old", "mantua.example")
        new = cast.person("new", "verona.example")
        first, *others = (cast.person(f"s{n}", "montague.example") for n in range(3))
        for contact in (first, *others):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter()
        await publish(old.device, new.jid, "open", [])
        said = await GUIDES["chat"](new, COMPONENT_HOST).order(
            "arrive", old=old.jid, list="\n".join(c.jid for c in (first, *others))
        )
        assert "has begun" in said
        await followed([first], new)
        await old.log_out()
        await there.stop()
        said = (await new.told("does not answer just now", sender=COMPONENT_HOST)).body
        assert old.jid in said
        await there.start()
        await followed(others, new)
        await new.told("3 of 3", sender=COMPONENT_HOST)
        (shown,) = new.heard(" of 3", sender=COMPONENT_HOST)
        assert "does not answer" not in shown.body

"""Two friends who move in the same minute: they find each other at the new addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from tests.live.cases import cases
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import KINDS_OFTEN, WorldFor
from tests.live.movers.guides import GUIDES, PASTED, code_of
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.world import COMPONENTS
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import KINDS, Kind


async def mutual(one: Person, other: Person) -> bool:
    """Whether two accounts see each other now."""
    rosters = await asyncio.gather(one.roster(), other.roster())
    entries = (rosters[0].get(other.jid), rosters[1].get(one.jid))
    return all(entry is not None and entry.subscription == "both" for entry in entries)


async def until_mutual(one: Person, other: Person) -> None:
    """Wait until two accounts see each other."""
    async with asyncio.timeout(PATIENCE):
        while True:
            one.news.clear()
            if await mutual(one, other):
                return
            await one.news.wait()


def shown(people: Iterable[Person]) -> list[str]:
    """Requests that somebody has to answer by hand."""
    return [
        f"{request.element.get('from')} to {person.jid}"
        for person in people
        for request in person.requests
    ]


@pytest.mark.parametrize(
    ("kind", "when"),
    cases(
        [f"{kind}-{when}" for kind in KINDS_OFTEN for when in ("at once", "later")],
        KINDS.values(),
        ["at once", "later"],
    ),
    indirect=["kind"],
)
async def test_on_one_server(kind: Kind, world_for: WorldFor, when: str) -> None:
    """The second one is examined before the first one's move, and begins with it or after it."""
    world = await world_for(kind, names=("montague", "mantua"))
    async with Cast(world) as cast:
        a, b = (cast.person(name, "montague.example") for name in ("a", "b"))
        a2, b2 = (cast.person(name, "verona.example") for name in ("a2", "b2"))
        cast.friends(a, b, name="Bea", called="Al")
        cast.arrange()
        await cast.enter()
        examined = asyncio.Event()

        async def go(old: Person, new: Person, *, first: bool) -> None:
            async def begins() -> str:
                if first:
                    await examined.wait()
                else:
                    examined.set()
                    if when == "later":
                        await until_mutual(b, a2)
                return "suggested"

            said = await GUIDES["chat"](old, COMPONENT_HOST).order(
                "away", new=new.jid, code=code_of(new, COMPONENT_HOST), access=begins
            )
            assert "has begun" in said
            await old.told("can now delete the old account", sender=COMPONENT_HOST)

        await asyncio.gather(go(a, a2, first=True), go(b, b2, first=False))
        assert await mutual(a2, b2), await cast.rosters()
        # (Of two requests that cross, one may come to an old account that has left its sender.)
        assert shown((a2, b2)) == []
        # Nobody is left to the old addresses alone.
        for old in (a, b):
            await old.log_out()
            old.server.remove_user(old.jid)
        await cast.settled()
        assert await mutual(a2, b2)


async def test_between_two_servers(pair: Kind, world_for: WorldFor) -> None:
    """Both old accounts on one server, both new ones on the other."""
    world = await world_for(pair, names=("montague", "capulet"))
    async with Cast(world) as cast:
        a, b = (cast.person(name, "montague.example") for name in ("a", "b"))
        a2, b2 = (cast.person(name, "capulet.example") for name in ("a2", "b2"))
        cast.friends(a, b, name="Bea", called="Al")
        cast.arrange()
        await cast.enter()
        published = asyncio.Barrier(2)

        async def go(old: Person, new: Person) -> None:
            said = await GUIDES["chat"](old, COMPONENTS["montague"]).order("away", new=new.jid)
            assert "has begun" in said
            pasted = await old.hears(PASTED, sender=COMPONENTS["montague"])
            await published.wait()
            said = await GUIDES["chat"](new, COMPONENTS["capulet"]).order(
                "arrive", old=old.jid, list=pasted.body
            )
            assert "has begun" in said

        await asyncio.gather(go(a, a2), go(b, b2))
        await until_mutual(a2, b2)
        for old in (a, b):
            await old.told("can now delete the old account", sender=COMPONENTS["montague"])
        assert await mutual(a2, b2)

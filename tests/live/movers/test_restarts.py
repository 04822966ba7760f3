"""A server goes down in the middle of a move of two hundred contacts, and comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.live.cases import cases
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.crowd import NEIGHBOURS, SETTINGS, TOTAL, Crowd
from tests.live.movers.world import House, Settings
from tests.live.servers.differences import KINDS, Kind

RETRYING: Settings = (
    *SETTINGS,
    ("movers.retry_hours", [0.002] * 8),
    ("movers.pending_minutes", 0.2),
)
"""Requests that died with a server are tried again."""


@dataclass(frozen=True)
class Restart:
    """Where the mover goes to, and whose server is restarted."""

    new_host: str
    server: str

    @property
    def names(self) -> tuple[str, ...]:
        """The servers that there are."""
        here = ("montague", "mantua")
        return here if self.new_host == "verona.example" else (*here, "capulet")


RESTARTS = {
    "of-both-accounts": Restart("verona.example", "montague"),
    "of-the-contacts": Restart("verona.example", "mantua"),
    "of-the-new-account": Restart("capulet.example", "capulet"),
    "of-the-old-account": Restart("capulet.example", "montague"),
}


async def restart(crowd: Crowd, house: House, way: str) -> None:
    """Stop or kill a server, and return when all who had been there are there again."""
    server = house.server
    gone = [p for p in crowd.cast.people.values() if p.online and p.server is server]
    await (server.kill() if way == "kill" else server.stop())
    for person in gone:
        await person.log_out()
    if house.daemon is None:
        await crowd.bots.close()
    await server.start()
    if house.daemon is None:
        await crowd.bots.open()
    else:
        await house.daemon.log_says("ready", 90.0)
    await asyncio.gather(*(person.log_in() for person in gone))


@pytest.mark.parametrize(
    ("kind", "way", "which"),
    cases(["prosody-0.12-stop-of-both-accounts"], KINDS.values(), ["stop", "kill"], RESTARTS),
    indirect=["kind"],
)
async def test_a_server_is_restarted_in_the_middle(
    kind: Kind, world_for: WorldFor, which: str, way: str
) -> None:
    """Answers, ways back and requests die with it; in the end nobody lacks anything."""
    plan = RESTARTS[which]
    world = await world_for(kind, names=plan.names, settings=RETRYING)
    async with Cast(world) as cast:
        crowd = Crowd(world, cast, plan.new_host)
        await crowd.enter()
        await crowd.begin()
        await crowd.until_told(TOTAL // 3)
        await restart(crowd, world.houses[plan.server], way)
        await crowd.finish()
        # An approval that a killed server had, or had not written down yet, bounces to nobody: the
        # new account's server cannot know of it.  A contact who asks once more is answered at once.
        silent = (which, way) == ("of-the-old-account", "kill")
        await crowd.check(half_way=NEIGHBOURS // 5 if silent else 0)
        for name in crowd.names:
            assert crowd.new.jid in crowd.bots.sees[name] & crowd.bots.shows[name], name

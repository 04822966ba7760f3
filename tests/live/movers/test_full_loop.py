"""From one server to another, both with a component; contacts of every sort on four."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from tests.live.cases import cases
from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.conftest import PAIRS, WorldFor
from tests.live.movers.guides import GUIDES, PASTED
from tests.live.movers.moves import check_views, is_of, states_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.world import COMPONENTS, Settings, World
from tests.live.servers.base import RosterEntry
from tests.live.servers.differences import Kind

HOSTS = ("montague.example", "verona.example", "capulet.example")
"""Where contacts need no tap."""
SIZES = (1, 6)
"""How many follow on each host, and are on the server that is down: ten or thirty contacts."""
SETTINGS: Settings = (("movers.retry_hours", [0.001, 0.001, 0.002, 0.003, 0.003, 0.003]),)
"""Enough tries for a server to return, and an end for those who never answer."""
LONG = 150.0


@dataclass
class Everyone:
    """The mover and the contacts, by what they do."""

    old: Person
    new: Person
    follow: list[Person]
    """Moved along by their server, tapping nothing."""
    shy: Person
    """One of ``follow``, who does not see the mover."""
    approve: list[Person]
    refuses: Person
    blocks: Person
    ignores: Person
    absent: list[Person]
    """On the server that is down and returns."""

    @property
    def contacts(self) -> list[Person]:
        """All of them."""
        elsewhere = [*self.approve, self.refuses, self.blocks, self.ignores, *self.absent]
        return [*self.follow, *elsewhere]


async def enter(world: World, cast: Cast, each: int) -> Everyone:
    """Everybody on the stage; padua is down, and every third contact of ours is offline."""
    old = cast.person("juliet", "montague.example")
    new = cast.person("juliet", "capulet.example")
    follow = [cast.person(f"f{n}", host) for host in HOSTS for n in range(each)]
    approve = [
        cast.person(f"a{n}", "mantua.example", manner=Manner.APPROVES, reads=True) for n in range(3)
    ]
    refuses = cast.person("refuses", "mantua.example", manner=Manner.REFUSES, reads=True)
    blocks = cast.person("blocks", "mantua.example")
    ignores = cast.person("ignores", "mantua.example", reads=True)
    absent = [cast.person(f"p{n}", "padua.example", manner=Manner.APPROVES) for n in range(each)]
    everyone = Everyone(old, new, follow, follow[0], approve, refuses, blocks, ignores, absent)
    for number, contact in enumerate(everyone.contacts):
        subscription = "to" if contact is everyone.shy else "both"
        cast.friends(
            old, contact, subscription, name=f"Contact {number}", called="Juliet",
            called_groups=("Friends",) if number % 2 else (),
        )  # fmt: skip
    cast.arrange()
    await world.houses["padua"].server.stop()
    online = [person for number, person in enumerate(follow) if number % 3]
    await cast.enter(old, new, *online, *approve, refuses, blocks, ignores)
    await blocks.blocks(new.jid)
    return everyone


@pytest.mark.parametrize(
    ("pair", "each"),
    cases(["prosody-0.12-6", "prosody-0.12+ejabberd-24.12-1"], PAIRS, SIZES),
    indirect=["pair"],
)
async def test_contacts_on_four_servers(pair: Kind, world_for: WorldFor, each: int) -> None:
    world = await world_for(pair, settings=SETTINGS)
    away, here = world.houses["montague"], world.houses["capulet"]
    async with Cast(world) as cast, away.orders.watch() as left, here.orders.watch() as arrived:
        everyone = await enter(world, cast, each)
        old, new, total = everyone.old, everyone.new, len(everyone.contacts)
        assert total == 4 * each + 6

        # At the old account: publish, and copy the list.
        said = await GUIDES["chat"](old, COMPONENTS["montague"]).order("away", new=new.jid)
        assert "has begun" in said
        pasted = await old.hears(PASTED, sender=COMPONENTS["montague"])
        had = cast.arranged(old)
        marks = {"both": "", "to": " [to]", "from": " [from]"}  # who sees whom, for the new server
        assert sorted(pasted.body.splitlines()) == sorted(
            f"{contact.jid} Contact {n}{marks[had[contact.jid].subscription]}"
            for n, contact in enumerate(everyone.contacts)
        )
        assert not any(contact.requests for contact in everyone.contacts)

        # At the new account: paste it.
        said = await GUIDES["chat"](new, COMPONENTS["capulet"]).order(
            "arrive", old=old.jid, list=pasted.body
        )
        assert "has begun" in said
        await arrived.until(
            lambda p: is_of(old, new)(p) and p["counts"].get("unreachable", 0) > 0,
            "padua unreachable",
        )
        await world.houses["padua"].server.start()
        await asyncio.gather(*(person.log_in() for person in everyone.absent))
        await until(arrived, old, new, ("done",), timeout=LONG)
        followers = len(everyone.follow)
        await until(
            left,
            old,
            new,
            ("settling", "done"),
            counts={"mutual": followers - 1, "accepted": 1, "pending": total - followers},
        )
        for watch in (arrived, left):
            watch.check_totals(total, is_of(old, new))

        await check(world, cast, everyone)


async def check(world: World, cast: Cast, everyone: Everyone) -> None:
    """See that states, rosters and notifications are exactly what they must be."""
    old, new = everyone.old, everyone.new
    states = {contact.jid: "mutual" for contact in everyone.contacts}
    states[everyone.shy.jid] = "accepted"
    states[everyone.refuses.jid] = "refused"
    states[everyone.blocks.jid] = states[everyone.ignores.jid] = "given-up"
    await check_views(world.houses["capulet"], old, new, states, "done")
    seen = await states_of(world.houses["montague"], old, new)
    assert seen == {
        contact.jid: states[contact.jid] if contact in everyone.follow else "pending"
        for contact in everyone.contacts
    }

    await cast.settled()
    found = await cast.rosters()
    wanted: dict[str, dict[str, RosterEntry]] = {}
    roster_of_old = dict(cast.arranged(old))
    roster_of_new = {}
    for number, contact in enumerate(everyone.contacts):
        before = cast.arranged(contact)
        if contact in everyone.follow:
            wanted[contact.jid] = after_follow(before, old.jid, new.jid)
            subscription = "none" if contact is everyone.shy else "from"
            roster_of_old[contact.jid] = replace(
                roster_of_old[contact.jid], subscription=subscription
            )
        elif contact in (everyone.refuses, everyone.blocks, everyone.ignores):
            wanted[contact.jid] = before
        subscription = {"mutual": "both", "accepted": "to"}.get(states[contact.jid], "none")
        asks = contact in (everyone.blocks, everyone.ignores)
        roster_of_new[contact.jid] = RosterEntry(
            contact.jid, subscription, f"Contact {number}", ask=asks
        )
    wanted[old.jid], wanted[new.jid] = roster_of_old, roster_of_new
    by_hand = [found.pop(contact.jid) for contact in (*everyone.approve, *everyone.absent)]
    for roster in by_hand:
        shape = {jid: (entry.subscription, entry.ask) for jid, entry in roster.items()}
        assert shape == {old.jid: ("both", False), new.jid: ("both", False)}
    assert compare(wanted, found) == ""

    for contact in (*everyone.follow, everyone.blocks, new, old):
        assert not contact.requests, contact
    for contact in (*everyone.approve, everyone.refuses):
        assert len(contact.notifications) == 1, contact
    for contact in everyone.contacts:
        assert all(proof.holds for proof in contact.proofs), contact.proofs
    told = (await new.asks(COMPONENTS["capulet"], "progress", r"m\d+:")).body
    for contact in (everyone.refuses, everyone.blocks, everyone.ignores):
        assert f"• {contact.jid}" in told

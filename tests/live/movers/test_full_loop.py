"""From one server to another, both with a component; thirty contacts of every sort on four."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, PASTED
from tests.live.movers.moves import check_views, is_of, states_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.world import COMPONENTS, Settings, World
from tests.live.servers.base import RosterEntry
from tests.live.servers.differences import Kind

HOSTS = ("montague.example", "verona.example", "capulet.example")
"""Where contacts need no tap."""
EACH = 6
SETTINGS: Settings = (("movers.retry_hours", [0.001, 0.001, 0.002, 0.003, 0.003, 0.003]),)
"""Enough tries for a server to return, and an end for those who never answer."""
LONG = 150.0


@dataclass
class Thirty:
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
        """All thirty."""
        elsewhere = [*self.approve, self.refuses, self.blocks, self.ignores, *self.absent]
        return [*self.follow, *elsewhere]


async def enter_thirty(world: World, cast: Cast) -> Thirty:
    """Everybody on the stage; padua is down, and every third contact of ours is offline."""
    old = cast.person("juliet", "montague.example")
    new = cast.person("juliet", "capulet.example")
    follow = [cast.person(f"f{n}", host) for host in HOSTS for n in range(EACH)]
    approve = [
        cast.person(f"a{n}", "mantua.example", manner=Manner.APPROVES, reads=True) for n in range(3)
    ]
    refuses = cast.person("refuses", "mantua.example", manner=Manner.REFUSES, reads=True)
    blocks = cast.person("blocks", "mantua.example")
    ignores = cast.person("ignores", "mantua.example", reads=True)
    absent = [cast.person(f"p{n}", "padua.example", manner=Manner.APPROVES) for n in range(EACH)]
    thirty = Thirty(old, new, follow, follow[0], approve, refuses, blocks, ignores, absent)
    for number, contact in enumerate(thirty.contacts):
        subscription = "to" if contact is thirty.shy else "both"
        cast.friends(
            old, contact, subscription, name=f"Contact {number}", called="Juliet",
            called_groups=("Friends",) if number % 2 else (),
        )  # fmt: skip
    cast.arrange()
    assert len(thirty.contacts) == 30
    await world.houses["padua"].server.stop()
    online = [person for number, person in enumerate(follow) if number % 3]
    await cast.enter(old, new, *online, *approve, refuses, blocks, ignores)
    await blocks.blocks(new.jid)
    return thirty


async def test_thirty_contacts_on_four_servers(pair: Kind, world_for: WorldFor) -> None:
    world = await world_for(pair, settings=SETTINGS, own=True)
    away, here = world.houses["montague"], world.houses["capulet"]
    async with Cast(world) as cast, away.orders.watch() as left, here.orders.watch() as arrived:
        thirty = await enter_thirty(world, cast)
        old, new = thirty.old, thirty.new

        # At the old account: publish, and copy the list.
        said = await GUIDES["chat"](old, COMPONENTS["montague"]).order("away", new=new.jid)
        assert "has begun" in said
        pasted = await old.hears(PASTED, sender=COMPONENTS["montague"])
        assert sorted(pasted.body.splitlines()) == sorted(
            f"{contact.jid} Contact {n}" for n, contact in enumerate(thirty.contacts)
        )
        assert not any(contact.requests for contact in thirty.contacts)

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
        await asyncio.gather(*(person.log_in() for person in thirty.absent))
        await until(arrived, old, new, ("done",), timeout=LONG)
        followers = len(thirty.follow)
        await until(
            left,
            old,
            new,
            ("settling", "done"),
            counts={"mutual": followers - 1, "accepted": 1, "pending": 30 - followers},
        )
        arrived.check_totals(30)
        left.check_totals(30)

        await check_thirty(world, cast, thirty)


async def check_thirty(world: World, cast: Cast, thirty: Thirty) -> None:
    """See that states, rosters and notifications are exactly what they must be."""
    old, new = thirty.old, thirty.new
    states = {contact.jid: "mutual" for contact in thirty.contacts}
    states[thirty.shy.jid] = "accepted"
    states[thirty.refuses.jid] = "refused"
    states[thirty.blocks.jid] = states[thirty.ignores.jid] = "given-up"
    await check_views(world.houses["capulet"], old, new, states, "done")
    seen = await states_of(world.houses["montague"], old, new)
    assert seen == {
        contact.jid: states[contact.jid] if contact in thirty.follow else "pending"
        for contact in thirty.contacts
    }

    await cast.settled()
    found = await cast.rosters()
    wanted: dict[str, dict[str, RosterEntry]] = {}
    roster_of_old = dict(cast.arranged(old))
    roster_of_new = {}
    for number, contact in enumerate(thirty.contacts):
        before = cast.arranged(contact)
        if contact in thirty.follow:
            wanted[contact.jid] = after_follow(before, old.jid, new.jid)
            subscription = "none" if contact is thirty.shy else "from"
            roster_of_old[contact.jid] = replace(
                roster_of_old[contact.jid], subscription=subscription
            )
        elif contact in (thirty.refuses, thirty.blocks, thirty.ignores):
            wanted[contact.jid] = before
        subscription = {"mutual": "both", "accepted": "to"}.get(states[contact.jid], "none")
        asks = contact in (thirty.blocks, thirty.ignores)
        roster_of_new[contact.jid] = RosterEntry(
            contact.jid, subscription, f"Contact {number}", ask=asks
        )
    wanted[old.jid], wanted[new.jid] = roster_of_old, roster_of_new
    by_hand = [found.pop(contact.jid) for contact in (*thirty.approve, *thirty.absent)]
    for roster in by_hand:
        shape = {jid: (entry.subscription, entry.ask) for jid, entry in roster.items()}
        assert shape == {old.jid: ("both", False), new.jid: ("both", False)}
    assert compare(wanted, found) == ""

    for contact in (*thirty.follow, thirty.blocks, new, old):
        assert not contact.requests, contact
    for contact in (*thirty.approve, thirty.refuses):
        assert len(contact.notifications) == 1, contact
    for contact in thirty.contacts:
        assert all(proof.holds for proof in contact.proofs), contact.proofs
    told = (await new.asks(COMPONENTS["capulet"], "progress", r"m\d+:")).body
    for contact in (thirty.refuses, thirty.blocks, thirty.ignores):
        assert f"• {contact.jid}" in told

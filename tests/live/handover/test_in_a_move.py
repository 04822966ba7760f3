"""A move between two servers with a component each: nothing is pasted, and everything comes."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from component.account.canonical import canonical
from component.account.model import Blocked, PepItem, Piece, in_order
from component.account.parcels import MANIFEST_ID, NODE, chunk_id, read_manifest
from component.engine.belongings import asks
from tests.full import FULL
from tests.live.account.owner import furnish, must
from tests.live.account.test_exchange import plain
from tests.live.belongings.test_in_a_move import THINGS, things_of
from tests.live.crash.daemon import dying
from tests.live.crash.points import Target
from tests.live.handover.conftest import PAIRS
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.crowd import LONG, SETTINGS
from tests.live.movers.guides import GUIDES
from tests.live.movers.moves import check_views, progress_of, until
from tests.live.movers.people import Person
from tests.live.movers.world import House, World
from tests.live.servers.differences import Kind
from tests.live.shared import kinds

NAMES = ("montague", "capulet", "mantua")
CONTACTS = 2_000 if FULL else 30
PATIENCE = 900.0 if FULL else LONG
"""Seconds for a whole move: Prosody saves the whole roster a few times for each contact."""
KNOWN = 300
"""Addresses on the old account's roster without any subscription."""
PASTE = "paste it here"


@dataclass
class Juliet:
    """The mover, and who is on her old account's roster."""

    world: World
    cast: Cast
    old: Person
    new: Person
    bots: Bots
    names: list[str]
    romeo: Person
    """On the old account's server, which follows for him."""
    nurse: Person
    """On the new account's."""
    paris: Person
    """Elsewhere; a contact, and blocked."""
    coming: list[Piece]
    """What is to be in the new account, without contacts."""

    @property
    def left(self) -> House:
        """The old account's server."""
        return self.world.houses["montague"]

    @property
    def home(self) -> House:
        """The new account's."""
        return self.world.houses["capulet"]

    async def leave(self) -> None:
        """Order the move at the old account, until everything is packed."""
        said = await GUIDES["chat"](self.old, self.left.component).order("away", new=self.new.jid)
        assert "has begun" in said
        offered = await self.left.running_daemon.log_says("handover offered", PATIENCE)
        assert (offered["old"], offered["unread"]) == (self.old.jid, 0)

    async def arrive(self) -> str:
        """Order it at the new account: nothing has to be pasted."""
        return await GUIDES["chat"](self.new, self.home.component).order("arrive", old=self.old.jid)

    async def finish(self) -> None:
        """Wait for the end of the move, and of the hand-over."""
        async with self.home.orders.watch() as watch:
            state = (await progress_of(self.home, self.old, self.new))["journey"]["state"]
            if state != "done":
                await until(watch, self.old, self.new, ("done",), timeout=PATIENCE)
        await self.left.running_daemon.log_says("handover received", PATIENCE)
        await self.home.running_daemon.log_says("handover receipt deleted", PATIENCE)

    async def check(self) -> None:
        """See that everybody was told once but who is blocked, and that everything is there."""
        await self.bots.until_proven()
        assert self.bots.counts == dict.fromkeys(((n, self.new.jid) for n in self.names), 1)
        wanted = dict.fromkeys([*self.names, self.romeo.jid, self.nurse.jid], "mutual")
        wanted[self.paris.jid] = "skipped"
        await check_views(self.home, self.old, self.new, wanted, "done")
        await self.cast.settled()
        roster = await self.new.roster()
        for number, name in enumerate(self.names):
            entry = roster[name]
            assert (entry.subscription, entry.name) == ("both", f"Nr. {number} 🌹")
        assert roster[self.romeo.jid].groups == ("Love", "Ämter & Würden")
        known = [entry for jid, entry in roster.items() if jid.startswith("k")]
        assert {(e.subscription, e.ask, e.groups) for e in known} == {("none", False, ("Ä",))}
        assert len(known) == KNOWN
        assert not self.paris.requests
        assert self.paris.jid not in roster
        for person in (self.romeo, self.nurse):
            assert not person.requests, person
        assert await things_of(self.new) == self.coming
        for person in (self.old, self.new):
            assert not [name for name in await nodes_of(person) if "xmpp-moved" in name]
        for house in (self.left, self.home):
            code, text = await house.running_daemon.run_command("check")
            assert code == 0, text
            assert "nothing is left over" in " ".join(text.split())


async def nodes_of(person: Person) -> list[str]:
    """Names of an account's PEP nodes."""
    listed = await person.device.request(ET.tostring(asks.nodes_get(), "unicode"), to=person.jid)
    return [node for item in listed.iter() if (node := item.get("node")) is not None]


async def tamper(owner: Person) -> None:
    """Change one character of the first chunk, as whoever can write into the account could."""
    get = ET.tostring(asks.items_get(NODE, MANIFEST_ID), "unicode")
    manifest = (await owner.device.request(get)).find(f".//{{{NODE}}}parcel")
    assert manifest is not None
    id = chunk_id(read_manifest(manifest).id, 0)
    got = await owner.device.request(ET.tostring(asks.items_get(NODE, id), "unicode"))
    chunk = got.find(f".//{{{NODE}}}chunk")
    assert chunk is not None
    text = chunk.text or ""
    chunk.text = ("B" if text[0] == "A" else "A") + text[1:]
    await must(
        owner.device, ET.tostring(asks.publish(PepItem(NODE, id, canonical(chunk))), "unicode")
    )


async def enter(world: World, cast: Cast) -> Juliet:
    """Everybody on the stage; the nurse stays offline."""
    old, new = cast.person("juliet", "montague.example"), cast.person("j2", "capulet.example")
    romeo, nurse = cast.person("romeo", "montague.example"), cast.person("nurse", "capulet.example")
    paris = cast.person("paris", "mantua.example")
    bots = await Bots(cast).open()
    names = [bots.jid(f"b{number:04}-{cast.token}") for number in range(CONTACTS - 3)]
    for number, name in enumerate(names):
        cast.friends(old, name, name=f"Nr. {number} 🌹")
    cast.friends(old, romeo, name="Rómeo", groups=("Love", "Ämter & Würden"), called="Juliet")
    cast.friends(old, nurse, called="My lamb")
    cast.friends(old, paris)
    for n in range(KNOWN):
        cast.friends(old, f"k{n:03}@mantua.example", "none", name=f"Nr. {n} 🌹", groups=("Ä",))
    cast.arrange()
    await cast.enter(old, new, romeo, paris)
    things = [*THINGS, Blocked(paris.jid)]
    await furnish(old.device, things)
    coming = plain(in_order(things))
    return Juliet(world, cast, old, new, bots, names, romeo, nurse, paris, coming)


async def test_nothing_is_pasted(pair: Kind, world_for: WorldFor) -> None:
    world = await world_for(pair, names=NAMES, settings=SETTINGS)
    async with Cast(world) as cast:
        juliet = await enter(world, cast)
        await juliet.leave()
        assert "has begun" in await juliet.arrive()
        (said,) = juliet.new.heard("Your contacts came from", sender=juliet.home.component)
        assert "One contact is blocked" in said.body
        assert not juliet.new.heard(PASTE)
        await juliet.finish()
        await juliet.check()


@kinds(PAIRS[1].name, argument="pair", among=PAIRS)
async def test_the_new_component_is_killed_while_things_come(
    pair: Kind, world_for: WorldFor
) -> None:
    world = await world_for(pair, names=NAMES, settings=SETTINGS)
    async with Cast(world) as cast:
        juliet = await enter(world, cast)
        await juliet.leave()
        async with dying(juliet.home.running_daemon, Target("after ask entries")):
            order = asyncio.create_task(juliet.arrive())
            await juliet.home.running_daemon.wait(PATIENCE)
            order.cancel()  # its last word may have died with the component
            await asyncio.wait({order})
        assert not juliet.bots.notifications
        await juliet.home.running_daemon.start()
        await juliet.finish()
        await juliet.check()


async def test_a_parcel_that_somebody_has_changed(pair: Kind, world_for: WorldFor) -> None:
    """One bit of a chunk: it is named, nothing of it is used, and the list can be pasted."""
    world = await world_for(pair, names=NAMES, settings=SETTINGS)
    async with Cast(world) as cast:
        juliet = await enter(world, cast)
        await juliet.leave()
        await tamper(juliet.old)
        before = await things_of(juliet.new)
        guide = GUIDES["chat"](juliet.new, juliet.home.component)
        said = await guide.order("arrive", old=juliet.old.jid, list=juliet.romeo.jid)
        assert "has begun" in said
        (refused,) = juliet.new.heard("hands over is damaged")
        assert "chunk 0" in refused.body
        assert PASTE in refused.body
        async with juliet.home.orders.watch() as watch:
            state = (await progress_of(juliet.home, juliet.old, juliet.new))["journey"]["state"]
            if state != "done":
                await until(watch, juliet.old, juliet.new, ("done",), timeout=PATIENCE)
        assert await things_of(juliet.new) == before
        await juliet.new.told("could not be brought along", sender=juliet.home.component)

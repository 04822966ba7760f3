"""What the mover takes back by hand while a move is under way, and whom a move left out."""

from __future__ import annotations

from collections.abc import Mapping

from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import progress_of, states_of, until
from tests.live.movers.people import Person
from tests.live.movers.stage import NAMES
from tests.live.movers.test_others import until_seen
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind


async def check_shown(new: Person, *contacts: Person, entries: Mapping[str, str]) -> None:
    """See that these ask the new account, its owner is shown it, and nobody has answered."""
    for contact in contacts:
        contact.subscribes("subscribe", new.jid)
        await new.seen_requests(contact.jid)
    roster = await new.roster()
    found = {contact.jid: roster.get(contact.jid) for contact in contacts}
    assert {jid: e.subscription for jid, e in found.items() if e} == entries, found


async def test_what_is_taken_back_by_hand_stays_so(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    house = world.houses["montague"]
    async with Cast(world) as cast:
        old = cast.person("juliet", "montague.example")
        new = cast.person("juliet2", "verona.example")
        romeo, paris, gone, ex, pest = (
            cast.person(name, "montague.example")
            for name in ("romeo", "paris", "gone", "ex", "pest")
        )
        silent = cast.person("silent", "mantua.example")  # its answer is awaited to the end
        for contact in (romeo, paris, gone, ex, pest, silent):
            cast.friends(old, contact)
        cast.arrange()
        await cast.enter(old, new, romeo, paris, gone, ex, pest, silent)
        async with house.orders.watch() as watch:
            await house.orders.order("pause-all")
            try:
                guide = GUIDES["chat"](old, COMPONENT_HOST)
                await guide.order("away", new=new.jid, code=code_of(new, COMPONENT_HOST))
                await until(watch, old, new, ("notifying",))
                await old.removes(gone.jid)
                await old.blocks(pest.jid)
                old.subscribes("unsubscribed", ex.jid)
                await until_seen(old, {ex.jid: "to"})
            finally:
                await house.orders.order("resume-all")
            wanted = {"mutual": 2, "skipped": 3, "sent": 1}
            await until(watch, old, new, ("settling",), counts=wanted)
        await until_seen(new, {romeo.jid: "both", paris.jid: "both"})
        assert not [p for p in (gone, ex, pest) if p.notifications or new.jid in await p.roster()]
        left_out = (await progress_of(house, old, new))["taken_back"]
        assert set(left_out) == {gone.jid, ex.jid, pest.jid}

        await new.removes(romeo.jid)
        new.subscribes("unsubscribed", paris.jid)
        await until_seen(new, {paris.jid: "to"})
        await check_shown(new, romeo, paris, gone, ex, entries={paris.jid: "to"})
        states = await states_of(house, old, new)
        assert states[gone.jid] == states[ex.jid] == "skipped"


async def test_who_was_left_out_is_not_let_in_after_a_restart(
    kind: Kind, world_for: WorldFor
) -> None:
    """Even where the new account has long seen them."""
    world = await world_for(kind, names=NAMES)
    house = world.houses["montague"]
    async with Cast(world) as cast:
        old = cast.person("juliet", "montague.example")
        new = cast.person("juliet2", "verona.example")
        romeo = cast.person("romeo", "montague.example")
        ex = cast.person("ex", "mantua.example")
        cast.friends(old, romeo)
        cast.friends(old, ex)
        cast.friends(new, ex, "to")
        cast.arrange()
        await cast.enter(old, new, romeo, ex)
        async with house.orders.watch() as watch:
            await GUIDES["chat"](old, COMPONENT_HOST).order(
                "away",
                new=new.jid,
                code=code_of(new, COMPONENT_HOST),
                who="choose",
                contacts=[romeo.jid],
            )
            await until(watch, old, new, ("done",))
        await house.running_daemon.stop()
        await house.running_daemon.start()
        await check_shown(new, ex, entries={ex.jid: "to"})

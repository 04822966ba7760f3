"""What the mover takes back by hand while a move is under way, and whom a move left out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import progress_of, states_of, until
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.stage import NAMES
from tests.live.movers.test_others import until_seen
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind


async def seen_by(person: Person, contacts: Iterable[Person]) -> set[str]:
    """Which of these an account shows itself to."""
    roster = await person.roster()
    found = {contact.jid: roster.get(contact.jid) for contact in contacts}
    return {jid for jid, e in found.items() if e is not None and e.subscription in ("from", "both")}


async def revokes(person: Person, contact: Person) -> None:
    """Let somebody see oneself no more; ejabberd takes the other direction as well."""
    person.subscribes("unsubscribed", contact.jid)
    async with asyncio.timeout(PATIENCE):
        person.news.clear()
        while await seen_by(person, [contact]):
            await person.news.wait()
            person.news.clear()


async def check_shown(new: Person, *contacts: Person) -> None:
    """See that these ask the new account, its owner is shown it, and nobody has answered."""
    for contact in contacts:
        contact.subscribes("subscribe", new.jid)
        await new.seen_requests(contact.jid)
    assert not await seen_by(new, contacts)


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
                await revokes(old, ex)
            finally:
                await house.orders.order("resume-all")
            wanted = {"mutual": 2, "skipped": 3, "sent": 1}
            await until(watch, old, new, ("settling",), counts=wanted)
        await until_seen(new, {romeo.jid: "both", paris.jid: "both"})
        assert not [p for p in (gone, ex, pest) if p.notifications or new.jid in await p.roster()]
        left_out = (await progress_of(house, old, new))["taken_back"]
        assert set(left_out) == {gone.jid, ex.jid, pest.jid}

        await new.removes(romeo.jid)
        await revokes(new, paris)
        await check_shown(new, romeo, paris, gone, ex)
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
        daemon = house.running_daemon
        await daemon.stop()
        await daemon.start()
        while (await daemon.log_says("watched"))["user"] != new.jid:
            pass
        await check_shown(new, ex)

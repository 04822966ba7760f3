"""The old account is deleted before everybody has followed: nobody is cut off."""

from __future__ import annotations

import asyncio
import contextlib

from tests.live.client import ClientError
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, PASTED, code_of
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.world import COMPONENTS, Settings
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind

REMOVE = "<query xmlns='jabber:iq:register'><remove/></query>"
SLOW: Settings = (("movers.per_mover_per_second", 0.4),)
STAYS = 3


async def delete(old: Person) -> None:
    """The owner deletes the account (XEP-0077 section 3.2)."""
    with contextlib.suppress(ClientError):  # the stream may end before the answer
        answer = await old.device.request(REMOVE, kind="set")
        assert answer.get("type") == "result"
    await old.log_out()


async def until(person: Person, jid: str, *subscriptions: str | None) -> None:
    """Wait until an entry has one of these subscriptions; None: it is not there."""
    seen = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                person.news.clear()
                entry = (await person.roster()).get(jid)
                seen = entry.subscription if entry is not None else None
                if seen in subscriptions:
                    return
                await person.news.wait()
    except TimeoutError:
        raise AssertionError(f"{person.jid}: {jid} is {seen}, not {subscriptions}") from None


async def test_while_the_move_runs(kind: Kind, world_for: WorldFor) -> None:
    """The move goes on from the new account, to contacts whom the deletion has not cut off."""
    world = await world_for(kind, names=("montague", "mantua"), settings=SLOW)
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        first, left_out = (cast.person(name, "montague.example") for name in ("f", "o"))
        later = [cast.person(f"s{n}", "montague.example") for n in range(STAYS)]
        elsewhere = cast.person("far", "mantua.example")
        told = (first, *later, elsewhere)
        for contact in (*told, left_out):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter()
        said = await GUIDES["chat"](old, COMPONENT_HOST).order(
            "away",
            new=new.jid,
            code=code_of(new, COMPONENT_HOST),
            who="choose",
            contacts=[contact.jid for contact in told],
        )
        assert "has begun" in said
        await until(first, new.jid, "both")
        await delete(old)
        # Whoever was not chosen is told that the account is gone, as ever.
        await until(left_out, old.jid, "none")
        await cast.settled()
        assert (await later[-1].roster())[old.jid].subscription == "both"
        await new.told("of 5", sender=COMPONENT_HOST)
        # What is not possible any more is neither offered nor asked about.
        await new.asks(COMPONENT_HOST, "progress", r"pause, cancel\.")
        await new.asks(COMPONENT_HOST, "undo", "account is deleted")
        for contact in later:
            await until(contact, new.jid, "both")
        await until(new, later[-1].jid, "both")
        # Whoever has to answer in person can take their time.
        await elsewhere.seen_requests(new.jid)
        assert (await elsewhere.roster())[old.jid].subscription == "both"
        assert not new.requests
        assert not [line for line in new.lines if "paused" in line.body]


async def test_between_two_servers(pair: Kind, world_for: WorldFor) -> None:
    """The old server goes on saying where its deleted account went."""
    world = await world_for(pair, names=("montague", "capulet"))
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "capulet.example")
        near, far = cast.person("n", "montague.example"), cast.person("f", "capulet.example")
        for contact in (near, far):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter()
        said = await GUIDES["chat"](old, COMPONENTS["montague"]).order("away", new=new.jid)
        assert "has begun" in said
        pasted = await old.hears(PASTED, sender=COMPONENTS["montague"])
        await delete(old)
        await cast.settled()
        for contact in (near, far):
            assert (await contact.roster())[old.jid].subscription == "both"
        said = await GUIDES["chat"](new, COMPONENTS["capulet"]).order(
            "arrive", old=old.jid, list=pasted.body
        )
        assert "has begun" in said
        for contact in (near, far):
            await until(contact, new.jid, "both")
        await new.told("2 of 2", sender=COMPONENTS["capulet"])

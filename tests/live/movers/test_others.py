"""A move that the mover's own client makes between two accounts here (XEP-0283)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from tests.live.arrange import NS_MOVED, publish
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.people import PATIENCE, Manner, Person
from tests.live.movers.world import House
from tests.live.servers.differences import Kind


def tells(new: Person, old: Person, contact: Person) -> None:
    """Send the moved notification as a client does."""
    moved = f"<moved xmlns='{NS_MOVED}'><old-jid>{old.jid}</old-jid></moved>"
    new.subscribes("subscribe", contact.jid, moved)


async def until_seen(person: Person, wanted: Mapping[str, str]) -> None:
    """Wait until these entries have these subscriptions."""
    seen: dict[str, str] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while seen != wanted:
                person.news.clear()
                roster = await person.roster()
                seen = {jid: roster[jid].subscription for jid in wanted if jid in roster}
                if seen != wanted:
                    await person.news.wait()
    except TimeoutError:
        raise AssertionError(f"{person.jid} has {seen}, not {wanted}") from None


async def explained(house: House, old: Person) -> str:
    """What the journal says was done because of a move."""
    _, listed = await house.running_daemon.run_command("moves", "--old", old.jid, "--json")
    shown = [
        await house.running_daemon.run_command("show", str(move["id"]))
        for move in json.loads(listed)["followed"]
    ]
    return "".join(text for _, text in shown)


async def test_ways_back_are_approved(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=("montague", "mantua"))
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        near = cast.person("near", "montague.example")
        absent = cast.person("absent", "verona.example")
        friar, late, hidden = (
            cast.person(name, "mantua.example", manner=Manner.APPROVES)
            for name in ("friar", "late", "hidden")
        )
        stranger = cast.person("stranger", "mantua.example")
        for contact in (near, absent, friar, late):
            cast.friends(old, contact, called="Juliet")
        # Whom the old account did not show itself to.
        cast.friends(old, hidden, "to", called="Juliet")
        cast.arrange()
        await cast.enter(old, new, near, friar, late, hidden, stranger)
        await publish(old.device, new.jid, "presence", [])

        tells(new, old, near)
        await until_seen(new, {near.jid: "both"})
        for contact in (absent, friar, hidden):
            tells(new, old, contact)
        stranger.subscribes("subscribe", new.jid)
        await until_seen(new, {near.jid: "both", absent.jid: "both", friar.jid: "both"})
        await new.seen_requests(hidden.jid)
        await new.seen_requests(stranger.jid)
        shown = {request.element.get("from") for request in new.requests}
        assert shown == {hidden.jid, stranger.jid}
        await until_seen(new, {hidden.jid: "to"})
        assert friar.jid in await explained(world.houses["montague"], old)

        # What is allowed is in the journal.  Who accepts while nobody watches is shown to her.
        daemon = world.houses["montague"].running_daemon
        await daemon.stop()
        await daemon.start()
        while (await daemon.log_says("watched"))["user"] != new.jid:
            pass
        tells(new, old, late)
        await until_seen(new, {late.jid: "both"})

"""The world itself, before anybody moves: what the other tests stand on."""

from __future__ import annotations

import pytest

from tests.live.arrange import NS_MOVED, publish
from tests.live.client import Client
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast, until_roster, without_labels
from tests.live.movers.conftest import WorldFor
from tests.live.movers.people import Manner, Person
from tests.live.servers.base import RosterEntry
from tests.live.servers.differences import Kind

MOVED = f"<moved xmlns='{NS_MOVED}'><old-jid>{{old}}</old-jid></moved>"


async def state(person: Person, access: str = "presence") -> None:
    """Publish as a plain client does that the person has moved to new@capulet.example."""
    device = Client("statement", f"{person.jid}/statement", person.server.spec.address)
    await device.open()
    await publish(device, "new@capulet.example", access, [])
    await device.close()


async def test_people_on_four_servers_behave_as_they_are(pair: Kind, world_for: WorldFor) -> None:
    world = await world_for(pair, components=False)
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "capulet.example")
        approves = cast.person("approves", "mantua.example", manner=Manner.APPROVES, reads=True)
        refuses = cast.person("refuses", "padua.example", manner=Manner.REFUSES)
        ignores = cast.person("ignores", "verona.example", reads=True)
        blocks = cast.person("blocks", "mantua.example")
        for contact in (approves, ignores):
            cast.friends(old, contact, called="Juliet")
        cast.arrange()
        await cast.enter(approves, refuses, ignores, blocks, new)
        await blocks.blocks(new.jid)
        await state(old)

        moved = MOVED.format(old=old.jid)
        for contact in (blocks, approves, refuses, ignores):
            new.subscribes("subscribe", contact.jid, moved)
        new.manner = Manner.APPROVES
        wanted = {
            approves.jid: RosterEntry(approves.jid, "both"),
            refuses.jid: RosterEntry(refuses.jid, "none"),
            ignores.jid: RosterEntry(ignores.jid, "none", ask=True),
            blocks.jid: RosterEntry(blocks.jid, "none", ask=True),
        }

        await until_roster(new, wanted, without_labels)
        await cast.settled()
        await until_roster(new, wanted, without_labels)
        assert not blocks.requests
        for contact in (approves, ignores):
            assert [n.old for n in contact.notifications] == [old.jid]
            assert [p.new for p in contact.proofs] == ["new@capulet.example"]
        assert (await new.reads_statement(old.jid))[0] is None
        assert old.jid in await approves.roster()


async def test_bots_answer_across_s2s_and_count(pair: Kind, world_for: WorldFor) -> None:
    world = await world_for(pair, components=False)
    async with Cast(world) as cast:
        bots = await Bots(cast).open()
        old, new = cast.person("old", "montague.example"), cast.person("new", "verona.example")
        names = [bots.jid(f"b{n}-{cast.token}") for n in range(5)]
        for name in names:
            cast.friends(old, name)
        cast.arrange()
        await state(old)
        new.manner = Manner.APPROVES
        await new.log_in()
        for name in names:
            new.subscribes("subscribe", name, MOVED.format(old=old.jid))
        await until_roster(new, {name: RosterEntry(name, "both") for name in names})
        await bots.until_proven()
        assert [p.new for p in bots.proofs] == ["new@capulet.example"] * 5
        assert set(bots.counts.values()) == {1}


async def test_who_is_down_is_unreachable_and_returns(pair: Kind, world_for: WorldFor) -> None:
    world = await world_for(pair, components=False)
    async with Cast(world) as cast:
        mover = cast.person("mover", "montague.example")
        away = cast.person("away", "padua.example", manner=Manner.APPROVES)
        padua = world.houses["padua"].server
        await padua.stop()
        await mover.log_in()
        mover.subscribes("subscribe", away.jid)
        answer = await mover.device.request("<ping xmlns='urn:xmpp:ping'/>", to="padua.example")
        assert answer.get("type") == "error"
        await padua.start()
        await away.log_in()
        mover.manner = Manner.APPROVES
        mover.subscribes("unsubscribe", away.jid)
        mover.subscribes("subscribe", away.jid)
        await away.seen_requests(mover.jid)


@pytest.mark.parametrize("bad", ["<body/>", "<body xmlns='x'>no</body>"])
async def test_a_message_without_a_text_is_no_line(
    pair: Kind, world_for: WorldFor, bad: str
) -> None:
    world = await world_for(pair, components=False)
    async with Cast(world) as cast:
        one, other = cast.person("one", "montague.example"), cast.person("other", "mantua.example")
        await cast.enter()
        one.device.send(f"<message type='chat' to='{other.jid}'>{bad}</message>")
        first = one.says(other.jid, "pogress")
        one.says(
            other.jid,
            "progress",
            more=f"<replace xmlns='urn:xmpp:message-correct:0' id='{first}'/>",
        )
        line = await other.hears("^progress$", sender=one.jid)
        assert line.versions[-2:] == ["pogress", "progress"]
        assert [line.body for line in other.lines if line.body] == ["progress"]

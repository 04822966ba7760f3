"""Sessions: whose they are, how long they last, how many there may be."""

from __future__ import annotations

import asyncio

import pytest

from component.core.journey.model import CheckName
from component.ui.talk.commands import NODE
from component.xmpp.adhoc import CommandError
from component.xmpp.errors import StanzaError
from component.xmpp.names import NS_COMMANDS, NS_COMPONENT
from tests.unit.ui.talk.drive import Client, Person, command_iq
from tests.unit.ui.talk.fake import ADMIN, AFAR, CODE, JULIET, ROMEO, World

OTHERS = [JULIET + "/phone", ROMEO + "/tablet", ROMEO, ADMIN + "/phone", AFAR + "/phone"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("action", [None, "execute", "next", "complete", "prev", "cancel"])
async def test_another_jid_is_refused_at_every_step(action: str | None, other: str) -> None:
    world = World()
    romeo = Client(world, f"{ROMEO}/phone")
    answers = [
        {"new": JULIET},
        {"code": CODE},
        {"who": "everyone", "access": "suggested"},
        {"sure": "1"},
    ]
    await romeo.execute("away")
    for values in answers:
        assert world.orders.ordered == []
        forged = command_iq(other, romeo.node, action, romeo.session, values)
        with pytest.raises(StanzaError) as caught:
            await world.talk.adhoc.handle(forged)
        assert caught.value.condition == "forbidden"
        await romeo.step(values)
    # It went on unharmed, and as its owner's.
    assert romeo.status == "completed"
    assert [order[:2] for order in world.orders.ordered] == [("start", ROMEO)]


async def test_session_ids_cannot_be_guessed() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    ids = {(await client.execute("away")).get("sessionid") or "" for _ in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 22


async def test_a_session_belongs_to_one_command() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    client.node = NODE + "settings"
    with pytest.raises(CommandError) as caught:
        await client.step({"follow": "ask", "language": "en"})
    assert caught.value.specific == "bad-sessionid"
    assert caught.value.element().find(f"{{{NS_COMMANDS}}}bad-sessionid") is not None


async def test_a_session_rests_ten_minutes() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    world.clock.seconds += 599
    await client.step({"new": "junk"})
    world.clock.seconds += 599
    await client.step({"new": AFAR})
    assert "who" in client.fields
    world.clock.seconds += 601
    with pytest.raises(CommandError) as caught:
        await client.step({"who": "everyone", "access": "suggested"})
    assert caught.value.specific == "session-expired"
    with pytest.raises(CommandError) as caught:
        await client.step({"who": "everyone", "access": "suggested"})
    assert caught.value.specific == "bad-sessionid"
    assert world.orders.ordered == []


async def test_three_sessions_a_user() -> None:
    world = World()
    clients = [Client(world, f"{ROMEO}/{n}") for n in range(4)]
    other = Client(world, f"{JULIET}/phone")
    await other.execute("away")
    for client in clients:
        await client.execute("away")
    assert world.talk.adhoc.sessions == 4
    with pytest.raises(CommandError):
        await clients[0].step({"new": JULIET})
    for client in (*clients[1:], other):
        await client.step({"new": AFAR})
        assert client.status == "executing"


async def test_a_thousand_sessions_at_most() -> None:
    world = World()
    clients = [Client(world, f"u{n}@montague.example/phone") for n in range(1001)]
    for client in clients:
        await client.execute("away")
    assert world.talk.adhoc.sessions == 1000
    with pytest.raises(CommandError):
        await clients[0].step({"new": JULIET})
    await clients[1].step({"new": JULIET})


async def test_finished_sessions_are_freed() -> None:
    world = World()
    world.move()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("progress")
    assert client.status == "completed"
    assert world.talk.adhoc.sessions == 0
    await client.execute("cancel")
    await client.step({"sure": "0"})
    assert world.talk.adhoc.sessions == 0
    with pytest.raises(CommandError):
        await client.step({"sure": "1"})
    await client.execute("cancel")
    await client.step(action="cancel")
    assert client.status == "canceled"
    assert world.talk.adhoc.sessions == 0
    assert world.orders.ordered == []


async def test_a_step_is_taken_once() -> None:
    """A client that sends twice orders once."""
    world = World()
    world.move()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("cancel")
    steps = [client.step({"sure": "1"}) for _ in range(4)]
    results = await asyncio.gather(*steps, return_exceptions=True)
    assert len([r for r in results if isinstance(r, StanzaError)]) == 3
    assert world.orders.ordered == [("cancel", ROMEO, 7)]


async def test_back_and_forth() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    assert client.actions == ["next"]
    with pytest.raises(CommandError) as caught:
        await client.step(action="prev")
    assert caught.value.specific == "bad-action"
    await client.step({"new": AFAR})
    assert client.actions == ["prev", "next"]
    await client.step(action="prev")
    assert client.fields == ["new"]
    await client.step({"new": JULIET})
    assert client.fields == ["code"]
    assert client.actions == ["prev", "next"]
    await client.step({"code": CODE})
    assert client.fields == ["who", "access"]
    await client.step({"who": "everyone", "access": "suggested"})
    assert client.fields == ["sure"]
    assert client.actions == ["prev", "complete"]
    await client.step(action="prev")
    # What the code has shown stays shown: nobody comes back to it.
    await client.step(action="prev")
    assert client.fields == ["new"]


async def test_another_code() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    assert world.orders.codes == 0
    await client.step({"new": JULIET})
    assert world.orders.codes == 1
    await client.step({"code": "new"})
    assert world.orders.codes == 2
    assert JULIET in client.note
    await client.step({"code": "999999"})
    assert "not the code" in client.note
    assert client.fields == ["code"]
    for _ in range(3):
        await client.step({"code": "new"})
    await client.step({"code": "new"})
    assert client.status == "completed"
    assert "Too many" in client.note
    assert world.orders.ordered == []


async def test_a_wrong_value_comes_back_with_the_note() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    await client.step({"new": "juliet"})
    assert "“juliet”" in client.note
    assert [v.text for v in client.answer.iter("{jabber:x:data}value")] == ["juliet"]


async def test_no_form_is_no_consent() -> None:
    """XEP-0050 lets a client send none; what is suggested is not taken by itself."""
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    await client.step({"new": AFAR})
    for values in (None, {}, {"who": "everyone"}, {"access": "open"}):
        await client.step(values, "complete")
        assert client.status == "executing"
        assert client.note
    assert world.orders.ordered == []


async def test_discovery() -> None:
    world = World()
    seen = world.talk.commands(f"{ROMEO}/phone", "de-AT")
    assert len(seen) == 12
    assert all(node.startswith(NODE) for node in seen)
    assert len(world.talk.commands(f"{ADMIN}/phone", None)) == 19
    assert NS_COMPONENT not in world.link.features
    assert ("set", NS_COMMANDS, "command") in world.link.iqs


async def test_one_user_does_not_take_all_the_room() -> None:
    world = World()
    gate = asyncio.Event()

    async def slow(asker: str) -> list[object]:
        await gate.wait()
        return []

    world.orders.followed = slow  # type: ignore[method-assign,assignment]
    romeo = Client(world, f"{ROMEO}/phone")
    waiting = [asyncio.create_task(romeo.execute("undo-contact")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(StanzaError) as caught:
        await romeo.execute("progress")
    assert caught.value.condition == "resource-constraint"
    assert (await Client(world, f"{JULIET}/phone").execute("progress")).get("status")
    assert await Person(world, f"{JULIET}/phone").write("help")
    gate.set()
    await asyncio.gather(*waiting)


async def test_a_session_is_not_inherited() -> None:
    """The account was deleted at a form, and somebody else has its name."""
    for action in (None, "prev", "next"):
        world = World()
        romeo = Client(world, f"{ROMEO}/phone")
        await romeo.execute("away")
        await romeo.step({"new": AFAR})
        world.orders.unavailable = True
        with pytest.raises(StanzaError) as caught:
            await romeo.step(action=action)
        assert caught.value.type == "wait"
        world.orders.unavailable = False
        world.orders.owners[ROMEO] = "second"
        with pytest.raises(CommandError) as refused:
            await romeo.step(action=action)
        assert refused.value.specific == "bad-sessionid"
        assert world.talk.adhoc.sessions == 0


async def test_an_address_with_a_slip_is_asked_for_again() -> None:
    world = World()
    romeo = Client(world, f"{ROMEO}/phone")
    world.orders.failing = (CheckName.REACHABLE,)
    await romeo.execute("away")
    await romeo.step({"new": AFAR})
    assert romeo.status == "executing"
    assert "Look for a slip" in romeo.note
    world.orders.failing = ()
    await romeo.step({"new": AFAR})
    assert romeo.fields == ["who", "access"]

"""Names are given to others: whoever has one next is nobody whom the component knows."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.cases import cases
from tests.live.movers.adhoc import CommandRefused, Commands
from tests.live.movers.cast import Cast, until_roster
from tests.live.movers.conftest import KINDS_OFTEN, WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import until
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.stage import NAMES, Juliet, enter_juliet, move_her
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import KINDS, Kind


async def taken_by_somebody_else(stage: Juliet, person: Person) -> Person:
    """The owner deletes the account, and somebody else registers the name."""
    await person.deletes_account()
    person.server.add_user(person.jid)
    other = Person(person.jid, person.server)
    stage.cast.people[f"the next {person.jid}"] = other
    return await other.log_in()


async def learns_nothing(other: Person, *secrets: str) -> None:
    """Every order of this person is refused, and none of the answers names these."""
    for order in (
        "progress",
        "undo",
        "undo contact",
        "pause",
        "resume",
        "cancel move",
        "my things",
    ):
        line = await other.asks(COMPONENT_HOST, order)
        for secret in secrets:
            assert secret not in line.body, (order, line.body)
    assert not [line for line in other.lines if line.sender != COMPONENT_HOST]


async def test_the_next_owner_of_the_old_name(kind: Kind, world_for: WorldFor) -> None:
    """Who moved, and where, is not theirs to see or to undo; nor does their account say it."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        new = stage.new.jid
        after = await stage.new.roster(), (await stage.romeo.roster())[new]
        other = await taken_by_somebody_else(stage, stage.old)
        await learns_nothing(other, new, stage.romeo.jid)
        assert await stage.romeo.reads_statement(other.jid) != (new, None)
        stage.romeo.says(other.jid, "Art thou there?")
        await other.hears("Art thou there", sender=stage.romeo.jid)
        await cast.settled()
        assert not [line for line in stage.romeo.lines if line.sender == other.jid]
        assert (await stage.new.roster(), (await stage.romeo.roster())[new]) == after
        # Gone again: this name leads nowhere any more, for it was another's in between.
        await other.deletes_account()
        said, condition = await stage.romeo.reads_statement(other.jid)
        assert said is None
        assert not (condition or "").startswith("gone")


async def test_a_question_is_not_the_next_owners(kind: Kind, world_for: WorldFor) -> None:
    """Somebody deletes the account at the list of contacts; `prosodyctl deluser` tells nobody."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        old, new = stage.old, stage.new.jid
        window = Commands(old.device, COMPONENT_HOST)
        await old.asks(COMPONENT_HOST, f"away <{new}>")
        await old.asks(COMPONENT_HOST, await code_of(stage.new, COMPONENT_HOST)())
        await old.asks(COMPONENT_HOST, "2")
        assert stage.romeo.jid in (await old.asks(COMPONENT_HOST, "1")).body
        page = await window.execute("away")
        await old.log_out()
        old.server.remove_user(old.jid)
        old.server.add_user(old.jid)
        other = Person(old.jid, old.server)
        cast.people["the next owner"] = other
        await other.log_in()
        for written in ("help", "back", "ok", "all", "yes"):
            line = await other.asks(COMPONENT_HOST, written)
            for secret in (new, *(contact.jid for contact in stage.contacts)):
                assert secret not in line.body, (written, line.body)
        with pytest.raises(CommandRefused) as refused:
            await Commands(other.device, COMPONENT_HOST).next(page, new=new)
        assert refused.value.condition == "bad-request"  # there is no such session
        await learns_nothing(other, new, stage.romeo.jid)


async def test_the_next_owner_of_the_new_name(kind: Kind, world_for: WorldFor) -> None:
    """They read nothing of the old account, which leads nobody to them."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        assert await stage.romeo.reads_statement(stage.old.jid) == (stage.new.jid, None)
        other = await taken_by_somebody_else(stage, stage.new)
        await learns_nothing(other, stage.old.jid, stage.romeo.jid)
        async with asyncio.timeout(PATIENCE):
            while (await stage.romeo.reads_statement(stage.old.jid))[0] is not None:
                await cast.settled()
        request = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{stage.old.jid}</old-jid></moved>"
        other.subscribes("subscribe", stage.romeo.jid, request)
        await stage.romeo.seen_requests(other.jid)
        entry = (await stage.romeo.roster()).get(other.jid)  # ejabberd hides one that only waits
        assert entry is None or entry.subscription == "none"


async def test_the_next_owner_of_a_contacts_name(kind: Kind, world_for: WorldFor) -> None:
    """What was followed for the last owner is not theirs to undo."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        await stage.romeo.told("Juliet has moved", sender=COMPONENT_HOST)
        other = await taken_by_somebody_else(stage, stage.romeo)
        await learns_nothing(other, stage.old.jid, stage.new.jid)
        assert await other.roster() == {}


@pytest.mark.parametrize(
    ("kind", "which"),
    cases(
        [f"{kind}-{which}" for kind in KINDS_OFTEN for which in ("old", "new")],
        KINDS.values(),
        ["old", "new"],
    ),
    indirect=["kind"],
)
async def test_a_name_changes_hands_while_a_move_is_under_way(
    kind: Kind, world_for: WorldFor, which: str
) -> None:
    """The move ends as it is: nothing more is sent or shown in the name that is another's."""
    world = await world_for(kind, names=NAMES, settings=(("movers.per_mover_per_second", 0.2),))
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        said = await GUIDES["chat"](stage.old, COMPONENT_HOST).order(
            "away", new=stage.new.jid, code=code_of(stage.new, COMPONENT_HOST)
        )
        assert "has begun" in said
        async with stage.home.orders.watch() as watch:
            gone = stage.old if which == "old" else stage.new
            left = stage.new if which == "old" else stage.old
            other = await taken_by_somebody_else(stage, gone)
            await until(watch, stage.old, stage.new, ("cancelled",))
        await left.told("One of the two accounts was deleted", sender=COMPONENT_HOST)
        await learns_nothing(other, left.jid)
        await until_roster(other, {})
        assert (await stage.stranger.reads_statement(other.jid))[0] is None

"""Names are given to others: whoever has one next is nobody whom the component knows."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.arrange import publish
from tests.live.cases import cases
from tests.live.movers.cast import Cast, until_roster
from tests.live.movers.conftest import KINDS_OFTEN, WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import until
from tests.live.movers.people import PATIENCE, Person
from tests.live.movers.stage import NAMES, Juliet, begin_her, enter_juliet, move_her
from tests.live.movers.test_others import tells, until_seen
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import KINDS, Kind


async def taken_by_somebody_else(stage: Juliet, person: Person) -> Person:
    """The owner deletes the account, and somebody else registers the name."""
    return await next_owner(stage.cast, person)


async def next_owner(cast: Cast, person: Person) -> Person:
    """The same without a household."""
    await person.deletes_account()
    person.server.add_user(person.jid)
    other = Person(person.jid, person.server)
    cast.people[f"the next {person.jid}"] = other
    return await other.log_in()


async def asks_like_anybody(other: Person, old: str, *contacts: Person) -> None:
    """Whoever has the name now claims to have moved there, and is shown, not followed."""
    for contact in contacts:
        claim = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved>"
        other.subscribes("subscribe", contact.jid, claim)
    for contact in contacts:
        await contact.seen_requests(other.jid)
        entry = (await contact.roster()).get(other.jid)  # ejabberd hides one that only waits
        assert entry is None or entry.subscription == "none", contact


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


async def test_the_next_owner_of_the_old_name_has_none_of_those_who_were_kept(
    kind: Kind, world_for: WorldFor
) -> None:
    """Their entries waited for the move to go on; for whoever has the name now they do not.

    The server has died in between: it is not in its memory alone.
    """
    world = await world_for(kind, names=NAMES, settings=(("movers.per_mover_per_second", 0.05),))
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        evil = await cast.person("evil", "verona.example").log_in()
        await stage.nurse.log_in()
        contacts = (stage.romeo, stage.nurse, stage.tybalt)
        await begin_her(stage)
        async with asyncio.timeout(PATIENCE):  # the first is told, so all the others are kept
            while not await stage.new.roster():
                await cast.settled()
        await stage.old.deletes_account()
        await cast.settled()
        assert [c for c in contacts if (await c.roster())[stage.old.jid].subscription != "none"]
        server, daemon = stage.home.server, stage.home.running_daemon
        here = [p for p in cast.people.values() if p.online and p.server is server]
        await server.kill()
        for person in here:
            await person.log_out()
        await server.start()
        await daemon.log_says("ready", PATIENCE)
        for person in here:
            await person.log_in()
        server.add_user(stage.old.jid)
        other = Person(stage.old.jid, server)
        cast.people["the next Juliet"] = other
        await other.log_in()
        for contact in contacts:
            entry = (await contact.roster())[stage.old.jid]
            assert entry.subscription == "none", contact
        await publish(other.device, evil.jid, "open", [])
        await asks_like_anybody(evil, stage.old.jid, *contacts)


@pytest.mark.parametrize("silent", [False, True])
async def test_the_next_owner_of_the_new_name_has_no_part_of_a_proof(
    kind: Kind, world_for: WorldFor, silent: bool
) -> None:
    """What one owner of a name was verified for is not the next one's, minutes old or stated still.

    :param silent: deleted past the server, where that can be.
    """
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await stage.nurse.log_in()
        await move_her(stage, who="choose", contacts=[stage.romeo.jid])
        if silent:
            await stage.new.log_out()
            stage.new.server.remove_user(stage.new.jid)
            stage.new.server.add_user(stage.new.jid)
            other = Person(stage.new.jid, stage.new.server)
            cast.people["silent"] = other
            await other.log_in()
        else:
            other = await taken_by_somebody_else(stage, stage.new)
        await asks_like_anybody(other, stage.old.jid, stage.tybalt, stage.nurse)


async def test_the_next_owner_of_the_new_name_of_a_clients_move(
    kind: Kind, world_for: WorldFor
) -> None:
    """The old account's statement goes, as that of a move of ours, and proves nothing for them."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        near = cast.person("near", "montague.example")
        absent = cast.person("absent", "verona.example")
        cast.friends(old, near, called="Juliet")
        cast.friends(old, absent, called="Juliet")
        cast.arrange()
        await cast.enter(old, new, near, absent)
        await publish(old.device, new.jid, "presence", [])
        tells(new, old, near)
        await until_seen(new, {near.jid: "both"})
        other = await next_owner(cast, new)
        async with asyncio.timeout(PATIENCE):
            while (await old.reads_statement(old.jid))[0] is not None:
                await cast.settled()
        # Its owner says so once more, of whoever that is.
        await publish(old.device, new.jid, "presence", [])
        await asks_like_anybody(other, old.jid, absent)


async def test_what_is_undone_is_not_granted_to_a_name(kind: Kind, world_for: WorldFor) -> None:
    """The old account is gone: its entry comes back, and lets nobody in who gets the name next."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        await stage.romeo.told("Juliet has moved", sender=COMPONENT_HOST)
        await stage.old.deletes_account()
        async with asyncio.timeout(PATIENCE):
            while (await stage.romeo.roster())[stage.old.jid].subscription != "none":
                await cast.settled()
        line = await stage.romeo.asks(COMPONENT_HOST, "undo")
        assert f"{stage.old.jid} does not exist any more" in line.body
        roster = await stage.romeo.roster()
        entry = roster[stage.old.jid]
        assert (entry.subscription, entry.ask, entry.name) == ("none", False, "Juliet")
        assert roster.get(stage.new.jid) is None

"""Undo: every roster that can be reached is what it was before the move."""

from __future__ import annotations

import pytest

from tests.live.movers.cast import Cast, compare, until_roster
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, PASTED
from tests.live.movers.moves import is_of, until
from tests.live.movers.people import Manner
from tests.live.movers.stage import NAMES, Juliet, enter_juliet, move_her
from tests.live.movers.world import COMPONENTS
from tests.live.servers.base import COMPONENT_HOST, RosterEntry
from tests.live.servers.differences import Kind

Snapshot = dict[str, dict[str, RosterEntry]]


def without_leftovers(rosters: Snapshot, mover: str) -> Snapshot:
    """What is left where nobody's server acts for them: an entry without any subscription, which
    is theirs to remove."""
    return {
        owner: {
            jid: entry
            for jid, entry in roster.items()
            if jid != mover or entry.subscription != "none" or entry.ask
        }
        for owner, roster in rosters.items()
    }


async def undo(stage: Juliet, before: Snapshot, way: str) -> None:
    """Order the undo at the old account; see that everything is as it was."""
    async with stage.home.orders.watch() as watch:
        said = await GUIDES[way](stage.old, COMPONENT_HOST).order("undo", sure="1")
        assert "being undone" in said or "undone" in said
        await until(watch, stage.old, stage.new, ("undone",))
        watch.check_totals(4, is_of(stage.old, stage.new))
    await stage.old.told("is undone", sender=COMPONENT_HOST)
    await stage.cast.settled()
    after = without_leftovers(await stage.cast.rosters(stage.friar), stage.new.jid)
    others = [person for person in stage.cast.people.values() if person is not stage.friar]
    after |= await stage.cast.rosters(*others)
    assert compare(before, after) == ""
    for reader in (stage.romeo, stage.friar):
        assert (await reader.reads_statement(stage.old.jid))[0] is None
        assert (await reader.reads_statement(stage.new.jid))[0] is None


@pytest.mark.parametrize("way", GUIDES)
async def test_in_one_house(kind: Kind, world_for: WorldFor, way: str) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        await move_her(stage)
        assert compare(before, await cast.rosters()) != ""
        await undo(stage, before, way)
        # The way back is not the contact's to undo: it would lead to the address that was left.
        said = await stage.romeo.asks(COMPONENT_HOST, "undo")
        assert "nothing to undo" in said.body
        assert not stage.romeo.requests
        assert not stage.nurse.requests


async def test_what_the_new_account_had_before_is_kept(kind: Kind, world_for: WorldFor) -> None:
    """The new account knows some of the contacts already, one of them one-way."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        old = cast.person("juliet", "montague.example")
        new = cast.person("juliet2", "verona.example")
        knows = cast.person("knows", "montague.example")
        half = cast.person("half", "verona.example")
        friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES)
        stranger = cast.person("stranger", "montague.example")
        for contact in (knows, half, friar):
            cast.friends(old, contact, called="Juliet")
        cast.friends(new, knows, name="Known", groups=("Mine",), called="Juliet again")
        cast.friends(new, half, "from", name="Half", called="The other")
        cast.arrange()
        await cast.enter()
        stage = Juliet(cast, old, new, knows, half, half, friar, stranger)
        before = await cast.rosters()
        await move_her(stage)
        assert (await new.roster())[knows.jid] == before[new.jid][knows.jid]
        async with stage.home.orders.watch() as watch:
            await GUIDES["chat"](old, COMPONENT_HOST).order("undo", sure="1")
            await until(watch, old, new, ("undone",))
        await cast.settled()
        after = without_leftovers(await cast.rosters(), new.jid)
        assert compare(before, after) == ""


async def test_across_servers(pair: Kind, world_for: WorldFor) -> None:
    """First at the new account, then at the old one: each server undoes what it can."""
    world = await world_for(pair, names=("montague", "capulet", "mantua"))
    away, here = world.houses["montague"], world.houses["capulet"]
    async with Cast(world) as cast, away.orders.watch() as left, here.orders.watch() as arrived:
        old = cast.person("juliet", "montague.example")
        new = cast.person("juliet", "capulet.example")
        near = [cast.person(f"n{n}", "montague.example") for n in range(2)]
        far = [cast.person(f"f{n}", "capulet.example") for n in range(2)]
        friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES)
        for contact in (*near, *far, friar):
            cast.friends(old, contact, name="Somebody", called="Juliet", called_groups=("Friends",))
        cast.arrange()
        await cast.enter(old, new, near[0], far[0], friar)
        before = await cast.rosters()
        there, at_home = (GUIDES["chat"](p, world.component_of(p.jid)) for p in (new, old))
        await at_home.order("away", new=new.jid)
        pasted = await old.hears(PASTED, sender=COMPONENTS["montague"])
        await there.order("arrive", old=old.jid, list=pasted.body)
        await until(arrived, old, new, ("done",))
        await until(left, old, new, ("settling",), counts={"mutual": 4, "pending": 1})

        await there.order("undo", sure="1")
        await new.told(f"order the undo at .*{old.jid}", sender=COMPONENTS["capulet"])
        await at_home.order("undo", sure="1")
        await until(left, old, new, ("undone",))
        await until(arrived, old, new, ("undone",))
        await cast.settled()
        after = without_leftovers(await cast.rosters(friar), new.jid)
        after |= await cast.rosters(*(p for p in cast.people.values() if p is not friar))
        assert compare(before, after) == ""


async def test_a_contact_undoes_for_themselves(kind: Kind, world_for: WorldFor) -> None:
    """The word that the notice promises; the others stay with the new account."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        stage.new.requests.clear()
        await stage.romeo.told("has moved", sender=COMPONENT_HOST)
        said = await stage.romeo.asks(COMPONENT_HOST, "undo", "undone|which|what")
        assert "Undone" in said.body
        # The old account's server has to give back what was revoked: it asks, its owner approves.
        stage.old.manner = Manner.APPROVES
        await until_roster(stage.romeo, cast.arranged(stage.romeo))
        again = await stage.romeo.asks(COMPONENT_HOST, "undo")
        assert "nothing to undo" in again.body

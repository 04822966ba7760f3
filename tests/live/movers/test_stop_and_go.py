"""Pause, resume, cancel, choose; who may read, who is approved, and what vanishes on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.live.arrange import NS_PUBSUB, publish
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast, compare, until_roster
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import is_of, progress_of, states_of, until
from tests.live.movers.people import PATIENCE, Manner, Person
from tests.live.movers.stage import NAMES, begin_her, enter_juliet, move_her
from tests.live.movers.world import BOTS_HOST, Settings, World
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind

SLOW: Settings = (
    ("movers.per_mover_per_second", 2.0),
    ("movers.retry_hours", [1]),
    ("movers.pending_minutes", 10),
)
"""A pace at which things can be done in the middle of a move; no retries within a test."""
COUNT = 12


class Company:
    """A mover in one house whose contacts are bots elsewhere, and one neighbour."""

    def __init__(self, world: World, cast: Cast, manner: Manner = Manner.APPROVES) -> None:
        self.home = world.houses["montague"]
        self.old = cast.person("old", "montague.example")
        self.new = cast.person("new", "verona.example")
        self.neighbour = cast.person("zoe", "montague.example")
        self.bots = Bots(cast, manner)
        self.names = [self.bots.jid(f"b{n:02}-{cast.token}") for n in range(COUNT)]
        for name in self.names:
            cast.friends(self.old, name)
        cast.friends(self.old, self.neighbour)
        cast.arrange()

    async def begin(self) -> None:
        """Order the move, and return when the first contact was told."""
        said = await GUIDES["chat"](self.old, COMPONENT_HOST).order(
            "away", new=self.new.jid, code=code_of(self.new, COMPONENT_HOST)
        )
        assert "has begun" in said
        await self.bots.until(lambda: len(self.bots.notifications) > 0, "somebody is told")

    async def order(self, name: str) -> str:
        """An order of the old account's, by chat."""
        return await GUIDES["chat"](self.old, COMPONENT_HOST).order(name, sure="1")

    def check_told_once(self) -> None:
        """See that nobody was told twice, and nobody before there was something to read."""
        assert set(self.bots.counts.values()) <= {1}, self.bots.counts
        assert all(proof.holds for proof in self.bots.proofs), self.bots.proofs


async def test_who_is_blocked_or_left_out_hears_nothing(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await stage.old.blocks(stage.friar.jid)
        chosen = [stage.romeo.jid, stage.nurse.jid]
        before = await cast.rosters(stage.friar, stage.tybalt)
        await move_her(stage, who="choose", contacts=chosen)
        await cast.settled()
        states = await states_of(stage.home, stage.old, stage.new)
        assert states == {
            stage.romeo.jid: "mutual",
            stage.nurse.jid: "mutual",
            stage.tybalt.jid: "skipped",
            stage.friar.jid: "skipped",
        }
        assert compare(before, await cast.rosters(stage.friar, stage.tybalt)) == ""
        assert set(await stage.new.roster()) == set(chosen)
        assert not stage.tybalt.requests
        assert not stage.friar.requests
        # Nor can they read it.
        assert (await stage.romeo.reads_statement(stage.old.jid))[0] == stage.new.jid
        for left in (stage.tybalt, stage.stranger, stage.friar):
            assert (await left.reads_statement(stage.old.jid))[0] is None


async def test_who_may_read(kind: Kind, world_for: WorldFor) -> None:
    """``presence`` where that serves everybody, ``open`` by choice only."""
    world = await world_for(kind, names=NAMES)
    for access, wanted in (("suggested", "presence"), ("open", "open")):
        async with Cast(world) as cast:
            old = cast.person("old", "montague.example")
            new = cast.person("new", "verona.example")
            friend = cast.person("friend", "montague.example")
            friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES)
            strangers = [
                cast.person("stranger", "montague.example"),
                cast.person("guest", "mantua.example"),
            ]
            for contact in (friend, friar):
                cast.friends(old, contact)
            cast.arrange()
            await cast.enter()
            async with world.houses["montague"].orders.watch() as watch:
                said = await GUIDES["ad-hoc"](old, COMPONENT_HOST).order(
                    "away", new=new.jid, access=access, code=code_of(new, COMPONENT_HOST)
                )
                assert "has begun" in said
                done = await until(watch, old, new, ("done",))
            assert done["journey"]["access"] == wanted
            for reader in (friend, friar):
                assert (await reader.reads_statement(old.jid))[0] == new.jid
            for reader in strangers:
                found = (await reader.reads_statement(old.jid))[0]
                assert found == (new.jid if access == "open" else None)


async def test_an_old_server_that_knows_nothing(kind: Kind, world_for: WorldFor) -> None:
    """The old account published by hand, with a plain client; the contacts are pasted."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        old = cast.person("juliet", "mantua.example")
        new = cast.person("juliet", "montague.example")
        romeo = cast.person("romeo", "montague.example")
        nurse = cast.person("nurse", "verona.example")
        friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES, reads=True)
        for contact in (romeo, nurse, friar):
            cast.friends(old, contact, name="x", called="Juliet", called_groups=("Love",))
        cast.arrange()
        await cast.enter(old, new, romeo, friar)
        before = await cast.rosters()
        guide = GUIDES["chat"](new, COMPONENT_HOST)
        pasted = f"{romeo.jid} Romeo\nNurse <{nurse.jid}>\n{friar.jid}"
        said = await guide.order("arrive", old=old.jid, list=pasted)
        # Prosody does not say to a stranger that there is no statement; ejabberd does.
        unread = f"{old.jid} does not let {new.jid} read whether it moves"
        assert f"{old.jid} does not say that it moves to {new.jid}" in said or unread in said
        assert compare(before, await cast.rosters()) == ""

        await publish(old.device, new.jid, "open", [])
        async with world.houses["montague"].orders.watch() as watch:
            assert "has begun" in await guide.order("arrive", old=old.jid, list=pasted)
            await until(watch, old, new, ("done",), counts={"mutual": 3})
        roster = await new.roster()
        assert {jid: (e.subscription, e.name) for jid, e in roster.items() if jid != friar.jid} == {
            romeo.jid: ("both", "Romeo"),
            nurse.jid: ("both", "Nurse"),
        }
        assert roster[friar.jid].subscription == "both"
        for contact in (romeo, nurse):
            entries = await contact.roster()
            assert (entries[new.jid].subscription, entries[old.jid].subscription) == ("both", "to")
            assert (entries[new.jid].name, entries[new.jid].groups) == ("Juliet", ("Love",))
            assert not contact.requests
        assert [proof.holds for proof in friar.proofs] == [True]


async def retract(person: Person) -> None:
    """Take only the item back, as a plain client might."""
    await person.device.request(
        f"<pubsub xmlns='{NS_PUBSUB}'><retract node='urn:xmpp:moved:1' notify='1'>"
        "<item id='current'/></retract></pubsub>",
        kind="set",
    )


async def test_checks_keep_everything_as_it_is(kind: Kind, world_for: WorldFor) -> None:
    """Moved already, a loop, no such target, itself: a sentence, and nothing is sent."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        guide = GUIDES["chat"](stage.old, COMPONENT_HOST)
        missing = cast.jid("missing", "montague.example")
        nowhere = "juliet@nowhere.example"
        for new, sentence in (
            (stage.old.jid, "are the same"),
            (missing, f"{missing} was not found"),
            (nowhere, f"The server of {nowhere} does not answer"),
        ):
            said = await guide.order("away", new=new)
            assert "cannot begin" in said, said
            assert sentence in said, said
        # The target has moved back here already: a circle.
        await publish(stage.new.device, stage.old.jid, "open", [])
        # What its statement says is looked at once the mover has proven that it is theirs.
        code = code_of(stage.new, COMPONENT_HOST)
        said = await guide.order("away", new=stage.new.jid, code=code)
        assert "moves to" in said
        assert "cannot begin" in said
        await retract(stage.new)
        # The old account says already that it went elsewhere.
        await publish(stage.old.device, "juliet@elsewhere.example", "presence", [])
        assert "already" in (said := await guide.order("away", new=stage.new.jid))
        assert "cannot begin" in said
        await retract(stage.old)
        await cast.settled()
        assert compare(before, await cast.rosters()) == ""
        assert not stage.friar.requests
        assert not [j for j in await stage.home.orders.order("list") if cast.token in str(j)]
        # Nothing of that keeps a good move from beginning.
        assert "has begun" in await begin_her(stage)


async def test_contacts_have_their_way(kind: Kind, world_for: WorldFor) -> None:
    """``never`` and ``ask`` are honoured, and notices come in the contact's language."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await stage.nurse.log_in()
        for person, settings in (
            (stage.romeo, {"follow": "auto", "language": "de"}),
            (stage.nurse, {"follow": "ask", "language": "client"}),
            (stage.tybalt, {"follow": "never", "language": "client"}),
        ):
            await GUIDES["ad-hoc"](person, COMPONENT_HOST).order("settings", **settings)
        before = await cast.rosters(stage.nurse, stage.tybalt)
        async with stage.home.orders.watch() as watch:
            await begin_her(stage)
            await until(watch, stage.old, stage.new, ("settling",))
        for person in (stage.nurse, stage.tybalt):
            await person.seen_requests(stage.new.jid)
            assert [n.old for n in person.notifications] == [stage.old.jid]
        line = await stage.romeo.told("umgezogen", sender=COMPONENT_HOST)
        assert line.lang == "de"
        await stage.nurse.told("this is genuine", sender=COMPONENT_HOST)
        assert not stage.tybalt.heard("moved", sender=COMPONENT_HOST)
        after = await cast.rosters(stage.nurse, stage.tybalt)
        for roster in after.values():
            roster.pop(stage.new.jid, None)
        assert compare(before, after) == ""
        # The nurse decides, and all is as if her server had.
        stage.nurse.subscribes("subscribed", stage.new.jid)
        stage.nurse.subscribes("subscribe", stage.new.jid)
        wanted = stage.roster_of_new()
        tybalt = wanted[stage.tybalt.jid]
        wanted[stage.tybalt.jid] = replace(tybalt, subscription="none", ask=True)
        await until_roster(stage.new, wanted)
        assert not stage.new.requests


async def test_a_pause_stops_and_resume_goes_on(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        company = Company(world, cast)
        await company.bots.open()
        await cast.enter()
        async with company.home.orders.watch() as watch:
            await company.begin()
            assert "paused" in await company.order("pause")
            paused = await progress_of(company.home, company.old, company.new)
            assert paused["journey"]["state"] == "paused"
            left = paused["counts"]["queued"]
            assert left > 0
            # What was sent may still be answered; nobody else is told, whatever the component does
            # meanwhile: a move that begins now tells its four contacts at the same pace.
            async with Cast(world) as others:
                await move_her(await enter_juliet(world, others))
            await cast.settled()
            still = await progress_of(company.home, company.old, company.new)
            assert still["counts"]["queued"] == left
            asked = await company.new.roster()
            assert len(asked) == COUNT + 1 - left
            assert {n.to for n in company.bots.notifications} == asked.keys() & {*company.names}
            assert await company.neighbour.reads_statement(company.old.jid) == (
                company.new.jid,
                None,
            )
            assert "paused" not in await company.order("resume")
            await until(watch, company.old, company.new, ("done",), counts={"mutual": COUNT + 1})
            watch.check_totals(COUNT + 1, is_of(company.old, company.new))
        await company.bots.until_proven()
        company.check_told_once()
        assert len(company.bots.notifications) == COUNT


@pytest.mark.parametrize("domain", [False, True], ids=["jid", "domain"])
async def test_who_is_blocked_on_the_way_hears_nothing(
    kind: Kind, world_for: WorldFor, domain: bool
) -> None:
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        company = Company(world, cast)
        await company.bots.open()
        await cast.enter()
        async with company.home.orders.watch() as watch:
            await company.begin()
            assert "paused" in await company.order("pause")
            await cast.settled()
            told = {n.to for n in company.bots.notifications}
            left = [name for name in company.names if name not in told]
            assert left
            for jid in [BOTS_HOST] if domain else left:
                await company.new.blocks(jid)
            assert "paused" not in await company.order("resume")
            await until(watch, company.old, company.new, ("done",))
        states = await states_of(company.home, company.old, company.new)
        assert [states[name] for name in left] == ["skipped"] * len(left)
        await cast.settled()
        assert {n.to for n in company.bots.notifications} == told
        assert not {bot for bot, _ in company.bots.asked} - told


async def test_cancel_takes_back_what_is_open(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        company = Company(world, cast, Manner.NOTHING)
        bots = await company.bots.open()
        await cast.enter()
        await company.begin()
        await bots.until_proven()
        early = len(bots.proofs)
        assert "cancelled" in await company.order("cancel")
        # Who was told is told that it is over; the others never hear of it.
        told = {n.to for n in bots.notifications}
        await bots.until(lambda: {bot for bot, _ in bots.withdrawn} >= told, "withdrawn")
        await cast.settled()
        assert {n.to for n in bots.notifications} == {bot for bot, _ in bots.withdrawn}
        assert len(bots.notifications) < COUNT
        # Who was told as the order was given may have looked when there was nothing any more.
        await bots.until_proven()
        assert {proof.new for proof in bots.proofs[early:]} <= {company.new.jid, None}
        del bots.proofs[early:]
        assert (await company.neighbour.reads_statement(company.old.jid))[0] is None
        for name in company.names:
            assert name not in await company.new.roster()
        await company.old.told("is cancelled", sender=COMPONENT_HOST)
        states = await states_of(company.home, company.old, company.new)
        assert set(states.values()) <= {"restored", "skipped", "mutual"}

        # A cancelled move costs no month: another may begin at once.
        bots.manner = Manner.APPROVES
        bots.notifications.clear()
        async with company.home.orders.watch() as watch:
            await company.begin()
            await until(watch, company.old, company.new, ("done",), timeout=60.0)
        company.check_told_once()
        # Success does: the next one has to wait.
        said = await GUIDES["chat"](company.old, COMPONENT_HOST).order(
            "away", new=cast.person("third", "verona.example").jid
        )
        assert "cannot begin" in said
        assert "Possible again on" in said


async def test_a_vanished_statement_is_published_again(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        company = Company(world, cast)
        # Told in the moment without a statement, a contact's server leaves it to the contact.
        company.neighbour.manner = Manner.APPROVES
        bots = await company.bots.open()
        await cast.enter()
        async with company.home.orders.watch() as watch:
            await company.begin()
            await company.old.retracts_statement()
            found = None
            async with asyncio.timeout(PATIENCE):
                while found != (company.new.jid, None):
                    found = await company.neighbour.reads_statement(company.old.jid)
            await until(watch, company.old, company.new, ("done",))
        assert set(bots.counts.values()) == {1}
        assert len(bots.notifications) == COUNT


async def test_whom_the_mover_only_saw_is_not_let_in_unasked(
    kind: Kind, world_for: WorldFor
) -> None:
    """Contacts who never saw the mover ask while the move goes on: one at home, one elsewhere."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        old = cast.person("juliet", "montague.example")
        new = cast.person("juliet2", "verona.example")
        friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES)
        near = cast.person("near", "montague.example")
        far = cast.person("far", "mantua.example", manner=Manner.APPROVES)
        cast.friends(old, friar)
        for contact in (near, far):
            cast.friends(old, contact, "to")
        cast.arrange()
        await cast.enter()
        async with world.houses["montague"].orders.watch() as watch:
            said = await GUIDES["chat"](old, COMPONENT_HOST).order(
                "away", new=new.jid, code=code_of(new, COMPONENT_HOST)
            )
            assert "has begun" in said
            # As an ordinary client does with whoever it approves.
            await new.seen_requests(far.jid)
            near.subscribes("subscribe", new.jid)
            await new.seen_requests(near.jid)
            await until(watch, old, new, ("done",))
        await cast.settled()
        roster = await new.roster()
        for contact in (near, far):
            assert (roster[contact.jid].subscription, roster[contact.jid].ask) == ("to", False)
        assert {r.element.get("from") for r in new.requests} == {near.jid, far.jid}
        # Whom the mover had let see the old account needs no tap.
        assert roster[friar.jid].subscription == "both"


async def test_only_who_was_told_is_approved(kind: Kind, world_for: WorldFor) -> None:
    """A stranger, and a contact whose turn has not come, ask the new account like anybody."""
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        company = Company(world, cast)
        stranger = cast.person("stranger", "montague.example")
        await company.bots.open()
        await cast.enter()
        async with company.home.orders.watch() as watch:
            await company.begin()
            stranger.subscribes("subscribe", company.new.jid)
            request = await company.new.seen_requests(stranger.jid)
            assert request.element.get("from") == stranger.jid
            # The neighbour's turn is the last: the domain of the bots is at it until then.
            await until(watch, company.old, company.new, ("done",))
        assert stranger.jid not in {
            jid
            for jid, entry in (await company.new.roster()).items()
            if entry.subscription != "none"
        }
        assert [r.element.get("from") for r in company.new.requests] == [stranger.jid]
        # After the move nobody is approved without a tap.
        late = cast.person("late", "montague.example")
        await late.log_in()
        late.subscribes("subscribe", company.new.jid)
        await company.new.seen_requests(late.jid)

"""Names of contacts and readers are given to others, too; and not every deletion is told of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.live.movers.cast import Cast
from tests.live.movers.conftest import WorldFor
from tests.live.movers.moves import until
from tests.live.movers.people import PATIENCE, Manner, Person
from tests.live.movers.stage import NAMES, Juliet, begin_her, enter_juliet
from tests.live.movers.test_deleted import until as until_entry
from tests.live.movers.test_recycled import taken_by_somebody_else
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind

GRANTS = ("from", "both")


@contextlib.asynccontextmanager
async def held(stage: Juliet) -> AsyncIterator[None]:
    """Nobody is told meanwhile."""
    await stage.home.orders.order("pause-all")
    try:
        yield
    finally:
        await stage.home.orders.order("resume-all")


async def taken_unheard(stage: Juliet, person: Person) -> Person:
    """The account is deleted behind the server's back, and somebody else registers the name."""
    await person.log_out()
    await stage.cast.settled()
    person.server.remove_user(person.jid)
    person.server.add_user(person.jid)
    other = Person(person.jid, person.server)
    stage.cast.people[f"the next {person.jid}"] = other
    return await other.log_in()


async def reads_nothing(stage: Juliet, other: Person) -> None:
    """The whitelist of the old account's statement loses the name."""
    async with asyncio.timeout(PATIENCE):
        while (await other.reads_statement(stage.old.jid))[0] is not None:
            await stage.cast.settled()


async def test_who_had_followed(kind: Kind, world_for: WorldFor) -> None:
    """Whoever has the contact's name next asks as anybody does, and learns of no new address."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        stage.friar.manner = Manner.NOTHING  # the move goes on
        await begin_her(stage)
        await until_entry(stage.new, stage.romeo.jid, "both")
        assert await stage.romeo.reads_statement(stage.old.jid) == (stage.new.jid, None)
        other = await taken_by_somebody_else(stage, stage.romeo)
        await reads_nothing(stage, other)
        other.subscribes("subscribe", stage.new.jid)
        await stage.new.seen_requests(other.jid)
        entry = (await stage.new.roster()).get(other.jid)
        assert entry is None or entry.subscription not in GRANTS
        await stage.old.deletes_account()
        said, condition = await stage.new.reads_statement(stage.old.jid)
        assert said is not None or (condition or "").startswith("gone")
        said, condition = await other.reads_statement(stage.old.jid)
        assert said is None
        assert not (condition or "").startswith("gone")


async def test_who_was_to_be_told(kind: Kind, world_for: WorldFor) -> None:
    """They are told nothing, whether the server has told of the deletion or not."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        stage.friar.manner = Manner.NOTHING
        async with stage.home.orders.watch() as watch:
            async with held(stage):
                await begin_her(stage)
                await until(watch, stage.old, stage.new, ("notifying",))
                others = [
                    await taken_by_somebody_else(stage, stage.romeo),
                    await taken_unheard(stage, stage.tybalt),
                ]
            await until(watch, stage.old, stage.new, ("settling",))
        await stage.friar.seen_requests(stage.new.jid)
        await cast.settled()
        for other in others:
            assert not other.notifications, other
            assert not other.requests, other
            other.subscribes("subscribe", stage.new.jid)
            await stage.new.seen_requests(other.jid)
            entry = (await stage.new.roster()).get(other.jid)
            assert entry is None or entry.subscription not in GRANTS


async def test_whose_progress_it_is(kind: Kind, world_for: WorldFor) -> None:
    """The owner's name is another's, and nobody has said so: they hear nothing of the move."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        stage.friar.manner = Manner.NOTHING
        async with stage.home.orders.watch() as watch:
            await begin_her(stage)
            await until_entry(stage.new, stage.romeo.jid, "both")
            other = await taken_unheard(stage, stage.old)
            stage.friar.subscribes("subscribed", stage.new.jid)  # news, but not the end
            await until(watch, stage.old, stage.new, ("cancelled",))
        await stage.new.told("One of the two accounts was deleted", sender=COMPONENT_HOST)
        assert not other.lines

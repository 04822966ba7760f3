"""In a move between two accounts of one server the old one's things come first, once, and go again
with an undo."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from component.account.model import Blocked, Contact, Identity, Piece, in_order
from tests.live.account.furniture import BLOCKED, EVERYTHING, PROFILE, PUBLISHED, SETTINGS
from tests.live.account.owner import furnish, seen
from tests.live.account.test_exchange import plain
from tests.live.client import Received
from tests.live.crash.daemon import dying
from tests.live.crash.points import Target
from tests.live.movers.cast import Cast, compare
from tests.live.movers.conftest import WorldFor
from tests.live.movers.guides import GUIDES
from tests.live.movers.moves import progress_of, until
from tests.live.movers.people import Person
from tests.live.movers.stage import NAMES, Juliet, begin_her, enter_juliet, move_her
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kinds

THINGS: Sequence[Piece] = (*BLOCKED, PROFILE, SETTINGS, *PUBLISHED)
KNOWN = 200
"""Addresses on the old account's roster without any subscription."""
WAIT = 120.0
_OURS = ("urn:xmpp:moved:1", "storage:bookmarks")


async def things_of(person: Person) -> list[Piece]:
    """What the account has, without contacts and the moved statement."""
    host, user = person.jid.partition("@")[2], person.jid.partition("@")[0]
    found = await seen(person.device, Identity(host, user), EVERYTHING)
    return [
        piece
        for piece in plain(found)
        if not isinstance(piece, Identity | Contact) and getattr(piece, "node", "") not in _OURS
    ]


async def furnished(stage: Juliet) -> list[Piece]:
    """Put things and names into the old account; what the new one is to have."""
    known = [Contact(f"k{n:03}@mantua.example", f"Nr. {n} 🌹", ("Ä",)) for n in range(KNOWN)]
    await furnish(stage.old.device, [*THINGS, *known])
    return plain(in_order(THINGS))


async def check(stage: Juliet, coming: list[Piece]) -> None:
    """Everything is there, by name those too who are no part of the move; nobody was told twice."""
    assert await things_of(stage.new) == coming
    roster = await stage.new.roster()
    named = [entry for jid, entry in roster.items() if jid.startswith("k")]
    assert len(named) == KNOWN
    assert {(e.subscription, e.ask, e.groups) for e in named} == {("none", False, ("Ä",))}
    wanted = stage.roster_of_new()
    assert {jid: entry for jid, entry in roster.items() if jid in wanted} == wanted
    assert [(n.old, n.new) for n in stage.friar.notifications] == [(stage.old.jid, stage.new.jid)]
    assert not stage.romeo.requests


@kinds(NEWER_PROSODY)
async def test_everything_comes_first_and_goes_with_an_undo(
    kind: Kind, world_for: WorldFor
) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before, rosters = await things_of(stage.new), await cast.rosters(stage.new)
        coming = await furnished(stage)
        there: list[asyncio.Task[list[Piece]]] = []

        def on_stanza(_: Received) -> None:
            if stage.friar.notifications and not there:
                there.append(asyncio.create_task(things_of(stage.new)))

        stage.friar.device.listeners.append(on_stanza)
        await move_her(stage)
        # When the first contact heard of the move, everything was there.
        assert there
        assert await there[0] == coming
        await check(stage, coming)

        async with stage.home.orders.watch() as watch:
            await GUIDES["chat"](stage.old, COMPONENT_HOST).order("undo", sure="1")
            await until(watch, stage.old, stage.new, ("undone",))
        assert await things_of(stage.new) == before
        assert compare(rosters, await cast.rosters(stage.new)) == ""
        assert in_order(await things_of(stage.old)) == coming


@kinds(NEWER_PROSODY)
async def test_who_is_blocked_after_the_draft_hears_nothing(
    kind: Kind, world_for: WorldFor
) -> None:
    """Between the list that was shown and the last yes."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)

        async def block() -> str:
            await furnish(stage.old.device, [Blocked(stage.friar.jid)])
            return "suggested"

        async with stage.home.orders.watch() as watch:
            await begin_her(stage, access=block)
            counts = {"mutual": 2, "accepted": 1, "skipped": 1}
            await until(watch, stage.old, stage.new, ("done",), counts=counts)
        await cast.settled()
        assert not stage.friar.notifications
        assert Blocked(stage.friar.jid) in await things_of(stage.new)


@kinds(NEWER_PROSODY, "ejabberd-24.12")
@pytest.mark.parametrize(
    "target",
    [
        Target("after ask entries"),
        pytest.param(Target("before commit copy_things", 3), marks=pytest.mark.full),
    ],
)
async def test_killed_while_things_come(kind: Kind, world_for: WorldFor, target: Target) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        coming = await furnished(stage)
        async with dying(stage.home.running_daemon, target):
            order = asyncio.create_task(begin_her(stage))
            await stage.home.running_daemon.wait(WAIT)
            order.cancel()  # its last word may have died with the component
            await asyncio.wait({order})
        assert not stage.friar.notifications
        await stage.home.running_daemon.start()
        async with stage.home.orders.watch() as watch:
            if (await progress_of(stage.home, stage.old, stage.new))["journey"]["state"] != "done":
                await until(watch, stage.old, stage.new, ("done",), timeout=WAIT)
        await check(stage, coming)

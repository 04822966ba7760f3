"""``withdraw --all``: nothing that moves have put on accounts here outlives the program."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from component.core.journey.model import JourneyState
from component.core.journey.told import RETIRED
from component.core.model import Subscription
from component.core.notices import Stopped, Withdrawn
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import HOST, NEW, OLD, Stage, opened

S = JourneyState
STAYS = "stays@d1.example"
PARIS = f"paris@{HOST}"


async def withdrawn(stage: Stage) -> None:
    """Order it until nothing is left."""
    for _ in range(20):
        done = await stage.admin.withdraw_all()
        if not done.left and not done.cancelled:
            return
        await asyncio.sleep(60)
    raise AssertionError(done)


def test_the_statement_of_a_move_that_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            journey = await stage.begin()
            await stage.ended(journey.id)
            assert OLD in stage.server.nodes
            assert [j.id for j in await stage.admin.standing()] == [journey.id]
            done = await stage.admin.withdraw_all()
            assert (done.withdrawn, done.cancelled, done.left) == ((journey.id,), (), {})
            assert OLD not in stage.server.nodes
            (told,) = stage.messages.of(Withdrawn)
            assert (told.journey.old, told.journey.new) == (OLD, NEW)
            assert (await stage.stored(journey.id)).told == RETIRED
            assert await stage.admin.standing() == []
            # Given again, it has nothing to do, and nobody is told twice.
            assert (await stage.admin.withdraw_all()).withdrawn == ()
            assert len(stage.messages.of(Withdrawn)) == 1

    play(main())


def test_a_move_under_way_is_cancelled(tmp_path: Path) -> None:
    """The statement goes, and so do the requests that nobody has answered."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.contact(STAYS, Subscription.BOTH, Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            assert OLD in stage.server.nodes
            await withdrawn(stage)
            assert (await stage.stored(journey.id)).state is S.CANCELLED
            assert OLD not in stage.server.nodes
            assert STAYS not in stage.server.rosters[NEW]
            assert [told.journey.id for told in stage.messages.of(Withdrawn)] == [journey.id]
            assert stage.messages.of(Stopped)
            assert await stage.admin.standing() == []

    play(main())


def test_what_is_being_undone_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            journey = await stage.begin()
            await stage.ended(journey.id)
            await stage.movers.undo(OLD, journey.id)
            done = await stage.admin.withdraw_all()
            assert done.left == {journey.id: S.UNDOING.value}
            await withdrawn(stage)
            assert (await stage.stored(journey.id)).state is S.UNDONE
            assert OLD not in stage.server.nodes
            assert NEW not in stage.server.nodes

    play(main())


def test_one_that_is_refused_keeps_nobody_from_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            first = await stage.begin()
            ended = await stage.ended(first.id)
            # An account that the server does not know any more.
            gone = await stage.store.journeys.create(replace(ended, old=PARIS, owner=PARIS), [])
            done = await stage.admin.withdraw_all()
            assert first.id in done.withdrawn
            assert OLD not in stage.server.nodes
            assert set(done.left) <= {gone.id}

    play(main())

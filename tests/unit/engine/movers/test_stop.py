"""The end of the mover side: nothing of it goes on when it has stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from component.core.journey.model import JourneyState
from component.engine.movers import runs
from component.engine.movers.watches import Watches
from component.store.errors import StoreError
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import OLD, opened


def test_what_is_read_in_the_background_has_ended_when_it_has_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it still has a connection of the store, which is closed next."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def reads(_self: Watches) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(1.0)  # as a connection that is given back
            ended.set()

    monkeypatch.setattr(Watches, "renew_all", reads)

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.movers.renew_watches()
            await begun.wait()
            await stage.movers.stop()
            assert ended.is_set()

    play(main())


@pytest.mark.parametrize("word", ["undo", "cancel"])
def test_a_move_is_handed_over_while_a_way_back_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The last look of an undo, or of a cancelled move, is far away: nobody waits for it."""
    monkeypatch.setattr(runs, "GIVE_UP_SECONDS", 3600.0)
    left = JourneyState.UNDOING if word == "undo" else JourneyState.CANCELLED

    async def main() -> None:
        async with opened(tmp_path, look_seconds=7200.0) as stage:
            stage.people("a@d1.example", manner=Manner.GRANTS)
            stage.people("b@d2.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.SETTLING)
            run, task = stage.run(journey.id), stage.movers.runs.tasks[journey.id]
            waits = asyncio.Event()

            async def wait_out(seconds: float) -> bool:
                waits.set()
                return await waited(seconds)

            waited = run.wait_out
            monkeypatch.setattr(run, "wait_out", wait_out)
            await getattr(stage.movers, word)(OLD, journey.id)
            await waits.wait()
            await stage.movers.runs.give_up(journey.id)
            assert task.done()
            assert not task.cancelled()
            assert (await stage.stored(journey.id)).state is left

    play(main())


async def test_a_cancellation_that_the_store_makes_an_error_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried again then, for nobody cancels it a second time."""
    begun = asyncio.Event()

    async def reads() -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise StoreError("the read was cut off") from None

    async with opened(tmp_path) as stage:
        monkeypatch.setattr(stage.movers.watches, "renew_all", reads)
        stage.movers.renew_watches()
        await begun.wait()
        async with asyncio.timeout(5):
            await stage.movers.stop()

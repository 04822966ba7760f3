"""The owner hears how a journey ended or stopped, though the component died before the word."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.core.journey.model import JourneyState
from component.core.notices import AllFollowed, Notice, Stopped, UndoneTold
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import OLD, opened

S = JourneyState


@pytest.mark.parametrize(
    ("order", "end", "notice"),
    [
        (None, S.DONE, AllFollowed),
        ("pause", S.PAUSED, Stopped),
        ("cancel", S.CANCELLED, Stopped),
        ("undo", S.UNDONE, UndoneTold),
    ],
)
def test_a_crash_before_the_last_word(
    tmp_path: Path, order: str | None, end: JourneyState, notice: type[Notice]
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            manner = Manner.SILENT if order in ("pause", "cancel") else Manner.FOLLOWS
            stage.people("a@d1.example", "b@d2.example", manner=manner)
            journey = await stage.begin()
            run = stage.run(journey.id)
            dead = False

            def die(_: str) -> None:
                nonlocal dead
                if run.book.journey.state is end and not dead:
                    dead = True
                    stage._life.end()
                    stage.server.lose()
                    stage._moved_on.set()

            if order is not None:
                await stage.until_state(journey.id, S.SETTLING, S.DONE)
                stage.faults = die
                await getattr(stage.movers, order)(OLD, journey.id)
            else:
                stage.faults = die
            await stage.until(lambda: dead)
            stage.faults = lambda _: None
            await stage.crash()
            assert not stage.messages.of(notice)
            assert (await stage.stored(journey.id)).state is end
            await stage.restart()
            await stage.ended(journey.id)
            assert len(stage.messages.of(notice)) == 1
            await stage.crash()
            await stage.restart()
            if journey.id in stage.movers.runs.tasks:
                await stage.ended(journey.id)
            assert len(stage.messages.of(notice)) == 1

    play(main())

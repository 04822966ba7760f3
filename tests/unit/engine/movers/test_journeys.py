"""Whole journeys: both accounts here, only the old one, only the new one."""

from __future__ import annotations

from pathlib import Path

from component.core.journey.model import ContactState, JourneyState
from component.core.notices import AllFollowed
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import NEW, OLD, opened

S = JourneyState
NURSE, TYBALT = "nurse@capulet.example", "tybalt@capulet.example"


def test_both_accounts_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE, TYBALT)
            journey = await stage.begin()
            done = await stage.ended(journey.id)
            assert done.state is S.DONE
            states = {c.state for c in (await stage.contacts(journey.id)).values()}
            assert states == {ContactState.MUTUAL}
            assert [told.to for told in stage.server.told] == [NURSE, TYBALT]
            assert all(told.readable for told in stage.server.told)
            assert not stage.server.world.pending.get(NEW)
            assert len(stage.messages.of(AllFollowed)) == 1
            assert stage.server.nodes[OLD].names == NEW

    play(main())

"""What comes along with a move, and when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from component.core.journey.model import Journey, JourneyState
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import NEW, OLD, Stage, opened

CHOSEN, LEFT, BLOCKED = "a@d1.example", "b@d2.example", "mallory@d3.example"


@dataclass
class Van:
    """A carrier that writes down what it is to leave out, and who had been told by then."""

    stage: Stage
    left_out: list[set[str]] = field(default_factory=list)
    told: list[int] = field(default_factory=list)

    async def carry(self, journey: Journey, left_out: Collection[str]) -> None:
        """Note it."""
        self.left_out.append(set(left_out))
        self.told.append(len(self.stage.server.told))

    async def blocked(self, journey: Journey) -> Collection[str]:
        """Nobody."""
        return ()

    async def take_back(self, journey: Journey) -> None:
        """Nothing was brought."""


def test_entries_of_those_who_are_told_come_with_the_notification(tmp_path: Path) -> None:
    """An entry that stood there before would look, after a crash, like a refused request."""

    async def main() -> None:
        async with opened(tmp_path, carry=True) as stage:
            stage.carrier = van = Van(stage)
            await stage.crash()
            await stage.restart()
            stage.people(CHOSEN, LEFT, BLOCKED)
            stage.server.blocks[OLD] = {BLOCKED}
            journey = await stage.begin(choose=[CHOSEN])
            await stage.until_state(journey.id, JourneyState.DONE)
            assert [told.to for told in stage.server.told] == [CHOSEN]
            assert van.left_out == [{CHOSEN, LEFT, BLOCKED}]
            assert van.told == [0]
            assert stage.server.rosters[NEW][CHOSEN].name == CHOSEN.partition("@")[0]

    play(main())

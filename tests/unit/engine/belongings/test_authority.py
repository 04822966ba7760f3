"""Of which moves an account's things may be had, and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.core.journey.model import JourneyState, Problem, Refused
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import MALLORY, NEW, OLD, Stage, opened
from tests.unit.engine.movers.test_authority import code, drafted


async def refusal(stage: Stage, asker: str, id_: int) -> Problem | None:
    """Why somebody may not have them; None: they may."""
    try:
        found = await stage.desk.both_proven(asker, id_)
    except Refused as refused:
        return refused.problem
    assert (found.id, found.old, found.new) == (id_, OLD, NEW)
    return None


def test_only_with_the_proof_of_both_accounts(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            assert await refusal(stage, OLD, id_) is Problem.CODE_EXPIRED
            assert await refusal(stage, NEW, id_) is Problem.NOT_YOURS
            assert await refusal(stage, MALLORY, id_) is Problem.NOT_YOURS
            await stage.desk.prove(OLD, id_, await code(stage, id_))
            assert await refusal(stage, OLD, id_) is None
            assert await refusal(stage, NEW, id_) is Problem.NOT_YOURS
            await stage.desk.start(OLD, id_)
            await stage.until_state(id_, JourneyState.SETTLING)
            assert await refusal(stage, OLD, id_) is None
            assert await refusal(stage, NEW, id_) is None
            assert await refusal(stage, MALLORY, id_) is Problem.NOT_YOURS
            assert await refusal(stage, OLD, id_ + 1) is Problem.NO_SUCH_JOURNEY

    play(main())


@pytest.mark.parametrize("way", ["late", "cancelled"])
def test_not_for_ever(tmp_path: Path, way: str) -> None:
    """Whoever has one of the addresses years later gets nothing of the other account."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            await stage.desk.prove(OLD, id_, await code(stage, id_))
            await stage.desk.start(OLD, id_)
            await stage.until_state(id_, JourneyState.SETTLING)
            if way == "late":
                stage.later(hours=73)
            else:
                await stage.movers.cancel(OLD, id_)
            expected = Problem.TOO_LATE if way == "late" else Problem.WRONG_STATE
            for asker in (OLD, NEW):
                assert await refusal(stage, asker, id_) is expected

    play(main())

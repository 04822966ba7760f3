"""Journeys pass between instances: taken up, given up, waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from component.core.journey.model import Journey, JourneyState, Problem, Refused
from component.core.journey.pace import Rates
from component.core.notices import ProgressMade
from component.engine.movers.claims import Claims
from component.engine.movers.runs import Runs
from component.store import Store
from component.store.errors import LeaseLost
from component.store.shared import Shared
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import OLD, Stage, opened

ME, OTHER = "moved.example", "moved2.example"


class Held:
    """A database that says who holds what; the rest is the stage's own."""

    def __init__(self, store: Store, holder: str | None = None) -> None:
        self._store = store
        self.holder = holder
        self.asked = 0
        self.given_after = 0
        """How often the holder has to be asked; 0: it never gives."""
        self.foreign = False
        """Whether what is claimed was another's until now."""

    async def held(self) -> Sequence[int]:
        """What is ours."""
        if self.holder not in (None, ME) or self.foreign:
            return []
        return await self._store.journeys.with_work()

    async def claim_journeys(self) -> list[int]:
        """See :class:`Shared`."""
        if self.holder not in (None, ME):
            return []
        return await self._store.journeys.with_work()

    async def want(self, id: int) -> str | None:
        """See :class:`Shared`."""
        self.asked += 1
        if self.holder is not None and self.asked == self.given_after:
            self.holder = None
        return self.holder


def claims(held: Held, patience: float = 5.0) -> Claims:
    """What the movers' side asks."""
    shared: Shared = held  # type: ignore[assignment]
    return Claims(shared, held.held, patience=patience)


def put(stage: Stage, held: Held) -> Runs:
    """Have the stage ask this database."""
    runs = stage.movers.runs
    runs._claims = claims(held)
    return runs


def test_another_one_hands_over_in_a_moment(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            held = Held(stage.store, OTHER)
            held.given_after = 3
            assert await claims(held).obtain(1)
            assert held.asked == 3
            assert not await claims(held).obtain(1), "it is ours now"

    play(main())


def test_or_the_order_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            held = Held(stage.store, OTHER)
            with pytest.raises(Refused) as refused:
                await claims(held).obtain(1)
            assert refused.value.problem is Problem.UNAVAILABLE
            assert OTHER in refused.value.facts["why"]

    play(main())


async def under_way(stage: Stage) -> Journey:
    """A journey that has begun, and told its owner how far it is."""
    stage.people(*(f"p{number}@far.example" for number in range(6)))
    journey = await stage.begin()
    await stage.until(lambda: bool(stage.messages.of(ProgressMade)))
    return journey


def test_given_up_it_rests_and_says_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=Rates(0.05, 10.0, 600.0, 600.0)) as stage:
            runs = put(stage, Held(stage.store))
            id_ = (await under_way(stage)).id
            task = runs.tasks[id_]
            await runs.give_up(id_)
            assert task.done()
            assert len(runs) == 0
            told, said = len(stage.server.told), len(stage.messages.told)
            stage.later(hours=1)
            assert (len(stage.server.told), len(stage.messages.told)) == (told, said)
            assert (await stage.stored(id_)).state is JourneyState.NOTIFYING
            # Taken up again by somebody else, nobody is told twice, and progress begins anew.
            held = Held(stage.store)
            held.foreign = True
            assert await put(stage, held).claim() == 1
            assert runs.by_id[id_].book.journey.progress_id is None
            await stage.until(lambda: len(stage.server.told) == 6)
            assert len({told.to for told in stage.server.told}) == 6

    play(main())


def test_what_another_one_holds_is_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=Rates(0.05, 10.0, 600.0, 600.0)) as stage:
            runs = put(stage, Held(stage.store))
            await under_way(stage)
            assert await runs.claim() == 0
            assert len(runs) == 1
            runs = put(stage, Held(stage.store, OTHER))
            assert await runs.claim() == 0
            assert len(runs) == 0

    play(main())


def test_a_lost_lease_ends_a_run_without_a_word(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=Rates(0.05, 10.0, 600.0, 600.0)) as stage:
            id_ = (await under_way(stage)).id
            said = len(stage.messages.told)
            task = stage.movers.runs.tasks[id_]

            def lost(name: str) -> None:
                if name == "before store save":
                    raise LeaseLost("it is another's")

            stage.faults = lost
            stage.later(hours=1)
            await stage.until(task.done)
            assert len(stage.movers.runs) == 0
            assert len(stage.messages.told) == said
            assert not task.exception()

    play(main())


def test_an_order_gets_the_journey_first(tmp_path: Path) -> None:
    """The run in memory is that of the state that the other instance left."""

    async def main() -> None:
        async with opened(tmp_path, rates=Rates(0.05, 10.0, 600.0, 600.0)) as stage:
            runs = put(stage, Held(stage.store))
            id_ = (await under_way(stage)).id
            await runs.give_up(id_)
            held = Held(stage.store, OTHER)
            held.given_after = 4
            put(stage, held)
            progress = await stage.movers.pause(OLD, id_)
            assert progress.journey.state is JourneyState.PAUSED
            assert held.asked == 4
            assert progress.journey.progress_id is None

    play(main())


def test_rates_for_all_are_shared(tmp_path: Path) -> None:
    async def main() -> None:
        rates = Rates(1.0, 20.0, 4.0, 60.0)
        async with opened(tmp_path, rates=rates) as stage:
            movers = stage.movers
            movers.share_with(2)
            shared = stage.settings.rates
            assert (shared.per_mover_per_second, shared.overall_per_second) == (1.0, 10.0)
            assert (shared.domain_per_minute, shared.domain_per_minute_max) == (2.0, 30.0)
            movers.set_overall(4.0)
            assert movers.pace._overall.per_second == 2.0
            movers.share_with(1)
            assert stage.settings.rates == rates
            assert movers.pace._overall.per_second == 4.0

    play(main())

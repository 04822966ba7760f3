"""kill -9 of the component at any point: nobody is notified twice, nobody is forgotten."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from component.core.journey.contacts import Schedule
from component.core.journey.model import ContactState, JourneyState
from component.core.notices import AllFollowed
from sim.fast_loop import play
from sim.model_world import Manner
from tests.full import FULL
from tests.unit.engine.movers.mover_stage import NEW, OLD, Stage, opened

S = JourneyState
MANNERS = (Manner.FOLLOWS, Manner.FOLLOWS, Manner.ACCEPTS, Manner.GRANTS, Manner.REFUSES)
POINTS = 300 if FULL else 60
"""Points at which the component is killed; all of them in ``make test-full``."""
PEOPLE = {f"p{n}@d{n % 4}.example": MANNERS[n % len(MANNERS)] for n in range(40)}
SOON = Schedule(tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168)), timedelta(seconds=20))


async def crash_at(stage: Stage, point: int, seed: int) -> None:
    """Start a journey, kill the component at a point, and start it anew until it is done."""
    chance = random.Random(seed)
    stage.server.rosters[OLD], stage.server.rosters[NEW] = {}, {}
    stage.server.nodes.clear()
    stage.server.told.clear()
    stage.server.world.pending.clear()
    stage.messages.told.clear()
    for jid, manner in PEOPLE.items():
        stage.server.rosters.pop(jid, None)
        stage.people(jid, manner=manner)
    journey = await stage.begin()
    calls = 0

    def die(name: str) -> None:
        nonlocal calls
        calls += 1
        if calls == point:
            stage._life.end()
            stage.server.lose()
            stage._moved_on.set()

    stage.faults = die
    await stage.until(lambda: stage._life._dead or calls >= point or _over(stage, journey.id))
    stage.faults = lambda _: None
    await stage.crash()
    await stage.server.world.idle()
    await stage.restart()
    await stage.until_state(journey.id, S.SETTLING, S.DONE)
    if chance.random() < 0.3:  # and once more, when all are told
        await stage.crash()
        await stage.restart()
    await stage.until_state(journey.id, S.DONE)
    await stage.ended(journey.id)
    times = Counter(told.to for told in stage.server.told)
    assert times == dict.fromkeys(PEOPLE, 1)
    assert all(told.readable for told in stage.server.told)
    assert not stage.server.world.trouble
    contacts = await stage.contacts(journey.id)
    assert set(contacts) == set(PEOPLE)
    waiting = stage.server.world.pending.get(NEW, set())
    for jid, manner in PEOPLE.items():
        state = contacts[jid].state
        if manner is Manner.REFUSES:
            assert state is ContactState.REFUSED, jid
        elif manner is Manner.GRANTS or jid in waiting:
            assert state is ContactState.ACCEPTED, jid
        else:
            assert state is ContactState.MUTUAL, jid
    assert len(stage.messages.of(AllFollowed)) <= 1


def _over(stage: Stage, id_: int) -> bool:
    return id_ not in stage.movers.runs.by_id


@pytest.mark.parametrize("part", range(10))
def test_crashes_at_any_point(tmp_path: Path, part: int) -> None:
    """The same stage for several journeys, each killed at another point."""

    async def main() -> None:
        async with opened(tmp_path, schedule=SOON) as stage:
            for number in range(POINTS // 10):
                seed = part * 30 + number
                await crash_at(stage, 1 + seed * 7 % 240, seed)

    play(main())

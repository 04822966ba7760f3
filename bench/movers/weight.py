"""What one move under way weighs in memory."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import cast

from bench.movers.moves import move
from component.core.journey.model import JourneyState
from component.core.journey.pace import Pace, Rates
from component.engine.movers.book import Book
from component.engine.movers.box import Box, MoverSettings
from component.engine.movers.run import Run
from sim.virtual import VirtualClock, play

MOVES = 100


def of_a_move(contacts: int) -> float:
    """Bytes of a move with so many contacts that waits for its turn, its task included."""
    return play(_weigh(contacts))


async def _weigh(contacts: int) -> float:
    box = _box()
    gc.collect()
    tracemalloc.start()
    try:
        moves = [_move(box, number, contacts) for number in range(MOVES)]
        tasks = [asyncio.create_task(_wait(run)) for run in moves]
        await asyncio.sleep(0)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return size / MOVES


async def _wait(run: Run) -> None:
    run.box.pace.next(run.book.journey.id, run.book.domains(), 0.0)
    await run.wait_for_news()


def _move(box: Box, number: int, contacts: int) -> Run:
    known = (f"contact{number}-{n}@domain{n}.example" for n in range(contacts))
    return Run(
        box, Book(*move(number, f"u{number}", known, JourneyState.NOTIFYING, box.clock.now()))
    )


def _box() -> Box:
    settings = MoverSettings()
    nothing = cast(object, None)
    return Box(
        accounts=nothing,  # type: ignore[arg-type]  # a move that waits asks nobody anything
        store=nothing,  # type: ignore[arg-type]
        teller=nothing,  # type: ignore[arg-type]
        clock=VirtualClock(),
        pace=Pace(Rates()),
        settings=settings,
        hosts=frozenset({"closing.example", "welcome.example"}),
        up=asyncio.Event(),
        held=lambda: False,
        rewatch=lambda _: asyncio.sleep(0),
        keep=lambda _: asyncio.sleep(0),
        changed=lambda _: None,
        let_out=lambda _: None,
        gauges=nothing,  # type: ignore[arg-type]
        journal=nothing,  # type: ignore[arg-type]
        follows=lambda _, __: True,
    )

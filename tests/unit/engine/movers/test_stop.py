"""The end of the mover side: nothing of it goes on when it has stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from component.engine.movers.watches import Watches
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import opened


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

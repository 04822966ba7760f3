"""Fetches in several goes: bounded in time, number and age, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from pathlib import Path

import pytest

from component.account.model import PepItem, Xml
from component.engine.belongings import asks
from component.engine.handover.fetches import KEPT_SECONDS, MOST, Fetches, TooSlow
from component.engine.handover.give import NotNamed
from sim.fast_loop import play
from tests.unit.engine.handover.far import ROOMS, Far, two
from tests.unit.engine.movers.mover_stage import FAR, NEW, Stage

GET = "get pubsub items"


async def many_chunks(stage: Stage, far: Far) -> int:
    """A parcel that cannot be compressed, and in how many chunks it comes."""
    noise = b64encode(random.Random(1).randbytes(150_000)).decode()
    await far.pack()
    big = PepItem(ROOMS.node, "big", Xml(f'<x xmlns="urn:x">{noise}</x>'))
    await far.accounts.query(FAR, "set", asks.publish(big))
    return len((await far.giver.offer(FAR, NEW)).manifest.chunks)


def test_a_later_go_has_what_came_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            count = await many_chunks(stage, far)
            assert count > 3
            fetches = Fetches(stage.accounts, stage.clock)
            asked, stopped = 0, asyncio.Event()

            async def gate(name: str) -> None:
                nonlocal asked
                asked += name == f"before {GET}"
                if asked == 5 and not stopped.is_set():  # statement, manifest, two chunks
                    stopped.set()
                    await asyncio.get_running_loop().create_future()

            stage.server.gate = gate
            with pytest.raises(TooSlow) as slow:
                await fetches.fetch(FAR, NEW, 60.0)
            assert (slow.value.here, slow.value.count) == (2, count)
            asked = 10
            taken = await fetches.fetch(FAR, NEW, 60.0)
            assert asked == 10 + 2 + count - 2
            # Once more asks for the statement and the manifest alone; who forgot, for all of it.
            assert (await fetches.fetch(FAR, NEW, 60.0)).manifest == taken.manifest
            assert asked == 10 + 2 + count
            asked = 10
            stage.clock.jump(KEPT_SECONDS + 1)
            assert (await fetches.fetch(FAR, NEW, 60.0)).manifest == taken.manifest
            assert asked == 10 + 2 + count

    play(main())


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, _):
            fetches = Fetches(stage.accounts, stage.clock)
            for number in range(MOST + 4):
                user = f"u{number}@{NEW.partition('@')[2]}"
                stage.server.add(user)
                for old in (FAR, f"another@{FAR.partition('@')[2]}"):
                    with pytest.raises(NotNamed):
                        await fetches.fetch(old, user, 60.0)
            assert len(fetches) == MOST

    play(main())


def test_one_that_does_not_answer_keeps_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            await far.pack()
            other = f"other@{NEW.partition('@')[2]}"
            stage.server.add(other)
            fetches = Fetches(stage.accounts, stage.clock)
            waiting = asyncio.Event()
            silent: list[bool] = [True]

            async def gate(name: str) -> None:
                if name == f"before {GET}" and silent:
                    silent.pop()
                    waiting.set()
                    await asyncio.get_running_loop().create_future()

            stage.server.gate = gate
            stuck = asyncio.create_task(fetches.fetch(FAR, other, 600.0))
            await waiting.wait()
            assert (await fetches.fetch(FAR, NEW, 60.0)).manifest.new == NEW
            stuck.cancel()
            await asyncio.wait({stuck})

    play(main())

"""Whatever the network does between server and component: nothing lost, nothing doubled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.live.faults.house import Family, FaultHouse, until
from tests.live.faults.proxy import Healing
from tests.live.faults.run import CONVERGED, WORKS, percentile, run_all
from tests.live.faults.schedule import schedule_of
from tests.live.servers.differences import KINDS, Kind

SCHEDULES = int(os.environ.get("XMPP_MOVED_SCHEDULES", "100"))
FIRST_SEED = int(os.environ.get("XMPP_MOVED_SEED", "1"))


@pytest.mark.full
async def test_a_stream_that_only_the_server_believes_in(kind: Kind, tmp_path: Path) -> None:
    """The server still has the old connection when the component comes anew; it must not answer
    there, nor turn the component away."""
    house = FaultHouse(kind, tmp_path)
    async with house.running(), Family(house, 3) as family:
        held, after, _ = family.contacts
        house.proxy.hole()
        await family.send(held)
        await house.until_health(False, 12.0)
        house.proxy.heal(Healing.HALF_OPEN)
        await house.until_health(True, CONVERGED)
        await family.send(after)

        async def ended() -> bool:
            fates = [await family.fate(held), await family.fate(after)]
            return fates == [(False, True), (True, False)]

        await until(ended, "the held one is released, the next one followed", WORKS)
        await house.nothing_open()


async def prove(kind: Kind, folder: Path, seeds: Iterable[int], houses: int) -> None:
    """Schedules from these seeds, in servers with a component each, side by side: they mostly wait.

    Each fourth restarts the server too.
    """
    schedules = list(map(schedule_of, seeds))
    async with AsyncExitStack() as stack:
        homes = [FaultHouse(kind, folder / f"house{number}") for number in range(houses)]
        for house in homes:
            await stack.enter_async_context(house.running())
        figures = await run_all(homes, schedules)
    print(f"\n{kind.name}: {figures}")
    assert not figures.failed, "\n".join(figures.failed)
    assert figures.followed + figures.released > 0
    assert max(figures.converged) <= CONVERGED
    assert not figures.returned or percentile(figures.returned, 0.99) <= WORKS


@pytest.mark.parametrize(
    "kind",
    [KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]],
    indirect=True,
    ids=["prosody-0.12", "ejabberd-24.12"],
)
async def test_a_few_schedules(kind: Kind, tmp_path: Path) -> None:
    """Requests while the network is bad, and once while the server is killed."""
    await prove(kind, tmp_path, range(5, 9), 2)


@pytest.mark.full
async def test_every_request_has_one_end_whatever_the_network_does(
    kind: Kind, tmp_path: Path
) -> None:
    """A hundred seeded schedules of faults while requests arrive."""
    seeds = range(FIRST_SEED, FIRST_SEED + SCHEDULES)
    await prove(kind, tmp_path, seeds, min(5, SCHEDULES))

"""A house with the component, shared by these tests; one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.live.authority.house import House
from tests.live.servers.differences import Kind
from tests.live.topology import Arrangement, Topology

HouseFor = Callable[..., Awaitable[House]]


@pytest.fixture
async def house_for(
    kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HouseFor]:
    """Give a test its servers and component, stopped at its end."""
    houses: list[House] = []

    async def give(arrangement: Arrangement, *, played: bool = False) -> House:
        topology = Topology(kind, arrangement, tmp_path_factory.mktemp(kind.name))
        house = House(topology, played)
        houses.append(house)
        await house.start()
        return house

    yield give
    for house in houses:
        await house.stop()

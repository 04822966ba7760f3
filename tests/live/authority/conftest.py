"""Houses with the component: one for each kind of server, for all of these tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from tests.live.authority.house import House
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import Kind
from tests.live.topology import Arrangement, Topology, component_settings

Settings = tuple[tuple[str, object], ...]


class HouseFor(Protocol):
    """See :func:`house_for`."""

    async def __call__(self, settings: Settings = (), *, played: bool = False) -> House: ...


@pytest.fixture(scope="package")
def shared() -> Iterator[dict[str, Topology]]:
    """What runs, by the kind of server; its arrangement says how the component is set up."""
    running: dict[str, Topology] = {}
    yield running

    async def stop() -> None:
        await asyncio.gather(*(topology.stop() for topology in running.values()))

    asyncio.run(stop())


@pytest.fixture
async def house_for(
    kind: Kind, shared: dict[str, Topology], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HouseFor]:
    """Give a test its servers and component, with these settings of the component.

    They run on for the next test, unless the test is to play the other server (``played``).
    """
    async with AsyncExitStack() as stack:

        async def give(settings: Settings = (), *, played: bool = False) -> House:
            arrangement = Arrangement(HookOptions(), component=True, settings=settings)
            topology = None if played else shared.get(kind.name)
            if topology is None:
                topology = Topology(kind, arrangement, tmp_path_factory.mktemp(kind.name))
                if played:
                    stack.push_async_callback(topology.stop)
                else:
                    shared[kind.name] = topology
            servers = topology.servers
            wanted = [servers["montague"]] if played else servers.values()
            await asyncio.gather(*(server.start() for server in wanted if not server.running))
            house = House(topology, played)
            if topology.arrangement != arrangement or not house.daemon.running:
                await house.daemon.stop()
                address = house.server.spec.address
                house.daemon.configure(component_settings(address, settings))
                await house.daemon.start()
                topology.arrangement = arrangement
            house.begin()
            stack.push_async_callback(house.stack.aclose)
            return house

        yield give

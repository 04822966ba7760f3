"""Servers for the live tests: shared where a scenario allows it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.live.daemon import Daemon
from tests.live.scenario import Scenario
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.newer import NEWER
from tests.live.topology import Arrangement, Topology

Daemon.own_process = False


@pytest.fixture(scope="session")
def wanted_kinds(request: pytest.FixtureRequest) -> frozenset[str]:
    """Names of the servers to test on (``--server``); unknown names end the run."""
    return _wanted(request.config)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist, which reads the groups here, too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on servers that were not named; newer ones run only where named.

    What shares servers is one group, which a worker of pytest-xdist runs as a whole: without a
    mark of its own that is what one file does with one kind of server.
    """
    wanted = _wanted(config)
    out = [item for item in items if not wanted.issuperset(_kinds_of(item))]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if wanted.issuperset(_kinds_of(item))]
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            kinds = "+".join(_kinds_of(item))
            item.add_marker(pytest.mark.xdist_group(f"{item.nodeid.partition('::')[0]} {kinds}"))


def _wanted(config: pytest.Config) -> frozenset[str]:
    named = config.getoption("--server")
    names = frozenset(named.split(",")) if named else frozenset(KINDS)
    if not names <= KINDS.keys() | NEWER.keys():
        raise pytest.UsageError(f"--server takes {', '.join([*KINDS, *NEWER])}")
    return names


def _kinds_of(item: pytest.Item) -> list[str]:
    call = getattr(item, "callspec", None)
    kind = (call.params.get("kind") or call.params.get("pair")) if call is not None else None
    return kind.name.split("+") if isinstance(kind, Kind) else []


@pytest.fixture(params=list(KINDS.values()), ids=lambda kind: kind.name, scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each server that is here, for tests that are no scenarios."""
    kind: Kind = request.param
    if not kind.available:
        pytest.skip(kind.missing)
    return kind


@pytest.fixture(scope="session")
def shared_topologies() -> Iterator[dict[tuple[str, Arrangement], Topology]]:
    """Running topologies that scenarios share, stopped at the end."""
    topologies: dict[tuple[str, Arrangement], Topology] = {}
    yield topologies

    async def stop() -> None:
        await asyncio.gather(*(topology.stop() for topology in topologies.values()))

    asyncio.run(stop())


@pytest.fixture
async def topology_for(
    wanted_kinds: frozenset[str],
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Callable[[Kind, Scenario], Awaitable[Topology]]]:
    """Give a scenario its servers; skips, with the reason, where the server cannot be had."""
    own: list[Topology] = []

    async def give(kind: Kind, scenario: Scenario) -> Topology:
        if not wanted_kinds.issuperset(kind.name.split("+")):
            pytest.skip("not chosen by --server")
        if not kind.available:
            pytest.skip(kind.missing)
        key = (kind.name, scenario.arrangement)
        shared = shared_topologies.get(key)
        if shared is not None and not scenario.own_server:
            return shared
        name = scenario.name if scenario.own_server else "shared"
        topology = Topology(kind, scenario.arrangement, _folder(tmp_path_factory, kind, name))
        if scenario.own_server:
            own.append(topology)
        try:
            await topology.start()
        except BaseException:
            await topology.stop()
            raise
        if not scenario.own_server:
            shared_topologies[key] = topology
        return topology

    yield give
    for topology in own:
        await topology.stop()


def _folder(factory: pytest.TempPathFactory, kind: Kind, name: str) -> Path:
    return factory.mktemp(re.sub(r"[^\w-]", "-", f"{kind.name}-{name}"))

"""Servers for the live tests: shared where a scenario allows it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.live.daemon import Daemon
from tests.live.hooked import Stage, on_stage
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.newer import NEWER
from tests.live.topology import Arrangement, Topology

Running = dict[tuple[str, Arrangement], Topology]
TopologyFor = Callable[[Kind, Arrangement], AbstractAsyncContextManager[Topology]]
_SLOW = {
    "tests/live/test_scenarios.py": 1.0,
    "tests/live/test_cross_server.py": 1.5,
    "tests/live/test_bench.py": 30.0,
    "tests/live/test_soak.py": 30.0,
    "tests/live/crash/": 5.0,
    "tests/live/faults/": 10.0,
    "tests/live/instances/": 10.0,
    "tests/live/movers/": 4.0,
}
"""Seconds that a test of these files takes on Prosody, where it is not about two."""
_RUNNING = pytest.StashKey[Running]()

Daemon.own_process = False


@pytest.fixture(scope="session")
def wanted_kinds(request: pytest.FixtureRequest) -> frozenset[str]:
    """Names of the servers to test on (``--server``); unknown names end the run."""
    return _wanted(request.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-xdist, which reads the groups, too
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Leave out what runs on servers that were not named; newer ones run only where named.

    What shares servers is one group, which a worker of pytest-xdist runs as a whole: without a
    mark of its own that is what one file does with one kind of server.  Groups are whole without
    pytest-xdist, too, and those that take longest begin, or the last worker would end late.
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
    yield
    seconds: dict[str, float] = {}
    for item in items:
        seconds[_group(item)] = seconds.get(_group(item), 0.0) + _seconds(item)
    items.sort(key=lambda item: (-seconds[_group(item)], _group(item)))


def _group(item: pytest.Item) -> str:
    """Name of the tests that one worker runs, one after another."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark is not None else ""


def _seconds(item: pytest.Item) -> float:
    """About how long a test takes; no more than the order of groups hangs on it."""
    slow = next((s for part, s in _SLOW.items() if item.nodeid.startswith(part)), 2.0)
    return slow * (2 if any(kind.startswith("ejabberd") for kind in _kinds_of(item)) else 1)


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
def shared_topologies(pytestconfig: pytest.Config) -> Running:
    """Running topologies that tests of one group share; stopped at the end of the group."""
    return pytestconfig.stash.setdefault(_RUNNING, {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop what a group of tests shares once its last test is over."""
    yield
    if nextitem is None or _group(nextitem) != _group(item):
        topologies = item.config.stash.setdefault(_RUNNING, {})
        asyncio.run(_stop(list(topologies.values())))
        topologies.clear()


async def _stop(topologies: list[Topology]) -> None:
    await asyncio.gather(*(topology.stop() for topology in topologies))


@pytest.fixture
def topology_for(
    shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> TopologyFor:
    """Lend a scenario its servers; skips, with the reason, where the server cannot be had.

    Scenarios on one kind use one topology, one after another.  After one that fails it is
    stopped: the next scenario must not suffer from what is left.
    """

    @asynccontextmanager
    async def lend(kind: Kind, arrangement: Arrangement) -> AsyncIterator[Topology]:
        if not kind.available:
            pytest.skip(kind.missing)
        key = (kind.name, Arrangement())
        if key not in shared_topologies:
            folder = tmp_path_factory.mktemp(re.sub(r"[^\w-]", "-", kind.name))
            shared_topologies[key] = Topology(kind, arrangement, folder)
        topology = shared_topologies[key]
        try:
            await topology.become(arrangement)
            yield topology
        except BaseException:
            await shared_topologies.pop(key).stop()
            raise

    return lend


@pytest.fixture
async def stage(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """The component connected to the hook, and in no hurry."""
    async with on_stage(kind, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        await stage.connect()
        yield stage


@pytest.fixture
async def hasty(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """The same where the hook waits one second."""
    async with on_stage(kind, HookOptions(timeout=1), shared_topologies, tmp_path_factory) as stage:
        await stage.connect()
        yield stage

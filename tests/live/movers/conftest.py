"""Worlds for the movers: one at a time, shared where a test allows it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest

from tests.live.movers.world import HOSTS, Settings, World
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.mixed import mix

PAIRS = (
    KINDS["prosody-0.12"],
    KINDS["ejabberd-24.12"],
    mix(KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]),
    mix(KINDS["ejabberd-24.12"], KINDS["prosody-0.12"]),
    mix(KINDS["prosody-13.0"], KINDS["ejabberd-24.12"]),
)
"""For what happens between servers: alike, and each beside the other."""

FULL = os.environ.get("XMPP_MOVED_FULL") == "1"
"""``make test-full``: also what takes minutes and repeats on another server what is shown."""
_ONLY_FULL = (
    r"test_(crash|restarts).*prosody-13\.0",
    r"test_crash.*as_a_move_begins\[.*-(preflighted|notifying)\]",
    r"test_restarts.*\[.*(kill-|stop-of-the-(contacts|old-account))",
    r"test_exports.*\[(ejabberd-24\.12|prosody-13\.0)\+",
    r"(test_crash.*both_sides.*|test_full_loop.*)\[ejabberd-24\.12\+",
    r"(test_crash.*both_sides.*|test_full_loop.*)\[prosody-13\.0\+",
    r"test_crash.*both_sides.*\[(prosody-0\.12|ejabberd-24\.12)\]",
    r"test_(undo|world)\.py.*\[(ejabberd-24\.12|prosody-13\.0)\+",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a full run needs."""
    if FULL:
        return
    out = [i for i in items if any(re.search(pattern, i.nodeid) for pattern in _ONLY_FULL)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(params=PAIRS, ids=lambda kind: kind.name, scope="module")
def pair(request: pytest.FixtureRequest) -> Kind:
    """Kinds of a whole world; parametrized as ``pair``."""
    return _available(request.param)


def _available(kind: Kind) -> Kind:
    if not kind.available:
        pytest.skip(kind.missing)
    return kind


class WorldFor(Protocol):
    """See :func:`world_for`."""

    def __call__(
        self,
        kind: Kind,
        *,
        settings: Settings = (),
        names: tuple[str, ...] = tuple(HOSTS),
        own: bool = False,
        components: bool = True,
    ) -> Awaitable[World]: ...


@dataclass
class _Shared:
    """The world that runs now for tests that share one."""

    key: object = None
    world: World | None = None

    async def stop(self) -> None:
        world, self.world, self.key = self.world, None, None
        if world is not None:
            await world.stop()


@pytest.fixture(scope="session")
def shared_world() -> Iterator[_Shared]:
    """At most one shared world runs: four servers are enough for a small machine."""
    shared = _Shared()
    yield shared
    asyncio.run(shared.stop())


@pytest.fixture
async def world_for(
    shared_world: _Shared,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[WorldFor]:
    """Give a test its world: of this kind, with these settings and servers.

    ``own``: for a test that stops or kills something; stopped at the end of the test.
    """
    owned: list[World] = []

    async def give(
        kind: Kind,
        *,
        settings: Settings = (),
        names: tuple[str, ...] = tuple(HOSTS),
        own: bool = False,
        components: bool = True,
    ) -> World:
        key = (kind.name, settings, names, components)
        if not own and shared_world.key == key and shared_world.world is not None:
            return shared_world.world
        await shared_world.stop()
        folder = tmp_path_factory.mktemp(re.sub(r"[^\w-]", "-", f"movers-{kind.name}"))
        world = World(kind, folder, settings, names)
        if own:
            owned.append(world)
        else:
            shared_world.key, shared_world.world = key, world
        try:
            await world.start(components=components)
        except BaseException:
            await (world.stop() if own else shared_world.stop())
            raise
        return world

    yield give
    await asyncio.gather(*(world.stop() for world in owned))

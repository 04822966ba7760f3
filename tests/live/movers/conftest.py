"""Worlds for the movers: one at a time, shared by all tests of a kind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Generator,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.full import FULL as FULL
from tests.live.cases import cases
from tests.live.movers.world import HOSTS, Settings, World
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.mixed import mix

PAIRS = (
    KINDS["prosody-0.12"],
    mix(KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]),
    KINDS["ejabberd-24.12"],
    mix(KINDS["ejabberd-24.12"], KINDS["prosody-0.12"]),
    mix(KINDS["prosody-13.0"], KINDS["ejabberd-24.12"]),
)
"""For what happens between servers: alike, and each beside the other."""
PAIRS_OFTEN = ("prosody-0.12", "prosody-0.12+ejabberd-24.12")
KINDS_OFTEN = ("prosody-0.12", "ejabberd-24.12")
"""What ``make test`` runs of these, unless a test says otherwise."""


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before that of all live tests, which gives groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Bring the tests of a kind together, through all files, and let one worker run them.

    What needs one house comes first: fewer servers run then.
    """
    places = [n for n, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    found = [items[place] for place in places]
    groups = list(dict.fromkeys(map(_group, found)))
    for item in found:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    found.sort(key=lambda item: (groups.index(_group(item)), "pair" in _params(item)))
    for place, item in zip(places, found, strict=True):
        items[place] = item
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """End the shared world with the last test of its kind, and with one that failed: nobody knows
    what that left behind."""
    yield
    failed, _shared.failures = _shared.failures, item.session.testsfailed
    if failed != _shared.failures or nextitem is None or _group(item) != _group(nextitem):
        asyncio.run(_shared.stop())


def _group(item: pytest.Item) -> str:
    kind = _params(item).get("kind") or _params(item).get("pair")
    return f"movers {kind.name if isinstance(kind, Kind) else ''}"


def _params(item: pytest.Item) -> Mapping[str, object]:
    call = getattr(item, "callspec", None)
    return call.params if call is not None else {}


@pytest.fixture(params=cases(PAIRS_OFTEN, PAIRS), scope="module")
def pair(request: pytest.FixtureRequest) -> Kind:
    """Kinds of a whole world; parametrized as ``pair``."""
    return _available(request.param)


@pytest.fixture(params=cases(KINDS_OFTEN, KINDS.values()), scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each server that is here, for what happens in one house."""
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
    """The world that runs now for tests that share one: at most one, for a small machine."""

    world: World | None = None
    failures: int = 0
    """Tests that had failed when it was looked last."""

    async def stop(self) -> None:
        world, self.world = self.world, None
        if world is not None:
            await world.stop()


_shared = _Shared()


@pytest.fixture(scope="session")
def shared_world() -> Iterator[_Shared]:
    """The world that tests share."""
    yield _shared
    asyncio.run(_shared.stop())


@pytest.fixture
async def world_for(
    shared_world: _Shared,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[WorldFor]:
    """Give a test its world: of this kind, with these settings and servers.

    All tests of a kind share one, in which more servers may run than a test asks for; components
    are started again where they have other settings.  What a test stops or kills it starts again.

    ``own``: a world for this test alone, stopped at its end.
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
        world = shared_world.world
        if own or world is None or world.kind.name != kind.name:
            await shared_world.stop()
            folder = tmp_path_factory.mktemp(re.sub(r"[^\w-]", "-", f"movers-{kind.name}"))
            world = World(kind, folder, settings, names if own else tuple(HOSTS))
            if own:
                owned.append(world)
            else:
                shared_world.world = world
        elif settings != world.settings or not components:
            await world.stop_components()
            world.configure(settings)
        try:
            await world.start(names, components=components)
        except BaseException:
            await (world.stop() if own else shared_world.stop())
            raise
        return world

    yield give
    await asyncio.gather(*(world.stop() for world in owned))

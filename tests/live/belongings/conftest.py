"""A server that the tests of a module share, and worlds, as the movers' tests have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.live.account.servers import House
from tests.live.belongings.stage import Stage, hooked
from tests.live.movers.conftest import shared_world, world_for
from tests.live.servers.differences import Kind
from tests.live.shared import kept

__all__ = ["shared_world", "world_for"]


@pytest.fixture(scope="module")
def house(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with the hook, for every test of the module."""
    with kept(hooked(kind, tmp_path_factory.mktemp(kind.name) / "house")) as house:
        yield house


@pytest.fixture
async def stage(house: House, tmp_path: Path) -> AsyncIterator[Stage]:
    """A link to it, a journal, and two accounts."""
    async with Stage(house, tmp_path) as stage:
        yield stage

"""One world of machines for all tests here; nothing is collected but by ``make test-machines``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.machines.machine import missing
from tests.machines.world import World

collect_ignore_glob = [] if os.environ.get("XMPP_MOVED_MACHINES") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The network; machines boot when a test asks for them, and stop at the end."""
    lacking = missing()
    if lacking is not None:
        pytest.fail(lacking)
    world = World(tmp_path_factory.mktemp("world"))
    world.open()
    try:
        yield world
    finally:
        world.close()

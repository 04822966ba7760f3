"""A control socket in this process, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.core.journey.model import JourneyState
from component.ops.control import ControlServer
from tests.unit.ops.control_client import Client, connected
from tests.unit.ops.fake_orders import FakeOrders, progress


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
async def orders() -> FakeOrders:
    return FakeOrders(progress(7), progress(8, JourneyState.DONE))


@pytest.fixture
async def server(path: Path, orders: FakeOrders) -> AsyncIterator[ControlServer]:
    async with ControlServer(str(path), orders) as running:
        yield running


@pytest.fixture
async def client(server: ControlServer, path: Path) -> AsyncIterator[Client]:
    async with connected(path) as one:
        yield one

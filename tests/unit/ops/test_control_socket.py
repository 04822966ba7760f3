"""The control socket as a file: who may open it, and whose it is."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from component.core.journey.model import JourneyState
from component.ops.control import ControlServer
from tests.unit.ops.control_client import AT_MOST, Client, connected
from tests.unit.ops.fake_orders import FakeOrders, progress


def there(path: Path) -> bool:
    """Whether there is anything of that name."""
    return os.path.lexists(path)


async def test_the_socket_is_the_owners_alone_and_goes_with_the_server(
    path: Path, orders: FakeOrders
) -> None:
    old = os.umask(0)
    try:
        async with ControlServer(str(path), orders) as server:
            found = os.stat(path)
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert server.listening
    finally:
        os.umask(old)
    assert not there(path)
    assert not server.listening


async def test_a_stop_ends_idle_watching_and_deaf_clients(path: Path) -> None:
    many = [progress(id) for id in range(1, 5001)]
    orders = FakeOrders(*many)
    server = ControlServer(str(path), orders)
    await server.start()
    async with connected(path) as idle, connected(path) as watching, connected(path) as deaf:
        await watching.ask({"order": "watch"})
        deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await deaf.send(b'{"order": "list"}\n' * 5)
        await asyncio.wait_for(server.stop(), AT_MOST)
        assert await idle.answer() is None
        assert await watching.answer() is None
    assert orders.watchers == set()
    await server.stop()


async def test_the_socket_of_a_dead_process_is_replaced(path: Path, orders: FakeOrders) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert there(path)
    async with ControlServer(str(path), orders), connected(path) as client:
        assert (await client.ask({"order": "list"}))["ok"]


async def test_a_live_socket_is_left_alone(
    server: ControlServer, path: Path, client: Client
) -> None:
    with capture_logs() as logs:
        second = ControlServer(str(path), FakeOrders())
        await second.start()
    assert not second.listening
    assert logs[0]["event"] == "no control socket"
    assert "another process listens there" in logs[0]["reason"]
    await second.stop()
    assert len((await client.ask({"order": "list"}))["result"]) == 2


async def test_a_successor_keeps_its_socket(path: Path, orders: FakeOrders) -> None:
    async with ControlServer(str(path), orders):
        os.unlink(path)
        successor = ControlServer(str(path), orders)
        await successor.start()
    async with connected(path) as client:
        assert (await client.ask({"order": "list"}))["ok"]
    await successor.stop()


def _missing(folder: Path) -> Path:
    return folder / "none" / "control.sock"


def _file(folder: Path) -> Path:
    (folder / "file").write_text("precious")
    return folder / "file"


def _long(folder: Path) -> Path:
    return folder / ("x" * 150)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_missing, "does not exist; create it"),
        (_file, "is no socket; remove it"),
        (_long, "path too long"),
    ],
)
async def test_without_a_socket_it_goes_on_with_a_warning(
    tmp_path: Path, orders: FakeOrders, make: Any, reason: str
) -> None:
    path = make(tmp_path)
    with capture_logs() as logs:
        async with ControlServer(str(path), orders) as server:
            assert not server.listening
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert reason in logs[0]["reason"]
    assert "[component] control" in logs[0]["remedy"]
    if there(path):
        assert path.read_text() == "precious"


async def test_no_path_is_no_socket_and_no_warning(orders: FakeOrders) -> None:
    with capture_logs() as logs:
        async with ControlServer("", orders) as server:
            assert not server.listening
    assert logs == []


STRANGER = """
import os, socket
s = socket.socket(socket.AF_UNIX)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    s.connect("control.sock")
except PermissionError:
    print('"no permission"')
else:
    s.sendall(b'{"order": "undo", "id": 7}\\n')
    print(s.makefile().readline())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_sent_away(
    server: ControlServer, path: Path, orders: FakeOrders
) -> None:
    async def stranger() -> Any:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", STRANGER, cwd=path.parent, stdout=asyncio.subprocess.PIPE
        )
        text, _ = await asyncio.wait_for(child.communicate(), AT_MOST)
        return json.loads(text)

    os.chmod(path.parent, 0o755)
    assert await stranger() == "no permission"
    os.chmod(path, 0o666)  # as a careless admin might
    with capture_logs() as logs:
        assert (await stranger())["problem"] == "not-permitted"
    assert logs[0]["uid"] == 65534
    assert orders.moves[7].journey.state is JourneyState.NOTIFYING

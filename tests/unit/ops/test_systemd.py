"""What the service manager is told: over a real datagram socket, by the real process."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from component.ops.http import Health
from component.ops.status import sentence
from component.ops.systemd import ServiceManager
from tests.unit.ops.daemon import free_port, service_manager, watched
from tests.unit.ops.fake_server import fake_server


def heard(manager: socket.socket) -> list[str]:
    """Everything that was told so far."""
    found = []
    while True:
        try:
            found.append(manager.recv(65536).decode())
        except BlockingIOError:
            return found


@pytest.mark.parametrize("abstract", [False, True])
def test_messages(abstract: bool) -> None:
    with service_manager(abstract=abstract) as socket_:
        name = socket_.getsockname()
        address = "@" + name[1:].decode() if abstract else name
        manager = ServiceManager.of_environment({"NOTIFY_SOCKET": address})
        manager.status("No stream.")
        manager.status("No stream.")
        manager.reloading()  # not ready: this would end the start
        manager.reloaded()
        manager.ready()
        manager.ready()
        manager.alive()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        manager.reloading()
        manager.reloaded()
        manager.status("Line\nbreaks\nwould be other variables")
        manager.stopping()
        told = heard(socket_)
    reloading = told.pop(3)
    assert told == [
        "STATUS=No stream.",
        "READY=1",
        "WATCHDOG=1",
        "READY=1",
        "STATUS=Line breaks would be other variables",
        "STOPPING=1",
    ]
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    moment = int(second.removeprefix("MONOTONIC_USEC="))
    assert before <= moment <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_without_a_service_manager_nothing_happens(tmp_path: Path) -> None:
    for address in (None, "", str(tmp_path / "nobody"), "vsock:2:1234"):
        manager = ServiceManager(address)
        manager.ready()
        manager.alive()
        manager.stopping()


def test_a_full_socket_does_not_block() -> None:
    with service_manager() as socket_:
        manager = ServiceManager(socket_.getsockname())
        for number in range(10_000):
            manager.status(str(number))
        manager.ready()
        assert 0 < len(heard(socket_)) < 10_000
        manager.ready()  # could not be told before
        manager.ready()
        assert heard(socket_) == ["READY=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_of_the_environment(environ: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager.of_environment(environ).watchdog_seconds == seconds


GOOD: dict[str, object] = {
    "stream": "up",
    "trouble": None,
    "hosts_without_hook": [],
    "journal": "writable",
    "open_requests": 3,
}


@pytest.mark.parametrize(
    ("ok", "detail", "says"),
    [
        (True, {}, "Following moves on 1 host, 3 requests open."),
        (False, {}, "Settling what was left over."),
        (False, {"stream": "down"}, "No stream to the server; trying again."),
        (
            False,
            {"stream": "down", "trouble": "refused", "hosts_without_hook": ["a"]},
            "No stream to the server (refused); trying again.",
        ),
        (
            False,
            {"too_many_requests_at": ["a", "us"]},
            "Too many requests at once (a, us): some pass unfollowed.",
        ),
        (
            False,
            {"hosts_without_hook": ["a", "b"]},
            "No hook on a, b; the log says what to install.",
        ),
        (
            False,
            {"journal": "the disk is full", "stream": "down"},
            "The journal cannot be written: the disk is full",
        ),
    ],
)
def test_status(ok: bool, detail: dict[str, object], says: str) -> None:
    assert sentence(Health(ok, GOOD | detail), hosts=1) == says


async def test_a_start_that_finds_no_server_is_over_all_the_same(tmp_path: Path) -> None:
    """Nobody who starts us waits for ever; the status and /health say what is missing."""
    async with watched(tmp_path, free_port(), WATCHDOG_USEC="400000") as daemon:
        await daemon.until(lambda: daemon.told.count("WATCHDOG=1") >= 5)
        await daemon.until(lambda: any(m.startswith("STATUS=No stream") for m in daemon.told))
        await daemon.until(lambda: "READY=1" in daemon.told)
        await daemon.healthy(False, 1)
        daemon.signal(signal.SIGHUP)
        await daemon.logged("configuration reloaded")
        await daemon.until(lambda: daemon.told.count("READY=1") == 2)
        assert await daemon.stop() == 0
        assert "STOPPING=1" in daemon.told


async def test_a_start_that_finds_no_hook_is_over_all_the_same(tmp_path: Path) -> None:
    async with fake_server() as server:
        server.hook = False
        async with watched(tmp_path, server.port) as daemon:
            await daemon.until(lambda: "READY=1" in daemon.told)
            told = daemon.told[: daemon.told.index("READY=1")]
            assert told[-1].startswith("STATUS=No hook on montague.example")
            assert "ready" not in daemon.events()
            await daemon.healthy(False, 1)
            server.hook = True
            await daemon.until(lambda: daemon.told[-1].startswith("STATUS=Following moves"))
            await daemon.healthy(True, 1)
            assert daemon.told.count("READY=1") == 1
            assert await daemon.stop() == 0


async def test_a_refused_secret_is_no_start(tmp_path: Path) -> None:
    """The service manager sees it fail, and does not try again (exit code 77)."""
    async with fake_server() as server:
        server.refuses = True
        async with watched(tmp_path, server.port) as daemon:
            await daemon.ended()
            assert await daemon.stop() == 77
            assert "READY=1" not in daemon.told


async def test_from_ready_to_stop(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port, abstract=True) as daemon:
        await daemon.logged("ready")
        await daemon.until(lambda: "READY=1" in daemon.told)
        await daemon.until(
            lambda: "STATUS=Following moves on 1 host, 0 requests open." in daemon.told
        )
        daemon.signal(signal.SIGHUP)
        await daemon.until(lambda: daemon.told.count("READY=1") == 2)
        told = [message for message in daemon.told if not message.startswith("STATUS")]
        assert told[0] == told[2] == "READY=1"
        assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert "WATCHDOG=1" not in told  # none was asked for
        await server.stop()
        await daemon.until(lambda: daemon.told[-1].startswith("STATUS=No stream"))
        assert await daemon.stop() == 0
        assert daemon.told[-1] == "STOPPING=1"
        assert daemon.told.count("READY=1") == 2

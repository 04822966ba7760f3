"""``/health`` tells the truth within ten seconds, and recovers: a real process, real faults."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.unit.ops.daemon import watched
from tests.unit.ops.fake_server import HOST, fake_server

WITHIN = 10.0


@contextmanager
def read_only(*files: Path) -> Iterator[None]:
    """Files that nobody can write, not even a process that has them open, nor root."""
    chattr = shutil.which("chattr")
    done = chattr is not None and all(
        subprocess.run([chattr, "+i", str(file)], capture_output=True, check=False).returncode == 0
        for file in files
    )
    try:
        if not done:
            pytest.skip("this file system, or this user, cannot make files immutable")
        yield
    finally:
        for file in files:
            if chattr is not None:
                subprocess.run([chattr, "-i", str(file)], capture_output=True, check=False)


async def test_a_read_only_database(disk_path: Path) -> None:
    async with (
        fake_server() as server,
        watched(disk_path, server.port, WATCHDOG_USEC="2000000") as daemon,
    ):
        await daemon.healthy(True, 20)
        assert await daemon.metric("xmpp_moved_healthy") == "1.0"
        with read_only(daemon.database, Path(f"{daemon.database}-wal")):
            said = await daemon.healthy(False, WITHIN)
            assert said["stream"] == "up"
            assert "moved.db" in said["journal"]
            assert "check" in said["journal"] or "access" in said["journal"]
            complaint = await daemon.logged(
                "the journal cannot be written; requests pass unfollowed"
            )
            assert complaint["level"] == "error"
            await daemon.until(
                lambda: daemon.told[-1].startswith("STATUS=The journal cannot be written"), 5
            )
            fed = daemon.told.count("WATCHDOG=1")
            await daemon.healthy(False, 1)
            assert await daemon.metric("xmpp_moved_journal_writable") == "0.0"
            assert await daemon.metric("xmpp_moved_healthy") == "0.0"
        assert daemon.told.count("WATCHDOG=1") == fed  # systemd may take it for dead
        await daemon.healthy(True, WITHIN)
        await daemon.logged("the journal can be written again")
        await daemon.until(lambda: daemon.told.count("WATCHDOG=1") > fed)
        assert await daemon.stop() == 0


async def test_a_database_that_another_program_locks(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.healthy(True, 20)
        with closing(sqlite3.connect(daemon.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said = await daemon.healthy(False, WITHIN)
            assert said["journal"] != "writable"
        await daemon.healthy(True, WITHIN)


async def test_a_hook_that_goes_and_comes_back(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.healthy(True, 20)
        server.hook = False
        said = await daemon.healthy(False, WITHIN)
        assert said["hosts_without_hook"] == [HOST]
        assert said["stream"] == "up"
        gone = await daemon.logged("the hook of a served host is gone")
        assert "Install the server module" in gone["error"]
        await daemon.until(lambda: daemon.told[-1].startswith(f"STATUS=No hook on {HOST}"))
        assert await daemon.metric(f'xmpp_moved_hook_up{{host="{HOST}"}}') == "0.0"
        server.hook = True
        await daemon.healthy(True, 40)


async def test_a_hook_that_was_loaded_anew_is_greeted_anew(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.healthy(True, 20)
        server.instance = "two"
        await daemon.logged("the hook of a served host was loaded anew", WITHIN)
        await daemon.until(lambda: daemon.events().count("ready") == 2)
        await daemon.healthy(True, WITHIN)


async def test_a_hook_that_says_nothing(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.healthy(True, 20)
        server.silent = True
        said = await daemon.healthy(False, WITHIN)
        assert said["hosts_without_hook"] == [HOST]
        server.silent = False
        await daemon.healthy(True, WITHIN)
        assert daemon.events().count("ready") == 1  # nothing was forgotten


async def test_a_stream_that_is_lost(tmp_path: Path) -> None:
    async with fake_server() as server, watched(tmp_path, server.port) as daemon:
        await daemon.healthy(True, 20)
        await server.stop()
        said = await daemon.healthy(False, WITHIN)
        assert said["stream"] == "down"
        await server.start()
        await daemon.healthy(True, 30)
        assert await daemon.metric("xmpp_moved_link_reconnects_total") == "1.0"

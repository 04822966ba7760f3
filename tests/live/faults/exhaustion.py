"""Ways to take from a running component what it needs, and to give it back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""libfaketime of Debian's package of this name."""

_LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


def _run(*command: str) -> None:
    program = shutil.which(command[0])
    if program is None or os.geteuid() != 0:
        pytest.skip(f"{command[0]} needs root, and to be installed")
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; skips where mounting is not allowed."""
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill it to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def loop_disk(folder: Path) -> Iterator[Path]:
    """An ext4 in a file; skips where loop devices are not allowed."""
    folder.mkdir(parents=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    _run("mkfs.ext4", "-q", str(image))
    _run("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        image.unlink()


@contextmanager
def read_only(journal: Path) -> Iterator[None]:
    """Let no write succeed, not even through descriptors that are open, and not for root.

    The index of the write-ahead log is left out: SQLite maps it into memory, so that the kernel
    ends a process that writes there with SIGBUS, as it does where a whole file system breaks.
    """
    files = [str(journal), f"{journal}-wal"]
    _run("chattr", "+i", *files)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@asynccontextmanager
async def locked(journal: Path) -> AsyncIterator[None]:
    """Another process is in the middle of a write."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _LOCKER,
        str(journal),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(10):
            while await child.stdout.readline() != b"locked\n":
                assert child.returncode is None, "the journal could not be locked"
        yield
    finally:
        await child.communicate(b"")


@asynccontextmanager
async def no_descriptors(pid: int, address: str, port: int) -> AsyncIterator[None]:
    """Leave the process few descriptors, and take those: by clients that say nothing."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(_descriptors(pid))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 2, before[1]))
    hogs = [asyncio.create_task(_hog(address, port)) for _ in range(40)]
    try:
        async with asyncio.timeout(10):
            while len(_descriptors(pid)) < highest + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # nothing announces it
        yield
    finally:
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _descriptors(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]


async def _hog(address: str, port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                await reader.read()
            finally:
                writer.close()
        await asyncio.sleep(0.05)


class WallClock:
    """A component's time of day, which a test can set; its monotonic clock stays right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """What the component must be started with."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """So many seconds away from the real time."""
        self._file.write_text(f"{seconds:+d}\n")


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""A full and a read-only file system, mounted for the test (needs root)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from component.core.records import NewRecord
from component.store import Store, StoreError, StoreFull, StoreReadOnly

from .support import record, url_of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not mount or not umount:
        pytest.skip("mounting needs root")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run([umount, "-l", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """Mount the file system again, without the right to write."""
    mount = shutil.which("mount")
    assert mount
    subprocess.run([mount, "-o", "remount,ro", str(folder)], check=True)


def big(name: str) -> NewRecord:
    """A row of 64 KiB."""
    plain = record(name)
    return replace(plain, divert=replace(plain.divert, stanza="x" * 65536))


async def test_disk_full_fails_clearly_and_heals(small_disk: Path) -> None:
    path = small_disk / "m.db"
    async with await Store.open(url_of(path)) as store:
        first = await store.add(record("first"))
        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        ballast.write_bytes(b"\0" * (free - 128 * 1024))
        results = await asyncio.gather(
            *(store.add(big(f"r{number}")) for number in range(20)), return_exceptions=True
        )
        assert [type(result) for result in results] == [StoreFull] * 20
        assert "disk is full" in str(results[0])
        assert str(path) in str(results[0])
        assert [row.id for row in await store.unsettled()] == [first]
        ballast.unlink()
        again = await asyncio.gather(*(store.add(record(f"s{number}")) for number in range(20)))
        assert len(await store.unsettled()) == 21
    async with await Store.open(url_of(path)) as store:
        assert {row.id for row in await store.unsettled()} == {first, *again}


async def test_a_full_disk_at_open(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(
        b"\0" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize)
    )
    with pytest.raises(StoreError):
        await Store.open(url_of(small_disk / "m.db"))
    (small_disk / "ballast").unlink()
    async with await Store.open(url_of(small_disk / "m.db")) as store:
        await store.ping()


async def test_a_read_only_file_system(small_disk: Path) -> None:
    path = small_disk / "m.db"
    async with await Store.open(url_of(path)) as store:
        await store.add(record())
    make_read_only(small_disk)
    with pytest.raises(StoreReadOnly, match="write access to the folder"):
        await Store.open(url_of(path))
    with pytest.raises(StoreError, match=r"m\.db"):
        await Store.open(url_of(path), writer=False)

"""A burst of reads costs no more connections than a trickle."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path

from component.store import Store
from component.store.connect import READERS

from .support import url_of


def descriptors(path: Path) -> int:
    """How many descriptors of this process are the file itself."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(descriptor) == str(path.resolve())
    return found


async def test_many_reads_at_once_share_few_connections(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    before = threading.active_count()
    async with await Store.open(url_of(path)) as store:
        most = 0

        async def read() -> None:
            nonlocal most
            await store.list_moves(limit=1)
            most = max(most, threading.active_count() - before)

        await asyncio.gather(*(read() for _ in range(200)))
        assert most <= READERS + 2  # the writer's, and one of the event loop's own
        assert descriptors(path) <= READERS + 1
        await asyncio.gather(*(read() for _ in range(200)))
        assert descriptors(path) <= READERS + 1


async def test_reads_that_were_cancelled_leave_the_connections_to_others(tmp_path: Path) -> None:
    async with await Store.open(url_of(tmp_path / "m.db")) as store:
        for turns in range(0, 200, 4):  # at the beginning of a read, within it, and after it
            reads = [asyncio.create_task(store.list_moves(limit=1)) for _ in range(20)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        async with asyncio.timeout(10):
            await asyncio.gather(*(store.list_moves(limit=1) for _ in range(20)))

"""A process that writes as the component does, and says what was confirmed to it.

``python -m tests.live.crash.writing URL``: a line for each write that returned, with its kind, the
record's id, and the size in bytes that the write-ahead log had then.
"""

from __future__ import annotations

import asyncio
import os
import sys

from component.core.records import Change
from component.store import Store
from tests.unit.store.support import record, settlement, verdict

CALLERS = 10
CHANGES = (Change("old@x", None, None),)


async def caller(store: Store, log: str, number: int) -> None:
    """One request after the other, from its arrival to its end."""
    for turn in range(1_000_000):
        id_ = await store.add(record(f"{number}-{turn}"))
        confirm("added", id_, log)
        await store.verdict(id_, verdict())
        confirm("decided", id_, log)
        await store.settle(id_, settlement(changes=CHANGES))
        confirm("settled", id_, log)


def confirm(kind: str, id_: int, log: str) -> None:
    """Say so."""
    print(kind, id_, os.stat(log).st_size, flush=True)


async def main(url: str) -> None:
    """Write until killed."""
    async with await Store.open(url) as store:
        log = url.partition(":///")[2] + "-wal"
        await asyncio.gather(*(caller(store, log, number) for number in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

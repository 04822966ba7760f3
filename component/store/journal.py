"""Group commit: one writer, one transaction for all writes that arrived meanwhile.

A write that nobody waits for may be patient: it goes with the next one that is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias, overload

from sqlalchemy import Connection

from component.store.errors import StoreBusy, StoreClosed, StoreError, is_row_fault, translate
from component.store.holder import ALONE, Holder
from component.store.writer import Writer
from component.store.writes import Added, AddRow, DecideRow, Result, SettleRow, Write, apply

Job: TypeAlias = Callable[[Connection], int]

MAX_QUEUE = 20_000
"""Writes that may wait; half of it is kept for work already begun."""
MAX_BATCH = 500
"""Writes in one transaction."""


@dataclass(slots=True)
class _Entry:
    work: Write | Job
    done: asyncio.Future[Any]
    """Gets the Result of a write, or a job's."""
    due: float
    """When it is written at the latest, by the loop's clock; 0: at once."""


class Journal:
    """The only user of the writer.

    A caller of :meth:`submit` or :meth:`run` resumes after the commit that holds its write,
    or with the StoreError that made this transaction fail.  A caller cancelled before its
    transaction began has written nothing; cancelled later, it may have.
    """

    def __init__(
        self,
        writer: Writer,
        where: str,
        *,
        max_queue: int = MAX_QUEUE,
        max_batch: int = MAX_BATCH,
        holder: Holder = ALONE,
    ) -> None:
        self._transactions = writer
        self._where = where
        self._max_queue = max_queue
        self._max_batch = max_batch
        self.holder = holder
        """In whose name it writes."""
        self.on_commit: Callable[[int, float], None] | None = None
        """Told the writes and the seconds of each transaction that succeeded."""
        self.trouble: str | None = None
        """Why the last transaction failed; None after one that succeeded."""
        self._queue: deque[_Entry] = deque()
        self._batch: list[_Entry] = []
        """What is being written."""
        self._hurry = False
        """Something in the queue is due at once."""
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="journal writer")

    @property
    def waiting(self) -> int:
        """Writes in the queue now."""
        return len(self._queue)

    @overload
    async def submit(self, write: AddRow, *, patience: float = 0.0) -> Added: ...

    @overload
    async def submit(self, write: DecideRow | SettleRow, *, patience: float = 0.0) -> bool: ...

    async def submit(self, write: Write, *, patience: float = 0.0) -> Result:
        """Write durably, together with what others write.

        :param patience: seconds that it may wait for others which cannot wait.

        Raises StoreBusy (not queued), StoreClosed, RowRefused or another StoreError.  New
        moves are refused when the queue is half full: what was begun can still end.
        """
        limit = self._max_queue // 2 if isinstance(write, AddRow) else self._max_queue
        result: Result = await self._enqueue(write, limit, patience)
        return result

    async def run(self, job: Job) -> int:
        """Run ``job`` in a transaction of its own, in turn with the writes."""
        return int(await self._enqueue(job, self._max_queue))

    async def flush(self) -> None:
        """Return when all that was submitted before has been written, or has failed."""
        newest_first = chain(reversed(self._queue), reversed(self._batch))
        last = next((entry.done for entry in newest_first if not entry.done.done()), None)
        if last is not None:
            self._hurry = True
            self._wake.set()
            await asyncio.wait([last])

    async def close(self) -> None:
        """Write what is queued, refuse the rest, end the writer."""
        self._closing = True
        self._wake.set()
        await asyncio.wait([self._task])

    async def _enqueue(self, work: Write | Job, limit: int, patience: float = 0.0) -> Any:
        if self._closing or self._task.done():
            raise StoreClosed(f"{self._where} was closed; nothing was written")
        if len(self._queue) >= limit:
            raise StoreBusy(
                f"{self._where}: {len(self._queue)} writes are waiting; the disk is too slow for "
                f"this load"
            )
        loop = asyncio.get_running_loop()
        entry = _Entry(work, loop.create_future(), loop.time() + patience if patience else 0.0)
        self._queue.append(entry)
        self._hurry = self._hurry or not patience or len(self._queue) >= self._max_batch
        if self._hurry or len(self._queue) == 1:
            self._wake.set()
        return await entry.done

    async def _run(self) -> None:
        try:
            while self._queue or not self._closing:
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                if not (self._hurry or self._closing):
                    await self._company()
                self._batch = self._take()
                if self._batch:
                    try:
                        await self._write(self._batch)
                    except Exception as error:  # a fault of ours must not end the journal
                        self._fail(self._batch, error)
                    self._batch = []
        finally:  # also when the event loop ends under us: nobody waits for ever
            for entry in (*self._batch, *self._queue):
                if not entry.done.done():
                    entry.done.set_exception(
                        StoreClosed(f"{self._where} was closed before the write was confirmed")
                    )

    async def _company(self) -> None:
        """Wait until something is due: what is queued is patient."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(entry.due for entry in self._queue)):
                await self._wake.wait()

    def _take(self) -> list[_Entry]:
        """The next batch: writes up to the limit, or one job."""
        batch: list[_Entry] = []
        while self._queue and len(batch) < self._max_batch:
            is_job = callable(self._queue[0].work)
            if is_job and batch:
                break
            entry = self._queue.popleft()
            if entry.done.done():
                continue  # its caller was cancelled
            batch.append(entry)
            if is_job:
                break
        self._hurry = bool(self._queue)  # what is left has waited long enough
        return batch

    def _fail(self, batch: list[_Entry], error: Exception) -> None:
        self.trouble = f"{self._where}: {type(error).__name__}: {error}"
        for entry in batch:
            if not entry.done.done():
                entry.done.set_exception(StoreError(self.trouble))

    async def _write(self, batch: list[_Entry]) -> None:
        works = [entry.work for entry in batch]
        results: list[Result | int | StoreError]
        began = time.perf_counter()
        try:
            try:
                results = await self._transactions.transact(
                    lambda connection: [*_together(connection, works, self.holder)]
                )
            except Exception as error:
                if len(batch) == 1 or not is_row_fault(error):
                    raise
                results = await self._transactions.transact(
                    lambda connection: _one_by_one(connection, works, self._where, self.holder)
                )
        except Exception as error:
            results = [_told(error, self._where) for _ in batch]
            if not is_row_fault(error):
                self.trouble = str(results[0])
        else:
            self.trouble = None
            if self.on_commit is not None:
                self.on_commit(len(batch), time.perf_counter() - began)
        for entry, result in zip(batch, results, strict=True):
            if entry.done.done():
                continue
            if isinstance(result, StoreError):
                entry.done.set_exception(result)
            else:
                entry.done.set_result(result)


def _together(
    connection: Connection, works: list[Write | Job], holder: Holder
) -> Sequence[Result | int]:
    first = works[0]
    if callable(first):
        return [first(connection)]
    return apply(connection, [work for work in works if not callable(work)], holder)


def _one_by_one(
    connection: Connection, works: list[Write | Job], where: str, holder: Holder
) -> list[Result | int | StoreError]:
    """Still one commit, but each write in a savepoint: only the bad ones are undone."""
    results: list[Result | int | StoreError] = []
    for work in works:
        try:
            with connection.begin_nested():
                results.extend(_together(connection, [work], holder))
        except Exception as error:
            if not is_row_fault(error):
                raise
            results.append(_told(error, where))
    return results


def _told(error: Exception, where: str) -> StoreError:
    found = translate(error, where)
    found.__cause__ = error
    return found

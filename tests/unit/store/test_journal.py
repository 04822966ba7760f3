"""Group commit: who shares a transaction, who waits, who fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from component.core.model import Reason
from component.core.records import MoveState
from component.store import StoreBusy, StoreClosed, StoreError, upgrade
from component.store.connect import locate
from component.store.journal import Journal
from component.store.rows import add_row, settle_row
from component.store.writer import FileWriter, open_writer
from component.store.writes import Result, apply

from .support import after, record, settlement, url_of, verdict

T = TypeVar("T")


class GatedWriter:
    """A real writer whose transactions begin when the test lets them."""

    def __init__(self, path: Path) -> None:
        self._inner = FileWriter(path)
        self.transactions = 0
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def transact(self, work: Callable[[Connection], T]) -> T:
        self.entered.set()
        await self.gate.wait()
        self.transactions += 1
        if self.failure is not None:
            raise self.failure
        return await self._inner.transact(work)

    async def close(self) -> None:
        await self._inner.close()


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[GatedWriter]:
    await upgrade(url_of(tmp_path / "j.db"))
    made = GatedWriter(tmp_path / "j.db")
    yield made
    await made.close()


def adding(journal: Journal, *names: str) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(add(journal, name)) for name in names]


async def add(journal: Journal, name: str) -> int:
    return (await journal.submit(add_row(record(name))))[0]


async def test_a_group_of_writes_is_executed_together(url: str) -> None:
    """And not one by one, as it is when a statement does not take many rows."""
    await upgrade(url)
    writer = open_writer(locate(url))
    adds = [add_row(record(f"r{number}")) for number in range(3)]
    added = await writer.transact(lambda connection: apply(connection, adds))
    ids = [id_ for id_, _ in _rows(added)]
    assert len(set(ids)) == 3
    ends = [settle_row(id_, settlement()) for id_ in ids]
    found = await writer.transact(lambda connection: apply(connection, [*adds, *ends]))
    assert found == [*added, True, True, True]
    decided = [add_row(record(f"d{number}"), verdict()) for number in range(3)]
    # The same request once more, and one that was there before and is undecided.
    more = [*decided, add_row(record("d0", at=after(1)), verdict()), add_row(record("r9"))]
    again = _rows(await writer.transact(lambda connection: apply(connection, more)))
    assert [kept for _, kept in again] == [True, True, True, False, False]
    assert again[3][0] == again[0][0]
    late, undecided = add_row(record("r9", at=after(1)), verdict()), again[4][0]
    ended = await writer.transact(lambda connection: apply(connection, [late, late]))
    assert ended == [(undecided, True), (undecided, False)]
    await writer.close()


def _rows(results: list[Result]) -> list[tuple[int, bool]]:
    return [result for result in results if isinstance(result, tuple)]


async def test_what_arrives_meanwhile_shares_one_transaction(writer: GatedWriter) -> None:
    journal = Journal(writer, "here")
    first = adding(journal, "first")
    await writer.entered.wait()
    rest = adding(journal, *(f"r{number}" for number in range(100)))
    await asyncio.sleep(0)
    assert journal.waiting == 100
    writer.gate.set()
    assert len(set(await asyncio.gather(*first, *rest))) == 101
    assert writer.transactions == 2
    await journal.close()


async def test_batches_are_bounded_and_jobs_are_alone(writer: GatedWriter) -> None:
    journal = Journal(writer, "here", max_batch=3)
    tasks = adding(journal, *(f"r{number}" for number in range(4)))
    tasks.append(asyncio.ensure_future(journal.run(lambda connection: 7)))
    tasks += adding(journal, "last")
    writer.gate.set()
    assert (await asyncio.gather(*tasks))[4] == 7
    assert writer.transactions == 4  # 3, 1, the job, 1
    await journal.close()


async def test_a_failure_fails_its_batch_and_no_other(writer: GatedWriter) -> None:
    journal = Journal(writer, "here")
    writer.failure = OSError("the cable is out")
    failing = adding(journal, "a", "b")
    writer.gate.set()
    errors = await asyncio.gather(*failing, return_exceptions=True)
    assert [type(error) for error in errors] == [StoreError, StoreError]
    assert errors[0] is not errors[1]
    assert "the cable is out" in str(errors[0])
    writer.failure = None
    assert await add(journal, "a") == 1
    await journal.close()


async def test_a_full_queue_refuses_new_moves_first(writer: GatedWriter) -> None:
    journal = Journal(writer, "here", max_queue=4)
    first = adding(journal, "first")
    await writer.entered.wait()
    queued = adding(journal, "a", "b")
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy, match="2 writes are waiting"):
        await journal.submit(add_row(record("c")))
    ending = settle_row(1, settlement(MoveState.RELEASED, Reason.OVERLOADED))
    ends = [asyncio.ensure_future(journal.submit(ending)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy):
        await journal.submit(ending)
    writer.gate.set()
    await asyncio.gather(*first, *queued)
    assert await asyncio.gather(*ends) == [True, False]
    await journal.close()


async def test_a_caller_cancelled_in_time_writes_nothing(writer: GatedWriter) -> None:
    journal = Journal(writer, "here")
    first = adding(journal, "first")
    await writer.entered.wait()
    gone, stays = adding(journal, "gone", "stays")
    await asyncio.sleep(0)
    gone.cancel()
    writer.gate.set()
    ids = [*await asyncio.gather(*first), await stays]
    assert ids == [1, 2]
    with pytest.raises(asyncio.CancelledError):
        await gone
    await journal.close()


async def test_close_writes_what_is_queued_and_refuses_the_rest(writer: GatedWriter) -> None:
    journal = Journal(writer, "here")
    queued = adding(journal, "a", "b")
    await writer.entered.wait()
    more = adding(journal, "c")
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(journal.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreClosed):
        await journal.submit(add_row(record("d")))
    writer.gate.set()
    await closing
    assert await asyncio.gather(*queued, *more) == [1, 2, 3]


def ending(journal: Journal, id_: int, patience: float) -> asyncio.Task[bool]:
    return asyncio.ensure_future(journal.submit(settle_row(id_, settlement()), patience=patience))


async def test_a_patient_write_goes_with_one_that_cannot_wait(writer: GatedWriter) -> None:
    writer.gate.set()
    journal = Journal(writer, "here")
    ids = [await add(journal, name) for name in ("a", "b", "c")]
    ends = [ending(journal, id_, patience=60) for id_ in ids]
    await asyncio.sleep(0)
    assert journal.waiting == 3
    assert (await add(journal, "d"), writer.transactions) == (4, 4)
    assert await asyncio.gather(*ends) == [True, True, True]
    assert writer.transactions == 4
    await journal.close()


async def test_patience_ends(writer: GatedWriter) -> None:
    writer.gate.set()
    journal = Journal(writer, "here", max_batch=3)
    ids = [await add(journal, name) for name in "abcdefgh"]
    alone = ending(journal, ids[0], patience=0.01)
    later = ending(journal, ids[1], patience=60)
    assert await alone
    assert await later, "written when the first had waited enough"
    assert writer.transactions == 9
    assert await asyncio.gather(*(ending(journal, id_, 60) for id_ in ids[2:5])) == [True] * 3
    assert writer.transactions == 10, "a full batch leaves at once"
    last = ending(journal, ids[5], patience=60)
    await asyncio.sleep(0)
    await journal.flush()
    assert last.done()
    await journal.flush()
    closing = ending(journal, ids[6], patience=60)
    await asyncio.sleep(0)
    await journal.close()
    assert await closing
    assert writer.transactions == 12


async def test_a_flush_waits_for_what_is_being_written(writer: GatedWriter) -> None:
    journal = Journal(writer, "here")
    first = adding(journal, "first")
    await writer.entered.wait()
    flush = asyncio.ensure_future(journal.flush())
    await asyncio.sleep(0)
    assert not flush.done()
    writer.gate.set()
    await flush
    assert first[0].done()
    await journal.close()

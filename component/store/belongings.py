"""Copies of accounts' things in the database: what comes, what became of it, what was before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from component.core.belongings.model import Entry, Job, JobState, Mark, Pick, Result, Sort
from component.store.database import Database
from component.store.errors import RowDamaged
from component.store.models import CopyRow, CopyThingRow, as_utc, table
from component.store.states import by_state

_copies = table(CopyRow)
_things = table(CopyThingRow)

PRUNE_COPIES = 10
"""Copies deleted in one transaction: each takes thousands of things with it."""
_PAGE = 500
_PAGE_SIZE = 1 << 20
"""Characters of things that are read together; one thing may have more."""
_RESULTS = frozenset(result.value for result in Result)
_HIDDEN = (JobState.FILLING.value, JobState.DRAFT.value)
_ENDED = (JobState.DONE.value, JobState.UNDONE.value)
_WORKING = (JobState.PLANNING.value, JobState.RUNNING.value, JobState.UNDOING.value)
_CREATE = insert(_copies).returning(_copies.c.id)
_ADD = insert(_things)
_MARK = (
    update(_things)
    .where(_things.c.copy_id == bindparam("b_id"), _things.c.number == bindparam("b_number"))
    .values(
        result=bindparam("b_result"),
        why=bindparam("b_why"),
        before=bindparam("b_before"),
        done=bindparam("b_done"),
    )
)


class Belongings:
    """Copies and their things; JIDs are compared as they are, so give prepared bare ones.

    Every method raises StoreError, writing ones StoreBusy too; a write is durable on return.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, job: Job) -> Job:
        """Keep a new copy; ``job.id`` is ignored, the result has the real one.

        Where it is to be filled, what its asker had begun before, for the same move or for none,
        is deleted in the same transaction.
        """
        journal = self._database.writing()
        values = {**_values(job), "holder": journal.holder.name}
        earlier = delete(_copies).where(
            _copies.c.asker == job.asker,
            _copies.c.journey.is_not_distinct_from(job.journey),
            _copies.c.state.in_(_HIDDEN),
        )

        def work(connection: Connection) -> int:
            if job.state is JobState.FILLING:
                connection.execute(earlier)
            return int(connection.execute(_CREATE, values).scalar_one())

        return replace(job, id=await journal.run(work))

    async def add(self, id: int, entries: Sequence[Entry]) -> bool:
        """Put down more things of a copy that is being filled; False where there is none.

        :param entries: a few hundred at a time, for others write meanwhile.
        """
        rows = [{**_row(entry), "copy_id": id} for entry in entries]
        filling = select(_copies.c.id).where(
            _copies.c.id == id, _copies.c.state == JobState.FILLING.value
        )

        def work(connection: Connection) -> bool:
            found = connection.execute(filling).first() is not None
            if found and rows:
                connection.execute(_ADD, rows)
            return found

        return bool(await self._database.writing().run(work))

    async def drop(self, id: int) -> None:
        """Forget a copy that was being filled."""
        gone = delete(_copies).where(_copies.c.id == id, _copies.c.state == JobState.FILLING.value)
        await self._database.writing().run(lambda c: c.execute(gone).rowcount)

    async def save(self, job: Job, *, expect: Collection[JobState]) -> bool:
        """Update a copy if the stored one is in one of these states; False where it is not.

        It is this instance's from then on.
        """
        journal = self._database.writing()
        values = {**_values(job), "holder": journal.holder.name}
        states = [state.value for state in expect]
        changed = (
            update(_copies)
            .where(_copies.c.id == job.id, _copies.c.state.in_(states))
            .values(**values)
        )
        return bool(await journal.run(lambda c: c.execute(changed).rowcount))

    async def mark(self, id: int, entries: Iterable[Entry]) -> None:
        """Write down what became of these things of a copy."""
        rows = [
            {f"b_{name}": value for name, value in _row(entry).items()} | {"b_id": id}
            for entry in entries
        ]
        if not rows:
            return

        await self._database.writing().run(lambda c: c.execute(_MARK, rows).rowcount)

    async def states(self) -> dict[JobState, int]:
        """How many copies are in each state; every state is a key."""
        return await by_state(self._database, _copies.c.state, JobState)

    async def prune(self, before: datetime, drafts_before: datetime) -> int:
        """Delete copies that ended, and drafts that were made, before these times; how many."""
        ended = (_copies.c.state.in_(_ENDED)) & (_copies.c.ended_at < as_utc(before))
        old = _copies.c.state.in_(_HIDDEN) & (_copies.c.created_at < as_utc(drafts_before))
        some = select(_copies.c.id).where(or_(ended, old)).limit(PRUNE_COPIES)
        gone = delete(_copies).where(_copies.c.id.in_(some))
        journal, total = self._database.writing(), 0
        while count := await journal.run(lambda c: c.execute(gone).rowcount):
            total += count
        return total

    # -- reading ---------------------------------------------------------------------------

    async def get(self, id: int) -> Job | None:
        """One copy, or None."""
        return next(iter(await self._found(_copies.c.id == id)), None)

    async def of(self, account: str, limit: int = 20) -> Sequence[Job]:
        """Copies that this account ordered or was furnished by, newest first, without drafts."""
        mine = or_(_copies.c.owner == account, _copies.c.asker == account)
        return (await self._found(mine & _copies.c.state.not_in(_HIDDEN)))[:limit]

    async def of_journey(self, journey: int) -> Job | None:
        """The copy that belongs to a move, or None."""
        return next(iter(await self._found(_copies.c.journey == journey)), None)

    async def at_work(self) -> Sequence[Job]:
        """Copies of this instance that were cut off and belong to no move, oldest first."""
        holder = self._database.writing().holder
        found = await self._found(
            _copies.c.state.in_(_WORKING)
            & _copies.c.journey.is_(None)
            & _copies.c.holder.is_not_distinct_from(holder.name)
        )
        return found[::-1]

    async def page(
        self,
        id: int,
        pick: Pick,
        *,
        after: int | None = None,
        most: int = _PAGE,
        backwards: bool = False,
    ) -> Sequence[Entry]:
        """Some things of a copy, in their order or the other way round.

        :param after: the number of the last one that is not wanted any more.
        :param most: how many; fewer come where they are large, none at the end alone.
        """
        number = _things.c.number
        where = [_things.c.copy_id == id, *_picked(pick)]
        if after is not None:
            where.append(number < after if backwards else number > after)
        order = number.desc() if backwards else number
        size = func.length(_things.c.text) + func.length(_things.c.before)
        sizes = select(number, size).where(*where).order_by(order).limit(most)
        async with self._database.reading() as session:
            wanted: list[int] = []
            room = _PAGE_SIZE
            for found, length in await session.execute(sizes):
                room -= length
                if wanted and room < 0:
                    break
                wanted.append(found)
            if not wanted:
                return []
            span = _things.c.number.between(min(wanted), max(wanted))
            rows = select(_things).where(*where, span).order_by(order)
            return [_entry_of(row) for row in await session.execute(rows)]

    async def tally(self, id: int) -> Mapping[Mark, int]:
        """How many things of a copy there are of each mark."""
        marks = (
            _things.c.sort,
            _things.c.result,
            _things.c.done,
            _things.c.why.is_not(None),
        )
        wanted = select(*marks, func.count()).where(_things.c.copy_id == id).group_by(*marks)
        async with self._database.reading() as session:
            found = list(await session.execute(wanted))
        try:
            return {
                Mark(Sort(sort), Result(result), bool(done), bool(hindered)): number
                for sort, result, done, hindered, number in found
            }
        except ValueError as error:
            raise RowDamaged(f"things of copy {id} are damaged ({error})") from error

    async def counts(self, ids: Collection[int]) -> Mapping[int, Mapping[Result, int]]:
        """Things of these copies by what became of them; results without any are left out."""
        wanted = (
            select(_things.c.copy_id, _things.c.result, func.count())
            .where(_things.c.copy_id.in_(ids))
            .group_by(_things.c.copy_id, _things.c.result)
        )
        found: dict[int, dict[Result, int]] = {id: {} for id in ids}
        async with self._database.reading() as session:
            for id, result, number in await session.execute(wanted):
                if result in _RESULTS:
                    found[id][Result(result)] = number
        return found

    async def _found(self, where: Any) -> list[Job]:
        wanted = select(_copies).where(where).order_by(_copies.c.id.desc())
        async with self._database.reading() as session:
            return [_job_of(row) for row in await session.execute(wanted)]


def _picked(pick: Pick) -> list[Any]:
    """The conditions that a pick stands for."""
    found: list[Any] = []
    if pick.sort is not None:
        found.append(_things.c.sort == pick.sort.value)
    if pick.results:
        found.append(_things.c.result.in_([result.value for result in pick.results]))
    if pick.done is not None:
        found.append(_things.c.done.is_(pick.done))
    if pick.hindered is not None:
        found.append(_things.c.why.is_not(None) if pick.hindered else _things.c.why.is_(None))
    return found


def _values(job: Job) -> dict[str, Any]:
    return {
        "owner": job.owner,
        "asker": job.asker,
        "source": job.source,
        "state": job.state.value,
        "overwrite": job.overwrite,
        "journey": job.journey,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "owner_account": job.owner_account,
        "asker_account": job.asker_account,
    }


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "sort": entry.sort.value,
        "text": entry.text,
        "result": entry.result.value,
        "why": entry.why,
        "before": entry.before,
        "done": entry.done,
    }


def _job_of(row: Row[Any]) -> Job:
    try:
        state = JobState(row.state)
    except ValueError as error:
        raise RowDamaged(f"copy {row.id} is damaged ({error})") from error
    return Job(
        row.id,
        row.owner,
        row.asker,
        row.source,
        state,
        row.overwrite,
        row.journey,
        row.created_at,
        row.ended_at,
        row.owner_account,
        row.asker_account,
    )


def _entry_of(row: Row[Any]) -> Entry:
    try:
        sort, result = Sort(row.sort), Result(row.result)
    except ValueError as error:
        raise RowDamaged(
            f"thing {row.number} of copy {row.copy_id} is damaged ({error})"
        ) from error
    return Entry(row.number, sort, row.text, result, row.why, row.before, row.done)

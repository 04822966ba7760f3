"""Several instances on one PostgreSQL: who lives, who holds what.

All times are the database's (``now()``), so the clocks of the instances do not matter.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Interval,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from component.core.records import MoveRecord
from component.store import changed
from component.store.database import Database
from component.store.errors import LeaseLost, StoreClosed, translate
from component.store.journey_rows import has_work
from component.store.journeys import Journeys
from component.store.models import InstanceRow, JourneyRow, Move, table
from component.store.shared import LEASE_SECONDS, Beat, Changes, Cursor, WantedJourney
from component.store.writer import Writer
from component.store.writes import OPEN

T = TypeVar("T")

CLAIMED_AT_ONCE = 200
"""Rows claimed in one transaction, so that instances that claim at once share the work."""
_FORGOTTEN = timedelta(days=1)

_instances = table(InstanceRow)
_journeys = table(JourneyRow)
_moves = table(Move)

_ME = bindparam("b_me", type_=Text())
_LEASE = cast(timedelta(seconds=LEASE_SECONDS), Interval)
_EARLIER = _instances.c.beat_at.is_(None)
"""Of a release that does not beat."""
_ALIVE = or_(_EARLIER, _instances.c.beat_at > func.now() - _LEASE)


def _claimable(holder: ColumnElement[str | None]) -> ColumnElement[bool]:
    held = exists().where(_instances.c.name == holder, _ALIVE)
    # Rows without a holder are those of an instance of an earlier release, while there is one.
    held_by_earlier = exists().where(_EARLIER, _instances.c.name != _ME)
    return or_(
        and_(holder.is_not(None), holder != _ME, ~held),
        and_(holder.is_(None), ~held_by_earlier),
    )


_FORMER = (
    select(_instances.c.run, (~_ALIVE).label("dead"))
    .where(_instances.c.name == _ME)
    .with_for_update()
)
_new = postgresql.insert(_instances).values(
    name=_ME, since=func.now(), beat_at=func.now(), run=bindparam("b_run")
)
_BEAT = _new.on_conflict_do_update(
    index_elements=["name"],
    set_={"since": _new.excluded.since, "beat_at": func.now(), "run": _new.excluded.run},
)
_BEAT_AGAIN = update(_instances).where(_instances.c.name == _ME).values(beat_at=func.now())
_WANTED = (
    select(_journeys.c.id, _journeys.c.wanted_by)
    .where(
        _journeys.c.wanted_by.is_not(None),
        _journeys.c.holder == _ME,
        _journeys.c.wanted_by != _ME,
    )
    .order_by(_journeys.c.id)
)
_LEAVE = delete(_instances).where(_instances.c.name == _ME, _instances.c.run == bindparam("b_run"))
_FORGET = delete(_instances).where(_instances.c.beat_at < func.now() - cast(_FORGOTTEN, Interval))


def _some(rows: Table, wanted: ColumnElement[bool]) -> Select[tuple[int]]:
    """Ids of some rows, locked; a CTE, which unlike a subquery is never executed twice."""
    chosen = (
        select(rows.c.id)
        .where(wanted)
        .order_by(rows.c.id)
        .limit(CLAIMED_AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    return select(chosen.c.id)


_OPEN_MOVES = _some(_moves, and_(_moves.c.state.in_(OPEN), _claimable(_moves.c.holder)))
_CLAIM_MOVES = update(_moves).where(_moves.c.id.in_(_OPEN_MOVES)).values(holder=_ME)
_WORKING = _some(_journeys, and_(has_work(_journeys), _claimable(_journeys.c.holder)))
_CLAIM_JOURNEYS = (
    update(_journeys).where(_journeys.c.id.in_(_WORKING)).values(holder=_ME, wanted_by=None)
)
_HELD = (
    select(_journeys.c.holder, _claimable(_journeys.c.holder).label("claimable"))
    .where(_journeys.c.id == bindparam("b_id"))
    .with_for_update(of=_journeys)
)
_TAKE = (
    update(_journeys).where(_journeys.c.id == bindparam("b_id")).values(holder=_ME, wanted_by=None)
)
_WANT = update(_journeys).where(_journeys.c.id == bindparam("b_id")).values(wanted_by=_ME)
_EARLIER_NAME = select(_instances.c.name).where(_EARLIER, _instances.c.name != _ME).limit(1)
_GIVE = (
    update(_journeys)
    .where(_journeys.c.id == bindparam("b_id"), _journeys.c.holder == _ME)
    .values(holder=bindparam("b_to"), wanted_by=None)
)


class Leases:
    """Implements :class:`~component.store.shared.Shared` on PostgreSQL.

    :param writer: of its own, so that a long queue of writes does not cost the lease; None: the
        store was opened for reading, or without a name
    """

    def __init__(
        self,
        database: Database,
        where: str,
        name: str | None,
        writer: Writer | None,
        unsettled: Callable[[], Awaitable[list[MoveRecord]]],
        journeys: Journeys,
    ) -> None:
        self._database = database
        self._where = where
        self._name = name or ""
        self._writer = writer
        self._unsettled = unsettled
        self._journeys = journeys
        self._run = uuid.uuid4().hex
        self._begun = False

    async def close(self) -> None:
        """End its connections; the lease stays."""
        if self._writer is not None:
            await self._writer.close()

    async def beat(self) -> Beat:
        """See :class:`Shared`."""
        me = {"b_me": self._name, "b_run": self._run}

        def work(connection: Connection) -> Beat:
            former = connection.execute(_FORMER, {"b_me": self._name}).first()
            if self._begun and former is not None and former.run != self._run:
                raise LeaseLost(
                    f"another xmpp-moved works as {self._name} since; each needs a name of its "
                    f"own ([component] jid)"
                )
            again = former is not None and former.run == self._run
            connection.execute(_BEAT_AGAIN if again else _BEAT, me)
            connection.execute(_FORGET)
            changed.prune(connection)
            wanted = connection.execute(_WANTED, me)
            alive = connection.scalars(select(_instances.c.name).where(_ALIVE))
            lapsed = self._begun and (former is None or former.dead)
            return Beat(
                frozenset(alive),
                tuple(WantedJourney(row.id, row.wanted_by) for row in wanted),
                lapsed,
            )

        beat = await self._transact(work)
        self._begun = True
        return beat

    async def leave(self) -> None:
        """See :class:`Shared`."""
        me = {"b_me": self._name, "b_run": self._run}
        await self._transact(lambda connection: connection.execute(_LEAVE, me).rowcount)

    async def claim_moves(self) -> list[MoveRecord]:
        """See :class:`Shared`."""
        await self._claim(_CLAIM_MOVES)
        return await self._unsettled()

    async def claim_journeys(self) -> list[int]:
        """See :class:`Shared`."""
        await self._claim(_CLAIM_JOURNEYS)
        return await self._journeys.with_work(self._name)

    async def want(self, id: int) -> str | None:
        """See :class:`Shared`."""
        this = {"b_me": self._name, "b_id": id}

        def work(connection: Connection) -> str | None:
            found = connection.execute(_HELD, this).first()
            if found is None or found.holder == self._name:
                return None
            if found.claimable:
                connection.execute(_TAKE, this)
                return None
            connection.execute(_WANT, this)
            return str(found.holder or connection.scalar(_EARLIER_NAME, {"b_me": self._name}))

        return await self._transact(work)

    async def hand_over(self, id: int, to: str) -> bool:
        """See :class:`Shared`."""
        this = {"b_me": self._name, "b_id": id, "b_to": to}
        return await self._transact(lambda c: c.execute(_GIVE, this).rowcount == 1)

    async def changes(self, since: Cursor | None) -> tuple[Cursor, Changes]:
        """See :class:`Shared`."""
        return await self._transact(lambda c: changed.read(c, since, self._name))

    async def _claim(self, statement: Update) -> None:
        """Claim until nothing is left to claim."""

        def some(connection: Connection) -> int:
            return connection.execute(statement, {"b_me": self._name}).rowcount

        while await self._transact(some) == CLAIMED_AT_ONCE:
            pass

    async def _transact(self, work: Callable[[Connection], T]) -> T:
        self._database.writing()
        if self._writer is None:
            raise StoreClosed(f"{self._where} was opened without a holder")
        try:
            return await self._writer.transact(work)
        except Exception as error:
            raise translate(error, self._where) from error

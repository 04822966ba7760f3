"""Hand-overs of journeys in the database."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Row, select

from component.core.journey.handover import Handover, HandoverState
from component.store.database import Database
from component.store.errors import RowDamaged
from component.store.models import HandoverRow, JourneyRow, as_utc, table
from component.store.states import by_state
from component.store.upsert import insert_into

_handovers = table(HandoverRow)
_journeys = table(JourneyRow)
_OPEN = [state.value for state in HandoverState if not state.ended]


@cache
def _put(dialect: str) -> Executable:
    new = insert_into(_handovers, dialect)
    changes = {name: new.excluded[name] for name in ("state", "until", "parcel")}
    return new.on_conflict_do_update(index_elements=["journey_id"], set_=changes)


class Handovers:
    """Hand-overs by journey; they go with it.

    Every method raises StoreError, writing ones StoreBusy too; a write is durable on return.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, handover: Handover) -> None:
        """Keep how far it is.  Raises RowRefused where there is no such journey."""
        values = {
            "journey_id": handover.journey,
            "state": handover.state.value,
            "until": as_utc(handover.until),
            "parcel": handover.parcel,
        }

        def job(connection: Connection) -> int:
            return connection.execute(_put(connection.dialect.name), values).rowcount

        await self._database.writing().run(job)

    async def get(self, journey: int) -> Handover | None:
        """That of one journey, or None."""
        found = await self._found(_handovers.c.journey_id == journey)
        return next(iter(found), None)

    async def open(self, old: str | None = None) -> list[Handover]:
        """Those that have not ended, oldest first; of one old account only, if given."""
        unended = _handovers.c.state.in_(_OPEN)
        if old is None:
            return await self._found(unended)
        its = select(_journeys.c.id).where(_journeys.c.old == old)
        return await self._found(unended & _handovers.c.journey_id.in_(its))

    async def states(self) -> dict[HandoverState, int]:
        """How many are in each state; every state is a key."""
        return await by_state(self._database, _handovers.c.state, HandoverState)

    async def _found(self, where: Any) -> list[Handover]:
        wanted = select(_handovers).where(where).order_by(_handovers.c.journey_id)
        async with self._database.reading() as session:
            return [_handover_of(row) for row in await session.execute(wanted)]


def _handover_of(row: Row[Any]) -> Handover:
    try:
        state = HandoverState(row.state)
    except ValueError as error:
        raise RowDamaged(f"the hand-over of m{row.journey_id} is damaged ({error})") from error
    return Handover(row.journey_id, state, row.until, row.parcel)

"""How many rows of a table are in which state."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Column, func, select

from component.store.database import Database

S = TypeVar("S", bound=StrEnum)


async def by_state(database: Database, column: Column[Any], states: type[S]) -> dict[S, int]:
    """Rows in each state; every state is a key.

    :param column: where the table has the state's value.
    :raises StoreError: the database does not answer.
    """
    wanted = select(column.label("state"), func.count().label("n")).group_by(column)
    async with database.reading() as session:
        found = {row.state: row.n for row in await session.execute(wanted)}
    return {state: found.get(state.value, 0) for state in states}

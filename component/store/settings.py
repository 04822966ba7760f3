"""What users have chosen, and what an admin has set while the component ran."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Row, delete, insert, select, text

from component.core.notices import Follow, Settings
from component.store.database import Database
from component.store.errors import RowDamaged
from component.store.jsonio import value_from_json, value_to_json
from component.store.models import RunTimeRow, SettingsRow, table
from component.store.upsert import insert_into

_settings = table(SettingsRow)
_run_time = table(RunTimeRow)


@cache
def _put(dialect: str) -> Executable:
    new = insert_into(_settings, dialect)
    changes = {name: new.excluded[name] for name in ("follow", "language", "account")}
    return new.on_conflict_do_update(index_elements=["jid"], set_=changes)


class UserSettings:
    """Settings, by prepared bare JID; and those of the running component, by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, Settings]:
        """What each user has chosen who chose something.  Raises StoreError."""
        async with self._database.reading() as session:
            return {row.jid: settings_of(row) for row in await session.scalars(_ALL)}

    async def put(self, jid: str, s: Settings) -> None:
        """Keep what a user has chosen; durable on return.  Raises StoreError."""
        values = {
            "jid": jid,
            "follow": s.follow.value,
            "language": s.language,
            "account": s.account,
        }

        def job(connection: Connection) -> int:
            return connection.execute(_put(connection.dialect.name), values).rowcount

        await self._database.writing().run(job)

    async def run_time(self) -> dict[str, object]:
        """What :meth:`put_run_time` kept last; lists come for tuples.  Raises StoreError."""
        async with self._database.reading() as session:
            return {row.key: value_of(row) for row in await session.scalars(select(RunTimeRow))}

    async def all_paused(self) -> bool:
        """Whether an admin has paused all moves of users here.  Raises StoreError."""
        return (await self.run_time()).get("paused") is True

    async def put_run_time(self, values: Mapping[str, object]) -> None:
        """Keep exactly these values (JSON can hold them), no others; durable on return.

        Raises StoreError, or TypeError or ValueError for what JSON cannot hold.
        """
        wanted = [{"key": key, "value": value_to_json(value)} for key, value in values.items()]

        def job(connection: Connection) -> int:
            if connection.dialect.name == "postgresql":
                # Or of two instances that put at once, neither would delete the other's rows.
                connection.execute(_LOCK)
            connection.execute(delete(_run_time))
            if wanted:
                connection.execute(insert(_run_time), wanted)
            return len(wanted)

        await self._database.writing().run(job)


_LOCK = text("LOCK TABLE run_time IN SHARE ROW EXCLUSIVE MODE")  # readers go on
_ALL = select(SettingsRow).order_by(SettingsRow.jid)


def settings_of(row: SettingsRow | Row[Any]) -> Settings:
    """What a user chose, out of a row; RowDamaged where it is what no release wrote."""
    try:
        return Settings(Follow(row.follow), row.language, row.account)
    except ValueError as error:
        raise RowDamaged(
            f"the settings of {row.jid} are damaged ({error}); let the user set them again"
        ) from error


def value_of(row: RunTimeRow | Row[Any]) -> object:
    """A run-time value, out of a row; RowDamaged as for :func:`settings_of`."""
    try:
        return value_from_json(row.value)
    except ValueError as error:
        raise RowDamaged(
            f"the run-time setting {row.key} is damaged ({error}); set it again"
        ) from error

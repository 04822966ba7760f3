"""Which schema a database has, whether this code may use it, and how to bring it forward."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, inspect, text

from component.store.connect import Location, check_folder, locate, prepare_file
from component.store.errors import SchemaTooNew, SchemaTooOld, StoreError, translate
from component.store.lock import FileLock
from component.store.migrations import HEAD, REVISIONS
from component.store.writer import open_writer

_VERSIONS = "alembic_version"
_LOCK_SECONDS = 5
_MIGRATION_LOCK = 0x6D6F766564  # any constant: serialises migrations on PostgreSQL


def revision(connection: Connection, where: str) -> str | None:
    """The revision of a database, ``None`` if it is empty.

    Raises StoreError for a database that belongs to another program.
    """
    tables = set(inspect(connection).get_table_names())
    if _VERSIONS in tables:
        found = connection.scalar(text(f"SELECT version_num FROM {_VERSIONS}"))
        if found is not None:
            return str(found)
    if tables - {_VERSIONS}:
        raise StoreError(
            f"{where} holds tables of another program ({', '.join(sorted(tables)[:3])}); "
            f"set [database] url to a database of its own"
        )
    return None


def require_current(connection: Connection, where: str, known: Sequence[str] = REVISIONS) -> bool:
    """True if the schema is the last of ``known``, False if the database is empty.

    Raises SchemaTooOld or SchemaTooNew.
    """
    found = revision(connection, where)
    if found is None:
        return False
    _refuse_newer(found, where, known)
    if found != known[-1]:
        # On PostgreSQL what is at work may stay so, from schema 0002 on.
        stop = "stop xmpp-moved, " if connection.dialect.name == "sqlite" or found < "0002" else ""
        raise SchemaTooOld(
            f"{where} has schema {found}, this release needs {known[-1]}; {stop}make a backup and "
            f"run `xmpp-moved db upgrade`"
        )
    return True


def migrate(connection: Connection, where: str, instance: str | None = None) -> None:
    """Bring an empty or older database to :data:`HEAD` in the caller's transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # A component at work waits behind us: rather give up than wait long for, say, a pg_dump.
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
    found = revision(connection, where)
    if found is not None:
        _refuse_newer(found, where, REVISIONS)
    if found != HEAD:
        _alembic_upgrade(connection, instance if found is not None else None)


async def upgrade(url: str, instance: str | None = None) -> str:
    """Bring the database at ``url`` to the newest schema, creating it if need be.

    Returns the revision it has then.  All or nothing.  Raises StoreLocked while another
    process writes to an SQLite file, SchemaTooNew, or StoreError.

    :param instance: the component that uses a PostgreSQL database now; it may be at work, and
        keeps what it works on until one of a later release has beaten under its name
    """
    location = locate(url)
    if location.path is None:
        return await _upgrade(location, instance)
    check_folder(location.path)
    with FileLock.acquire(location.path):
        prepare_file(location.path, create=True)
        return await _upgrade(location)


async def _upgrade(location: Location, instance: str | None = None) -> str:
    writer = open_writer(location, seconds=None)
    try:
        await writer.transact(lambda connection: migrate(connection, location.name, instance))
    except Exception as error:
        raise translate(error, location.name) from error
    finally:
        await writer.close()
    return HEAD


def _refuse_newer(found: str, where: str, known: Sequence[str]) -> None:
    if found not in known:
        raise SchemaTooNew(
            f"{where} has schema {found}, which this release does not know (newest: {known[-1]}); "
            f"install the newer xmpp-moved that wrote it, or restore a backup from before"
        )


def _alembic_upgrade(connection: Connection, instance: str | None) -> None:
    # Loaded only here: it costs 11 MiB and half a second, and most starts need none of it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "component.store:migrations")
    config.attributes["connection"] = connection
    config.attributes["instance"] = instance
    command.upgrade(config, HEAD)

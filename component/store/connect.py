"""From ``[database] url`` to SQLAlchemy engines whose connections are safe to use."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    AsyncAdaptedQueuePool,
    Connection,
    Engine,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from component.store.errors import StoreError, StoreMissing, StoreReadOnly
from component.store.lock import owned_as

BUSY_TIMEOUT_MS = 5000
"""How long a statement waits for another process's lock, milliseconds."""
CONNECT_SECONDS = 5.0
"""How long a database server may take to let us in."""
STATEMENT_SECONDS = 10.0
"""How long it may take for one statement, and we between two of a transaction.

Less than a lease: what a stopped process has locked is free again when others may claim it.
"""

READERS = 4
"""Connections that read an SQLite file, each with a thread.

Without a bound a burst would open one for each request: its descriptor is kept by SQLite for as
long as any other connection of the process has the file (https://sqlite.org/howtocorrupt.html,
section 2.2), and its thread leaves an arena of the allocator behind.
"""

_READER_CACHE_KIB = 256
"""Pages that each of these keeps.  SQLite's 2,000 KiB are 7 MiB more in all once they are full, and
no processor time less: the pages stand in the kernel's cache as well."""

_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_FOLDER_REMEDY = "create it, owned by the user that runs xmpp-moved, or change [database] url"


@dataclass(frozen=True, slots=True)
class Location:
    """Where the database is: ``path`` for SQLite, ``None`` for a server."""

    url: URL
    path: Path | None

    @property
    def name(self) -> str:
        """How messages call it; never holds the password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)


def locate(url: str) -> Location:
    """Understand ``[database] url``; StoreError says what is wrong with it."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "[database] url is no database URL; write "
            "sqlite+aiosqlite:////var/lib/xmpp-moved/moved.db"
        ) from None
    if parsed.drivername == "postgresql+asyncpg":
        return Location(parsed, None)
    if parsed.drivername != "sqlite+aiosqlite":
        raise StoreError(
            f"[database] url names the driver {parsed.drivername}; use sqlite+aiosqlite "
            f"or postgresql+asyncpg"
        )
    name = parsed.database or ""
    if not name or name == ":memory:" or name.startswith("file:") or parsed.query:
        raise StoreError(
            "[database] url must name a plain file, without options: the journal has to "
            "survive a crash; write sqlite+aiosqlite:////var/lib/xmpp-moved/moved.db"
        )
    # The real path, so that two names of one file share one lock.
    return Location(parsed, Path(os.path.realpath(name)))


def prepare_file(path: Path, *, create: bool) -> None:
    """Make sure the SQLite file is there, readable by its owner only when new.

    Raises StoreMissing where it is absent and ``create`` is false, StoreError where
    the folder is absent or the file is none.
    """
    try:
        if path.is_file():
            return
        if path.exists():
            raise StoreError(f"{path} is not a file; set [database] url to a file in that folder")
        if not create:
            raise StoreMissing(
                f"{path} does not exist; start `xmpp-moved run` once or run "
                f"`xmpp-moved db upgrade`, or correct [database] url"
            )
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        owned_as(path, path.parent)
    except OSError as error:
        kind = StoreReadOnly if error.errno in (errno.EACCES, errno.EROFS) else StoreError
        raise kind(
            f"{path} cannot be used ({error.strerror}); give the user that runs xmpp-moved "
            f"access to the folder {path.parent}"
        ) from error


def check_folder(path: Path) -> None:
    """StoreError where the folder for a new file is missing: asked before anything is made."""
    try:
        found = path.parent.is_dir()
    except OSError as error:
        raise StoreError(
            f"the folder {path.parent} cannot be read ({error.strerror}); give the user that "
            f"runs xmpp-moved access to it"
        ) from error
    if not found:
        raise StoreError(f"the folder {path.parent} does not exist; {_FOLDER_REMEDY}")


def writer_engine(path: Path) -> Engine:
    """One connection to an SQLite file that starts each transaction as a writer.

    To be used, and disposed of, in one thread.
    """
    engine = create_engine(_file_url("sqlite", path, "rw"), pool_size=1, max_overflow=0)
    _on_connect(
        engine,
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}",
    )
    _on_begin(engine, "BEGIN IMMEDIATE")
    return engine


def server_engine(
    location: Location,
    *,
    connections: int = 1,
    seconds: float | None = STATEMENT_SECONDS,
) -> AsyncEngine:
    """Connections to a database server, for writing; one that was cut is replaced.

    :param seconds: how long one statement may take; None: as long as it needs
    """
    engine = _server_engine(location, {}, seconds, pool_size=connections, max_overflow=0)
    event.listen(engine.sync_engine, "connect", _commit_to_disk)
    return engine


def reader_engine(location: Location) -> AsyncEngine:
    """Connections that cannot write; to an SQLite file there are few, and they stay."""
    if location.path is None:
        only = {"default_transaction_read_only": "on"}
        return _server_engine(location, only, STATEMENT_SECONDS, pool_size=2, max_overflow=6)
    engine = create_async_engine(
        _file_url("sqlite+aiosqlite", location.path, "ro"),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=STATEMENT_SECONDS,
    )
    _on_connect(
        engine.sync_engine,
        "PRAGMA query_only=ON",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA cache_size=-{_READER_CACHE_KIB}",
    )
    _on_begin(engine.sync_engine, "BEGIN")
    return engine


def _server_engine(
    location: Location, settings: Mapping[str, str], seconds: float | None, **pool: int
) -> AsyncEngine:
    limit = {} if seconds is None else {"statement_timeout": f"{seconds:g}s"}
    options: dict[str, object] = {
        "timeout": CONNECT_SECONDS,
        # Ours is for a server that is silent, and later than its own, which says why.
        "command_timeout": None if seconds is None else seconds + 1.0,
        "server_settings": {
            "application_name": "xmpp-moved",
            "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS:g}s",
            **limit,
            **settings,
        },
    }
    try:
        return create_async_engine(
            location.url,
            connect_args=options,
            pool_pre_ping=True,
            pool_timeout=STATEMENT_SECONDS,
            **pool,
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"[database] url needs the Python package {error.name}; install it beside xmpp-moved "
            f"(pip install 'xmpp-moved[postgres]')"
        ) from error


def _commit_to_disk(connection: Any, _record: object) -> None:
    """What was acknowledged has to survive a crash of the server, whatever its default is.

    PostgreSQL manual, "Asynchronous Commit".
    """
    cursor = connection.cursor()
    try:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    finally:
        cursor.close()
    connection.commit()


def _file_url(driver: str, path: Path, mode: str) -> URL:
    query: Mapping[str, str] = {"mode": mode, "uri": "true"}
    return URL.create(driver, database=f"file:{quote(str(path))}", query=query)


def _on_connect(engine: Engine, *pragmas: str) -> None:
    """Set up each new connection; one that cannot be set up is closed, its thread ended.

    ``isolation_level = None`` stops the driver from starting transactions by itself:
    SQLAlchemy documentation, SQLite dialect, "Using SQLAlchemy to emit BEGIN in lieu of
    SQLite's transaction control".
    """

    def configure(connection: Any, _record: object) -> None:
        try:
            connection.isolation_level = None
            cursor = connection.cursor()
            try:
                for statement in (f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}", *pragmas):
                    cursor.execute(statement)
                    cursor.fetchall()
            finally:
                cursor.close()
        except BaseException:
            connection.close()
            raise

    event.listen(engine, "connect", configure)


def _on_begin(engine: Engine, statement: str) -> None:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)

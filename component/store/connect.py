"""From ``[database] url`` to SQLAlchemy engines whose connections are safe to use."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from component.store.errors import StoreError, StoreMissing, StoreReadOnly

BUSY_TIMEOUT_MS = 5000
"""How long a statement waits for another process's lock, milliseconds."""

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


def server_engine(location: Location) -> AsyncEngine:
    """One connection to a database server, for writing."""
    return _server_engine(location, pool_size=1, max_overflow=0, pool_pre_ping=True)


def reader_engine(location: Location) -> AsyncEngine:
    """Connections that cannot write, each closed after use."""
    if location.path is None:
        settings = {"server_settings": {"default_transaction_read_only": "on"}}
        return _server_engine(location, poolclass=NullPool, connect_args=settings)
    engine = create_async_engine(
        _file_url("sqlite+aiosqlite", location.path, "ro"), poolclass=NullPool
    )
    _on_connect(engine.sync_engine, "PRAGMA query_only=ON", "PRAGMA foreign_keys=ON")
    _on_begin(engine.sync_engine, "BEGIN")
    return engine


def _server_engine(location: Location, **options: Any) -> AsyncEngine:
    try:
        return create_async_engine(location.url, **options)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"[database] url needs the Python package {error.name}; install it beside xmpp-moved"
        ) from error


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

"""A consistent copy of an SQLite database, taken while it is written, and its way back.

The copy is made by SQLite's own online backup (https://www.sqlite.org/backup.html): a copy of the
file alone would miss what stands in its write-ahead log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import NullPool, create_engine

from component.store.connect import BUSY_TIMEOUT_MS, check_folder, locate, prepare_file
from component.store.errors import StoreError, translate
from component.store.lock import FileLock, owned_as
from component.store.migrations import HEAD, REVISIONS
from component.store.schema import revision


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a restore."""

    revision: str
    """The schema of what was restored."""
    aside: Path | None
    """Where the former database is now; None: there was none."""

    @property
    def current(self) -> bool:
        """False where ``xmpp-moved db upgrade`` has to come next."""
        return self.revision == HEAD


def backup(url: str, target: Path, *, force: bool = False) -> int:
    """Copy the database at ``url`` into the file ``target``, readable by its owner only.

    It works beside a component that writes; what was committed before the call is in it.

    :param force: replace ``target`` where it exists
    :returns: the size of the copy, in bytes
    :raises StoreError: it is no SQLite database, ``target`` exists, or either cannot be used; then
        ``target`` is what it was
    """
    source = _file(url, "pg_dump")
    prepare_file(source, create=False)
    if target.exists() and not force:
        raise StoreError(f"{target} exists; name another file, or give --force to replace it")
    if target.exists() and not target.is_file():
        raise StoreError(f"{target} is not a file; name one")
    if target.exists() and target.samefile(source):
        raise StoreError(f"{target} is the database itself; name another file")
    made = _beside(target)
    claimed = False
    try:
        with closing(_open(source)) as live, closing(sqlite3.connect(made)) as copy:
            # In one step: with a write-ahead log it holds up no writer, and in several steps it
            # would begin anew after each commit of the component.
            live.backup(copy)
            # One file that needs no log beside it; opening it for writing turns the log on again.
            copy.execute("PRAGMA journal_mode=DELETE")
        _sync(made)
        if not force:
            # Fails where somebody has made it meanwhile; a rename would replace that.
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            claimed = True
        made.replace(target)
        claimed = False
        _sync(target.parent)
    except FileExistsError:
        raise StoreError(f"{target} exists; name another file, or give --force") from None
    except (sqlite3.Error, OSError) as error:
        raise _told(error, target) from error
    finally:
        made.unlink(missing_ok=True)
        if claimed:
            target.unlink(missing_ok=True)
    return target.stat().st_size


def restore(url: str, source: Path) -> Restored:
    """Put a backup in the place of the database at ``url``; the former one is kept beside it.

    :raises StoreLocked: the component runs
    :raises StoreError: it is no SQLite database, or ``source`` is no sound backup of one of ours
        that this release can use; then nothing has changed
    """
    place = _file(url, "pg_restore")
    check_folder(place)
    if not source.is_file():
        raise StoreError(f"{source} is no file; name one that `xmpp-moved db backup` made")
    if place.exists() and source.samefile(place):
        raise StoreError(f"{source} is the database itself; name a backup")
    with FileLock.acquire(place):
        made = _beside(place)
        try:
            try:
                with closing(_open(source)) as backed_up, closing(sqlite3.connect(made)) as copy:
                    backed_up.backup(copy)
                    copy.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.Error as error:
                raise _unsound(error, source) from error
            found = _examine(made, source)
            _sync(made)
            owned_as(made, place)
            aside = _put_aside(place)
            made.replace(place)
            _sync(place.parent)
        except OSError as error:
            raise _told(error, place) from error
        finally:
            made.unlink(missing_ok=True)
    return Restored(found, aside)


def _file(url: str, remedy: str) -> Path:
    location = locate(url)
    if location.path is None:
        raise StoreError(
            f"{location.name} is a PostgreSQL database; use {remedy}, which is made for it "
            "(pg_dump --format=custom NAME > FILE also while it is used; with every instance "
            "stopped: pg_restore --clean --if-exists --dbname NAME FILE)"
        )
    return location.path


def _open(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000)


def _beside(path: Path) -> Path:
    """A new file of mode 0600 in the same folder, so that it can be renamed to ``path``."""
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _told(error, path) from error
    os.close(fd)
    return Path(name)


def _unsound(error: sqlite3.Error, source: Path) -> StoreError:
    """Why a file cannot be restored; what to do about a damaged database is no remedy for it."""
    return StoreError(
        f"{source} is damaged, or no backup ({error}); nothing was changed: name one that "
        "`xmpp-moved db backup` made"
    )


def _examine(path: Path, source: Path) -> str:
    """The schema of a copy that is sound and of a kind that this release can use."""
    with closing(sqlite3.connect(path)) as copy:
        try:
            said = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            loose = copy.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.Error as error:
            raise _unsound(error, source) from error
    if said != "ok" or loose is not None:
        raise StoreError(f"{source} is damaged ({said}); nothing was changed: take another backup")
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = revision(connection, str(source))
    except StoreError as error:
        raise StoreError(f"{source} is no backup of xmpp-moved; nothing was changed") from error
    finally:
        engine.dispose()
    if found is None:
        raise StoreError(f"{source} is empty; nothing was changed")
    _known(found, source)
    return found


def _known(found: str, source: Path) -> None:
    if found not in REVISIONS:
        raise StoreError(
            f"{source} has schema {found}, which this release does not know (newest: {HEAD}); "
            f"install the newer xmpp-moved that wrote it. Nothing was changed"
        )


def _put_aside(place: Path) -> Path | None:
    """Move the database, and what belongs to it, out of the way."""
    if not place.exists():
        # A log without its database would be replayed into the restored one.
        for suffix in ("-wal", "-shm", "-journal"):
            Path(f"{place}{suffix}").unlink(missing_ok=True)
        return None
    _finish_log(place)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside, number = Path(f"{place}.before-{stamp}"), 0
    while aside.exists():
        number += 1
        aside = Path(f"{place}.before-{stamp}-{number}")
    # There are logs only where it is damaged; they must never lie beside another database.
    for suffix in ("-wal", "-shm", "-journal"):
        part = Path(f"{place}{suffix}")
        if part.exists():
            part.replace(f"{aside}{suffix}")
    place.replace(aside)
    return aside


def _finish_log(place: Path) -> None:
    """Bring what stands in the write-ahead log into the database, if that can be done."""
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(place)) as former:
        former.execute("PRAGMA journal_mode=DELETE")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _told(error: Exception, path: Path) -> StoreError:
    if isinstance(error, OSError):
        return StoreError(f"{path} cannot be written ({error.strerror or error})")
    return translate(error, str(path))

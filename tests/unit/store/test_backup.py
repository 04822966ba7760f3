"""Copies of a database that is written, and their way back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from component.core.records import MoveState
from component.store import Store, StoreError, StoreLocked, StoreMissing
from component.store.backup import backup, restore
from component.store.migrations import HEAD

from .support import after, record, settlement, url_of, verdict


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "moved.db"


def fill(path: Path, *names: str) -> None:
    """Give a database these moves."""

    async def write() -> None:
        async with await Store.open(url_of(path)) as store:
            for name in names:
                await store.add(record(name))

    asyncio.run(write())


def names_in(path: Path) -> list[str]:
    """The moves of a database, oldest first."""

    async def read() -> list[str]:
        async with await Store.open(url_of(path), writer=False) as store:
            return [move.request_id for move in await store.unsettled()]

    return asyncio.run(read())


def files(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_holds_what_was_committed_while_the_component_writes(
    database: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    async with await Store.open(url_of(database)) as store:
        for number in range(50):
            await store.add(record(f"before{number}"))
        over = asyncio.Event()
        written = 0

        async def write() -> None:
            nonlocal written
            while not over.is_set():
                id_ = await store.add(record(f"during{written}"))
                await store.verdict(id_, verdict())
                await store.settle(id_, settlement(at=after(written)))
                written += 1

        writing = asyncio.create_task(write())
        sizes = [
            await asyncio.to_thread(backup, url_of(database), target, force=round_ > 0)
            for round_ in range(5)
        ]
        at_last = written
        over.set()
        await writing
        assert written > 0
    assert sizes[-1] == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path) == ["copy.db", "data"]
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    async with await Store.open(url_of(target), writer=False) as store:
        counts = await store.counts()
        assert counts[MoveState.DIVERTED] in (50, 51)
        assert counts[MoveState.DONE] <= at_last + 1
        assert {move.request_id for move in await store.unsettled()} >= {
            f"before{number}" for number in range(50)
        }


def test_never_replaces_a_file_unasked(database: Path, tmp_path: Path) -> None:
    fill(database, "r1")
    target = tmp_path / "precious"
    target.write_text("mine")
    with pytest.raises(StoreError, match="exists; name another file, or give --force"):
        backup(url_of(database), target)
    assert target.read_text() == "mine"
    backup(url_of(database), target, force=True)
    assert names_in(target) == ["r1"]


def test_what_cannot_be_backed_up(database: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="does not exist"):
        backup(url_of(database), tmp_path / "copy")
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql+asyncpg://u:secret@h/moved", tmp_path / "copy")
    fill(database, "r1")
    with pytest.raises(StoreError, match="is the database itself"):
        backup(url_of(database), database, force=True)
    with pytest.raises(StoreError, match="cannot be written"):
        backup(url_of(database), tmp_path / "none" / "copy")
    with pytest.raises(StoreError, match="is not a file"):
        backup(url_of(database), tmp_path, force=True)
    assert files(tmp_path) == ["data"]
    assert names_in(database) == ["r1"]


def test_restore_keeps_the_former_one(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    fill(database, "r1")
    backup(url_of(database), copy)
    fill(database, "r2")
    restored = restore(url_of(database), copy)
    assert restored.current
    assert restored.revision == HEAD
    assert names_in(database) == ["r1"]
    assert restored.aside is not None
    assert names_in(restored.aside) == ["r1", "r2"]
    assert database.stat().st_mode & 0o777 == 0o600
    assert names_in(copy) == ["r1"]
    again = restore(url_of(database), copy)
    assert again.aside not in (None, restored.aside)
    fill(database, "r3")  # and it can be written


def test_restore_after_the_database_was_lost(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    fill(database, "r1")
    backup(url_of(database), copy)
    database.unlink()
    Path(f"{database}-wal").write_bytes(b"left over")
    assert restore(url_of(database), copy).aside is None
    assert names_in(database) == ["r1"]


def test_restore_over_a_damaged_database(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    fill(database, "r1")
    backup(url_of(database), copy)
    database.write_bytes(b"rubbish" * 1000)
    restored = restore(url_of(database), copy)
    assert restored.aside is not None
    assert restored.aside.read_bytes() == b"rubbish" * 1000
    assert names_in(database) == ["r1"]


async def test_no_restore_beside_a_running_component(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with await Store.open(url_of(database)) as store:
        await store.add(record("r1"))
        backup(url_of(database), copy)
        await store.add(record("r2"))
        with pytest.raises(StoreLocked, match="stop that process first"):
            restore(url_of(database), copy)
        await store.add(record("r3"))
    assert await asyncio.to_thread(names_in, database) == ["r1", "r2", "r3"]


def rubbish(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE alembic_version (version_num TEXT)")
        other.execute("INSERT INTO alembic_version VALUES ('9999')")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (rubbish, "is damaged, or no backup"),
        (foreign, "is no backup of xmpp-moved"),
        (empty, "is empty"),
        (newer, "schema 9999, which this release does not know"),
    ],
)
def test_what_cannot_be_restored_changes_nothing(
    database: Path, tmp_path: Path, make: object, says: str
) -> None:
    fill(database, "r1")
    source = tmp_path / "source"
    assert callable(make)
    make(source)
    with pytest.raises(StoreError, match=says):
        restore(url_of(database), source)
    assert names_in(database) == ["r1"]
    assert not [path for path in database.parent.iterdir() if "before" in path.name]


def test_a_damaged_backup_is_refused(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    fill(database, *(f"r{number}" for number in range(200)))
    backup(url_of(database), copy)
    with copy.open("r+b") as file:
        file.seek(copy.stat().st_size // 2)
        file.write(os.urandom(20_000))
    with pytest.raises(StoreError):
        restore(url_of(database), copy)
    assert len(names_in(database)) == 200


def test_no_such_backup(database: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no file"):
        restore(url_of(database), tmp_path / "none")
    with pytest.raises(StoreError, match="pg_restore"):
        restore("postgresql+asyncpg://u@h/moved", tmp_path / "none")
    fill(database, "r1")
    with pytest.raises(StoreError, match="is the database itself"):
        restore(url_of(database), database)

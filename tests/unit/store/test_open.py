"""Opening: who may, what is made, what is said when it fails, and that no thread stays."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from component.store import (
    SchemaTooNew,
    SchemaTooOld,
    Store,
    StoreClosed,
    StoreError,
    StoreLocked,
    StoreMissing,
    upgrade,
)
from component.store.connect import BUSY_TIMEOUT_MS
from component.store.migrations import HEAD, REVISIONS
from component.store.schema import require_current
from component.store.writer import FileWriter

from .support import record, url_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "moved db?.sqlite%20#1"  # a name that a careless URL would break


def set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.commit()
    connection.close()


def plain_url(path: Path) -> str:
    """As :func:`url_of`, with the characters escaped that a URL needs escaped."""
    return url_of(path).replace("?", "%3F").replace("#", "%23") if "?" in path.name else ""


async def failing_open(url: str, *, writer: bool = True, create: bool = True) -> StoreError:
    """The error of an open, after making sure that no thread is left."""
    before = set(threading.enumerate())
    with pytest.raises(StoreError) as caught:
        await Store.open(url, writer=writer, create=create)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
    return caught.value


async def test_a_new_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    async with await Store.open(url_of(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()


async def test_only_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    (tmp_path / "alias").symlink_to(tmp_path)
    async with await Store.open(url_of(path)) as store:
        for other in (path, tmp_path / "alias" / "m.db"):
            error = await failing_open(url_of(other))
            assert isinstance(error, StoreLocked)
            assert str(os.getpid()) in str(error)
            assert str(path) in str(error)
        with pytest.raises(StoreLocked):
            await upgrade(url_of(path))
        await store.add(record())
    async with await Store.open(url_of(path)) as store:
        assert len(await store.unsettled()) == 1


async def test_readers_work_beside_the_writer(tmp_path: Path) -> None:
    url = url_of(tmp_path / "m.db")
    async with await Store.open(url) as store, await Store.open(url, writer=False) as reader:
        writes = asyncio.gather(*(store.add(record(f"r{number}")) for number in range(200)))
        while not writes.done():
            assert len(await reader.unsettled()) <= 200
        assert {row.id for row in await reader.unsettled()} == set(await writes)
        for call in (reader.add(record()), reader.ping()):
            with pytest.raises(StoreClosed, match="for reading"):
                await call
    async with await Store.open(url, writer=False) as reader:  # with no writer at all
        assert (await reader.counts())["diverted"] == 200


async def test_a_reader_makes_no_files(tmp_path: Path) -> None:
    error = await failing_open(url_of(tmp_path / "m.db"), writer=False)
    assert isinstance(error, StoreMissing)
    assert str(tmp_path / "m.db") in str(error)
    assert "xmpp-moved run" in str(error)
    assert isinstance(await failing_open(url_of(tmp_path / "m.db"), create=False), StoreMissing)
    assert os.listdir(tmp_path) == []


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = await failing_open(url_of(tmp_path / "no" / "m.db"))
    assert f"the folder {tmp_path / 'no'} does not exist" in str(error)
    with pytest.raises(StoreError, match="does not exist"):
        await upgrade(url_of(tmp_path / "no" / "m.db"))
    assert os.listdir(tmp_path) == []


async def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert "is not a file" in str(await failing_open(url_of(tmp_path)))


@pytest.mark.parametrize("writer", [True, False])
async def test_a_file_that_is_no_database(tmp_path: Path, writer: bool) -> None:
    path = tmp_path / "m.db"
    path.write_bytes(b"this is a letter, no database. " * 100)
    error = await failing_open(url_of(path), writer=writer)
    assert "no SQLite database" in str(error)
    path.unlink()
    async with await Store.open(url_of(path)):  # the lock was given back
        pass


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE prosody (a)")
    connection.close()
    assert "tables of another program (prosody)" in str(await failing_open(url_of(path)))
    with pytest.raises(StoreError, match="another program"):
        await upgrade(url_of(path))


@pytest.mark.parametrize("writer", [True, False])
async def test_newer_and_older_schemas(tmp_path: Path, writer: bool) -> None:
    path = tmp_path / "m.db"
    assert await upgrade(url_of(path)) == HEAD
    set_revision(path, "9999")
    error = await failing_open(url_of(path), writer=writer)
    assert isinstance(error, SchemaTooNew)
    assert "install the newer xmpp-moved" in str(error)
    with pytest.raises(SchemaTooNew):
        await upgrade(url_of(path))


async def test_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    path.touch()
    for options in ({"writer": False}, {"create": False}):
        error = await failing_open(url_of(path), **options)
        assert "xmpp-moved db upgrade" in str(error)
    async with await Store.open(url_of(path)) as store:
        assert await store.list_moves() == []


async def test_a_schema_that_is_behind_is_never_migrated_by_opening(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    await upgrade(url_of(path))
    later = (*REVISIONS, "9998")  # as the next release will see this file
    writer = FileWriter(path)
    with pytest.raises(SchemaTooOld, match="xmpp-moved db upgrade"):
        await writer.transact(lambda connection: require_current(connection, "m.db", later))
    await writer.close()


async def test_the_writer_is_set_up_for_durability(tmp_path: Path) -> None:
    await upgrade(url_of(tmp_path / "m.db"))
    writer = FileWriter(tmp_path / "m.db")

    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    def refused(connection: Connection) -> str:
        other = sqlite3.connect(tmp_path / "m.db", timeout=0)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return str(error)
        finally:
            other.close()
        return "not refused"

    assert await writer.transact(settings) == ["wal", 2, 1, BUSY_TIMEOUT_MS]
    assert await writer.transact(refused) == "database is locked"  # BEGIN IMMEDIATE holds it
    await writer.close()


async def test_odd_file_names(path: Path) -> None:
    async with await Store.open(plain_url(path)) as store:
        await store.add(record())
        found = await store.unsettled()
    assert len(found) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "no database URL"),
        ("sqlite:///x.db", "use sqlite\\+aiosqlite"),
        ("mysql://u:secret@h/d", "use sqlite\\+aiosqlite"),
        ("sqlite+aiosqlite://", "plain file"),
        ("sqlite+aiosqlite:///:memory:", "plain file"),
        ("sqlite+aiosqlite:///x.db?mode=memory", "plain file"),
    ],
)
async def test_urls_that_cannot_work(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        await Store.open(url)
    assert "secret" not in str(caught.value)


async def test_close_ends_all_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = await Store.open(url_of(tmp_path / "m.db"))
    await store.add(record())
    await store.counts()
    await store.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this for another user")
async def test_what_root_makes_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    """A command that root runs must not lock the component's user out."""
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 12345, 54321)
    await upgrade(url_of(folder / "moved.db"))
    async with await Store.open(url_of(folder / "moved.db")) as store:
        await store.add(record())
        made = sorted(folder.iterdir())
        assert {"moved.db", "moved.db.lock", "moved.db-wal"} <= {path.name for path in made}
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 54321)}

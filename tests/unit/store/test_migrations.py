"""Models and migrations agree; migrating is quiet, complete or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from component.core.model import Reason
from component.core.records import MoveState
from component.store import SchemaTooOld, Store, upgrade
from component.store.connect import locate, prepare_file
from component.store.migrations import HEAD, REVISIONS
from component.store.models import Audit, Base, Meta, Move, table
from component.store.rows import add_row
from component.store.writer import open_writer

from .support import NOON, after, contact, journey, record, settlement, url_of

ROOT = Path(__file__).parents[3]


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))


async def test_models_and_migrations_agree(url: str) -> None:
    await upgrade(url)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_the_known_revisions_are_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", "component.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


async def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    assert await upgrade(url_of(path)) == HEAD
    before = dump(path)
    assert await upgrade(url_of(path)) == HEAD
    assert dump(path) == before


async def test_logging_is_left_alone(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("alembic").level)
    await upgrade(url_of(tmp_path / "m.db"))
    assert (list(root.handlers), root.level, logging.getLogger("alembic").level) == before
    assert not logging.getLogger("component").disabled


async def to_revision(url: str, wanted: str, *, down: bool = False) -> None:
    """Bring a database to a revision, as the release that had it did."""
    config = Config()
    config.set_main_option("script_location", "component.store:migrations")

    def migrate(connection: Connection) -> None:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, wanted)

    location = locate(url)
    if location.path is not None:
        prepare_file(location.path, create=True)
    writer = open_writer(location)
    await writer.transact(migrate)
    await writer.close()


async def fill_0001(url: str) -> None:
    """Two moves with an audit row each, and a counter, in a database of revision 0001."""

    def fill(connection: Connection) -> None:
        for number, state in ((1, "done"), (2, "diverted")):
            name = f"r{number}"
            values = {**add_row(record(name)).values, "state": state, "settled_at": after(number)}
            del values["account"]  # since 0007
            connection.execute(insert(table(Move)), values)
            connection.execute(
                insert(table(Audit)),
                {
                    "move_id": number,
                    "at": NOON,
                    "contact": "c@x",
                    "jid": name,
                    "reason": "verified",
                },
            )
        connection.execute(update(table(Meta)).values(value=7))

    await to_revision(url, "0001")
    writer = open_writer(locate(url))
    await writer.transact(fill)
    await writer.close()


def db_upgrade(url: str, folder: Path) -> str:
    """What ``xmpp-moved db upgrade`` says of this database, in a process of its own."""
    config = folder / "config.toml"
    config.write_text(
        "[component]\njid = 'moved.x.example'\nsecret = 'hunter2'\n"
        f"[served]\nhosts = ['x.example']\n[database]\nurl = '{url}'\n"
    )
    config.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "component", "--config", str(config), "db", "upgrade"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if "XMPP_MOVED" not in key},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("writer", [True, False])
async def test_a_start_on_the_first_schema_says_what_to_do(url: str, writer: bool) -> None:
    await fill_0001(url)
    for _ in range(2):  # opening changes nothing
        with pytest.raises(SchemaTooOld, match=rf"has schema 0001, .* needs {HEAD}; .*db upgrade`"):
            await Store.open(url, writer=writer)


async def test_rows_of_the_first_schema_are_kept(url: str, tmp_path: Path) -> None:
    await fill_0001(url)
    said = await asyncio.to_thread(db_upgrade, url, tmp_path)
    assert said == f"The database has schema {HEAD}, the newest.\n"
    async with await Store.open(url) as store:
        found = [await store.get(number) for number in (1, 2)]
        assert [row and (row[0].request_id, row[0].state, row[0].at) for row in found] == [
            ("r1", MoveState.DONE, NOON),
            ("r2", MoveState.DIVERTED, NOON),
        ]
        assert [row and [line.jid for line in row[1]] for row in found] == [["r1"], ["r2"]]
        assert found[0] is not None
        assert (found[0][0].noticed_at, found[0][0].undone_at) == (None, None)
        assert [row and row[0].stanza for row in found] == ["", "<presence id='r2'/>"]
        assert await store.undone(1, after(9), (), Reason.VERIFIED)
        assert await store.settle(2, settlement(notice=True))
        assert await store.add(record("r3")) == 3
        await store.journeys.create(journey(), [contact(1)])
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        assert (await connection.execute(select(table(Meta).c.value))).scalar_one() == 7
    await engine.dispose()


async def test_and_back_to_the_first_schema(url: str) -> None:
    await fill_0001(url)
    await upgrade(url)
    await to_revision(url, "0001", down=True)
    with pytest.raises(SchemaTooOld):
        await Store.open(url)
    await upgrade(url)
    async with await Store.open(url) as store:
        found = await store.get(1)
        assert found is not None
        assert len(found[1]) == 1


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()

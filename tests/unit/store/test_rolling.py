"""Instances of an earlier release beside those of this one, while they are replaced one by one."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from component.core.journey.model import JourneyState
from component.core.records import MoveState
from component.store import LeaseLost, Store, StoreError, upgrade
from component.store.migrations import HEAD
from tests.postgres import Postgres

from .instances import A, B, instances, sql, transaction
from .support import contact, journey, settlement, verdict
from .test_migrations import ROOT, to_revision

LAST_OF_0002 = "3b47c61a80f850ec071d2745132525146aed9e3d"
EARLIER = """
import asyncio, sys
from dataclasses import replace
from datetime import timedelta
import component
from component.core.model import Reason
from component.core.notices import Follow, Settings
from component.core.records import Change, MoveState, NewRecord, VerdictRecord
from component.store import Store
from tests_support import NEW, NOON, OLD, after, contact, journey, settlement

def verdict():
    return VerdictRecord(NOON, MoveState.TAKING, Reason.VERIFIED, None, '{"steps":[]}')

def record(name):
    contact = "juliet@capulet.example"
    return NewRecord(NOON, name, "i1", contact, OLD.jid, NEW.jid, OLD, None, "<presence/>")

async def move(store, name):
    id_ = await store.add(record(name))
    assert await store.add(record(name)) == id_
    assert await store.verdict(id_, verdict())
    change = (Change(OLD.jid, OLD, None), Change(NEW.jid, None, NEW))
    assert await store.settle(id_, settlement(changes=change))
    assert await store.latest_done("juliet@capulet.example", OLD.jid, NEW.jid) is not None
    (found, audit) = await store.get(id_)
    assert (found.state, len(audit)) == (MoveState.DONE, 2)
    return id_

async def journeys(store):
    made = await store.journeys.create(journey(), [contact(1)])
    assert await store.journeys.save(replace(made, told="x"), [contact(2)], expect=[made.state])
    await store.journeys.replace_contacts(made.id, [contact(3)])
    assert len(await store.journeys.list(running=True)) == 1
    assert await store.journeys.may_answer("a@x", "b@x", NOON, timedelta(1))

async def main():
    async with await Store.open(sys.argv[1]) as store:
        upgraded = asyncio.Event()
        writes = 0
        async def write():
            nonlocal writes
            while not upgraded.is_set():
                await move(store, f"r{writes}")
                writes += 1
        writing = asyncio.create_task(write())
        await move(store, "first")
        print("works", "in", component.__path__[0].removesuffix("/component"), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        id_ = await move(store, "after")
        assert await store.undone(id_, after(9), (), Reason.UNDONE)
        await journeys(store)
        await store.user_settings.put("late@x", Settings(Follow.NEVER))
        await store.user_settings.put_run_time({"paused": True})
        await store.ping()
        upgraded.set()
        await writing
        print("written", writes, flush=True)
        assert await store.prune(after(-99)) == 0
        await store.add(record("last"))
        print("all", len(await store.unsettled()), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
async def upgraded(postgres: Postgres, postgres_url: str) -> str:
    """A database that one instance of schema 0002 used when it was brought forward."""
    await to_revision(postgres_url, "0002")
    await upgrade(postgres_url, A)
    return postgres_url


def add_as_before(postgres: Postgres, url: str, name: str) -> int:
    """A request that an instance of schema 0002 has journalled."""
    columns = "at, state, request_id, instance, contact, old, new, old_item, stanza"
    item = '{"jid":"r@x","subscription":"none","ask":false,"name":null,"groups":[]}'
    values = f"now(), 'diverted', '{name}', 'i1', 'j@x', 'o@x', 'n@x', '{item}', ''"
    inserted = f"INSERT INTO moves ({columns}) VALUES ({values}) RETURNING id"
    return int(sql(postgres, url, inserted))


async def test_what_an_earlier_release_works_on_stays_with_it(
    postgres: Postgres, upgraded: str
) -> None:
    before = add_as_before(postgres, upgraded, "r1")
    sql(postgres, upgraded, "UPDATE instances SET since = now() - interval '1 day'")
    async with instances(upgraded, B) as (b,):
        assert (await b.shared.beat()).alive == {A, B}  # however long ago
        assert await b.shared.claim_moves() == []
        assert await b.verdict(before, verdict()) is False
        assert await b.settle(before, settlement()) is False
        # The same name, in this release: the earlier one has ended.
        async with instances(upgraded, A) as (a,):
            assert [move.id for move in await a.shared.claim_moves()] == [before]
            assert await a.verdict(before, verdict()) is True
        late = add_as_before(postgres, upgraded, "r2")
        assert [move.id for move in await b.shared.claim_moves()] == [late]
    assert sql(postgres, upgraded, f"SELECT holder FROM moves WHERE id = {before}") == f"{A}\n"


async def test_a_journey_of_an_earlier_release(postgres: Postgres, upgraded: str) -> None:
    async with instances(upgraded, B) as (b,):
        made = await b.journeys.create(journey(JourneyState.NOTIFYING), [contact(1)])
        sql(postgres, upgraded, "UPDATE journeys SET holder = NULL")
        assert await b.shared.claim_journeys() == []
        assert await b.shared.want(made.id) == A
        with pytest.raises(LeaseLost, match="an earlier release"):
            await b.journeys.save(made)
        await b.shared.leave()
        async with instances(upgraded, A) as (a,):
            assert await a.shared.claim_journeys() == [made.id]


async def test_a_fresh_database_waits_for_nobody(postgres: Postgres, postgres_url: str) -> None:
    await upgrade(postgres_url, A)
    unheld = add_as_before(postgres, postgres_url, "r1")
    async with instances(postgres_url, B) as (b,):
        assert (await b.shared.beat()).alive == {B}
        assert [move.id for move in await b.shared.claim_moves()] == [unheld]


async def test_what_an_earlier_release_did_is_learnt(postgres: Postgres, upgraded: str) -> None:
    ids = [add_as_before(postgres, upgraded, f"r{number}") for number in range(2)]
    async with instances(upgraded, B) as (b,):
        cursor, _ = await b.shared.changes(None)
        ended = "state = 'done', reason = 'verified', settled_at = now()"
        sql(postgres, upgraded, f"UPDATE moves SET {ended}")
        sql(postgres, upgraded, f"UPDATE moves SET undone_at = now() WHERE id = {ids[1]}")
        sql(postgres, upgraded, "INSERT INTO settings (jid, follow) VALUES ('a@x', 'never')")
        cursor, found = await b.shared.changes(cursor)
        assert [(one.old, one.new) for one in found.followed] == [("o@x", "n@x")]
        assert [(one.old, one.new) for one in found.undone] == [("o@x", "n@x")]
        assert [*found.settings] == ["a@x"]
        assert found.run_time is None


async def test_an_upgrade_gives_way_to_what_holds_the_tables(
    postgres: Postgres, postgres_url: str
) -> None:
    await to_revision(postgres_url, "0002")
    async with transaction(postgres_url, "LOCK TABLE moves IN ACCESS SHARE MODE"):  # a pg_dump
        with pytest.raises(StoreError, match="something else holds its tables"):
            await upgrade(postgres_url)
    assert await upgrade(postgres_url) == HEAD


async def test_two_that_start_on_an_empty_database_at_once(postgres_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(postgres_url, holder=name) for name in (A, B)))
    try:
        for store in stores:
            assert (await store.shared.beat()).alive == {A, B}
    finally:
        for store in stores:
            await store.close()


def earlier_release(folder: Path) -> None:
    """Put the component of schema 0002 into a folder; skips the test where it cannot be had."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    made = subprocess.run(
        [git, "-C", str(ROOT), "archive", LAST_OF_0002, "component"],
        check=False,
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip(f"this checkout has no history with {LAST_OF_0002[:7]}")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")


async def test_the_earlier_release_goes_on_while_the_schema_is_brought_forward(
    postgres: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    """The real code of the last release with schema 0002, in a process of its own."""
    earlier_release(tmp_path)
    support = Path(__file__).with_name("support.py").read_text()
    (tmp_path / "tests_support.py").write_text(support)
    (tmp_path / "earlier.py").write_text(EARLIER)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "earlier.py"),
        postgres_url,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    async def read(what: str) -> str:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        kind, _, rest = line.strip().partition(" ")
        assert kind == what, line
        return rest

    try:
        assert await read("works") == f"in {tmp_path}"
        # In the middle of its writes, as `xmpp-moved db upgrade` does it.
        assert await upgrade(postgres_url, A) == HEAD
        async with instances(postgres_url, B) as (b,):
            cursor, _ = await b.shared.changes(None)
            process.stdin.write(b"go on\n")
            writes = int(await read("written"))
            assert writes > 0
            theirs = int(await read("all"))
            assert theirs == 1
            assert await b.shared.claim_moves() == []
            assert await b.shared.claim_journeys() == []
            cursor, found = await b.shared.changes(cursor)
            assert len(found.followed) >= 1
            assert [*found.settings] == ["late@x"]
            assert found.run_time == {"paused": True}
            process.stdin.write_eof()  # it ends
            assert await process.wait() == 0
            async with instances(postgres_url, A) as (a,):
                assert [move.request_id for move in await a.shared.claim_moves()] == ["last"]
                assert len(await a.shared.claim_journeys()) == 1
                counts = await a.counts()
                assert counts[MoveState.DONE] == int(
                    sql(postgres, postgres_url, "SELECT count(DISTINCT move_id) FROM audit")
                )
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

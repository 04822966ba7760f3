"""A PostgreSQL that fails: what was acknowledged stays, callers are told, and it heals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from component.core.notices import Settings
from component.store import Store, StoreError, StoreReadOnly
from component.store.connect import locate
from component.store.writer import open_writer
from tests.full import FULL
from tests.postgres import PORT, Postgres, cluster

from .instances import A, B, instances, silence, sql, transaction
from .support import record, settlement, verdict

WRITERS = 10
ROUNDS = 20 if FULL else 2


@pytest.fixture
async def own() -> AsyncIterator[Postgres]:
    """A server of the test's own, that syncs to the disk."""
    async with cluster(durable=True) as server:
        yield server


class Load:
    """Callers that write all the time, and note what was acknowledged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.added: dict[int, str] = {}
        self.ended: set[int] = set()
        self.errors: list[StoreError] = []
        self.progress = asyncio.Event()
        self.failed = asyncio.Event()
        self._over = False
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]

    async def _write(self, number: int) -> None:
        turn = 0
        while not self._over:
            turn += 1
            name = f"{number}-{turn}"
            try:
                id_ = await self._store.add(record(name))
                self.added[id_] = name
                await self._store.verdict(id_, verdict())
                if await self._store.settle(id_, settlement()):
                    self.ended.add(id_)
                self.progress.set()
            except StoreError as error:
                self.errors.append(error)
                self.failed.set()
                await asyncio.sleep(0.01)

    async def proceed(self, seconds: float) -> None:
        """Return when something was written from now on."""
        self.progress.clear()
        async with asyncio.timeout(seconds):
            await self.progress.wait()

    async def stop(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_server_that_ends_under_writes(own: Postgres, how: str) -> None:
    with own.database() as url:
        async with instances(url, A) as (store,):
            load = Load(store)
            for _ in range(ROUNDS):
                await load.proceed(60)
                load.failed.clear()
                await (own.kill() if how == "killed" else own.stop())
                async with asyncio.timeout(30):
                    await load.failed.wait()
                assert store.trouble is not None
                assert own.address in store.trouble
                with pytest.raises(StoreError):
                    await store.shared.beat()
                with pytest.raises(StoreError):
                    await store.counts()
                await own.start()
                await load.proceed(5)
                assert store.trouble is None
                assert (await store.shared.beat()).alive == {A}
            await load.stop()
            for id_, name in load.added.items():
                found = await store.get(id_)
                assert found is not None
                assert found[0].request_id == name
                assert found[0].state == "done" or id_ not in load.ended


async def test_a_server_that_is_silent(own: Postgres) -> None:
    """As behind a network that swallows everything: nothing waits for ever."""
    with own.database() as url:
        async with instances(url, A) as (store,):
            await store.add(record("r1"))
            with own.silent():
                began = time.monotonic()
                results = await asyncio.gather(
                    store.add(record("r2")),
                    store.shared.beat(),
                    store.counts(),
                    return_exceptions=True,
                )
                assert [type(result) for result in results] == [StoreError] * 3
                assert time.monotonic() - began < 25
            await store.ping()
            assert store.trouble is None
            await store.add(record("r2"))
            assert (await store.counts())["diverted"] == 2


async def test_a_restart_while_nothing_is_written_goes_unnoticed(own: Postgres) -> None:
    with own.database() as url:
        async with instances(url, A) as (store,):
            await store.add(record("r1"))
            assert len(await store.unsettled()) == 1
            await own.stop()
            await own.start()
            await store.add(record("r2"))
            assert len(await store.unsettled()) == 2
            assert (await store.shared.beat()).alive == {A}
            assert store.trouble is None


async def test_a_connection_that_is_cut_in_a_transaction(
    postgres: Postgres, postgres_url: str
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with instances(postgres_url, A) as (store,):
        id_ = await store.add(record("r1"))
        async with transaction(postgres_url, f"SELECT FROM moves WHERE id = {id_} FOR UPDATE"):
            waiting = asyncio.create_task(store.verdict(id_, verdict()))
            while "t" not in await asyncio.to_thread(sql, postgres, postgres_url, cut):
                assert not waiting.done()
            with pytest.raises(StoreError):
                await waiting
            assert store.trouble is not None
        assert await store.verdict(id_, verdict()) is True
        assert store.trouble is None


async def test_of_two_that_block_each_other_both_get_on(postgres_url: str) -> None:
    """A deadlock: the server ends one of them, which tries again."""
    async with instances(postgres_url, A) as (store,):
        ids = [await store.add(record(f"r{number}")) for number in range(2)]
        locked = asyncio.Barrier(2)
        tries = 0

        async def lock(first: int, second: int) -> None:
            writer = open_writer(locate(postgres_url))

            def work(connection: Connection) -> None:
                nonlocal tries
                tries += 1
                take = text("SELECT FROM moves WHERE id = :id FOR UPDATE")
                connection.execute(take, {"id": first})
                if tries <= 2:
                    await_only(locked.wait())
                connection.execute(take, {"id": second})

            await writer.transact(work)
            await writer.close()

        async with asyncio.timeout(30):
            await asyncio.gather(lock(*ids), lock(*reversed(ids)))
        assert tries >= 3  # more where the second try meets the other one again


async def test_what_is_committed_is_on_the_disk(postgres: Postgres, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    for given, kept in (("off", "on"), ("remote_write", "remote_write")):
        postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = {given}")
        writer = open_writer(locate(postgres_url))
        shown = await writer.transact(lambda c: c.scalar(text("SHOW synchronous_commit")))
        await writer.close()
        assert shown == kept


async def test_a_server_that_takes_no_writes(postgres: Postgres, postgres_url: str) -> None:
    async with instances(postgres_url, A) as (store,):
        await store.add(record("r1"))
    name = postgres_url.rpartition("/")[2]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # a standby
    with pytest.raises(StoreReadOnly, match="to the primary"):
        await Store.open(postgres_url, holder=A)
    async with await Store.open(postgres_url, writer=False) as reader:
        assert len(await reader.unsettled()) == 1


async def test_servers_that_do_not_let_us_in(postgres: Postgres, postgres_url: str) -> None:
    for url, words in (
        (postgres_url.replace(f":{PORT}", ":1"), "cannot be reached"),
        (postgres_url + "x", "does not let us in"),
        (postgres_url.replace("moved@", "nobody:secret@"), "does not let us in"),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            await Store.open(url, holder=A)
        assert "secret" not in str(caught.value)


async def test_a_dump_that_was_restored_is_whole(postgres: Postgres, postgres_url: str) -> None:
    """What ``xmpp-moved db backup`` says to use, with what a restore does to the numbers of
    transactions."""
    name = postgres_url.rpartition("/")[2]
    async with instances(postgres_url, A) as (store,):
        ids = [await store.add(record(f"r{number}")) for number in range(2)]
        await store.settle(ids[0], settlement())
        postgres.client("pg_dump", name, "--format=custom", "--file=dump")
    with postgres.database() as url:
        postgres.client("pg_restore", url.rpartition("/")[2], "--clean", "--if-exists", "dump")
        async with instances(url, B) as (store,):
            assert [move.id for move in await store.shared.claim_moves()] == []
            silence(postgres, url, A)
            assert [move.id for move in await store.shared.claim_moves()] == [ids[1]]
            cursor, _ = await store.shared.changes(None)
            await store.user_settings.put("a@x", Settings())
            assert [*(await store.shared.changes(cursor))[1].settings] == ["a@x"]
            assert await store.add(record("r3")) > max(ids)

"""What other instances did is told once, and never missed."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import DBAPIError

from component.core.model import Reason
from component.core.notices import Follow, Settings
from component.core.records import Accepted, Change, MoveState
from component.store import Store
from component.store.shared import CHANGES_KEPT_SECONDS, Changes, Cursor
from tests.postgres import Postgres

from .instances import A, B, instances, sql, transaction
from .support import NEW, NOON, OLD, after, record, settlement

PAIR = (OLD.jid, NEW.jid)
CONTACT = "juliet@capulet.example"


async def followed(store: Store, name: str, reason: Reason = Reason.VERIFIED) -> int:
    """A move that was followed at noon."""
    id_ = await store.add(record(name))
    assert await store.settle(id_, settlement(reason=reason))
    return id_


async def test_each_change_of_others_is_told_once(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        await followed(a, "before")
        cursor, found = await b.shared.changes(None)
        assert found == Changes()
        await followed(a, "r1")
        await followed(a, "r2", Reason.RESTARTED)  # does not count as accepted
        await a.add(record("r3"))
        released = await a.add(record("r4"))
        await a.settle(released, settlement(MoveState.RELEASED, Reason.DEADLINE))
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes(followed=(Accepted(*PAIR, NOON),))
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes()


async def test_what_was_taken_back(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        cursor, _ = await b.shared.changes(None)
        declined, moved_back = await followed(a, "r1"), await followed(a, "r2")
        await a.undone(declined, after(2), (Change(NEW.jid, NEW, None),), Reason.UNDONE)
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes(
            followed=(Accepted(*PAIR, NOON),),
            undone=(Accepted(*PAIR, after(2)),),
            declined=((CONTACT, *PAIR),),
        )
        await a.undone(moved_back, after(3), (Change(NEW.jid, NEW, None),), Reason.VERIFIED)
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes(undone=(Accepted(*PAIR, after(3)),))


async def test_an_undo_by_another_reaches_who_had_followed(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        cursor, _ = await a.shared.changes(None)
        id_ = await followed(a, "r1")
        cursor, found = await a.shared.changes(cursor)
        assert found == Changes()  # its own
        assert await b.undone(id_, after(2), (), Reason.UNDONE)
        _, found = await a.shared.changes(cursor)
        assert found.undone == (Accepted(*PAIR, after(2)),)


async def test_settings_and_what_an_admin_set(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        await a.user_settings.put("old@x", Settings(Follow.ASK))
        cursor, _ = await b.shared.changes(None)
        await a.user_settings.put("a@x", Settings(Follow.ASK, "fr"))
        await a.user_settings.put("a@x", Settings(Follow.NEVER))
        await a.user_settings.put_run_time({"paused": True})
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes(settings={"a@x": Settings(Follow.NEVER)}, run_time={"paused": True})
        await a.user_settings.put_run_time({})
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes(run_time={})


async def test_what_commits_later_than_it_began_is_not_missed(postgres_url: str) -> None:
    """The trap of every cursor that is a time or a rising number."""
    async with instances(postgres_url, A, B) as (a, b):
        cursor, _ = await b.shared.changes(None)
        put = "INSERT INTO settings (jid, follow) VALUES ('{}@x', 'never')"
        async with transaction(postgres_url, put.format("slow")):
            async with transaction(postgres_url, put.format("slower")):
                await a.user_settings.put("quick@x", Settings())
                cursor, found = await b.shared.changes(cursor)
                assert [*found.settings] == ["quick@x"]
                cursor, found = await b.shared.changes(cursor)
                assert found == Changes()
            cursor, found = await b.shared.changes(cursor)
            assert [*found.settings] == ["slower@x"]
            await a.user_settings.put("later@x", Settings())
            cursor, found = await b.shared.changes(cursor)
            assert [*found.settings] == ["later@x"]
        cursor, found = await b.shared.changes(cursor)
        assert [*found.settings] == ["slow@x"]
        cursor, found = await b.shared.changes(cursor)
        assert found == Changes()


async def test_a_transaction_that_failed_is_not_told(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (_, b):
        cursor, _found = await b.shared.changes(None)
        failing = (
            "INSERT INTO settings (jid, follow) VALUES ('a@x', 'never')",
            "SELECT pg_terminate_backend(pg_backend_pid())",
        )
        with pytest.raises(DBAPIError, match="terminat"):
            async with transaction(postgres_url, *failing):
                pass
        assert (await b.shared.changes(cursor))[1] == Changes()


async def test_under_load_each_is_told_exactly_once(postgres_url: str) -> None:
    """Many small transactions beside each other, and somebody who looks all the time."""
    number = 150
    async with instances(postgres_url, A, B) as (a, b):
        cursor, _ = await b.shared.changes(None)
        told: list[str] = []

        async def write(store: Store, name: str) -> None:
            for turn in range(number):
                await store.user_settings.put(f"{name}{turn}@x", Settings())

        writing = [asyncio.create_task(write(s, n)) for s, n in ((a, "a"), (b, "b"))]
        while not all(task.done() for task in writing):
            cursor, found = await b.shared.changes(cursor)
            told.extend(found.settings)
        await asyncio.gather(*writing)
        cursor, found = await b.shared.changes(cursor)
        told.extend(found.settings)
        assert sorted(told) == sorted(f"{name}{turn}@x" for name in "ab" for turn in range(number))


async def test_who_slept_long_has_to_load_everything(postgres: Postgres, postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        cursor, _ = await b.shared.changes(None)
        await a.user_settings.put("a@x", Settings())
        age = f"at = at - interval '{CHANGES_KEPT_SECONDS + 1} seconds'"
        sql(postgres, postgres_url, f"UPDATE changes SET {age}")
        await a.shared.beat()
        assert sql(postgres, postgres_url, "SELECT count(*) FROM changes") == "0\n"
        asleep = Cursor(cursor.snapshot, cursor.at - (after(CHANGES_KEPT_SECONDS + 1) - NOON))
        fresh, found = await b.shared.changes(asleep)
        assert found == Changes(everything=True)
        await a.user_settings.put("b@x", Settings())
        assert [*(await b.shared.changes(fresh))[1].settings] == ["b@x"]


async def test_a_database_with_another_past_has_to_be_loaded_anew(postgres_url: str) -> None:
    async with instances(postgres_url, A) as (a,):
        cursor, _ = await a.shared.changes(None)
        ahead = Cursor("999999990:999999999:", cursor.at)
        assert (await a.shared.changes(ahead))[1] == Changes(everything=True)

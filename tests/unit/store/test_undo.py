"""Moves that were done, told of, and taken back."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from component.core.model import Reason
from component.core.records import Accepted, Change, MoveState
from component.store import Store

from .support import EVIDENCE, NEW, NOON, OLD, after, record, settlement, verdict

CONTACT = "juliet@capulet.example"
THERE = (Change(OLD.jid, OLD, None), Change(NEW.jid, None, NEW))
BACK = (Change(NEW.jid, NEW, None), Change(OLD.jid, None, OLD))


async def done(store: Store, name: str = "r1", *, seconds: float = 0, notice: bool = False) -> int:
    """A move that was followed."""
    id_ = await store.add(record(name))
    await store.verdict(id_, verdict())
    assert await store.settle(id_, settlement(at=after(seconds), changes=THERE, notice=notice))
    return id_


async def test_undone_once_and_explained(store: Store) -> None:
    id_ = await done(store)
    assert await store.undone(id_, after(5), BACK, Reason.RESTARTED) is True
    assert await store.undone(id_, after(6), BACK, Reason.RESTARTED) is False
    found = await store.get(id_)
    assert found is not None
    move, audit = found
    assert (move.state, move.settled_at, move.undone_at) == (MoveState.DONE, NOON, after(5))
    assert [(row.jid, row.before, row.after) for row in audit] == [
        (OLD.jid, OLD, None),
        (NEW.jid, None, NEW),
        (NEW.jid, NEW, None),
        (OLD.jid, None, OLD),
    ]
    assert {(row.at, row.reason, row.contact, row.evidence) for row in audit[2:]} == {
        (after(5), Reason.RESTARTED, CONTACT, EVIDENCE)
    }


async def test_of_several_undos_at_once_one_counts(store: Store) -> None:
    id_ = await done(store)
    won = await asyncio.gather(
        *(store.undone(id_, after(5), BACK, Reason.VERIFIED) for _ in range(10))
    )
    assert won.count(True) == 1
    found = await store.get(id_)
    assert found is not None
    assert len(found[1]) == 4


async def test_only_what_is_done_can_be_undone(store: Store) -> None:
    assert await store.undone(404, NOON, BACK, Reason.VERIFIED) is False
    id_ = await store.add(record())
    assert await store.undone(id_, NOON, BACK, Reason.VERIFIED) is False
    await store.settle(id_, settlement(MoveState.RELEASED))
    assert await store.undone(id_, NOON, BACK, Reason.VERIFIED) is False
    found = await store.get(id_)
    assert found is not None
    assert found[0].undone_at is None
    assert found[1] == []
    other = await done(store, "r2")
    with pytest.raises(ValueError, match="no zone"):
        await store.undone(other, datetime(2026, 3, 1), (), Reason.VERIFIED)
    assert await store.undone(other, NOON, (), Reason.VERIFIED) is True


async def test_a_notice_is_noted_with_the_end(store: Store) -> None:
    told, untold = await asyncio.gather(
        done(store, "r1", seconds=3, notice=True), done(store, "r2", seconds=4)
    )
    for id_, at in ((told, after(3)), (untold, None)):
        found = await store.get(id_)
        assert found is not None
        assert found[0].noticed_at == at
    assert not await store.settle(untold, settlement(notice=True))
    found = await store.get(untold)
    assert found is not None
    assert found[0].noticed_at is None


async def test_latest_done(store: Store) -> None:
    wanted = (CONTACT, "romeo@old.example", "romeo@new.example")
    await store.add(record("open"))
    assert await store.latest_done(*wanted) is None
    first = await done(store, "r1", seconds=9)
    second = await done(store, "r2", seconds=2)
    newest = await store.latest_done(*wanted)
    assert newest is not None
    assert (newest.id, newest.settled_at) == (first, after(9))
    await store.undone(first, after(10), BACK, Reason.VERIFIED)
    newest = await store.latest_done(*wanted)
    assert newest is not None
    assert newest.id == second
    for place in range(3):
        other = [*wanted]
        other[place] = "nobody@x"
        assert await store.latest_done(*other) is None


async def test_latest_done_waits_for_what_is_being_settled(store: Store) -> None:
    id_ = await store.add(record())
    ending = asyncio.ensure_future(store.settle(id_, settlement(changes=THERE), patience=60))
    await asyncio.sleep(0)
    newest = await store.latest_done(CONTACT, OLD.jid, NEW.jid)
    assert newest is not None
    assert (newest.id, await ending) == (id_, True)


async def test_what_is_undone_was_not_accepted(store: Store) -> None:
    first, second = await done(store, "r1", seconds=1), await done(store, "r2", seconds=2)
    await store.undone(first, after(3), BACK, Reason.VERIFIED)
    assert await store.accepted_since(NOON) == [
        Accepted("romeo@old.example", "romeo@new.example", after(2))
    ]
    await store.undone(second, after(3), BACK, Reason.VERIFIED)
    assert await store.accepted_since(NOON) == []
    assert (await store.counts())["done"] == 2


async def test_what_was_declined(store: Store) -> None:
    declined, moved_back = (
        await done(store, "r1", seconds=1),
        await done(store, "r2", seconds=2),
    )
    assert await store.declined() == []
    await store.undone(moved_back, after(3), (), Reason.UNDONE)
    assert await store.declined() == []
    await store.undone(declined, after(3), BACK, Reason.UNDONE)
    assert await store.declined() == [(CONTACT, "romeo@old.example", "romeo@new.example")]


async def test_what_was_taken_back_is_never_forgotten(store: Store) -> None:
    id_, other = await done(store), await done(store, "r2")
    await store.undone(id_, after(5), BACK, Reason.UNDONE)
    assert await store.prune(after(99)) == 1
    assert await store.get(other) is None
    assert await store.declined() == [(CONTACT, OLD.jid, NEW.jid)]


async def test_what_a_return_took_back_stands_again_without_it(store: Store) -> None:
    away, back = await done(store, "r1", seconds=1), await done(store, "r2", seconds=2)
    await store.undone(away, after(2), (), Reason.UNDONE)
    assert await store.undone(404, after(3), BACK, Reason.UNDONE, reopens=away) is False
    assert await store.undone(back, after(3), BACK, Reason.UNDONE, reopens=away)
    newest = await store.latest_done(CONTACT, OLD.jid, NEW.jid)
    assert newest is not None
    assert newest.id == away


async def test_related(store: Store) -> None:
    async def with_jids(*jids: str) -> list[tuple[int, int]]:
        return [(move.id, len(audit)) for move, audit in await store.related(CONTACT, jids)]

    both, undone = await done(store, "r1", seconds=1), await done(store, "r2", seconds=2)
    await store.undone(undone, after(3), BACK, Reason.UNDONE)
    chain = await store.add(record("r3", old="romeo@new.example", new="romeo@third.example"))
    await store.verdict(chain, verdict())
    await store.add(record("open"))
    await store.add(record("other", contact="nurse@capulet.example"))
    assert await with_jids(OLD.jid) == [(both, 2), (undone, 4)]
    assert await with_jids(NEW.jid) == [(both, 2), (undone, 4), (chain, 0)]
    assert await with_jids("romeo@third.example") == [(chain, 0)]
    assert await with_jids() == []
    ending = asyncio.ensure_future(store.settle(chain, settlement(changes=THERE), patience=60))
    await asyncio.sleep(0)
    assert await with_jids("romeo@third.example") == [(chain, 2)]
    assert await ending

"""Copies in the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from component.core.belongings.model import Entry, Job, JobState, Result, Sort
from component.store import Store
from tests.unit.store.support import NOON

OLD, NEW = "jülïet@old.example", "джульетта@new.example"


def job(state: JobState = JobState.RUNNING, *, journey: int | None = None) -> Job:
    """A copy, not stored yet."""
    return Job(0, NEW, OLD, OLD, state, False, journey, NOON)


def entries(count: int) -> list[Entry]:
    """Things of a copy."""
    return [
        Entry(n, Sort.CONTACT, f'["{n} 🌹"]', Result.ADDED, None, "[]", False) for n in range(count)
    ]


async def test_a_copy_comes_back(url: str) -> None:
    some = entries(1200)  # more than one part
    async with await Store.open(url) as store:
        made = await store.belongings.create(job(), some)
        turned = replace(
            some[7], result=Result.REFUSED, why="conflict", done=True, before='[["x"]]'
        )
        await store.belongings.mark(made.id, [turned])
        await store.belongings.mark(made.id, [])
    async with await Store.open(url) as store:
        assert await store.belongings.get(made.id) == made
        assert await store.belongings.get(made.id + 1) is None
        assert await store.belongings.entries(made.id) == [*some[:7], turned, *some[8:]]


async def test_whose_copies(store: Store) -> None:
    found = store.belongings
    first = await found.create(job(), entries(1))
    second = await found.create(job(JobState.DONE, journey=4), entries(1))
    draft = await found.create(job(JobState.DRAFT), entries(1))
    for account in (OLD, NEW):
        assert await found.of(account) == [second, first]
    assert await found.of("nobody@old.example") == []
    assert await found.of_journey(4) == second
    assert await found.of_journey(5) is None
    # Of a move's copy the move takes care.
    moving = await found.create(job(journey=6), entries(1))
    assert await found.at_work() == [first]
    assert await found.get(draft.id) == draft
    # A new preview replaces the old one.
    again = await found.create(job(JobState.DRAFT), entries(2))
    assert await found.get(draft.id) is None
    assert await found.entries(draft.id) == []
    await found.replace_entries(again.id, entries(3))
    assert len(await found.entries(again.id)) == 3
    assert await found.of_journey(6) == moving


async def test_figures(store: Store) -> None:
    found = store.belongings
    some = entries(1200)
    some[3:5] = [replace(one, result=Result.KEPT) for one in some[3:5]]
    first = await found.create(job(), some)
    second = await found.create(job(), [])
    await found.create(job(), entries(3))
    assert await found.counts([first.id, second.id]) == {
        first.id: {Result.ADDED: 1198, Result.KEPT: 2},
        second.id: {},
    }
    assert await found.counts([]) == {}


async def test_a_state_is_left_once(store: Store) -> None:
    found = store.belongings
    made = await found.create(job(JobState.DRAFT), entries(1))
    running = replace(made, state=JobState.RUNNING, overwrite=True)
    assert await found.save(running, expect={JobState.DRAFT})
    assert not await found.save(running, expect={JobState.DRAFT})
    assert await found.get(made.id) == running


async def test_what_ended_long_ago_goes(store: Store) -> None:
    found, day = store.belongings, timedelta(days=1)
    kept = await found.create(job(), entries(1))
    ended = replace(job(JobState.DONE), ended_at=NOON)
    gone = [await found.create(ended, entries(2)) for _ in range(12)]
    draft = await found.create(job(JobState.DRAFT), entries(1))
    assert await found.prune(NOON, NOON) == 0
    assert await found.prune(NOON + day, NOON) == len(gone)
    assert await found.prune(NOON + day, NOON + day) == 1
    assert await found.entries(gone[0].id) == []
    assert await found.get(draft.id) is None
    assert await found.get(kept.id) == kept

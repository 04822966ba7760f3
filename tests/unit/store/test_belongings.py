"""Copies in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from component.core.belongings.model import (
    WRITTEN,
    Entry,
    Job,
    JobState,
    Mark,
    Pick,
    Result,
    Sort,
)
from component.store import Store
from component.store.belongings import Belongings
from tests.unit.store.support import NOON

ALL = Pick()
OLD, NEW = "jülïet@old.example", "джульетта@new.example"


def job(state: JobState = JobState.RUNNING, *, journey: int | None = None) -> Job:
    """A copy, not stored yet."""
    return Job(0, NEW, OLD, OLD, state, False, journey, NOON)


def entries(count: int) -> list[Entry]:
    """Things of a copy."""
    return [
        Entry(n, Sort.CONTACT, f'["{n} 🌹"]', Result.ADDED, None, "[]", False) for n in range(count)
    ]


async def stored(found: Belongings, job: Job, entries: Sequence[Entry]) -> Job:
    """A copy with its things."""
    made = await found.create(replace(job, state=JobState.FILLING))
    assert await found.add(made.id, entries)
    ready = replace(made, state=job.state)
    assert await found.save(ready, expect={JobState.FILLING})
    return ready


async def whole(
    found: Belongings, id: int, pick: Pick = ALL, *, most: int = 500, backwards: bool = False
) -> list[Entry]:
    """Things of a copy, page by page."""
    all_: list[Entry] = []
    after: int | None = None
    while page := await found.page(id, pick, after=after, most=most, backwards=backwards):
        assert len(page) <= most
        after = page[-1].number
        all_ += page
    return all_


async def test_a_copy_comes_back(url: str) -> None:
    some = entries(1200)
    async with await Store.open(url) as store:
        made = await stored(store.belongings, job(), some)
        turned = replace(
            some[7], result=Result.REFUSED, why="conflict", done=True, before='[["x"]]'
        )
        await store.belongings.mark(made.id, [turned])
        await store.belongings.mark(made.id, [])
    async with await Store.open(url) as store:
        assert await store.belongings.get(made.id) == made
        assert await store.belongings.get(made.id + 1) is None
        now = [*some[:7], turned, *some[8:]]
        assert await whole(store.belongings, made.id) == now
        assert await whole(store.belongings, made.id, most=7, backwards=True) == now[::-1]


async def test_large_things_come_in_small_pages(store: Store) -> None:
    found, size = store.belongings, 400_000
    some = [replace(one, text="x" * size, before="y" * size) for one in entries(5)]
    made = await stored(found, job(), some)
    pages = [await found.page(made.id, ALL, after=n) for n in (None, 0)]
    assert [len(page) for page in pages] == [1, 1]
    assert await whole(found, made.id) == some


async def test_some_of_them(store: Store) -> None:
    found = store.belongings
    some = entries(8)
    some[1] = replace(some[1], result=Result.KEPT, done=True)
    some[2] = replace(some[2], result=Result.REFUSED, why="conflict", done=True)
    some[3] = replace(some[3], sort=Sort.BLOCKED)
    some[4] = replace(some[4], why="changed-since", done=True)
    made = await stored(found, job(), some)
    for pick, numbers in (
        (Pick(Sort.BLOCKED), [3]),
        (Pick(results=frozenset({Result.KEPT, Result.REFUSED})), [1, 2]),
        (Pick(done=False), [0, 3, 5, 6, 7]),
        (Pick(results=WRITTEN, hindered=True), [4]),
        (Pick(Sort.CONTACT, hindered=False, done=True), [1]),
        (Pick(Sort.ITEM), []),
    ):
        got = await whole(found, made.id, pick, most=2)
        assert [entry.number for entry in got] == numbers, pick
    contact = partial(Mark, Sort.CONTACT)
    assert await found.tally(made.id) == {
        contact(Result.ADDED, False, False): 4,
        contact(Result.ADDED, True, True): 1,
        contact(Result.KEPT, True, False): 1,
        contact(Result.REFUSED, True, True): 1,
        Mark(Sort.BLOCKED, Result.ADDED, False, False): 1,
    }
    assert await found.tally(made.id + 1) == {}


async def test_what_is_not_ready(store: Store) -> None:
    """It is nobody's to see; what is begun next takes its place."""
    found = store.belongings
    first = await found.create(job(JobState.FILLING))
    moving = await found.create(job(JobState.FILLING, journey=3))
    assert await found.of(OLD) == []
    assert await found.of_journey(3) == moving
    second = await found.create(job(JobState.FILLING))
    assert await found.get(first.id) is None
    assert not await found.add(first.id, entries(1))
    assert await found.get(moving.id) == moving
    await found.drop(second.id)
    assert not await found.add(second.id, entries(1))
    # One that is ready is not dropped.
    ready = await stored(found, job(JobState.DRAFT), entries(1))
    await found.drop(ready.id)
    assert not await found.add(ready.id, entries(1))
    assert await found.get(ready.id) == ready


async def test_whose_copies(store: Store) -> None:
    found = store.belongings
    first = await stored(found, job(), entries(1))
    second = await stored(found, job(JobState.DONE, journey=4), entries(1))
    draft = await stored(found, job(JobState.DRAFT), entries(1))
    for account in (OLD, NEW):
        assert await found.of(account) == [second, first]
    assert await found.of("nobody@old.example") == []
    assert await found.of_journey(4) == second
    assert await found.of_journey(5) is None
    # Of a move's copy the move takes care.
    moving = await stored(found, job(journey=6), entries(1))
    assert await found.at_work() == [first]
    assert await found.get(draft.id) == draft
    # A new preview replaces the old one.
    again = await stored(found, job(JobState.DRAFT), entries(2))
    assert await found.get(draft.id) is None
    assert await whole(found, draft.id) == []
    assert len(await whole(found, again.id)) == 2
    assert await found.of_journey(6) == moving


async def test_figures(store: Store) -> None:
    found = store.belongings
    some = entries(1200)
    some[3:5] = [replace(one, result=Result.KEPT) for one in some[3:5]]
    first = await stored(found, job(), some)
    second = await stored(found, job(), [])
    await stored(found, job(), entries(3))
    assert await found.counts([first.id, second.id]) == {
        first.id: {Result.ADDED: 1198, Result.KEPT: 2},
        second.id: {},
    }
    assert await found.counts([]) == {}


async def test_states_are_counted(store: Store) -> None:
    for state in (JobState.DONE, JobState.DONE, JobState.RUNNING):
        await stored(store.belongings, job(state), entries(1))
    found = await store.belongings.states()
    assert set(found) == set(JobState)
    assert {state: n for state, n in found.items() if n} == {JobState.DONE: 2, JobState.RUNNING: 1}


async def test_a_state_is_left_once(store: Store) -> None:
    found = store.belongings
    made = await stored(found, job(JobState.DRAFT), entries(1))
    running = replace(made, state=JobState.RUNNING, overwrite=True)
    assert await found.save(running, expect={JobState.DRAFT})
    assert not await found.save(running, expect={JobState.DRAFT})
    assert await found.get(made.id) == running


async def test_what_ended_long_ago_goes(store: Store) -> None:
    found, day = store.belongings, timedelta(days=1)
    kept = await stored(found, job(), entries(1))
    ended = replace(job(JobState.DONE), ended_at=NOON)
    gone = [await stored(found, ended, entries(2)) for _ in range(12)]
    draft = await stored(found, job(JobState.DRAFT), entries(1))
    assert await found.prune(NOON, NOON) == 0
    assert await found.prune(NOON + day, NOON) == len(gone)
    assert await found.prune(NOON + day, NOON + day) == 1
    assert await whole(found, gone[0].id) == []
    assert await found.get(draft.id) is None
    assert await found.get(kept.id) == kept

"""Who lives, who holds what, and that work passes to one other and no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from component.core.journey.model import ContactState, JourneyState
from component.core.model import Reason
from component.core.records import MoveState
from component.store import LeaseLost, Store, StoreClosed
from component.store.leases import CLAIMED_AT_ONCE
from component.store.shared import Beat, Changes, WantedJourney
from tests.postgres import Postgres

from .instances import A, B, C, instances, silence, transaction
from .support import after, contact, journey, record, settlement, url_of, verdict


async def holders(store: Store, *ids: int) -> list[int]:
    """Which of these moves a store holds."""
    held = {move.id for move in await store.unsettled()}
    return [id_ for id_ in ids if id_ in held]


async def test_who_lives(postgres: Postgres, postgres_url: str) -> None:
    async with instances(postgres_url, A, B, C) as (a, b, c):
        assert await a.shared.beat() == Beat(frozenset({A, B, C}))
        silence(postgres, postgres_url, B, seconds=8)
        assert (await a.shared.beat()).alive == {A, B, C}
        silence(postgres, postgres_url, B)
        await c.shared.leave()
        assert (await a.shared.beat()).alive == {A}
        assert await b.shared.beat() == Beat(frozenset({A, B}), lapsed=True)
        assert await b.shared.beat() == Beat(frozenset({A, B}))


async def test_a_newer_process_of_the_same_name_ends_the_older(postgres_url: str) -> None:
    async with instances(postgres_url, A, A) as (older, newer):
        with pytest.raises(LeaseLost, match=rf"another xmpp-moved works as {A}"):
            await older.shared.beat()
        await older.shared.leave()  # of a lease that is not its own any more
        assert (await newer.shared.beat()).alive == {A}


async def test_only_what_is_held_is_worked_on(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        ours, theirs = await a.add(record("r1")), await b.add(record("r2"))
        assert [move.id for move in await a.unsettled()] == [ours]
        assert [move.id for move in await b.shared.claim_moves()] == [theirs]
        for id_ in (ours, theirs):
            assert await a.verdict(id_, verdict()) is (id_ == ours)
            assert await a.settle(id_, settlement()) is (id_ == ours)
        found = await b.get(theirs)
        assert found is not None
        assert found[0].state is MoveState.DIVERTED
        async with await Store.open(postgres_url, writer=False) as tool:
            assert [move.id for move in await tool.unsettled()] == [theirs]
        async with await Store.open(postgres_url) as tool:
            assert not await tool.settle(theirs, settlement())


async def test_the_dead_and_those_that_left_are_covered(
    postgres: Postgres, postgres_url: str
) -> None:
    async with instances(postgres_url, A, B, C) as (a, b, c):
        ids = [await a.add(record("r1")), await b.add(record("r2")), await c.add(record("r3"))]
        await c.shared.leave()
        assert [move.id for move in await a.shared.claim_moves()] == [ids[0], ids[2]]
        silence(postgres, postgres_url, B)
        assert [move.id for move in await a.shared.claim_moves()] == ids
        assert await holders(b, *ids) == await holders(c, *ids) == []
        # Whoever slept beyond its lease changes nothing that another has claimed.
        assert await b.verdict(ids[1], verdict()) is False
        assert await b.settle(ids[1], settlement(MoveState.RELEASED, Reason.DEADLINE)) is False
        assert await a.verdict(ids[1], verdict()) is True
        assert await b.settle(ids[1], settlement()) is False
        assert await a.settle(ids[1], settlement()) is True


async def test_who_slept_but_was_not_missed_goes_on(postgres: Postgres, postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        id_ = await b.add(record())
        silence(postgres, postgres_url, B)
        assert await b.verdict(id_, verdict()) is True
        assert (await b.shared.beat()).lapsed
        assert await a.shared.claim_moves() == []
        assert await holders(b, id_) == [id_]


async def test_of_several_that_claim_at_once_one_gets_each_row(
    postgres: Postgres, postgres_url: str
) -> None:
    dead = "moved0.x.example"
    async with instances(postgres_url, dead, A, B, C) as (gone, *others):
        number = 5 * CLAIMED_AT_ONCE // 2
        ids = await asyncio.gather(*(gone.add(record(f"r{n}")) for n in range(number)))
        await gone.shared.leave()
        claimed = await asyncio.gather(*(store.shared.claim_moves() for store in others))
        got = [move.id for moves in claimed for move in moves]
        assert sorted(got) == sorted(ids)
        held = [move.id for store in others for move in await store.unsettled()]
        assert sorted(held) == sorted(ids)


async def test_of_two_drafts_of_one_account_that_start_at_once_one_does(url: str) -> None:
    """Each instance has looked before the other one wrote."""
    draft = journey(state=JourneyState.DRAFT)
    drafts = [draft, replace(draft, owner=draft.new), replace(draft, old="paris@old.example")]
    drafts[2] = replace(drafts[2], owner="paris@old.example")
    names = (A, B, C) if url.startswith("postgresql") else (A,)
    async with instances(url, *names) as stores:
        at = [stores[n % len(stores)].journeys for n in range(3)]
        made = [await store.create(one, []) for store, one in zip(at, drafts, strict=True)]
        begun = [replace(m, state=JourneyState.PREFLIGHTED, started_at=after(1)) for m in made]

        async def starts() -> list[bool]:
            saves = (s.save(b, expect=[JourneyState.DRAFT]) for s, b in zip(at, begun, strict=True))
            return await asyncio.gather(*saves)

        won = await starts()
        assert won.count(True) == 1
        first = won.index(True)
        assert not any(await starts())
        # Once the first only waits for answers, its accounts may go other ways, not the same.
        assert await at[first].save(replace(begun[first], state=JourneyState.SETTLING))
        again = await starts()
        assert again == [n == 2 for n in range(3)] if first < 2 else again.count(True) == 1


async def test_a_row_that_is_being_written_is_not_waited_for(
    postgres: Postgres, postgres_url: str
) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        ids = [await b.add(record(f"r{number}")) for number in range(3)]
        await b.shared.leave()
        async with transaction(postgres_url, f"SELECT FROM moves WHERE id = {ids[1]} FOR UPDATE"):
            async with asyncio.timeout(5):
                assert [move.id for move in await a.shared.claim_moves()] == [ids[0], ids[2]]
        assert [move.id for move in await a.shared.claim_moves()] == ids


async def test_a_request_that_is_diverted_again_is_whose_it_is_diverted_to(
    postgres_url: str,
) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        id_ = await a.add(record())
        assert await b.add(record()) == id_
        assert await a.verdict(id_, verdict()) is False
        assert await b.verdict(id_, verdict()) is True
        assert await a.add(record()) == id_
        assert await b.settle(id_, settlement()) is False
        assert await a.settle(id_, settlement()) is True
        before = await a.get(id_)
        assert await b.add(record()) == id_  # too late
        assert await a.get(id_) == before


async def test_anybody_may_take_back_what_was_followed(postgres_url: str) -> None:
    async with instances(postgres_url, A, B, C) as (a, *others):
        id_ = await a.add(record())
        await a.settle(id_, settlement())
        won = await asyncio.gather(
            *(store.undone(id_, after(5), (), Reason.UNDONE) for store in others)
        )
        assert sorted(won) == [False, True]


async def test_journeys_pass_from_one_to_another(postgres: Postgres, postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        made = await a.journeys.create(journey(), [contact(1)])
        sent = contact(1, ContactState.SENT)
        for write in (
            b.journeys.save(made, [sent]),
            b.journeys.save(id=made.id, contacts=[sent], expect=[JourneyState.DONE]),
            b.journeys.replace_contacts(made.id, [sent]),
        ):
            with pytest.raises(LeaseLost, match=f"journey {made.id} is with {A}"):
                await write
        assert b.trouble is None  # that is no fault of the database
        assert await a.journeys.contacts(made.id) == [contact(1)]
        assert await b.shared.hand_over(made.id, B) is False
        assert await b.shared.want(made.id) == A
        assert (await b.shared.beat()).wanted == ()
        assert (await a.shared.beat()).wanted == (WantedJourney(made.id, B),)
        assert await a.shared.hand_over(made.id, B) is True
        assert (await a.shared.beat()).wanted == ()
        assert await b.shared.want(made.id) is None
        assert await b.journeys.save(id=made.id, contacts=[sent])
        with pytest.raises(LeaseLost):
            await a.journeys.save(made)
        assert await a.shared.want(404) is None


async def test_a_journey_of_the_dead_is_had_for_the_asking(
    postgres: Postgres, postgres_url: str
) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        made = await b.journeys.create(journey(JourneyState.DONE), [])
        draft = await b.journeys.create(journey(JourneyState.DRAFT), [])
        assert await a.shared.want(made.id) == B
        silence(postgres, postgres_url, B)
        assert await a.shared.want(made.id) is None
        assert await a.shared.want(draft.id) is None
        assert await a.journeys.save(replace(made, told="x")) is True
        assert (await b.shared.beat()).wanted == ()


async def test_of_several_that_want_a_journey_of_the_dead_one_gets_it(
    postgres: Postgres, postgres_url: str
) -> None:
    async with instances(postgres_url, A, B, C) as (a, *others):
        made = await a.journeys.create(journey(), [])
        await a.shared.leave()
        said = await asyncio.gather(*(store.shared.want(made.id) for store in others))
        assert said in ([None, B], [C, None])
        first = [made.id] if said[0] is None else []
        assert await others[0].shared.claim_journeys() == first


async def test_journeys_with_work(url: str) -> None:
    async with instances(url, B) as (b,):
        made = {
            state: await b.journeys.create(
                journey(state, owner=f"{state}@x"), [contact(1, ContactState.MUTUAL)]
            )
            for state in JourneyState
        }
        open_ = await b.journeys.create(
            journey(JourneyState.CANCELLED), [contact(1), contact(2, ContactState.MUTUAL)]
        )
        working = [
            one.id for state, one in made.items() if state.running or state is JourneyState.PAUSED
        ]
        assert await b.shared.claim_journeys() == [*working, open_.id]
        await b.shared.leave()
    async with instances(url, A) as (a,):
        for _ in range(2):
            assert await a.shared.claim_journeys() == [*working, open_.id]
        assert await a.journeys.save(id=open_.id, contacts=[contact(1, ContactState.RESTORED)])
        assert await a.shared.claim_journeys() == working


async def test_a_restart_finds_its_own_again(postgres_url: str) -> None:
    async with instances(postgres_url, A, B) as (a, b):
        id_, made = await a.add(record()), await a.journeys.create(journey(), [])
        await a.close()  # without leaving
        async with instances(postgres_url, A) as (again,):
            assert await b.shared.claim_moves() == []
            assert [move.id for move in await again.shared.claim_moves()] == [id_]
            assert await again.shared.claim_journeys() == [made.id]
            assert await again.settle(id_, settlement())


async def test_with_a_file_there_are_no_others(tmp_path: Path) -> None:
    async with await Store.open(url_of(tmp_path / "m.db"), holder=A) as store:
        id_, made = await store.add(record()), await store.journeys.create(journey(), [])
        commits: list[int] = []
        store.watch_commits(lambda writes, seconds: commits.append(writes))
        assert await store.shared.beat() == Beat(frozenset({A}))
        assert [move.id for move in await store.shared.claim_moves()] == [id_]
        assert await store.shared.claim_journeys() == [made.id]
        assert await store.shared.want(made.id) is None
        assert await store.shared.hand_over(made.id, B) is False
        cursor, found = await store.shared.changes(None)
        await store.settle(id_, settlement())
        assert (await store.shared.changes(cursor))[1] == found == Changes()
        await store.shared.leave()
        assert commits == [1]  # of the settlement
    async with await Store.open(url_of(tmp_path / "m.db"), holder=B) as store:  # renamed
        assert await store.journeys.save(made)


async def test_tools_take_no_part(url: str) -> None:
    async with await Store.open(url) as store:
        await store.add(record())
        async with await Store.open(url, writer=False) as reader:
            for call in (reader.shared.beat(), reader.shared.claim_moves()):
                with pytest.raises(StoreClosed):
                    await call
    for late in (store.shared.beat(), store.shared.changes(None), store.shared.leave()):
        with pytest.raises(StoreClosed):
            await late

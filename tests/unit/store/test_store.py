"""What is written comes back, and only allowed changes happen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from component.core.journey.model import JourneyState
from component.core.model import NOBODYS, Reason
from component.core.records import Accepted, AuditRecord, Change, MoveRecord, MoveState
from component.store import RowRefused, Store, StoreClosed

from .support import EVIDENCE, NEW, NOON, OLD, after, journey, record, settlement, verdict

CHANGES = (Change(OLD.jid, OLD, None), Change(NEW.jid, None, NEW))


async def test_a_move_from_arrival_to_its_end(store: Store) -> None:
    id_ = await store.add(record())
    assert await store.verdict(id_, verdict(at=after(1)))
    (open_,) = await store.unsettled()
    assert open_.stanza == "<presence id='r1'/>"
    assert await store.settle(id_, settlement(at=after(2), changes=CHANGES, detail="fine"))
    found = await store.get(id_)
    assert found is not None
    move, audit = found
    assert move == MoveRecord(
        id=id_,
        at=NOON,
        state=MoveState.DONE,
        reason=Reason.VERIFIED,
        detail="fine",
        evidence=EVIDENCE,
        plan='{"steps":[]}',
        decided_at=after(1),
        settled_at=after(2),
        request_id="r1",
        instance="i1",
        contact="juliet@capulet.example",
        old="romeo@old.example",
        new="romeo@new.example",
        old_item=OLD,
        new_item=None,
        stanza="",
    )
    assert move.at.utcoffset() == timedelta(0)
    assert [(row.jid, row.before, row.after) for row in audit] == [
        (OLD.jid, OLD, None),
        (NEW.jid, None, NEW),
    ]
    assert audit[0] == AuditRecord(
        audit[0].id,
        id_,
        after(2),
        move.contact,
        OLD.jid,
        Reason.VERIFIED,
        EVIDENCE,
        OLD,
        None,
    )


async def test_the_same_request_again_is_the_same_row(store: Store) -> None:
    first = await store.add(record("r1"))
    assert await store.add(record("r1", at=after(9))) == first
    both = await asyncio.gather(store.add(record("r2")), store.add(record("r2", at=after(9))))
    assert both[0] == both[1] != first
    others = await asyncio.gather(
        store.add(record("r1", instance="i2")), store.add(record("r1", contact="nurse@c.example"))
    )
    assert len({first, both[0], *others}) == 4
    found = await store.get(both[0])
    assert found is not None
    assert found[0].at == NOON  # the first to arrive counts


async def test_resent_after_the_end_changes_nothing(store: Store) -> None:
    id_ = await store.add(record())
    await store.settle(id_, settlement(MoveState.RELEASED, Reason.DEADLINE))
    assert await store.add(record()) == id_
    found = await store.get(id_)
    assert found is not None
    assert found[0].state is MoveState.RELEASED


async def test_only_one_verdict_counts(store: Store) -> None:
    id_ = await store.add(record())
    assert await store.verdict(id_, verdict()) is True
    assert await store.verdict(id_, verdict(Reason.DEADLINE, at=after(5))) is False
    found = await store.get(id_)
    assert found is not None
    assert (found[0].state, found[0].reason) == (MoveState.TAKING, Reason.VERIFIED)
    assert found[0].decided_at == NOON


@pytest.mark.parametrize("end", [state for state in MoveState if state.final])
async def test_what_has_ended_stays_so(store: Store, end: MoveState) -> None:
    id_ = await store.add(record())
    assert await store.settle(id_, settlement(end, Reason.SERVER))
    before = await store.get(id_)
    assert await store.settle(id_, settlement(changes=CHANGES, at=after(5))) is False
    assert await store.verdict(id_, verdict()) is False
    assert await store.get(id_) == before


async def test_unknown_rows_are_refused(store: Store) -> None:
    assert await store.verdict(404, verdict()) is False
    assert await store.settle(404, settlement(changes=CHANGES)) is False
    assert await store.get(404) is None


async def test_writes_of_one_group_see_each_other_in_order(store: Store) -> None:
    first, second = await asyncio.gather(store.add(record("r1")), store.add(record("r2")))
    results = await asyncio.gather(
        store.verdict(first, verdict()),
        store.settle(first, settlement(changes=CHANGES)),
        store.verdict(first, verdict(Reason.DEADLINE)),
        store.settle(first, settlement(MoveState.RELEASED)),
        store.settle(second, settlement(MoveState.HANDED_BACK, Reason.RESTARTED)),
        store.verdict(second, verdict()),
    )
    assert [*results] == [True, True, False, False, True, False]
    found = await store.get(first)
    assert found is not None
    assert found[0].state is MoveState.DONE
    assert [row.evidence for row in found[1]] == [EVIDENCE, EVIDENCE]


async def test_wrong_states_and_times_are_refused_before_writing(store: Store) -> None:
    id_ = await store.add(record())
    with pytest.raises(ValueError, match="ends nothing"):
        await store.settle(id_, settlement(MoveState.TAKING))
    naive = datetime(2026, 3, 1)
    for call in (
        store.add(record("r2", at=naive)),
        store.verdict(id_, verdict(at=naive)),
        store.settle(id_, settlement(at=naive)),
    ):
        with pytest.raises(ValueError, match="no zone"):
            await call
    assert len(await store.list_moves()) == 1


async def test_times_of_any_zone_come_back_in_utc_and_sort(store: Store) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    for number, moment in enumerate([after(0.5), after(0).astimezone(east), after(-1)]):
        id_ = await store.add(record(f"r{number}", at=moment, old=f"{number}@old.example"))
        await store.settle(id_, settlement(at=moment))
    accepted = await store.accepted_since(after(-1))
    assert [item.at for item in accepted] == [after(-1), after(0), after(0.5)]
    assert all(item.at.utcoffset() == timedelta(0) for item in accepted)


async def test_accepted_are_only_verified_moves_that_are_done(store: Store) -> None:
    ends = [
        (MoveState.DONE, Reason.VERIFIED, after(10)),
        (MoveState.DONE, Reason.VERIFIED, after(-10)),
        (MoveState.DONE, Reason.RESTARTED, after(10)),
        (MoveState.RELEASED, Reason.VERIFIED, after(10)),
    ]
    for number, (state, reason, at) in enumerate(ends):
        id_ = await store.add(record(f"r{number}", old=f"{number}@old.example"))
        await store.settle(id_, settlement(state, reason, at=at))
    await store.verdict(await store.add(record("open")), verdict())
    assert await store.accepted_since(NOON) == [
        Accepted("0@old.example", "romeo@new.example", after(10))
    ]


async def test_unsettled_lists_what_has_not_ended(store: Store) -> None:
    ids = [await store.add(record(f"r{number}")) for number in range(3)]
    await store.verdict(ids[1], verdict())
    await store.settle(ids[2], settlement())
    states = [(row.id, row.state) for row in await store.unsettled()]
    assert states == [(ids[0], MoveState.DIVERTED), (ids[1], MoveState.TAKING)]


async def test_list_filters_and_limits(store: Store) -> None:
    for number in range(3):
        await store.add(
            record(f"r{number}", contact=f"c{number}@x", old=f"o{number}@x", new=f"n{number}@x")
        )
    ids = [row.id for row in await store.list_moves()]
    assert ids == sorted(ids, reverse=True)
    assert [row.id for row in await store.list_moves(limit=2)] == ids[:2]
    assert await store.list_moves(limit=0) == []
    for found in (
        await store.list_moves(contact="c1@x"),
        await store.list_moves(old="o1@x"),
        await store.list_moves(new="n1@x", state="diverted"),
    ):
        assert [row.request_id for row in found] == ["r1"]
    assert await store.list_moves(contact="c1@x", old="o2@x") == []


@pytest.mark.parametrize(
    ("since", "jids", "expected"),
    [
        (0, ("o@x",), True),
        (0, ("n@x",), True),
        (0, ("other@x", "n@x"), True),
        (0, ("c1@x", "other@x"), False),
        (0, (), False),
        (1, ("o@x", "n@x"), False),
    ],
)
async def test_a_later_record_that_names_an_address(
    store: Store, since: int, jids: tuple[str, ...], expected: bool
) -> None:
    """Of this contact, and later than a given one; whatever has become of it."""
    first = await store.add(record("r1", contact="c1@x", old="o@x", new="n@x"))
    await store.add(record("r2", contact="c2@x", old="o@x", new="n@x"))
    assert await store.has_later("c1@x", first - 1 + since, jids) is expected


async def test_counts_and_ping(store: Store) -> None:
    for number in range(3):
        await store.add(record(f"r{number}"))
    await store.settle((await store.unsettled())[0].id, settlement())
    await store.ping()
    assert await store.counts() == {
        "diverted": 2,
        "taking": 0,
        "done": 1,
        "released": 0,
        "handed-back": 0,
    }


async def test_prune_takes_old_ended_rows_with_their_audit(store: Store) -> None:
    old = [store.add(record(f"old{number}")) for number in range(1100)]
    ids = await asyncio.gather(*old)
    await asyncio.gather(
        *(store.settle(id_, settlement(at=after(-1), changes=CHANGES)) for id_ in ids)
    )
    kept = await store.add(record("kept"))
    await store.settle(kept, settlement(at=NOON, changes=CHANGES))
    open_ = await store.add(record("open", at=after(-100)))
    assert await store.prune(NOON) == 1100
    assert await store.prune(NOON) == 0
    assert [row.id for row in await store.list_moves()] == [open_, kept]
    assert await store.get(ids[0]) is None
    found = await store.get(kept)
    assert found is not None
    assert len(found[1]) == 2
    assert await store.prune(after(1)) == 1
    assert await store.add(record("next")) > open_  # ids are not used twice


async def test_a_bad_row_fails_alone(store: Store) -> None:
    results = await asyncio.gather(
        *(store.add(record(f"good{number}")) for number in range(5)),
        store.add(record("bad", contact="\ud800@no-text.example")),
        store.verdict(2**70, verdict()),
        *(store.add(record(f"more{number}")) for number in range(5)),
        return_exceptions=True,
    )
    bad = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in bad] == [RowRefused, RowRefused]
    assert len({result for result in results if isinstance(result, int)}) == 10
    assert (await store.counts())["diverted"] == 10


async def test_closed_and_closing(url: str) -> None:
    store = await Store.open(url)
    writes = [asyncio.ensure_future(store.add(record(f"r{number}"))) for number in range(50)]
    await asyncio.sleep(0)  # lets the calls begin; close() must finish them
    await store.close()
    await store.close()
    ids = await asyncio.gather(*writes)
    for call in (store.add(record()), store.ping(), store.counts(), store.prune(NOON)):
        with pytest.raises(StoreClosed):
            await call
    async with await Store.open(url) as again:
        assert {row.id for row in await again.unsettled()} == set(ids)


async def test_a_move_that_is_decided_as_it_comes(store: Store) -> None:
    id_, kept = await store.add_decided(record(), verdict(at=after(1)))
    assert kept
    other = await store.add(record("r2"))
    assert await store.verdict(other, verdict(at=after(1)))
    first, second = await store.get(id_), await store.get(other)
    assert first is not None
    assert second is not None
    as_one = replace(second[0], id=id_, request_id="r1", stanza="<presence id='r1'/>")
    assert first[0] == as_one
    assert await store.settle(id_, settlement(at=after(2), changes=CHANGES))
    assert await store.add_decided(record(), verdict(at=after(3))) == (id_, False)


async def test_to_which_account_an_old_one_led(store: Store) -> None:
    old, new = "romeo@old.example", "romeo@new.example"

    async def follow(request: str, old_account: str | None, new_account: str | None) -> int:
        id_ = await store.add(record(request))
        said = replace(verdict(), old_account=old_account, new_account=new_account)
        assert await store.verdict(id_, said)
        return id_

    assert await store.led_to(old, new, "A") is None
    first = await follow("r1", "A", "one")
    assert await store.led_to(old, new, "A") == "one", "also where the end is not known yet"
    assert await store.led_to(old, new, "B") is None, "of another owner of the old name"
    assert await store.led_to(old, new, None) is None
    assert await store.led_to(new, old, "A") is None
    await store.settle(first, settlement(at=after(1)))
    await follow("r2", None, "two")
    assert await store.led_to(old, new, None) == "two", "an old account elsewhere"
    assert await store.leading_to(new) == [Accepted(old, new, after(1), "A", "one")]
    await store.undone(first, after(2), CHANGES, Reason.UNDONE)
    assert await store.led_to(old, new, "A") is None, "taken back"
    made = replace(journey(started_at=NOON), old_account="A", new_account="three")
    confirmed = await store.journeys.create(made, [])
    await follow("r3", "A", "one")
    assert await store.led_to(old, new, "A") == "three", "what was confirmed here comes first"
    await store.journeys.disown(new, left=None, led=None)
    assert await store.led_to(old, new, "A") == NOBODYS
    undone = replace(made, state=JourneyState.UNDONE, ended_at=after(3))
    assert await store.journeys.save(replace(undone, id=confirmed.id))
    assert await store.led_to(old, new, "A") == "one", "what was taken back leads nowhere"
    assert await store.newest_to(old, new, "one") is not None
    assert await store.newest_to(old, new, "other") is None

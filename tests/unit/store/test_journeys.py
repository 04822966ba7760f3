"""Users' own moves: what is written comes back, and conditions hold against whoever is faster."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from component.core.journey import contacts as machine
from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.journey.told import ENDED, RETIRED, STOPPED, UNDONE, owes_end
from component.core.model import NOBODYS, Subscription
from component.core.notices import Settings
from component.store import RowDamaged, RowRefused, Store, StoreClosed
from component.store.journeys import STARTED_LIMIT

from .support import NEW, NOON, after, contact, journey, url_of

DAY = timedelta(days=1)
OLD = "romeo@old.example"


async def _ended(store: Store, old: str, **changes: Any) -> Journey:
    """A move that began an hour after noon and is done."""
    done: dict[str, Any] = {"state": JourneyState.DONE, "started_at": after(3600), "told": ENDED}
    made = await store.journeys.create(journey(old=old, owner=old), [])
    made = replace(made, **(done | changes))
    assert await store.journeys.save(made)
    return made


async def test_watched_are_those_under_way_and_those_lately_done(store: Store) -> None:
    unended = [
        await _ended(store, f"{state.value}@x", state=state, started_at=NOON)
        for state in JourneyState
        if state.running or state is JourneyState.PAUSED
    ]
    for state in (JourneyState.DRAFT, JourneyState.CANCELLED, JourneyState.UNDONE):
        await _ended(store, f"{state.value}@x", state=state)
    both = await _ended(store, "both@x")
    away = await _ended(store, "away@x", kind=Kind.AWAY, told=None)
    await _ended(store, "arrived@x", kind=Kind.ARRIVE)
    await _ended(store, "long-ago@x", started_at=after(1800))
    assert await store.journeys.watched(after(1800)) == [*unended, both, away]


async def test_those_that_had_their_time_are_told_and_not_retired(store: Store) -> None:
    both = await _ended(store, "both@x")
    away = await _ended(store, "away@x", kind=Kind.AWAY)
    await _ended(store, "arrived@x", kind=Kind.ARRIVE)
    await _ended(store, "retired@x", told=RETIRED)
    await _ended(store, "not-told@x", told=None)
    await _ended(store, "undone@x", state=JourneyState.UNDONE)
    await _ended(store, "later@x", started_at=after(3601))
    assert await store.journeys.had_time(after(3600)) == [both, away]
    assert await store.journeys.had_time(after(3599)) == []


async def test_what_has_work_is_what_the_core_says(store: Store) -> None:
    """The statement repeats in SQL which owners have still to hear of an end."""
    words = (None, ENDED, RETIRED, UNDONE, STOPPED, f"{STOPPED}: lost", "published")
    answers = (ContactState.PENDING, ContactState.MUTUAL)
    everything = product(JourneyState, words, (None, NOON), answers)
    people = [
        (replace(journey(owner=f"{n}@x"), state=state, told=told, started_at=start), of)
        for n, (state, told, start, of) in enumerate(everything)
    ]
    made = await asyncio.gather(
        *(store.journeys.create(one, [contact(0, of)]) for one, of in people)
    )
    expected = [
        one.id
        for one, (_, of) in zip(made, people, strict=True)
        if one.state.running
        or one.state is JourneyState.PAUSED
        or (one.state is JourneyState.CANCELLED and of in machine.OPEN)
        or owes_end(one)
    ]
    assert await store.journeys.with_work() == sorted(expected)


async def test_one_contact(store: Store) -> None:
    one, other = contact(1), contact(2, ContactState.SKIPPED)
    made = await store.journeys.create(journey(), [one, other])
    assert await store.journeys.contact(made.id, other.jid) == other
    assert await store.journeys.contact(made.id, "c@x") is None
    assert await store.journeys.contact(made.id + 1, other.jid) is None


async def test_a_journey_comes_back_as_it_was(store: Store) -> None:
    full = Journey(
        id=77,
        kind=Kind.AWAY,
        old=OLD,
        new="romeo@new.example",
        owner=OLD,
        state=JourneyState.PAUSED,
        access=Access.PRESENCE,
        created_at=after(-2),
        started_at=after(-1),
        ended_at=after(1),
        resume_to=JourneyState.NOTIFYING,
        detail="the hook is gone 🌹",
        progress_id="p1",
        told="published",
    )
    contacts = [
        JourneyContact(
            "tybalt@capulet.example",
            'Tybalt "T" 🌹',
            ("Foes", "Verona, Old"),
            Subscription.TO,
            ContactState.UNREACHABLE,
            attempts=3,
            sent_at=after(2),
            due_at=after(3),
            error="remote-server-timeout",
            before=NEW,
        ),
        contact(1),
    ]
    made = await store.journeys.create(full, contacts)
    assert made == replace(full, id=made.id)
    assert await store.journeys.get(made.id) == made
    assert await store.journeys.contacts(made.id) == [contacts[1], contacts[0]]
    bare = await store.journeys.create(journey(access=None), [])
    assert bare.id != made.id
    assert await store.journeys.get(bare.id) == bare
    assert await store.journeys.contacts(bare.id) == []
    assert await store.journeys.get(404) is None
    assert await store.journeys.contacts(404) == []


async def test_contacts_are_in_the_order_of_code_points(store: Store) -> None:
    names = ["b@x", "a-b@x", "ab@x", "é@x", "a@x", "z@x", "_@x"]
    made = await store.journeys.create(journey(), [replace(contact(), jid=jid) for jid in names])
    found = [one.jid for one in await store.journeys.contacts(made.id)]
    assert found == sorted(names)


async def test_create_drops_older_drafts_of_the_same_owner_only(store: Store) -> None:
    draft = journey(JourneyState.DRAFT)
    first = await store.journeys.create(draft, [contact(1)])
    running = await store.journeys.create(journey(), [contact(2)])
    assert await store.journeys.get(first.id) is None
    other = await store.journeys.create(replace(draft, owner="juliet@old.example"), [contact(3)])
    second = await store.journeys.create(draft, [contact(4)])
    third = await store.journeys.create(draft, [])
    assert await store.journeys.get(second.id) is None
    assert await store.journeys.contacts(second.id) == []
    for kept in (running, other, third):
        assert await store.journeys.get(kept.id) == kept
    assert len({first.id, running.id, other.id, second.id, third.id}) == 5


async def test_a_create_that_fails_drops_no_draft(store: Store) -> None:
    draft = await store.journeys.create(journey(JourneyState.DRAFT), [contact(1)])
    with pytest.raises(RowRefused):
        await store.journeys.create(journey(), [replace(contact(), jid="\ud800@no-text.example")])
    assert await store.journeys.get(draft.id) == draft
    assert await store.journeys.list() == []


async def test_save_writes_the_journey_and_some_contacts(store: Store) -> None:
    made = await store.journeys.create(journey(), [contact(number) for number in range(4)])
    later = replace(
        made, state=JourneyState.SETTLING, access=None, started_at=after(1), told="progress"
    )
    sent = replace(contact(2, ContactState.SENT), attempts=1, sent_at=after(2), before=NEW)
    assert await store.journeys.save(later, [sent, contact(9)]) is True
    assert await store.journeys.get(made.id) == later
    assert await store.journeys.contacts(made.id) == [
        contact(0),
        contact(1),
        sent,
        contact(3),
        contact(9),
    ]
    assert await store.journeys.save(id=made.id, contacts=[contact(2)]) is True
    assert await store.journeys.get(made.id) == later
    assert (await store.journeys.contacts(made.id))[2] == contact(2)
    assert await store.journeys.save(made) is True
    assert await store.journeys.get(made.id) == made


async def test_save_keeps_to_what_is_expected(store: Store) -> None:
    made = await store.journeys.create(journey(JourneyState.PAUSED), [contact(1)])
    done = replace(made, state=JourneyState.DONE)
    sent = contact(1, ContactState.SENT)
    running = (JourneyState.NOTIFYING, JourneyState.SETTLING)
    assert await store.journeys.save(done, [sent], expect=running) is False
    assert await store.journeys.save(id=made.id, contacts=[sent], expect=running) is False
    assert await store.journeys.get(made.id) == made
    assert await store.journeys.contacts(made.id) == [contact(1)]
    assert await store.journeys.save(done, [sent], expect={JourneyState.PAUSED, *running})
    assert await store.journeys.get(made.id) == done
    assert await store.journeys.contacts(made.id) == [sent]


async def test_of_two_that_expect_the_same_one_wins(store: Store) -> None:
    made = await store.journeys.create(journey(), [])
    ends = [JourneyState.DONE, JourneyState.CANCELLED, JourneyState.UNDOING, JourneyState.PAUSED]
    won = await asyncio.gather(
        *(
            store.journeys.save(replace(made, state=end), expect=[JourneyState.NOTIFYING])
            for end in ends
        )
    )
    assert won.count(True) == 1
    found = await store.journeys.get(made.id)
    assert found is not None
    assert found.state is ends[won.index(True)]


async def test_save_of_what_is_not_there(store: Store) -> None:
    assert await store.journeys.save(replace(journey(), id=404), [contact(1)]) is False
    assert await store.journeys.save(id=404, contacts=[contact(1)]) is False
    assert await store.journeys.contacts(404) == []
    with pytest.raises(ValueError, match="id of one"):
        await store.journeys.save(contacts=[contact(1)])
    with pytest.raises(ValueError, match="id of one"):
        await store.journeys.save(replace(journey(), id=1), id=2)


async def test_ten_thousand_contacts_are_one_transaction(store: Store) -> None:
    made = await store.journeys.create(journey(), [contact(number) for number in range(5000)])
    commits: list[int] = []
    store.watch_commits(lambda writes, seconds: commits.append(writes))
    sent = [contact(number, ContactState.SENT, attempts=1) for number in range(10_000)]
    assert await store.journeys.save(id=made.id, contacts=sent)
    assert commits == [1]
    assert await store.journeys.contacts(made.id) == sent


async def test_one_bad_contact_spoils_the_whole_call(store: Store) -> None:
    made = await store.journeys.create(journey(), [contact(1)])
    bad = replace(contact(500), jid="\ud800@no-text.example")
    many = [contact(number, ContactState.SENT) for number in range(500)]
    with pytest.raises(RowRefused):
        await store.journeys.save(replace(made, state=JourneyState.DONE), [*many, bad])
    naive = replace(contact(1), sent_at=datetime(2026, 3, 1))
    with pytest.raises(RowRefused, match="no zone"):
        await store.journeys.save(id=made.id, contacts=[naive])
    with pytest.raises(RowRefused):
        await store.journeys.replace_contacts(made.id, [*many, bad])
    assert await store.journeys.get(made.id) == made
    assert await store.journeys.contacts(made.id) == [contact(1)]
    assert store.trouble is None


async def test_replace_contacts(store: Store) -> None:
    made = await store.journeys.create(journey(JourneyState.DRAFT), [contact(1), contact(2)])
    other = await store.journeys.create(journey(owner="juliet@old.example"), [contact(1)])
    await store.journeys.replace_contacts(made.id, [contact(2, ContactState.SKIPPED), contact(3)])
    assert await store.journeys.contacts(made.id) == [
        contact(2, ContactState.SKIPPED),
        contact(3),
    ]
    await store.journeys.replace_contacts(made.id, [])
    assert await store.journeys.contacts(made.id) == []
    assert await store.journeys.contacts(other.id) == [contact(1)]
    with pytest.raises(RowRefused):
        await store.journeys.replace_contacts(404, [contact(1)])


async def test_list_by_account_and_by_running(store: Store) -> None:
    made = {
        state: await store.journeys.create(journey(state, owner=f"{state}@x"), [])
        for state in JourneyState
    }
    shown = [one for one in made.values() if one.state is not JourneyState.DRAFT]
    assert await store.journeys.list() == shown[::-1]
    assert await store.journeys.list(limit=2) == shown[:-3:-1]
    assert await store.journeys.list(limit=0) == []
    unended = [one for one in shown if not one.state.final]
    assert JourneyState.PAUSED in {one.state for one in unended}
    assert await store.journeys.list(running=True) == unended[::-1]
    assert await store.journeys.list(account="paused@x") == [made[JourneyState.PAUSED]]
    assert await store.journeys.list(account="draft@x") == []
    assert await store.journeys.list(account="done@x", running=True) == []
    for account in (OLD, "romeo@new.example"):
        assert await store.journeys.list(account=account) == shown[::-1]
    assert await store.journeys.list(account="nobody@x") == []


async def test_counts(store: Store) -> None:
    states = [ContactState.SENT, ContactState.SENT, ContactState.GIVEN_UP]
    first = await store.journeys.create(
        journey(), [contact(number, state) for number, state in enumerate(states)]
    )
    second = await store.journeys.create(journey(), [])
    third = await store.journeys.create(journey(), [contact(1, ContactState.MUTUAL)])
    assert await store.journeys.counts([first.id, second.id, 404]) == {
        first.id: Counter({ContactState.SENT: 2, ContactState.GIVEN_UP: 1}),
        second.id: Counter(),
        404: Counter(),
    }
    many = await store.journeys.counts([*range(10_000, 40_000), third.id])
    assert len(many) == 30_001
    assert many[third.id] == {ContactState.MUTUAL: 1}
    assert await store.journeys.counts([]) == {}


async def test_drop_drafts(store: Store) -> None:
    for number in range(3):
        draft = journey(JourneyState.DRAFT, owner=f"{number}@x", created_at=after(number))
        await store.journeys.create(draft, [contact(1)])
    kept = await store.journeys.create(journey(JourneyState.CANCELLED), [])
    assert await store.journeys.drop_drafts(after(2)) == 2
    assert await store.journeys.drop_drafts(after(2)) == 0
    assert await store.journeys.list() == [kept]
    assert await store.journeys.drop_drafts(after(9)) == 1


async def test_who_reads_which_statement_and_whose_name_is_nobodys(store: Store) -> None:
    """A contact is an account: of a deleted one, rows of other owners of its name stay."""
    theirs = replace(contact(1), account="token")
    many = [theirs, contact(2, ContactState.SKIPPED)]
    listed = await store.journeys.create(journey(JourneyState.DONE), many)
    for other in (
        journey(JourneyState.UNDONE),
        journey(JourneyState.DONE, access=Access.PRESENCE),
        journey(JourneyState.DONE, kind=Kind.ARRIVE),
    ):
        await store.journeys.create(other, many)
    assert await store.journeys.read_by(theirs.jid) == [listed]
    assert await store.journeys.read_by(contact(2).jid) == []
    assert await store.journeys.read_by(contact(3).jid) == []

    await store.journeys.disown(theirs.jid, left="token", led="token")
    assert await store.journeys.contacts(listed.id) == many
    await store.journeys.disown(theirs.jid, left="token", led=None)
    assert (await store.journeys.contact(listed.id, theirs.jid)) == replace(theirs, account=NOBODYS)
    await store.journeys.disown(contact(2).jid, left=None, led="next")
    assert (await store.journeys.contact(listed.id, contact(2).jid)) == replace(
        many[1], account=NOBODYS
    ), "it had no token, so it was the last owner's"


async def test_successor_is_the_newest_that_was_published(store: Store) -> None:
    for state in JourneyState:
        one = await store.journeys.create(journey(state, old=f"{state}@x"), [])
        found = await store.journeys.successor(f"{state}@x")
        assert found == (
            one
            if state
            in (
                JourneyState.PUBLISHED,
                JourneyState.NOTIFYING,
                JourneyState.SETTLING,
                JourneyState.DONE,
            )
            else None
        )
    assert await store.journeys.successor("romeo@new.example") is None
    await store.journeys.create(journey(kind=Kind.ARRIVE), [])
    assert await store.journeys.successor(OLD) is None
    first = await store.journeys.create(journey(JourneyState.DONE, kind=Kind.AWAY), [])
    assert await store.journeys.successor(OLD) == first
    second = await store.journeys.create(journey(JourneyState.DONE, new="romeo@newer.example"), [])
    await store.journeys.create(journey(JourneyState.UNDONE), [])
    assert await store.journeys.successor(OLD) == second
    assert await store.journeys.successor("ROMEO@old.example") is None


async def test_last_started(store: Store) -> None:
    await store.journeys.create(journey(), [])  # not started
    late = await store.journeys.create(journey(started_at=after(9)), [])
    early = await store.journeys.create(
        journey(JourneyState.CANCELLED, new="r@newer.example", started_at=after(1)), []
    )
    assert await store.journeys.last_started(OLD) == [late, early]
    assert await store.journeys.last_started("r@newer.example") == [early]
    assert await store.journeys.last_started("nobody@x") == []
    for number in range(STARTED_LIMIT):
        await store.journeys.create(journey(started_at=after(10 + number)), [])
    found = await store.journeys.last_started(OLD)
    assert len(found) == STARTED_LIMIT
    assert found[0].started_at == after(9 + STARTED_LIMIT)


async def test_a_sender_is_answered_once_in_a_while(store: Store) -> None:
    ask = store.journeys.may_answer
    assert await ask(OLD, "nurse@x", NOON, DAY) is True
    assert await ask(OLD, "nurse@x", after(86_399), DAY) is False
    assert await ask(OLD, "tybalt@x", after(1), DAY) is True
    assert await ask("other@x", "nurse@x", after(1), DAY) is True
    assert await ask(OLD, "nurse@x", NOON + DAY, DAY) is True  # a refusal noted nothing
    assert await ask(OLD, "nurse@x", NOON + DAY + timedelta(hours=23), DAY) is False


async def test_of_several_that_ask_at_once_one_may_answer(store: Store) -> None:
    for moment in (NOON, NOON + 2 * DAY):
        told = await asyncio.gather(
            *(store.journeys.may_answer(OLD, "nurse@x", moment, DAY) for _ in range(20))
        )
        assert told.count(True) == 1


async def test_prune_takes_what_ended_and_old_answers(store: Store) -> None:
    for number in range(25):
        ended = journey(
            JourneyState.DONE,
            kind=Kind.ARRIVE,
            ended_at=after(number - 25),
            owner=f"{number}@x",
        )
        await store.journeys.create(ended, [contact(1), contact(2)])
    kept = [
        await store.journeys.create(journey(JourneyState.UNDONE, ended_at=NOON), [contact(1)]),
        await store.journeys.create(journey(JourneyState.PAUSED, ended_at=after(-9)), []),
        await store.journeys.create(journey(created_at=after(-99)), [contact(3)]),
    ]
    await store.journeys.may_answer(OLD, "late@x", NOON, DAY)
    for number in range(3):
        await store.journeys.may_answer(OLD, f"{number}@x", after(-1), DAY)
    assert await store.journeys.prune(NOON) == 28
    assert await store.journeys.prune(NOON) == 0
    assert await store.journeys.list() == kept[::-1]
    assert await store.journeys.contacts(kept[0].id) == [contact(1)]
    assert await store.journeys.may_answer(OLD, "0@x", NOON, DAY) is True
    assert await store.journeys.may_answer(OLD, "late@x", after(1), DAY) is False
    assert await store.journeys.prune(after(1)) == 3
    again = await store.journeys.create(journey(), [])
    assert again.id > kept[-1].id


async def test_prune_leaves_what_tombstones_and_answers_need(store: Store) -> None:
    long_ago = after(-9)
    stay = [
        await store.journeys.create(
            journey(JourneyState.DONE, kind=kind, old=f"{kind}@x", ended_at=long_ago), [contact(1)]
        )
        for kind in (Kind.BOTH, Kind.AWAY)
    ]
    for state in (JourneyState.CANCELLED, JourneyState.UNDONE):
        await store.journeys.create(journey(state, kind=Kind.BOTH, ended_at=long_ago), [])
    assert await store.journeys.prune(NOON) == 2
    assert await store.journeys.list() == stay[::-1]
    for one in stay:
        assert await store.journeys.successor(one.old) == one
        assert await store.journeys.contacts(one.id) == [contact(1)]
    assert await store.journeys.left() == {one.old for one in stay}


async def test_states_are_counted(store: Store) -> None:
    for state in (JourneyState.DONE, JourneyState.DONE, JourneyState.PAUSED):
        await store.journeys.create(journey(state), [])
    found = await store.journeys.states()
    assert set(found) == set(JourneyState)
    assert {state: n for state, n in found.items() if n} == {
        JourneyState.DONE: 2,
        JourneyState.PAUSED: 1,
    }


async def test_ids_are_not_used_twice(store: Store) -> None:
    draft = await store.journeys.create(journey(JourneyState.DRAFT), [])
    assert await store.journeys.drop_drafts(after(1)) == 1
    assert (await store.journeys.create(journey(), [])).id > draft.id


async def test_readers_see_and_do_not_write(tmp_path: Path) -> None:
    url = url_of(tmp_path / "m.db")
    async with await Store.open(url) as store, await Store.open(url, writer=False) as reader:
        made = await store.journeys.create(journey(), [contact(1)])
        assert await reader.journeys.list() == [made]
        assert await reader.journeys.contacts(made.id) == [contact(1)]
        for call in (
            reader.journeys.create(journey(), []),
            reader.journeys.may_answer(OLD, "nurse@x", NOON, DAY),
            reader.journeys.prune(NOON),
        ):
            with pytest.raises(StoreClosed, match="for reading"):
                await call
    for late in (store.journeys.list(), store.journeys.get(1)):
        with pytest.raises(StoreClosed):
            await late
    with pytest.raises(StoreClosed):
        await store.journeys.save(made)


@pytest.mark.parametrize(
    ("change", "fail", "words"),
    [
        ("journeys SET kind = 'sideways'", 2, "journey 1 is damaged .*sideways"),
        ("journeys SET resume_to = ''", 2, "journey 1 is damaged"),
        ("journey_contacts SET state = 'odd'", 2, "contact.* of journey 1 is damaged .*odd"),
        ("journey_contacts SET groups = '{}'", 1, "contact00001@.* is damaged .*groups"),
        ("journey_contacts SET before = '[]'", 1, "contact00001@.* is damaged .*object"),
        ("settings SET follow = 'odd'", 1, "settings of a@x are damaged .*odd"),
        ("run_time SET value = '{'", 1, "run-time setting paused is damaged"),
    ],
)
async def test_damaged_rows_are_named(tmp_path: Path, change: str, fail: int, words: str) -> None:
    path = tmp_path / "m.db"
    async with await Store.open(url_of(path)) as store:
        made = await store.journeys.create(journey(), [contact(1)])
        await store.user_settings.put("a@x", Settings())
        await store.user_settings.put_run_time({"paused": True})
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"UPDATE {change}")
            connection.commit()
        results = await asyncio.gather(
            store.journeys.list(),
            store.journeys.get(made.id),
            store.journeys.counts([made.id]),
            store.journeys.contacts(made.id),
            store.user_settings.all(),
            store.user_settings.run_time(),
            return_exceptions=True,
        )
    errors = [result for result in results if isinstance(result, BaseException)]
    assert len(errors) == fail
    for error in errors:
        assert isinstance(error, RowDamaged)
        assert re.search(words, str(error))

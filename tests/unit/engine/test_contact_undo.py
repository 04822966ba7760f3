"""Undo: the entries exactly as they were, whenever it is interrupted, for whom it is allowed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from component.core.journey.model import Problem, Refused
from component.core.limits import Policy
from component.core.model import Reason, RosterItem, Subscription
from component.core.notices import ContactRestored, Follow
from component.core.records import MoveState
from component.core.restore import Cause, Difference
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkLost
from component.xmpp.names import NS_HOOK
from tests.unit.engine.contact_stage import ENTRY, JULIET, NEW, OLD, THIRD, Stage, opened
from tests.unit.engine.roster_server import HOST

S = Subscription
OLD_HERE = f"romeo.old@{HOST}"


async def moved(stage: Stage, *, mutual: bool = True) -> int:
    """Let Romeo move; ``mutual``: he has approved the way back.  Returns the record's id."""
    assert await stage.move() == "take"
    if mutual:
        roster = stage.server.rosters[JULIET]
        roster[NEW] = replace(roster[NEW], subscription=S.BOTH, ask=False)
    return (await stage.records())[-1].id


async def refused(stage: Stage, asker: str, record: int) -> Problem:
    before, log = stage.server.roster(JULIET), list(stage.server.log)
    with pytest.raises(Refused) as error:
        await stage.undo.undo(asker, record)
    assert stage.server.roster(JULIET) == before
    assert stage.server.log == log
    return error.value.problem


@pytest.mark.parametrize("by_admin", [True, False])
@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize("subscription", [S.BOTH, S.FROM])
@pytest.mark.parametrize(
    "own",
    [None, RosterItem(NEW, S.NONE), RosterItem(NEW, S.TO, False, "R.", ("Work",))],
    ids=["no entry", "none", "to"],
)
async def test_exactly_as_it_was(
    tmp_path: Path,
    own: RosterItem | None,
    subscription: Subscription,
    mutual: bool,
    by_admin: bool,
) -> None:
    async with opened(tmp_path) as stage:
        entries = [replace(ENTRY, subscription=subscription), *([own] if own else [])]
        stage.server.add(JULIET, *entries)
        before = stage.server.roster(JULIET)
        record = await moved(stage, mutual=mutual and subscription is S.BOTH)
        after_move = stage.server.roster(JULIET)
        assert after_move != before
        order = stage.undo.undo_any(record) if by_admin else stage.undo.undo(JULIET, record)
        undone = await order
        assert stage.server.roster(JULIET) == before
        assert undone.record.undone_at == stage.clock.now()
        assert undone.differences == ()
        told = [notice for _, notice in stage.messages.told[1:]]
        assert told == ([ContactRestored(record, "Romeo", OLD, NEW)] if by_admin else [])
        found = await stage.store.get(record)
        assert found is not None
        audit = {row.jid: row for row in found[1] if row.reason is Reason.UNDONE}
        assert {jid: row.before for jid, row in audit.items()} == {
            jid: after_move[jid] for jid in audit
        }
        assert {jid: row.after for jid, row in audit.items()} == {
            jid: before.get(jid) for jid in audit
        }
        assert OLD in audit


async def test_a_user_may_undo_only_what_is_theirs_and_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        record = await moved(stage)
        assert await refused(stage, f"tybalt@{HOST}", record) is Problem.NOT_YOURS
        assert await refused(stage, JULIET, record + 1) is Problem.NO_SUCH_RECORD
        assert [r.id for r in await stage.undo.undoable(JULIET)] == [record]
        await stage.undo.undo(JULIET, record)
        assert await stage.undo.undoable(JULIET) == []
        assert await refused(stage, JULIET, record) is Problem.WRONG_STATE


async def test_what_was_not_followed_cannot_be_undone(tmp_path: Path) -> None:
    async with opened(tmp_path, follow=Follow.NEVER) as stage:
        await stage.move()
        (record,) = await stage.records()
        assert await refused(stage, JULIET, record.id) is Problem.WRONG_STATE


async def test_a_month_for_the_user_any_time_for_an_admin(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        record = await moved(stage)
        stage.clock.pass_days(30.01)
        assert await stage.undo.undoable(JULIET) == []
        assert await refused(stage, JULIET, record) is Problem.TOO_LATE
        await stage.undo.undo_any(record)
        assert stage.server.roster(JULIET) == before


async def test_an_undone_move_may_be_made_again_and_elsewhere(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.undo.undo(JULIET, await moved(stage))
        stage.server.statements[OLD] = THIRD
        assert await stage.move(new=THIRD) == "take"
        await stage.undo.undo(JULIET, (await stage.records())[-1].id)
        stage.server.statements[OLD] = NEW
        await stage.restart()
        assert await stage.move() == "take"


async def test_the_old_account_sees_the_contact_again(tmp_path: Path) -> None:
    old = f"romeo@{HOST}"
    async with opened(tmp_path) as stage:
        stage.server.statements[old] = NEW
        stage.server.add(JULIET, replace(ENTRY, jid=old))
        stage.server.add(old, RosterItem(JULIET, S.BOTH, False, "Juliet"))
        before = (stage.server.roster(JULIET), stage.server.roster(old))
        assert await stage.move(old=old) == "take"
        assert stage.server.roster(old)[JULIET].subscription is S.FROM
        await stage.undo.undo(JULIET, (await stage.records())[-1].id)
        assert (stage.server.roster(JULIET), stage.server.roster(old)) == before


async def test_a_deleted_old_account_does_not_stop_it(tmp_path: Path) -> None:
    old = f"gone@{HOST}"
    async with opened(tmp_path) as stage:
        stage.server.statements[old] = NEW
        stage.server.add(JULIET, replace(ENTRY, jid=old))
        assert await stage.move(old=old) == "take"
        undone = await stage.undo.undo(JULIET, (await stage.records())[-1].id)
        assert undone.record.undone_at is not None


async def test_whoever_blocks_the_new_address_first_can_undo_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        record = await moved(stage)
        stage.server.blocked.add(NEW)
        await stage.undo.undo(JULIET, record)
        assert stage.server.roster(JULIET) == before


async def test_what_the_server_refuses_is_said_and_can_be_done_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        record = await moved(stage)
        stage.server.blocked.add(OLD)
        with pytest.raises(Refused) as error:
            await stage.undo.undo(JULIET, record)
        assert error.value.problem is Problem.UNAVAILABLE
        assert OLD in error.value.facts["why"]
        stage.server.blocked.clear()
        await stage.undo.undo(JULIET, record)
        assert stage.server.roster(JULIET) == before


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(4))
async def test_interrupted_anywhere_it_can_be_finished(tmp_path: Path, at: int, done: bool) -> None:
    """The stream is lost at each request in turn; then the component is a new one."""
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        record = await moved(stage)
        after_move = stage.server.roster(JULIET)
        stage.server._number, stage.server.lose_at, stage.server.lose_after = -1, at, done
        with pytest.raises(Refused) as error:
            await stage.undo.undo(JULIET, record)
        assert error.value.problem is Problem.UNAVAILABLE
        assert isinstance(error.value.__cause__, LinkLost)
        await stage.restart()
        await stage.undo.undo(JULIET, record)
        assert stage.server.roster(JULIET) == before
        found = await stage.store.get(record)
        assert found is not None
        assert found[0].state is MoveState.DONE
        changed = {row.jid: row for row in found[1] if row.reason is Reason.UNDONE}
        assert {jid: row.after for jid, row in changed.items()} == {OLD: ENTRY, NEW: None}
        assert changed[OLD].before == after_move[OLD]


async def test_what_was_taken_back_is_not_followed_a_second_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY)
        before = stage.server.roster(JULIET)
        await stage.undo.undo(JULIET, await moved(stage))
        for again in range(2):
            assert await stage.move() == "release"
            assert (await stage.records())[-1].reason is Reason.NOT_WANTED
            assert stage.server.roster(JULIET) == before
            if not again:
                await stage.restart()
                for contact, old, new in await stage.store.declined():
                    stage.declined.note(contact, old, new)
        # Another address of the same mover is another move.
        stage.server.statements[OLD] = THIRD
        assert await stage.move(new=THIRD) == "take"


@pytest.mark.parametrize("by_admin", [True, False])
async def test_the_next_owner_of_the_contacts_name(tmp_path: Path, by_admin: bool) -> None:
    """It is not theirs to take back; nor is it an admin's, for the roster is another one."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY)
        record = await moved(stage)
        stage.server.tokens[JULIET] = "the next"
        assert not await stage.undo.undoable(JULIET)
        if by_admin:
            with pytest.raises(Refused) as error:
                await stage.undo.undo_any(record)
            assert error.value.problem is Problem.OTHER_OWNER
        else:
            assert await refused(stage, JULIET, record) is Problem.NOT_YOURS


@pytest.mark.parametrize("by_admin", [True, False])
async def test_the_next_owner_of_the_old_name(tmp_path: Path, by_admin: bool) -> None:
    """An undo would let them see the contact, who means somebody else."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY)
        stage.server.add(OLD_HERE, RosterItem(JULIET, S.BOTH))
        roster = stage.server.rosters[JULIET]
        roster[OLD_HERE] = replace(ENTRY, jid=OLD_HERE)
        stage.server.statements[OLD_HERE] = NEW
        assert await stage.move(old=OLD_HERE) == "take"
        record = (await stage.records())[-1]
        assert record.old_account == stage.server.token(OLD_HERE)
        stage.server.tokens[OLD_HERE] = "the next"
        if by_admin:
            with pytest.raises(Refused) as error:
                await stage.undo.undo_any(record.id)
            assert error.value.problem is Problem.OTHER_OWNER
        else:
            assert await refused(stage, JULIET, record.id) is Problem.OTHER_OWNER


@pytest.mark.parametrize("had", [S.BOTH, S.FROM])
async def test_an_old_account_that_is_gone_is_granted_nothing(
    tmp_path: Path, had: Subscription
) -> None:
    """Whoever gets its name next would have it; the entry itself comes back."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY)
        stage.server.add(OLD_HERE, RosterItem(JULIET, S.BOTH))
        entry = replace(ENTRY, jid=OLD_HERE, subscription=had)
        stage.server.rosters[JULIET][OLD_HERE] = entry
        stage.server.statements[OLD_HERE] = NEW
        assert await stage.move(old=OLD_HERE) == "take"
        record = (await stage.records())[-1]
        del stage.server.rosters[OLD_HERE]
        undone = await stage.undo.undo(JULIET, record.id)
        assert undone.differences == (Difference(OLD_HERE, Cause.GONE),)
        now = stage.server.rosters[JULIET][OLD_HERE]
        assert now == replace(entry, subscription=S.NONE, ask=False)


async def newer_is_first(stage: Stage, older: int, newer: tuple[int, str, str]) -> None:
    """The older record is refused, naming the newer one."""
    before, log = stage.server.roster(JULIET), list(stage.server.log)
    with pytest.raises(Refused) as error:
        await stage.undo.undo(JULIET, older)
    id_, old, new = newer
    assert error.value.problem is Problem.NEWER
    assert error.value.facts == {"id": str(id_), "old": old, "new": new}
    assert (stage.server.roster(JULIET), stage.server.log) == (before, log)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("names", [(OLD, NEW, THIRD, NEW), (OLD, NEW, NEW, THIRD)])
async def test_related_moves_are_taken_back_newest_first(
    tmp_path: Path, names: tuple[str, str, str, str], restarted: bool
) -> None:
    """Two accounts that become one, and one that moves on: no right that never was."""
    first, second = names[:2], names[2:]
    async with opened(tmp_path) as stage:
        stage.server.add(
            JULIET, ENTRY, *([replace(ENTRY, jid=THIRD)] if THIRD in second[:1] else [])
        )
        before = stage.server.roster(JULIET)
        stage.server.statements = {first[0]: first[1], second[0]: second[1]}
        for old, new in (first, second):
            assert await stage.move(old=old, new=new) == "take"
            roster = stage.server.rosters[JULIET]
            roster[new] = replace(roster[new], subscription=S.BOTH, ask=False)
        between, (older, newer) = stage.server.roster(JULIET), await stage.records()
        if restarted:
            await stage.restart()
        await newer_is_first(stage, older.id, (newer.id, *second))
        assert (await stage.undo.undo(JULIET, newer.id)).differences == ()
        assert stage.server.roster(JULIET) != between
        assert (await stage.undo.undo(JULIET, older.id)).differences == ()
        assert stage.server.roster(JULIET) == before


async def test_a_move_that_may_be_under_way_counts_as_newer(tmp_path: Path) -> None:
    """Its verdict has left, and nothing is known of it yet."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY, replace(ENTRY, jid=THIRD))
        stage.server.statements[THIRD] = NEW
        record = await moved(stage)
        answer = await stage.side.on_divert(stage.divert("held", JULIET, THIRD, NEW))
        assert answer.tag.endswith("take")
        await newer_is_first(stage, record, (record + 1, THIRD, NEW))


FLOODS = {
    "the same again": ((OLD, NEW), Policy()),
    "beyond the limits": ((OLD, THIRD), Policy(requests_per_minute=0)),
}


@pytest.mark.parametrize("late", range(3))
@pytest.mark.parametrize("flood", FLOODS)
async def test_a_mover_who_floods_does_not_prevent_it(
    tmp_path: Path, flood: str, late: int
) -> None:
    """Requests that will not be followed change nothing, so the undo need not give way to them."""
    (old, new), policy = FLOODS[flood]
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        record = await moved(stage)
        stage.gate.set_limits(policy)
        came: list[ET.Element] = []

        async def asks_again() -> None:
            came.append(await stage.side.on_divert(stage.divert("again", JULIET, old, new)))

        # The first one asks whose the account is.
        stage.server.late_at = stage.server.requests + 1 + late
        stage.server.meanwhile = asks_again
        await stage.undo.undo(JULIET, record)
        assert [answer.tag for answer in came] == [tag(NS_HOOK, "release")]
        assert stage.server.roster(JULIET) == before


async def test_two_that_overlapped(tmp_path: Path) -> None:
    """Both requests of the new account are held at once; each says that it is not on the roster."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY, replace(ENTRY, jid=THIRD))
        before = stage.server.roster(JULIET)
        stage.server.statements[THIRD] = NEW
        sends = {}
        for old in (OLD, THIRD):
            answer = await stage.side.on_divert(stage.divert(f"d-{old}", JULIET, old, NEW))
            sends[old] = answer.find(tag(NS_HOOK, "send"))
        for old, send in sends.items():
            assert send is not None
            stage.server.send(JULIET, send)
            stage.clock.pass_days(0.001)
            await stage.tell(f"d-{old}", JULIET, taken=True, old=old)
        await stage.side.idle()
        first, second = await stage.records()
        assert second.new_item is None
        await stage.undo.undo(JULIET, second.id)
        roster = stage.server.roster(JULIET)
        assert roster[NEW].subscription.grants
        assert roster[THIRD] == before[THIRD]
        await stage.undo.undo(JULIET, first.id)
        assert stage.server.roster(JULIET) == before


async def test_an_undone_return_lets_the_move_stand_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        first = await moved(stage)
        away = stage.server.roster(JULIET)
        stage.server.statements = {NEW: OLD}
        assert await stage.move(old=NEW, new=OLD) == "take"
        assert stage.server.roster(JULIET) == before
        second = (await stage.records())[-1].id
        assert [r.id for r in await stage.undo.undoable(JULIET)] == [second]
        undone = await stage.undo.undo(JULIET, second)
        assert undone.differences == (Difference(NEW, Cause.ASKED),)
        assert stage.server.roster(JULIET)[OLD] == away[OLD]
        assert stage.server.roster(JULIET)[NEW].subscription is S.FROM
        assert [r.id for r in await stage.undo.undoable(JULIET)] == [first]
        assert (await stage.undo.undo(JULIET, first)).differences == ()
        assert stage.server.roster(JULIET) == before


@pytest.mark.parametrize("by_admin", [True, False])
async def test_what_the_contact_removed_stays_removed(tmp_path: Path, by_admin: bool) -> None:
    """Neither is it made anew, nor is its account made to ask for it."""
    old = f"romeo@{HOST}"
    async with opened(tmp_path) as stage:
        stage.server.statements[old] = NEW
        stage.server.add(JULIET, replace(ENTRY, jid=old))
        stage.server.add(old, RosterItem(JULIET, S.BOTH, False, "Juliet"))
        assert await stage.move(old=old) == "take"
        (record,) = await stage.records()
        del stage.server.rosters[JULIET][old]
        there = stage.server.roster(old)
        order = stage.undo.undo_any if by_admin else lambda r: stage.undo.undo(JULIET, r)
        undone = await order(record.id)
        assert undone.differences == (Difference(old, Cause.CHANGED),)
        assert stage.server.roster(JULIET) == {}
        assert stage.server.roster(old) == there
        told = [n for _, n in stage.messages.told if isinstance(n, ContactRestored)]
        assert [n.differences for n in told] == ([undone.differences] if by_admin else [])


async def test_the_audit_says_only_what_the_undo_did(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        record = await moved(stage)
        del stage.server.rosters[JULIET][OLD]
        await stage.undo.undo(JULIET, record)
        found = await stage.store.get(record)
        assert found is not None
        assert [row.jid for row in found[1] if row.reason is Reason.UNDONE] == [NEW]


async def test_an_entry_that_has_become_an_admins_is_left_and_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        record = await moved(stage)
        stage.server.shared.add(NEW)
        undone = await stage.undo.undo(JULIET, record)
        assert undone.differences == (Difference(NEW, Cause.CHANGED),)
        assert stage.server.roster(JULIET)[OLD] == ENTRY
        assert stage.server.roster(JULIET)[NEW].subscription is S.BOTH


@pytest.mark.parametrize("jid", [OLD, NEW])
async def test_what_the_contact_renamed_keeps_its_name(tmp_path: Path, jid: str) -> None:
    async with opened(tmp_path) as stage:
        record = await moved(stage)
        roster = stage.server.rosters[JULIET]
        roster[jid] = replace(roster[jid], name="Mine", groups=())
        undone = await stage.undo.undo(JULIET, record)
        assert undone.differences == (Difference(jid, Cause.CHANGED),)
        now = stage.server.roster(JULIET)
        assert (now[jid].name, now[jid].groups) == ("Mine", ())
        assert now[OLD].subscription is S.BOTH
        assert jid == OLD or now[NEW].subscription is S.NONE


async def test_whoever_was_revoked_by_hand_is_not_let_in_again(tmp_path: Path) -> None:
    """The new address had been approved before the move; the contact ended that after it."""
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY, RosterItem(NEW, S.BOTH, False, "R."))
        record = await moved(stage)
        roster = stage.server.rosters[JULIET]
        roster[NEW] = replace(roster[NEW], subscription=S.TO)
        undone = await stage.undo.undo(JULIET, record)
        assert undone.differences == (Difference(NEW, Cause.CHANGED),)
        assert stage.server.roster(JULIET)[NEW].subscription is S.TO
        assert stage.server.roster(JULIET)[OLD] == ENTRY


async def test_an_old_account_that_let_go_is_asked_and_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        record = await moved(stage)
        roster = stage.server.rosters[JULIET]
        roster[OLD] = replace(roster[OLD], subscription=S.NONE)
        undone = await stage.undo.undo(JULIET, record)
        assert undone.differences == (Difference(OLD, Cause.ASKED),)
        assert stage.server.roster(JULIET)[OLD] == replace(ENTRY, subscription=S.FROM, ask=True)


@pytest.mark.parametrize("back", [False, True], ids=["undo", "return"])
async def test_what_was_done_for_the_last_owner_of_the_name_does_not_count(
    tmp_path: Path, back: bool
) -> None:
    """Somebody else is Juliet now: with the same people, whom she has let in by herself."""
    async with opened(tmp_path) as stage:
        await moved(stage)
        stage.server.tokens[JULIET] = "somebody else"
        mine = RosterItem(NEW, S.BOTH, False, "Mine")
        stage.server.add(JULIET, mine, *([RosterItem(OLD, S.TO, False, "His")] if back else []))
        before = stage.server.roster(JULIET)
        stage.server.statements = {NEW: OLD if back else THIRD}
        assert await stage.move(old=NEW, new=OLD if back else THIRD) == "take"
        assert stage.server.roster(JULIET)[NEW].subscription is S.TO
        assert stage.server.roster(JULIET)[NEW].name == "Mine"
        record = (await stage.records())[-1].id
        assert [r.id for r in await stage.undo.undoable(JULIET)] == [record]
        await stage.undo.undo(JULIET, record)
        assert stage.server.roster(JULIET) == before

"""A mover who returns to the address they left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from component.core.model import Reason, RosterItem, Subscription
from component.core.notices import ContactMoved
from component.core.records import MoveState
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkLost
from component.xmpp.names import NS_HOOK
from tests.unit.engine.contact_stage import ENTRY, JULIET, NEW, OLD, THIRD, Stage, opened

S = Subscription


async def went_away(stage: Stage) -> None:
    """Romeo has moved to his new address, and says there that he goes back."""
    assert await stage.move() == "take"
    roster = stage.server.rosters[JULIET]
    roster[NEW] = replace(roster[NEW], subscription=S.BOTH, ask=False)
    stage.server.statements[NEW] = OLD
    del stage.server.statements[OLD]


@pytest.mark.parametrize(
    "own", [None, RosterItem(NEW, S.TO, False, "R.", ("Work",))], ids=["no entry", "to"]
)
async def test_the_roster_is_what_it_was(tmp_path: Path, own: RosterItem | None) -> None:
    async with opened(tmp_path) as stage:
        stage.server.add(JULIET, ENTRY, *([own] if own else []))
        before = stage.server.roster(JULIET)
        await went_away(stage)
        assert await stage.move(old=NEW, new=OLD) == "take"
        assert stage.server.roster(JULIET) == before
        first, second = await stage.records()
        assert (first.state, second.state) == (MoveState.DONE, MoveState.DONE)
        assert first.undone_at is not None
        assert second.undone_at is None
        assert second.detail is None
        assert [(n.old, n.new) for _, n in stage.messages.told if isinstance(n, ContactMoved)] == [
            (OLD, NEW),
            (NEW, OLD),
        ]


@pytest.mark.parametrize("restarted", [False, True])
async def test_and_on_from_there(tmp_path: Path, restarted: bool) -> None:
    async with opened(tmp_path) as stage:
        await went_away(stage)
        assert await stage.move(old=NEW, new=OLD) == "take"
        if restarted:
            await stage.restart()
        stage.server.statements[OLD] = THIRD
        assert await stage.move(new=THIRD) == "take"
        assert stage.server.roster(JULIET)[THIRD].subscription is S.FROM
        assert NEW not in stage.server.roster(JULIET)


async def test_there_and_back_and_there_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        for _ in range(3):
            stage.server.statements[OLD] = NEW
            stage.server.statements.pop(NEW, None)
            await went_away(stage)
            assert await stage.move(old=NEW, new=OLD) == "take"
            assert stage.server.roster(JULIET) == before
            stage.clock.pass_days(1)


async def test_a_hundred_times_there_and_back(tmp_path: Path) -> None:
    """Who changes their mind is followed; beyond that it is an ordinary request, and no row."""
    async with opened(tmp_path) as stage:
        said = []
        with capture_logs() as logs:
            for _ in range(50):
                for here, there in ((OLD, NEW), (NEW, OLD)):
                    stage.server.statements = {here: there}
                    said.append(await stage.move(old=here, new=there))
                    if said[-1] == "take":
                        roster = stage.server.rosters[JULIET]
                        roster[there] = replace(roster[there], subscription=S.BOTH, ask=False)
        assert said == ["take"] * 3 + ["release"] * 97
        assert len(stage.messages.told) == 3
        assert [row.state for row in await stage.records()] == [MoveState.DONE] * 3
        assert [row["reason"] for row in logs if row["log_level"] == "warning"] == [
            "back-and-forth"
        ] * 97  # the clock goes on: at most one in ten seconds
        stage.clock.pass_days(1)
        stage.server.statements = {NEW: OLD}
        assert await stage.move(old=NEW, new=OLD) == "take"


async def test_a_return_can_be_undone(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await went_away(stage)
        away = stage.server.roster(JULIET)
        assert await stage.move(old=NEW, new=OLD) == "take"
        await stage.undo.undo(JULIET, (await stage.records())[-1].id)
        now = stage.server.roster(JULIET)
        # Romeo's new account has to grant what was taken back; it is asked.
        wanted = replace(away[NEW], subscription=S.FROM, ask=True)
        assert now == {OLD: away[OLD], NEW: wanted}


async def test_a_claim_to_return_needs_the_same_proof(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await went_away(stage)
        away = stage.server.roster(JULIET)
        del stage.server.statements[NEW]
        assert await stage.move(old=NEW, new=OLD) == "release"
        assert stage.server.roster(JULIET) == away
        assert (await stage.records())[-1].reason is Reason.NO_STATEMENT


async def test_after_an_undo_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        assert await stage.move() == "take"
        await stage.undo.undo(JULIET, (await stage.records())[-1].id)
        stage.server.rosters[JULIET][NEW] = RosterItem(NEW, S.FROM)
        stage.server.statements = {NEW: OLD}
        assert await stage.move(old=NEW, new=OLD) == "take"
        roster = stage.server.roster(JULIET)
        assert roster[OLD].subscription is S.BOTH
        assert roster[NEW].subscription is S.NONE


@pytest.mark.parametrize("same_server", [True, False])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(5))
async def test_interrupted_anywhere_recovery_completes_it(
    tmp_path: Path, at: int, done: bool, same_server: bool
) -> None:
    """The take is carried out; the stream is lost then, or at each request after it in turn."""
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        await went_away(stage)

        def lose() -> None:
            stage.server._number, stage.server.lose_at, stage.server.lose_after = -1, at, done
            if at == 4:
                stage.side.on_down()

        assert await stage.move(old=NEW, new=OLD, before_outcome=lose) == "take"
        if not same_server:
            stage.instance = "i2"
        for _ in range(2):
            await stage.restart()
            try:
                await stage.recover()
            except LinkLost:
                continue
        assert stage.server.roster(JULIET) == before
        first, second = await stage.records()
        assert first.undone_at is not None
        assert second.state is MoveState.DONE
        moves = [n for _, n in stage.messages.told if isinstance(n, ContactMoved)]
        assert len(moves) == 2


async def test_interrupted_between_the_two_records(tmp_path: Path) -> None:
    """Undone is the first before the second is closed: recovery closes the second."""
    async with opened(tmp_path) as stage:
        before = stage.server.roster(JULIET)
        await went_away(stage)
        assert await stage.move(old=NEW, new=OLD, before_outcome=stage.side.on_down) == "take"
        (first, _) = await stage.records()
        await stage.restorer.put_back(JULIET, {OLD: first.old_item, NEW: first.new_item})
        await stage.restorer.taken_back(first, stage.clock.now())
        await stage.restart()
        await stage.recover()
        assert stage.server.roster(JULIET) == before
        assert (await stage.records())[-1].state is MoveState.DONE


@pytest.mark.parametrize(("accepted", "journalled"), [(True, True), (True, False), (False, True)])
async def test_a_late_end_leaves_a_newer_state_alone(
    tmp_path: Path, accepted: bool, journalled: bool
) -> None:
    """Romeo is back, his stream is lost before the outcome, and then he goes away once more."""
    async with opened(tmp_path) as stage:
        own = RosterItem(NEW, S.TO, False, "R.", ())
        await went_away(stage)
        assert await stage.move(old=NEW, new=OLD, before_outcome=stage.side.on_down) == "take"
        await stage.restart()
        if journalled:
            stage.server.statements.clear()
            assert await stage.move() == "release"
        stage.server.rosters[JULIET][NEW] = replace(own, subscription=S.BOTH) if accepted else own
        later = stage.server.roster(JULIET)
        await stage.recover()
        assert stage.server.roster(JULIET) == later
        assert all(record.state.final for record in await stage.records())


async def test_one_that_comes_while_the_end_is_read(tmp_path: Path) -> None:
    """The contact accepts the address that was left between two looks of recovery."""
    async with opened(tmp_path) as stage:
        await went_away(stage)
        assert await stage.move(old=NEW, new=OLD, before_outcome=stage.side.on_down) == "take"
        first, _ = await stage.records()
        stage.server.rosters[JULIET][NEW] = RosterItem(NEW, S.BOTH)
        later = stage.server.roster(JULIET)
        assert {item.jid for item in await stage.restorer.complete_return(99, first)} == {OLD, NEW}
        assert stage.server.roster(JULIET) == later


@pytest.mark.parametrize("late", range(3))
@pytest.mark.parametrize("outcome", [True, False], ids=["ended", "under way"])
async def test_one_that_comes_while_answers_are_late(
    tmp_path: Path, late: int, outcome: bool
) -> None:
    """Romeo is back, and gone again, before the first answer about his return has come.

    The verdict on the newer request is carried out by the server before any later order of ours.
    """
    async with opened(tmp_path) as stage:
        await went_away(stage)

        async def gone_again() -> None:
            stage.server.statements[OLD] = NEW
            stage.server.statements.pop(NEW, None)
            answer = await stage.side.on_divert(stage.divert("newer", JULIET, OLD, NEW))
            send = answer.find(tag(NS_HOOK, "send"))
            assert send is not None
            stage.server.send(JULIET, send)
            if outcome:
                await stage.tell("newer", JULIET, taken=True)

        def soon() -> None:
            stage.server.late_at, stage.server.meanwhile = stage.server.requests + late, gone_again

        assert await stage.move(old=NEW, new=OLD, before_outcome=soon, idle=False) == "take"
        if not outcome:
            await stage.tell("newer", JULIET, taken=True)
        await stage.side.idle()
        assert stage.server.requests > (stage.server.late_at or 0), "the answer was never late"
        roster = stage.server.roster(JULIET)
        assert roster[NEW].subscription.grants
        assert not roster[OLD].subscription.grants
        assert all(record.state is MoveState.DONE for record in await stage.records())


@pytest.mark.parametrize("renamed", [OLD, NEW])
async def test_a_return_leaves_the_names_that_the_contact_gave_meanwhile(
    tmp_path: Path, renamed: str
) -> None:
    async with opened(tmp_path) as stage:
        await went_away(stage)
        roster = stage.server.rosters[JULIET]
        roster[renamed] = replace(roster[renamed], name="Mine", groups=())
        assert await stage.move(old=NEW, new=OLD) == "take"
        now = stage.server.roster(JULIET)
        assert (now[renamed].name, now[renamed].groups) == ("Mine", ())
        assert now[OLD].subscription is S.BOTH
        assert renamed == OLD or now[NEW].subscription is S.NONE

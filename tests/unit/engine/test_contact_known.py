"""A request whose answer is known as it comes: nobody is asked, and its verdict is one write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from component.core.model import Reason, RosterItem, Subscription
from component.core.records import MoveState
from component.engine.contacts import Timing
from component.store import StoreError
from component.xmpp.codecs import tag
from component.xmpp.names import NS_HOOK
from tests.unit.engine.contact_stage import ENTRY, JULIET, NEW, OLD, Stage, opened
from tests.unit.engine.roster_server import HOST

NURSE, TYBALT = f"nurse@{HOST}", f"tybalt@{HOST}"


async def asked_once(stage: Stage) -> list[int]:
    """Juliet has followed; returns the sizes of all transactions that come from now on."""
    for contact in (NURSE, TYBALT):
        stage.server.add(contact, ENTRY)
    assert await stage.move() == "take"
    del stage.server.statements[OLD]  # whoever asked again would be told nothing
    commits: list[int] = []
    stage.store.watch_commits(lambda writes, _seconds: commits.append(writes))
    return commits


async def test_request_and_verdict_are_one_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        commits = await asked_once(stage)
        answer = await stage.side.on_divert(stage.divert("n1", NURSE, OLD, NEW))
        assert answer.tag == tag(NS_HOOK, "take")
        (record,) = await stage.records(NURSE)
        assert record.state is MoveState.TAKING
        assert record.plan is not None
        assert record.decided_at is not None
        assert commits == [1]
        await stage.tell("n1", NURSE, taken=True)
        await stage.side.idle()
        assert [record.state for record in await stage.records(NURSE)] == [MoveState.DONE]
        assert commits == [1, 1]


async def test_a_known_no_is_released_and_in_the_journal(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        answer = await stage.side.on_divert(stage.divert("n1", NURSE, OLD, "mallory@evil.example"))
        assert answer.tag == tag(NS_HOOK, "release")
        await stage.tell("n1", NURSE, taken=False)
        await stage.side.idle()
        (record,) = await stage.records(NURSE)
        assert (record.state, record.new) == (MoveState.RELEASED, "mallory@evil.example")


async def test_what_was_decided_before_is_not_decided_again(tmp_path: Path) -> None:
    """The server asks twice with one id: the second time only to be let go."""
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        assert (await stage.side.on_divert(stage.divert("n1", NURSE, OLD, NEW))).tag == tag(
            NS_HOOK, "take"
        )
        stage.side.on_down()
        again = await stage.side.on_divert(stage.divert("n1", NURSE, OLD, NEW))
        assert again.tag == tag(NS_HOOK, "release")
        assert len(await stage.records(NURSE)) == 1


async def test_without_a_journal_nothing_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        await stage.store.close()
        with pytest.raises(StoreError):
            await stage.store.ping()
        answer = await stage.side.on_divert(stage.divert("n1", NURSE, OLD, NEW))
        assert answer.tag == tag(NS_HOOK, "release")


async def test_an_outcome_that_never_comes(tmp_path: Path) -> None:
    """The roster is read, once, and what it shows is the end."""
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        stage.timing = Timing(outcome=0.01)
        await stage.restart()
        stage.server.statements[OLD] = NEW
        await stage.side.on_divert(stage.divert("n1", NURSE, OLD, NEW))
        roster = stage.server.rosters[NURSE]
        roster[OLD] = replace(ENTRY, subscription=Subscription.TO)
        roster[NEW] = RosterItem(NEW, Subscription.FROM, True, "Romeo", ENTRY.groups)
        async with asyncio.timeout(10):
            await stage.side.idle()
        await stage.tell("n1", NURSE, taken=False)  # too late to mean anything
        assert [record.state for record in await stage.records(NURSE)] == [MoveState.DONE]


async def test_what_a_dead_node_held_is_settled_at_once(tmp_path: Path) -> None:
    """The stream stands, and nobody will ever say what became of it."""
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        stage.server.statements[OLD] = NEW
        for contact in (NURSE, TYBALT):
            await stage.side.on_divert(stage.divert(contact, contact, OLD, NEW))
        # Of what was done for the Nurse the roster knows, but its presences may not have left.
        roster = stage.server.rosters[NURSE]
        roster[OLD] = replace(ENTRY, subscription=Subscription.TO)
        roster[NEW] = RosterItem(NEW, Subscription.FROM, True, "Romeo", ENTRY.groups)
        stage.server.log.clear()
        stage.side.abandon({"another"})
        assert stage.side.open_requests == 2
        stage.side.abandon({"i1"})
        async with asyncio.timeout(10):
            await stage.side.idle()
        states = [(await stage.records(contact))[0].state for contact in (NURSE, TYBALT)]
        assert states == [MoveState.DONE, MoveState.HANDED_BACK]
        assert f"handed back to {TYBALT}" in stage.server.log
        assert f"{NURSE} subscribed {NEW}" in stage.server.log
        assert not stage.recovery.left


async def test_what_a_dead_node_held_is_not_asked_about_any_longer(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        asked, answered = asyncio.Event(), asyncio.Event()

        async def meanwhile() -> None:
            asked.set()
            await answered.wait()

        stage.server.late_at, stage.server.meanwhile = 0, meanwhile
        request = asyncio.create_task(stage.side.on_divert(stage.divert("d1", JULIET, OLD, NEW)))
        await asked.wait()
        stage.side.abandon({"i1"})
        async with asyncio.timeout(10):
            assert (await request).tag == tag(NS_HOOK, "release")
            await stage.side.idle()
        answered.set()
        (record,) = await stage.records()
        assert (record.state, record.reason) == (MoveState.HANDED_BACK, Reason.RESTARTED)
        assert f"handed back to {JULIET}" in stage.server.log


async def test_several_at_once_of_one_mover(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await asked_once(stage)
        diverts = [stage.divert(c, c, OLD, NEW) for c in (NURSE, TYBALT)]
        answers = await asyncio.gather(*map(stage.side.on_divert, diverts))
        assert {answer.tag for answer in answers} == {tag(NS_HOOK, "take")}
        stage.side.on_down()
        for contact in (NURSE, TYBALT, JULIET):
            assert len(await stage.records(contact)) == 1

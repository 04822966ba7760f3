"""Requests that a dead instance held: settled by another, but not while a sleeper may answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from component.core.records import MoveRecord, MoveState
from component.engine.hook import Hook
from component.engine.recovery import MARGIN_SECONDS, Recovery
from component.store import Store
from component.xmpp.codecs import tag
from component.xmpp.names import NS_HOOK
from tests.unit.engine.contact_stage import ENTRY, JULIET, NEW, OLD, Stage, opened
from tests.unit.engine.roster_server import HOST

HELD = {HOST: 60.0}


class Database:
    """The stage's store as an instance sees it that claims: not everything is its own at first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.mine: set[int] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def unsettled(self) -> list[MoveRecord]:
        """What is held."""
        return [r for r in await self._store.unsettled() if r.id in self.mine]

    async def claim(self) -> list[MoveRecord]:
        """All others are dead."""
        found = await self._store.unsettled()
        self.mine |= {record.id for record in found}
        return found


def another(stage: Stage, taken: list[int]) -> Recovery:
    """The recovery of another instance on the same journal and server."""
    database = Database(stage.store)
    return Recovery(
        Hook(stage.server),
        database,  # type: ignore[arg-type]
        stage.followed,
        stage.restorer,
        stage.notices,
        stage.clock,
        lambda _: False,
        claim=database.claim,
        taken_over=taken.append,
    )


async def test_not_while_the_hook_may_still_hold_it(tmp_path: Path) -> None:
    """The verdict is written, its sender sleeps: it may leave when the sleeper wakes up."""
    async with opened(tmp_path) as stage:
        answer = await stage.side.on_divert(stage.divert("d1", JULIET, OLD, NEW))
        taken: list[int] = []
        other = another(stage, taken)
        assert other.left
        assert await other.run({HOST: {"i1"}}, HELD) == 0
        assert taken == [1]
        stage.clock.pass_days(timedelta(seconds=59).total_seconds() / 86400)
        assert await other.run({HOST: {"i1"}}, HELD) == 0
        assert [r.state for r in await stage.records()] == [MoveState.TAKING]
        # It wakes up, its answer leaves, and the hook does it.
        send = answer.find(tag(NS_HOOK, "send"))
        assert send is not None
        stage.server.send(JULIET, send)
        assert await other.run({HOST: {"i1"}}, HELD) == 1
        assert [r.state for r in await stage.records()] == [MoveState.DONE]
        assert taken == [1]


async def test_when_the_hook_has_let_go_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.side.on_divert(stage.divert("d1", JULIET, OLD, NEW))
        other = another(stage, [])
        await other.run({HOST: {"i1"}}, HELD)
        stage.clock.pass_days((60.0 + MARGIN_SECONDS) / 86400)
        assert await other.run({HOST: {"i1"}}, HELD) == 1
        assert [r.state for r in await stage.records()] == [MoveState.RELEASED]
        assert stage.server.rosters[JULIET][OLD] == ENTRY


@pytest.mark.parametrize("instance", ["i2"])
async def test_at_once_where_the_server_has_forgotten_it(tmp_path: Path, instance: str) -> None:
    async with opened(tmp_path) as stage:
        await stage.side.on_divert(stage.divert("d1", JULIET, OLD, NEW))
        assert await another(stage, []).run({HOST: {instance}}, HELD) == 1
        assert [r.state for r in await stage.records()] == [MoveState.HANDED_BACK]


async def test_alone_nothing_is_claimed_and_nothing_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.side.on_divert(stage.divert("d1", JULIET, OLD, NEW))
        await stage.restart()
        assert not stage.recovery.left
        assert await stage.recover() == 1
        assert [r.state for r in await stage.records()] == [MoveState.RELEASED]

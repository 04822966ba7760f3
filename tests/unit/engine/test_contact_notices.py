"""auto, ask, never; and one message, at most."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from component.core.model import Reason
from component.core.notices import ContactAsks, ContactMoved, Follow, Settings
from component.core.records import MoveState
from tests.unit.engine.contact_stage import ENTRY, JULIET, NEW, OLD, opened


async def test_one_message_after_a_move(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        assert await stage.move() == "take"
        (record,) = await stage.records()
        assert record.state is MoveState.DONE
        assert record.noticed_at == record.settled_at
        assert record.settled_at is not None
        until = record.settled_at + timedelta(days=30)
        assert stage.messages.told == [(JULIET, ContactMoved(record.id, "Romeo", OLD, NEW, until))]
        assert await stage.recover() == 0
        assert len(stage.messages.told) == 1


@pytest.mark.parametrize("follow", [Follow.AUTO, Follow.ASK])
async def test_none_where_that_is_configured(tmp_path: Path, follow: Follow) -> None:
    async with opened(tmp_path, follow=follow, notice=False) as stage:
        await stage.move()
        (record,) = await stage.records()
        assert record.noticed_at is None
        assert stage.messages.told == []


async def test_never_is_released_and_nobody_is_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.preferences.put(JULIET, Settings(Follow.NEVER))
        assert await stage.move() == "release"
        (record,) = await stage.records()
        assert (record.state, record.reason) == (MoveState.RELEASED, Reason.NOT_WANTED)
        assert stage.server.log == []
        assert stage.messages.told == []


async def test_ask_is_released_with_a_note(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.preferences.put(JULIET, Settings(Follow.ASK))
        assert await stage.move() == "release"
        (record,) = await stage.records()
        assert (record.state, record.reason) == (MoveState.RELEASED, Reason.ASKED)
        assert stage.messages.told == [(JULIET, ContactAsks(record.id, "Romeo", OLD, NEW))]
        assert stage.server.roster(JULIET) == {OLD: ENTRY}


async def test_ask_is_silent_about_a_lie(tmp_path: Path) -> None:
    async with opened(tmp_path, follow=Follow.ASK) as stage:
        assert await stage.move(new="eve@evil.example") == "release"
        (record,) = await stage.records()
        assert record.reason is Reason.OTHER_JID
        assert stage.messages.told == []


async def test_a_message_that_cannot_leave_breaks_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        stage.messages.down = True
        assert await stage.move() == "take"
        (record,) = await stage.records()
        assert record.state is MoveState.DONE
        assert record.noticed_at is not None


async def test_recovery_tells_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.move(before_outcome=stage.side.on_down)
        (record,) = await stage.records()
        assert record.state is MoveState.TAKING
        assert stage.messages.told == []
        await stage.restart()
        assert await stage.recover() == 1
        (record,) = await stage.records()
        assert (record.state, record.noticed_at) == (MoveState.DONE, record.settled_at)
        assert [type(notice) for _, notice in stage.messages.told] == [ContactMoved]
        await stage.restart()
        assert await stage.recover() == 0
        assert len(stage.messages.told) == 1


async def test_choices_outlive_a_restart_and_the_default_is_the_configurations(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, follow=Follow.NEVER) as stage:
        assert stage.preferences.of(JULIET, None) == Settings(Follow.NEVER)
        chosen = Settings(Follow.ASK, "de")
        await stage.preferences.put(JULIET, chosen)
        assert stage.preferences.of(JULIET, None) == chosen
        await stage.restart()
        assert stage.preferences.of(JULIET, None) == chosen
        assert stage.preferences.of("x@montague.example", None) == Settings(Follow.NEVER)

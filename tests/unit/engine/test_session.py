"""What a session does about hooks that are late or full, and about records that stay open."""

from __future__ import annotations

import asyncio
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Literal

from structlog.testing import capture_logs

from component.core.records import MoveState
from component.engine.hook import Hook
from component.engine.session import Session
from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_CLIENT, NS_HOOK
from tests.unit.engine.contact_stage import Stage, opened
from tests.unit.engine.roster_server import HOST

FEATURES = ("watch", "tombstone", "answer")


class Greeter:
    """Answers ``hello`` as told: with an error, or with figures."""

    def __init__(self) -> None:
        self.absent = 0
        """How many more times there is no hook."""
        self.passed = 0
        self.asked = 0

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Answer."""
        self.asked += 1
        if self.absent:
            self.absent -= 1
            raise RemoteError("service-unavailable")
        iq = ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
        said = {"version": "0.2.0", "instance": "i1", "timeout": "60", "max-held": "7"}
        hello = ET.SubElement(iq, tag(NS_HOOK, "hello"), said | {"passed": str(self.passed)})
        for name in FEATURES:
            ET.SubElement(hello, tag(NS_HOOK, "feature")).text = name
        return iq


def session_of(stage: Stage, greeter: Greeter, **options: Any) -> Session:
    """A session on the stage's records and this hook."""
    return Session(Hook(greeter), stage.recovery, (HOST,), deadline=45.0, **options)


async def test_a_module_that_is_loaded_a_moment_later_is_greeted_soon(tmp_path: Path) -> None:
    """A server that starts takes our stream before its hosts have their modules."""
    async with opened(tmp_path) as stage:
        greeter = Greeter()
        greeter.absent = 2
        session = session_of(stage, greeter)
        await asyncio.wait_for(session.on_up(), 5.0)  # not 30 s
        assert session.ready
        assert greeter.asked == 3


async def test_a_host_whose_hook_comes_late_is_told_what_the_others_were(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        greeter, told = Greeter(), []

        async def tell() -> None:
            told.append(len(session.hellos))

        greeter.absent = 1
        session = Session(
            Hook(greeter), stage.recovery, (HOST, "other.example"), deadline=45.0, on_greeted=tell
        )
        await asyncio.wait_for(session.on_up(), 5.0)
        assert told == [1, 2]


async def test_requests_that_find_no_room_are_told_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        greeter = Greeter()
        greeter.passed = 3  # from before this session: that is no news
        session = session_of(stage, greeter)
        await session.on_up()
        with capture_logs() as logs:
            await session.look()
            assert session.full == frozenset()
            for passed in (10, 20):
                greeter.passed = passed
                await session.look()
                assert session.full == {HOST}
            await session.look()
            assert session.full == frozenset()
        assert [entry["log_level"] for entry in logs] == ["error", "info"]
        assert logs[0]["passed"] == 7
        assert logs[0]["max_held"] == 7


async def test_a_record_that_could_not_be_closed_is_closed_later(tmp_path: Path) -> None:
    """The journal was locked just when the outcome came; the stream stands all the time."""
    async with opened(tmp_path) as stage:
        session = session_of(stage, Greeter(), again_seconds=0.0)
        await session.on_up()
        await session.look()
        other = sqlite3.connect(tmp_path / "moved.db", isolation_level=None)
        try:
            # Another process writes, for longer than we wait.
            assert await stage.move(before_outcome=lambda: _lock(other)) == "take"
        finally:
            other.close()
        assert stage.recovery.left
        assert [record.state for record in await stage.records()] == [MoveState.TAKING]
        await session.look()
        assert [record.state for record in await stage.records()] == [MoveState.DONE]
        assert not stage.recovery.left


def _lock(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")

"""What a session does about hooks that are late or full, and about records that stay open."""

from __future__ import annotations

import asyncio
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from structlog.testing import capture_logs

from component.core.records import MoveState
from component.engine.hook import Hook
from component.engine.session import Session
from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_CLIENT, NS_HOOK
from tests.unit.engine.contact_stage import JULIET, NEW, OLD, Stage, opened
from tests.unit.engine.roster_server import HOST

FEATURES = ("watch", "tombstone", "answer")


class Greeter:
    """Answers ``hello`` as told: with an error, or with figures."""

    def __init__(self) -> None:
        self.absent = 0
        """How many more times there is no hook."""
        self.passed = 0
        self.asked = 0
        self.others: list[str] = []
        """Instances at other nodes of the server's cluster."""

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
        for name in (*FEATURES, "account"):
            ET.SubElement(hello, tag(NS_HOOK, "feature")).text = name
        for other in self.others:
            ET.SubElement(hello, tag(NS_HOOK, "instance")).text = other
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


async def test_a_node_that_is_gone_is_told_once_and_what_it_held_is_settled(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        greeter, gone = Greeter(), list[frozenset[str]]()
        greeter.others = ["i2", "i3"]

        async def on_gone(instances: Collection[str]) -> None:
            gone.append(frozenset(instances))

        session = session_of(stage, greeter, on_gone=on_gone)
        await session.on_up()
        # The stream was lost as this one came; the other node that held it is there.
        iq = stage.divert("d1", JULIET, OLD, NEW)
        iq[0].set("instance", "i2")
        await stage.side.on_divert(iq)
        stage.side.on_down()
        await session.look()
        assert [record.state for record in await stage.records()] == [MoveState.TAKING]
        greeter.others = ["i3", "i4"]
        with capture_logs() as logs:
            await session.look()
            await session.look()
        assert gone == [{"i2"}]
        warned = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
        assert warned == ["a node of the server's cluster is gone"]
        assert [record.state for record in await stage.records()] == [MoveState.HANDED_BACK]
        assert session.ready


async def test_what_another_node_held_was_released_by_it(tmp_path: Path) -> None:
    """We are back at one node, and the one that held it still stands."""
    async with opened(tmp_path) as stage:
        iq = stage.divert("d1", JULIET, OLD, NEW)
        iq[0].set("instance", "i2")
        await stage.side.on_divert(iq)
        stage.side.on_down()
        greeter = Greeter()
        greeter.others = ["i2"]
        await session_of(stage, greeter).on_up()
        assert [record.state for record in await stage.records()] == [MoveState.RELEASED]


def _lock(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")

"""What runs beside the work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.app import App
from component.config import Config
from component.core.journey.handover import Handover, HandoverState
from component.core.journey.model import JourneyState, Kind
from component.core.model import Reason
from component.ops.systemd import ServiceManager
from component.ops.upkeep import Pulse, beside, regularly, stay_alive
from component.store import Store
from tests.unit.logging_state import logging_restored
from tests.unit.ops.daemon import service_manager
from tests.unit.ops.test_systemd import heard
from tests.unit.store.support import journey, record, settlement, url_of


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with logging_restored():
        yield


async def test_pulse_of_a_real_journal(tmp_path: Path) -> None:
    async with await Store.open(url_of(tmp_path / "m.db")) as store:
        pulse = Pulse(store.ping)
        await pulse.beat()
        assert pulse.trouble is None
    await pulse.beat()  # the store was closed
    assert pulse.trouble is not None
    assert "was closed" in pulse.trouble


async def test_pulse_that_takes_too_long_and_one_that_comes_back() -> None:
    stuck = asyncio.Event()

    async def ping() -> None:
        await stuck.wait()

    pulse = Pulse(ping, within=0.01)
    await pulse.beat()
    assert pulse.trouble == "nothing could be written for 0.01 s"
    stuck.set()
    await pulse.beat()
    assert pulse.trouble is None


async def test_watchdog_is_fed_only_while_all_is_well() -> None:
    with service_manager() as socket_:
        manager = ServiceManager(socket_.getsockname(), watchdog_seconds=0.02)
        answers = iter([True, False, False, True])
        over = asyncio.Event()

        def well() -> bool:
            answer = next(answers, None)
            if answer is None:
                over.set()
            return bool(answer)

        async with beside(stay_alive(manager, well)):
            await over.wait()
        assert heard(socket_) == ["WATCHDOG=1"] * 2


async def test_work_that_fails_goes_on() -> None:
    calls = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            enough.set()
        raise RuntimeError("not today")

    async with beside(regularly(work, 0.001)):
        await enough.wait()
    assert calls >= 3


def config(path: Path, **database: object) -> Config:
    """A configuration with a database of its own."""
    return Config.model_validate(
        {
            "component": {"jid": "moved.montague.example", "secret": "s"},
            "served": {"hosts": ["montague.example"]},
            "database": {"url": url_of(path), **database},
        }
    )


@pytest.mark.parametrize(
    ("days", "left"), [(365, ["young", "middle"]), (0, ["young", "middle", "old"]), (1, ["young"])]
)
async def test_pruning(tmp_path: Path, days: int, left: list[str]) -> None:
    now = datetime.now(UTC)
    path = tmp_path / "m.db"
    async with await Store.open(url_of(path)) as store:
        for name, age in (("young", 20), ("middle", 100), ("old", 400), ("taken-back", 900)):
            id_ = await store.add(record(name))
            await store.settle(id_, settlement(at=now - timedelta(days=age)))
            if name == "taken-back":
                await store.undone(id_, now - timedelta(days=890), (), Reason.UNDONE)
        for kind in (Kind.ARRIVE, Kind.AWAY):
            ended = now - timedelta(days=500)
            done = journey(JourneyState.DONE, kind=kind, ended_at=ended)
            kept = await store.journeys.create(done, [])
        app = App(config(path, keep_days=days), store)
        await app.prune()
        moves = [move.request_id for move in await store.list_moves()]
        # One that was taken back says for ever that it is not to be followed again.
        assert sorted(moves) == sorted([*left, "taken-back"])
        kinds = {one.kind for one in await store.journeys.list()}
        assert kinds == ({Kind.AWAY} if days else {Kind.ARRIVE, Kind.AWAY})
        value = app.metrics.registry.get_sample_value
        assert value("xmpp_moved_pruned_total", {"kind": "moves"}) == (
            3 - len(left) if days else None
        )
        await store.handovers.put(Handover(kept.id, HandoverState.OFFERED, now))
        await app.take_figures()
        assert value("xmpp_moved_handovers", {"state": "offered"}) == 1
        assert value("xmpp_moved_copies", {"state": "done"}) == 0
        assert value("xmpp_moved_journeys", {"state": "done"}) == (1 if days else 2)

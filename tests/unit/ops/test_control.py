"""Orders over the control socket, on real Unix sockets."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from component.core.journey.model import JourneyState, Progress
from component.core.restore import Cause, Difference
from component.engine.movers.orders import ControlOrders
from component.ops.control import LINE_BYTES, ControlServer
from component.ops.control_json import Unreadable, progress_dict, progress_from
from tests.unit.ops.control_client import AT_MOST, Client, connected
from tests.unit.ops.fake_orders import FakeOrders, progress


def test_the_fake_is_an_admin_orders() -> None:
    async def check() -> ControlOrders:
        return FakeOrders()

    assert asyncio.run(check())


# Orders ---------------------------------------------------------------------------------------


async def test_orders_and_their_answers(client: Client, orders: FakeOrders) -> None:
    everything = await client.ask({"order": "list"})
    assert everything["ok"] is True
    assert [one["journey"]["id"] for one in everything["result"]] == [8, 7]
    running = await client.ask({"order": "list", "running": True})
    assert running["result"] == [progress_dict(progress(7))]
    shown = (await client.ask({"order": "show", "id": 7}))["result"]
    assert shown["progress"]["counts"] == {"queued": 18, "mutual": 12}
    assert [contact["jid"] for contact in shown["contacts"]] == [
        "juliet@capulet.example",
        "nurse@capulet.example",
    ]
    for order, state in (("pause", "paused"), ("resume", "notifying"), ("undo", "undoing")):
        done = await client.ask({"order": order, "id": 7})
        assert done["result"]["journey"]["state"] == state
    orders.differences = (Difference("a@b", Cause.CHANGED),)
    record = await client.ask({"order": "undo-followed", "id": 3})
    assert record["result"]["contact"] == "juliet@capulet.example"
    assert record["result"]["differences"] == [{"jid": "a@b", "cause": "changed"}]


async def test_everything_is_withdrawn(client: Client, orders: FakeOrders) -> None:
    assert (await client.ask({"order": "standing"}))["result"] == {"running": 1, "all": 1}
    done = (await client.ask({"order": "withdraw-all"}))["result"]
    assert done == {"withdrawn": [], "cancelled": [7], "handovers": [], "left": {}}
    assert (await client.ask({"order": "standing"}))["result"] == {"running": 0, "all": 0}


async def test_all_are_paused_and_resumed_and_nothing_else_changes(
    client: Client, orders: FakeOrders
) -> None:
    assert (await client.ask({"order": "pause-all"}))["result"] == {
        "paused": True,
        "changed": True,
    }
    assert (await client.ask({"order": "run-time"}))["result"] == {
        "paused": True,
        "overall_per_second": 20.0,
        "allow_domains": [],
        "deny_domains": ["x.y"],
    }
    assert (await client.ask({"order": "pause-all"}))["result"]["changed"] is False
    assert (await client.ask({"order": "resume-all"}))["result"]["paused"] is False
    assert orders.settings == FakeOrders().settings


async def test_a_refusal_has_its_problem_and_facts(client: Client) -> None:
    assert await client.ask({"order": "undo", "id": 99}) == {
        "ok": False,
        "problem": "no-such-journey",
        "facts": {"id": "99"},
    }
    refused = await client.ask({"order": "pause", "id": 8})
    assert (refused["problem"], refused["facts"]) == ("wrong-state", {"state": "done"})


async def test_a_fault_within_is_logged_and_told_as_unavailable(
    client: Client, orders: FakeOrders
) -> None:
    # An OSError too: it must not be taken for a client that went away.
    for fault in (RuntimeError("the journal is gone"), ConnectionError("the stream is down")):
        orders.fault = fault
        with capture_logs() as logs:
            answer = await client.ask({"order": "list"})
        assert answer == {"ok": False, "problem": "unavailable", "facts": {}}
        assert logs[0]["log_level"] == "error"
    orders.fault = None
    assert (await client.ask({"order": "list"}))["ok"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "bad-request"),
        (b"hello", "bad-request"),
        (b"[1]", "bad-request"),
        (b"7", "bad-request"),
        (b"\xff\xfe{}", "bad-request"),
        (b"[" * 60_000, "bad-request"),
        (b"9" * 60_000, "bad-request"),
        (b"{}", "unknown-order"),
        (b'{"order": null}', "unknown-order"),
        (b'{"order": ["list"]}', "unknown-order"),
        (b'{"order": "LIST"}', "unknown-order"),
        (b'{"order": "__class__"}', "unknown-order"),
        (b'{"order": "set_run_time", "paused": true}', "unknown-order"),
        (b'{"order": "list", "runing": true}', "bad-request"),
        (b'{"order": "list", "running": 1}', "bad-request"),
        (b'{"order": "undo"}', "bad-request"),
        (b'{"order": "undo", "id": "7"}', "bad-request"),
        (b'{"order": "undo", "id": true}', "bad-request"),
        (b'{"order": "undo", "id": 7.0}', "bad-request"),
        (b'{"order": "undo", "id": 0}', "bad-request"),
        (b'{"order": "undo", "id": -7}', "bad-request"),
        (b'{"order": "undo", "id": 9223372036854775808}', "bad-request"),
        (b'{"order": "watch", "id": 7}', "bad-request"),
    ],
)
async def test_a_line_that_is_no_order_changes_nothing(
    client: Client, orders: FakeOrders, line: bytes, problem: str
) -> None:
    before = dict(orders.moves)
    await client.send(line + b"\n")
    answer = await client.answer()
    assert (answer["ok"], answer["problem"]) == (False, problem)
    assert all(isinstance(value, str) for value in answer["facts"].values())
    assert orders.moves == before
    assert (await client.ask({"order": "list"}))["ok"]


@pytest.mark.parametrize("extra", [1, 1000, 300_000])
async def test_a_line_too_long_is_refused_and_the_next_one_heard(
    client: Client, extra: int
) -> None:
    await client.send(b"x" * (LINE_BYTES + extra) + b'\n{"order": "list"}\n')
    assert (await client.answer())["problem"] == "line-too-long"
    assert (await client.answer())["ok"]


async def test_a_line_of_just_the_limit_is_read(client: Client) -> None:
    order = b'{"order": "list"}'
    await client.send(order + b" " * (LINE_BYTES - len(order)) + b"\n")
    assert (await client.answer())["ok"]


async def test_a_last_line_without_its_end_counts(client: Client) -> None:
    await client.send(b'{"order": "list"}')
    client.writer.write_eof()
    assert (await client.answer())["ok"]
    assert await client.answer() is None


async def test_orders_in_one_write_are_answered_in_their_order(client: Client) -> None:
    await client.send(b'{"order": "pause", "id": 7}\n{"order": "resume", "id": 7}\n')
    states = [(await client.answer())["result"]["journey"]["state"] for _ in range(2)]
    assert states == ["paused", "notifying"]


async def test_two_clients(client: Client, path: Path) -> None:
    await client.send(b'{"order": "li')  # one in the middle of a line does not hold up another
    async with connected(path) as other:
        assert (await other.ask({"order": "pause", "id": 7}))["ok"]
    await client.send(b'st"}\n')
    found = (await client.answer())["result"]
    assert found[1]["journey"]["state"] == "paused"


# Watching ---------------------------------------------------------------------------------------


async def test_a_watch_tells_what_runs_and_then_each_change(
    client: Client, orders: FakeOrders
) -> None:
    first = await client.ask({"order": "watch"})
    assert first == {
        "ok": True,
        "result": {"paused": False, "journeys": [progress_dict(progress(7))]},
    }
    for state in (JourneyState.SETTLING, JourneyState.DONE):
        orders.change(7, state)
        told = await client.answer()
        assert told["ok"] is True
        assert told["progress"]["journey"]["state"] == state.value


async def test_a_watch_ends_when_the_client_goes(
    server: ControlServer, path: Path, orders: FakeOrders
) -> None:
    async with connected(path) as one, connected(path) as two:
        await one.ask({"order": "watch"})
        await two.ask({"order": "watch"})
        assert len(orders.watchers) == 2
        one.writer.close()
        await asyncio.wait_for(orders.watched_by(1), AT_MOST)
        orders.change(7, JourneyState.DONE)
        assert (await two.answer())["progress"]["journey"]["state"] == "done"
    await asyncio.wait_for(orders.watched_by(0), AT_MOST)


async def test_a_watch_ends_when_the_engine_does(client: Client, orders: FakeOrders) -> None:
    await client.ask({"order": "watch"})
    orders.change(7, JourneyState.DONE)
    orders.end()
    assert (await client.answer())["progress"]["journey"]["state"] == "done"
    assert await client.answer() is None


async def test_a_watch_that_cannot_begin_says_so(client: Client, orders: FakeOrders) -> None:
    orders.fault = RuntimeError("the journal is gone")
    with capture_logs():
        assert (await client.ask({"order": "watch"}))["problem"] == "unavailable"
    assert await client.answer() is None


async def test_a_client_that_does_not_read_gets_the_newest_and_no_queue(
    client: Client, orders: FakeOrders
) -> None:
    await client.ask({"order": "watch"})
    last = 5_000
    for n in range(last + 1):
        orders.put(progress(7, queued=last - n, mutual=n))
        if n % 100 == 0:
            await asyncio.sleep(0)
    told: list[Any] = []
    while not told or told[-1]["progress"]["counts"].get("mutual") != last:
        told.append(await client.answer())
    counts = [one["progress"]["counts"].get("mutual", 0) for one in told]
    assert counts == sorted(counts)
    assert len(counts) < last


# Values on the wire -------------------------------------------------------------------------------


def test_progress_survives_the_wire() -> None:
    for value in (
        progress(),
        progress(1, JourneyState.PAUSED, queued=0, left=None),
        Progress(progress().journey, {}, 0, 1.5, ("a@b", "c@d")),
    ):
        read = progress_from(json.loads(json.dumps(progress_dict(value))))
        counts = {state: n for state, n in value.counts.items() if n}
        assert read == Progress(
            value.journey, counts, value.total, value.seconds_left, value.by_hand
        )


def test_a_time_without_end_is_null() -> None:
    given = progress_dict(progress(left=float("inf")))
    assert given["seconds_left"] is None
    json.dump(given, io.StringIO(), allow_nan=False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda given: None,
        lambda given: [],
        lambda given: {**given, "total": None},
        lambda given: {**given, "counts": {"asleep": 1}},
        lambda given: {**given, "journey": {**given["journey"], "state": "asleep"}},
        lambda given: {**given, "journey": {**given["journey"], "created_at": None}},
        lambda given: {k: v for k, v in given.items() if k != "by_hand"},
    ],
)
def test_what_another_release_says_is_unreadable(spoil: Any) -> None:
    with pytest.raises(Unreadable):
        progress_from(spoil(progress_dict(progress())))

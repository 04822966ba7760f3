"""Signs of life, and what comes of those of others, with a played database and clock."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from component.core.records import MoveRecord
from component.engine.peers import (
    CLAIM_SECONDS,
    SURE_SECONDS,
    FencedWire,
    Lease,
    LeaseInDoubt,
    Peers,
    responsible,
)
from component.store.errors import LeaseLost, StoreError
from component.store.shared import (
    BEAT_SECONDS,
    LEASE_SECONDS,
    Beat,
    Changes,
    Cursor,
    WantedJourney,
)

ME, OTHER = "moved.example", "moved2.example"
BOTH = frozenset({ME, OTHER})


@dataclass
class World:
    """The database, the clock, the stream and the work, as one instance meets them.

    ``did`` has everything in order.
    """

    time: float = 1000.0
    up: bool = True
    beats: list[Beat | StoreError] = field(default_factory=list)
    news: list[Changes] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    sure_at_let_go: bool | None = None
    at_beat: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.lease = Lease(lambda: self.time)
        self.counted: Counter[str] = Counter()
        self.peers = Peers(
            self,
            ME,
            self,
            lease=self.lease,
            take_in=self.take_in,
            on_alive=lambda alive: self.did.append(f"share {alive}"),
            on_death=lambda: self.did.append("death"),
            up=lambda: self.up,
            gauges=self,
        )

    async def pass_time(self, seconds: float) -> None:
        """Beat for so long, each second."""
        for _ in range(int(seconds)):
            self.time += 1.0
            await self.peers.beat()
            await settle()

    # Shared ---------------------------------------------------------------------------------------

    async def beat(self) -> Beat:
        self.did.append("beat")
        self.at_beat()
        said = self.beats.pop(0) if self.beats else Beat(BOTH)
        if isinstance(said, StoreError):
            raise said
        return said

    async def leave(self) -> None:
        self.did.append("leave")

    async def claim_moves(self) -> list[MoveRecord]:
        raise AssertionError("recovery's")

    async def claim_journeys(self) -> list[int]:
        raise AssertionError("the runs'")

    async def want(self, id: int) -> str | None:
        raise AssertionError("an order's")

    async def hand_over(self, id: int, to: str) -> bool:
        self.did.append(f"hand over {id} to {to}")
        return True

    async def changes(self, since: Cursor | None) -> tuple[Cursor, Changes]:
        self.did.append(f"changes since {since.snapshot if since else 'now'}")
        told = self.news[0] if self.news and since is not None else Changes()
        return Cursor(str(len(self.did)), datetime.now(UTC)), told

    async def take_in(self, changes: Changes) -> None:
        if "take in" in self.failing:
            raise StoreError("no")
        if self.news:
            self.did.append("took in")
            self.news.pop(0)

    # Workers --------------------------------------------------------------------------------------

    async def claim(self) -> int:
        self.did.append("claim")
        return 2 if "claim two" in self.failing else 0

    async def give_up(self, id: int) -> None:
        self.did.append(f"give up {id}")
        if "give up" in self.failing:
            raise LeaseLost("it is another's")

    def let_go(self) -> None:
        self.did.append("let go")
        self.sure_at_let_go = self.lease.sure

    # Gauges ---------------------------------------------------------------------------------------

    def instances(self, alive: int) -> None:
        self.counted["alive"] = alive

    def taken_over(self, kind: str, number: int) -> None:
        self.counted[kind] += number


async def settle() -> None:
    """Let what was begun in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_beat_now_and_then_a_claim() -> None:
    world = World()
    world.beats = [Beat(frozenset({ME}))]
    await world.peers.begin()
    await world.pass_time(2 * CLAIM_SECONDS + 1)
    assert world.did.count("beat") == 2 * CLAIM_SECONDS + 1
    assert world.did.count("claim") == 3
    assert "let go" not in world.did
    assert "death" not in world.did
    assert world.peers.alive == BOTH
    assert world.counted == {"alive": 2}


async def test_a_death_is_seen_to_at_once() -> None:
    world = World()
    world.failing = {"claim two"}
    await world.pass_time(2)
    world.did.clear()
    world.beats = [Beat(frozenset({ME}))]
    await world.pass_time(1)
    assert world.did[:3] == ["beat", "share 1", "death"]
    assert "claim" in world.did
    assert world.counted == {"alive": 1, "journeys": 4}


async def test_after_a_sleep_nothing_leaves_before_all_is_let_go() -> None:
    world = World()
    await world.pass_time(1)
    assert world.lease.sure
    world.time += LEASE_SECONDS + 1
    assert not world.lease.sure
    world.beats = [Beat(BOTH, lapsed=True)]
    world.did.clear()
    await world.pass_time(1)
    assert world.did[:2] == ["beat", "let go"]
    assert world.sure_at_let_go is False
    assert world.lease.sure
    assert {"death", "claim"} <= set(world.did)


async def test_a_beat_that_was_long_on_its_way_proves_nothing() -> None:
    """The process slept after it had sent it: others may have claimed everything meanwhile."""
    world = World()

    def sleep() -> None:
        world.time += SURE_SECONDS

    world.at_beat = sleep
    await world.peers.beat()
    assert not world.lease.sure


async def test_a_wanted_journey_is_saved_and_handed_over_once() -> None:
    world = World()
    wanted = (WantedJourney(7, OTHER),)
    world.beats = [Beat(BOTH, wanted)]
    await world.pass_time(1)
    done = [did for did in world.did if "7" in did]
    assert done == ["give up 7", f"hand over 7 to {OTHER}"]


async def test_what_is_another_s_already_is_not_handed_over() -> None:
    world = World()
    world.failing = {"give up"}
    world.beats = [Beat(BOTH, (WantedJourney(7, OTHER),))]
    await world.pass_time(1)
    assert [did for did in world.did if "7" in did] == ["give up 7"]


async def test_who_cannot_reach_the_server_leaves_the_work_to_others() -> None:
    world = World()
    await world.pass_time(1)
    world.up = False
    await world.pass_time(LEASE_SECONDS - 1)
    assert "leave" not in world.did
    await world.pass_time(1)
    assert world.did[-3:-1] == ["let go", "leave"]
    assert not world.lease.sure
    world.did.clear()
    await world.pass_time(3)
    assert {did.partition(" ")[0] for did in world.did} == {"changes"}, "it still learns"
    world.up = True
    await world.pass_time(1)
    assert "beat" in world.did


async def test_alone_it_has_nobody_to_leave_it_to() -> None:
    world = World()
    world.beats = [Beat(frozenset({ME})) for _ in range(60)]
    world.up = False
    await world.pass_time(40)
    assert "leave" not in world.did


async def test_what_could_not_be_taken_in_is_told_again() -> None:
    world = World()
    await world.peers.begin()
    world.news = [Changes(declined=(("a", "b", "c"),))]
    world.failing = {"take in"}
    with pytest.raises(StoreError):
        await world.pass_time(1)
    first = [did for did in world.did if did.startswith("changes")][-1]
    world.failing = set()
    await world.pass_time(1)
    assert [did for did in world.did if did.startswith("changes")][-1] == first
    assert "took in" in world.did


async def test_another_process_with_our_name_ends_this_one() -> None:
    world = World()
    world.beats = [Beat(BOTH), StoreError("the database restarts"), LeaseLost("another one")]

    def later() -> None:
        world.time += BEAT_SECONDS  # so that nothing is waited for

    world.at_beat = later
    with pytest.raises(LeaseLost, match="another one"):
        await world.peers.run()
    assert world.did.count("beat") == 3
    assert world.did[-1] == "let go"
    assert world.peers.trouble == "the database restarts"


async def test_a_fenced_wire() -> None:
    sent: list[str] = []

    class Wire:
        async def request(
            self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
        ) -> ET.Element:
            sent.append(to)
            return payload

    world = World()
    wire = FencedWire(Wire(), world.lease)
    request: Any = ("set", "juliet@example", ET.Element("send"))
    with pytest.raises(LeaseInDoubt):
        await wire.request(*request, timeout=1.0)
    await world.peers.beat()
    await wire.request(*request, timeout=1.0)
    world.time += SURE_SECONDS
    with pytest.raises(LeaseInDoubt):
        await wire.request(*request, timeout=1.0)
    assert sent == ["juliet@example"]
    assert SURE_SECONDS < LEASE_SECONDS


@pytest.mark.parametrize("alive", [(ME,), (ME, OTHER), (ME, OTHER, "moved3.example")])
def test_each_user_is_looked_after_by_one(alive: tuple[str, ...]) -> None:
    served: Counter[str] = Counter()
    for number in range(300):
        names = [name for name in alive if responsible(f"u{number}@example", name, alive)]
        assert len(names) == 1
        served.update(names)
    assert len(served) == len(alive)
    assert min(served.values()) > 300 / len(alive) / 2

"""A small shutdown on simulated time: the real engine, and what the figures are made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

import pytest

from bench.movers import paced
from bench.movers.network import Network
from bench.movers.shutdown import simulate
from bench.movers.tally import Outcome, peak
from bench.movers.town import HOUR, Size, build
from component.core.journey.pace import Rates
from component.core.model import PresenceKind
from sim.model_server import FakeServer
from sim.virtual import Stuck, play

SMALL = Size(users=24, contacts=6, domains=60, begin_seconds=60.0, hours=2.0, restarts=1)
TIGHT = Rates(overall_per_second=0.2)
"""So that as few movers as these wait for each other as thousands do for the default."""


@cache
def outcome(seed: int = 3) -> Outcome:
    """One small run."""
    return simulate(SMALL, seed, TIGHT)


def test_everybody_who_can_be_told_is_told_once() -> None:
    found = outcome()
    town = build(SMALL, 3)
    away = {name for name, domain in town.domains.items() if domain.dead or domain.refuses}
    gone = sum(number for name, number in town.shares().items() if name in away)
    assert found.twice == 0
    assert found.unreadable == 0
    assert found.shown <= SMALL.notifications - gone
    late = sum(
        number
        for name, number in town.shares().items()
        if town.domains[name].outages and name not in away
    )
    assert found.shown >= SMALL.notifications - gone - late
    assert sum(number for _, number in found.states) == SMALL.notifications
    assert dict(found.states).get("queued", 0) == 0
    assert found.sent == SMALL.notifications + found.retries


def test_the_pace_holds() -> None:
    found = outcome()
    assert found.peak_overall <= 2
    assert all(one.in_a_minute <= 2 * TIGHT.domain_per_minute_max + 1 for one in found.peaks)
    assert found.until(0.999) >= 0.9 * SMALL.notifications * 0.9 / TIGHT.overall_per_second
    largest = 60.0 * max(one.contacts for one in found.peaks) / TIGHT.domain_per_minute
    together = SMALL.notifications / TIGHT.overall_per_second
    # Second tries go to the same domain, and it has outages.
    assert found.longest_wait <= 1.7 * max(largest, together)


def test_waiting_for_a_turn_asks_nobody_anything() -> None:
    """The statement is read before somebody is told, not whenever a mover looks whether it may."""
    found = outcome()
    assert found.guards <= 2 * (found.sent + found.looks)


def test_the_same_seed_gives_the_same() -> None:
    tiny = replace(SMALL, users=6, hours=0.5)
    assert simulate(tiny, 5, TIGHT) == simulate(tiny, 5, TIGHT)
    assert simulate(tiny, 5, TIGHT) != simulate(tiny, 6, TIGHT)


def test_contacts_have_a_long_tail() -> None:
    shares = build(Size(users=1000, domains=500), 1).shares().most_common()
    numbers = [number for _, number in shares]
    assert numbers[0] == pytest.approx(18_000 / sum(1 / n for n in range(1, 501)), rel=0.1)
    assert numbers[0] >= 7 * numbers[9]
    assert len(numbers) > 450


def test_a_second_notification_is_seen() -> None:
    """What counts those told twice can count them."""

    async def main() -> tuple[int, int]:
        town = build(replace(SMALL, users=1), 1)
        server = FakeServer(("closing.example", "welcome.example"))
        network = server.world = Network(server, town)
        contact = town.movers["u0"][0].jid
        mover = "u0@welcome.example"
        server.add(contact)
        server.add(mover)
        asked = (mover, PresenceKind.SUBSCRIBE, contact, "u0@closing.example")
        await network._asked(mover, contact, asked[3])
        first = network.tally.shown[mover, contact]
        network.pending[contact].clear()  # the person has refused
        await network._asked(mover, contact, asked[3])
        return first, network.tally.shown[mover, contact]

    assert play(main()) == (1, 2)


def test_time_passes_only_where_it_is_waited_for() -> None:
    async def year() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(365 * 24 * HOUR)
        return asyncio.get_running_loop().time() - before

    assert play(year()) == pytest.approx(365 * 24 * HOUR)

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        play(never())


def test_the_most_within_a_span() -> None:
    assert peak([0, 1, 2, 59.9, 60.1, 60.9], 60.0) == 5
    assert peak([], 60.0) == 0


def test_pace_alone_agrees_with_the_engine() -> None:
    """So that what is simulated without the engine says something of it."""
    size = replace(SMALL, restarts=0)
    alone, whole = paced.simulate(size, 3, TIGHT), simulate(size, 3, TIGHT)
    assert alone == paced.simulate(size, 3, TIGHT)
    assert (alone.twice, whole.twice) == (0, 0)
    assert abs(alone.shown - whole.shown) <= 0.03 * whole.shown
    for share in (0.5, 0.9):
        assert alone.until(share) == pytest.approx(whole.until(share), rel=0.1)

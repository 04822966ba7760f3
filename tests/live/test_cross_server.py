"""A move between different servers, over real s2s: the old account on one, the new on the other,
the contact beside either."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.live.scenario import Scenario
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.mixed import mix
from tests.live.test_scenarios import SCENARIOS, play
from tests.live.topology import Topology

# Old account here and new there, the reverse, both there; the contact and the component are here.
NAMES = (
    "both-old-here-new-there",
    "both-old-there-new-here",
    "both-online",
    "both-offline",
    "from-online",
    "forged-presence",
    "gone-good",
    "no-hook-there",
)
PAIRS = (
    ("prosody-0.12", "ejabberd-24.12"),
    ("ejabberd-24.12", "prosody-0.12"),
    ("prosody-13.0", "ejabberd-24.12"),
    ("ejabberd-24.12", "prosody-13.0"),
)
MIXED = [mix(KINDS[here], KINDS[there]) for here, there in PAIRS]


@pytest.mark.parametrize("kind", MIXED, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.name in NAMES], ids=lambda scenario: scenario.name
)
async def test_across(
    scenario: Scenario,
    kind: Kind,
    topology_for: Callable[[Kind, Scenario], Awaitable[Topology]],
) -> None:
    await play(scenario, await topology_for(kind, scenario))


def test_nothing_was_forgotten() -> None:
    assert {s.name for s in SCENARIOS} >= set(NAMES)

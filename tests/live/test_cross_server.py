"""A move between different servers, over real s2s: the old account on one, the new on the other,
the contact beside either."""

from __future__ import annotations

import pytest

from tests.live.conftest import TopologyFor
from tests.live.scenario import Scenario
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.mixed import mix
from tests.live.test_scenarios import SCENARIOS, play

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


# What is not left to a full run: both accounts over there, and a mover who goes there from here.
SMOKE = (
    ("both-online", "prosody-0.12+ejabberd-24.12"),
    ("both-old-here-new-there", "prosody-0.12+ejabberd-24.12"),
    ("both-online", "ejabberd-24.12+prosody-0.12"),
    ("both-old-here-new-there", "ejabberd-24.12+prosody-0.12"),
)
CASES = [
    pytest.param(
        scenario,
        kind,
        id=f"{scenario.name}-{kind.name}",
        marks=[] if (scenario.name, kind.name) in SMOKE else [pytest.mark.full],
    )
    for scenario in SCENARIOS
    if scenario.name in NAMES
    for kind in MIXED
]


@pytest.mark.parametrize(("scenario", "kind"), CASES)
async def test_across(scenario: Scenario, kind: Kind, topology_for: TopologyFor) -> None:
    async with topology_for(kind, scenario.arrangement) as topology:
        await play(scenario, topology)


def test_nothing_was_forgotten() -> None:
    assert {s.name for s in SCENARIOS} >= set(NAMES)

"""Every scenario on every server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.conftest import TopologyFor
from tests.live.runner import Runner, StepFailed
from tests.live.scenario import Scenario, read
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.newer import NEWER
from tests.live.topology import Topology

# Those that run on the same come one after another: each change restarts something.
SCENARIOS = sorted(
    map(read, Path(__file__).parent.glob("scenarios/*.scenario")),
    key=lambda scenario: (str(scenario.arrangement), scenario.name),
)

# Prosody 13.0 differs from 0.12 in little that a scenario sees: one of each sort.
_PROSODY_13 = (
    "blocked",
    "both-offline",
    "both-online",
    "both-same-host",
    "component-killed",
    "forged-presence",
    "gone-good",
    "hook-timeout",
    "ordinary",
    "server-killed",
    "server-stopped",
    "undo-changed-since",
    "undo-newest-first",
    "undo-s2s",
)
_EJABBERD_INTERRUPTED = ("component-killed", "server-killed")


def _left_to_full(scenario: Scenario, kind: Kind) -> bool:
    if kind.name == "prosody-13.0":
        return scenario.name not in _PROSODY_13
    if kind.name.startswith("ejabberd"):
        return scenario.interrupts and scenario.name not in _EJABBERD_INTERRUPTED
    return False


CASES = [
    pytest.param(
        scenario,
        kind,
        id=f"{scenario.name}-{kind.name}",
        marks=[pytest.mark.full] if _left_to_full(scenario, kind) else [],
    )
    for scenario in SCENARIOS
    for kind in (*KINDS.values(), *NEWER.values())
]


@pytest.mark.parametrize(("scenario", "kind"), CASES)
async def test_scenario(scenario: Scenario, kind: Kind, topology_for: TopologyFor) -> None:
    if scenario.name in kind.excused:
        pytest.skip(kind.excused[scenario.name])
    async with topology_for(kind, scenario.arrangement) as topology:
        await play(scenario, topology)


async def play(scenario: Scenario, topology: Topology) -> None:
    """Run a scenario; where it fails, its own words are the whole report."""
    failure = ""
    try:
        await Runner(scenario, topology).run()
    except StepFailed as failed:
        failure = str(failed)
    if failure:
        pytest.fail(failure, pytrace=False)

"""Every scenario on every server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.live.runner import Runner, StepFailed
from tests.live.scenario import Scenario, read
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.newer import NEWER
from tests.live.topology import Topology

SCENARIOS = [read(path) for path in sorted(Path(__file__).parent.glob("scenarios/*.scenario"))]


@pytest.mark.parametrize("kind", [*KINDS.values(), *NEWER.values()], ids=lambda kind: kind.name)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_scenario(
    scenario: Scenario,
    kind: Kind,
    topology_for: Callable[[Kind, Scenario], Awaitable[Topology]],
) -> None:
    if scenario.name in kind.excused:
        pytest.skip(kind.excused[scenario.name])
    await play(scenario, await topology_for(kind, scenario))


async def play(scenario: Scenario, topology: Topology) -> None:
    """Run a scenario; where it fails, its own words are the whole report."""
    failure = ""
    try:
        await Runner(scenario, topology).run()
    except StepFailed as failed:
        failure = str(failed)
    if failure:
        pytest.fail(failure, pytrace=False)

"""Two processes with one name: the later one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.instances.fleet import Fleet
from tests.live.servers.differences import Kind
from tests.postgres import Postgres

WRONG_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h; the unit for systemd starts nobody again who ends with it."""


@pytest.mark.full
async def test_a_second_process_with_the_same_name(
    kind: Kind, tmp_path: Path, postgres: Postgres
) -> None:
    """Two configurations with the same address: whoever was first ends, and says what to change."""
    fleet = Fleet(kind, tmp_path, postgres, count=1, servers=("montague",))
    async with fleet.running():
        first = fleet.instances[0]
        fleet.instances.append(double := fleet.instance(0, "double"))
        await double.daemon.start(until_ready=False)
        assert await first.daemon.wait(30.0) == WRONG_CONFIGURATION
        said = first.daemon.log_path.read_text(errors="replace")
        assert f"works as {first.name} since" in said
        assert "[component] jid" in said
        await double.daemon.log_says("ready")
        await fleet.all_seen(1)

"""A minute of the soak run, the server restarted once: that the program itself works."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.soak.evaluate import evaluate
from bench.soak.rows import What, read_events, read_samples
from bench.soak.run import Options, Soak
from tests.live.servers.differences import Kind


@pytest.mark.full  # a minute
async def test_a_minute_of_moves_with_a_restart(kind: Kind, tmp_path: Path) -> None:
    options = Options(
        minutes=1,
        rate=8,
        server=kind.name,
        restart_every=30,
        folder=tmp_path / "soak",
        command="the test",
        commit="unknown",
    )
    await Soak(options).run()
    events, samples = read_events(options.folder), read_samples(options.folder)
    result = evaluate(events, samples)
    kinds = Counter(fate.what for fate in result.fates.values())
    assert result.ok, [check for check in result.checks if check.ok is False]
    assert len(result.fates) > 300
    assert kinds[What.FOLLOWED] + kinds[What.RELEASED] == len(result.fates)
    assert kinds[What.FOLLOWED] > 0.8 * len(result.fates)
    assert len(result.restarts) == 1

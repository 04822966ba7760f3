"""SIGKILL at random moments under load; see kills.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live.crash.kills import kills
from tests.live.servers.differences import Kind

FULL = os.environ.get("XMPP_MOVED_FULL") == "1"
KILLS = int(os.environ.get("XMPP_MOVED_KILLS", "1000" if FULL else "5"))
SEED = int(os.environ.get("XMPP_MOVED_SEED", "1"))


async def test_nothing_is_lost_whenever_we_or_the_server_are_killed(
    kind: Kind, tmp_path: Path
) -> None:
    if not FULL and kind.name == "prosody-13.0":
        pytest.skip("a full run has it; 0.12 has the same module")
    figures = await kills(kind.name, tmp_path, number=KILLS, seed=SEED, say=print)
    print(f"\n{kind.name}, seed {SEED}: {figures}")
    assert not figures.failed, "\n".join(figures.failed)
    assert figures.component_kills + figures.server_kills >= KILLS
    assert figures.followed + figures.shown > 0

"""SIGKILL at random moments under load; see kills.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live.crash.kills import kills
from tests.live.servers.differences import KINDS, Kind

KILLS = int(os.environ.get("XMPP_MOVED_KILLS", "1000"))
SEED = int(os.environ.get("XMPP_MOVED_SEED", "1"))
SHARES = 4
"""Runs side by side, each with servers and a seed of its own."""


async def killed(kind: Kind, folder: Path, number: int, seed: int) -> None:
    """So many kills, none of which broke a promise."""
    figures = await kills(kind.name, folder, number=number, seed=seed, say=print)
    print(f"\n{kind.name}, seed {seed}: {figures}")
    assert not figures.failed, "\n".join(figures.failed)
    assert figures.component_kills + figures.server_kills >= number
    assert figures.followed + figures.shown > 0


@pytest.mark.parametrize("kind", [KINDS["prosody-0.12"]], indirect=True, ids=["prosody-0.12"])
async def test_a_round_of_kills(kind: Kind, tmp_path: Path) -> None:
    await killed(kind, tmp_path, 5, SEED)


@pytest.mark.full
@pytest.mark.parametrize(
    "share",
    [
        pytest.param(number, marks=pytest.mark.xdist_group(f"kills {number}"))
        for number in range(SHARES)
    ],
)
async def test_nothing_is_lost_whenever_we_or_the_server_are_killed(
    kind: Kind, share: int, tmp_path: Path
) -> None:
    await killed(kind, tmp_path, KILLS // SHARES, SEED * SHARES + share)

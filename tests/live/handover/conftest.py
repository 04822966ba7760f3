"""Two servers of different kinds, and worlds as the movers' tests have them."""

from __future__ import annotations

import pytest

from tests.live.movers.conftest import shared_world, world_for
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.mixed import mix

__all__ = ["pair", "shared_world", "world_for"]

PAIRS = (
    mix(KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]),
    mix(KINDS["ejabberd-24.12"], KINDS["prosody-0.12"]),
)


@pytest.fixture(params=PAIRS, ids=lambda kind: kind.name, scope="module")
def pair(request: pytest.FixtureRequest) -> Kind:
    """The old account's server, and the new one's."""
    kind: Kind = request.param
    if not kind.available:
        pytest.skip(kind.missing)
    return kind

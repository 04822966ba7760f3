"""The servers that several instances stand beside."""

from __future__ import annotations

import pytest

from tests.live.servers.differences import KINDS, Kind

ONE_DATABASE = pytest.mark.xdist_group("instances")
"""For those of every run: one worker, which starts one PostgreSQL for them."""


@pytest.fixture(params=[KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The servers that several instances are tested with."""
    found: Kind = request.param
    if not found.available:
        pytest.skip(found.missing)
    return found

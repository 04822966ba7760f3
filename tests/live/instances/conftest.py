"""Which of these tests are part of every run."""

from __future__ import annotations

import re

import pytest

from tests.live.movers.conftest import FULL
from tests.live.servers.differences import KINDS, Kind

_ALWAYS = (
    r"test_a_move_goes_on_elsewhere.*prosody-0\.12-kill",
    r"test_requests_of_an_instance.*ejabberd-24\.12-kill",
)
"""About 90 seconds; the rest waits for leases that run out, over and over."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a full run needs."""
    if FULL:
        return
    out = [
        item
        for item in items
        if "tests/live/instances/" in item.nodeid
        and not any(re.search(pattern, item.nodeid) for pattern in _ALWAYS)
    ]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(params=[KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The servers that several instances are tested with."""
    found: Kind = request.param
    if not found.available:
        pytest.skip(found.missing)
    return found

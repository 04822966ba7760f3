"""The servers that break here; of Prosody, the newer one only in a full run."""

from __future__ import annotations

import pytest

from tests.live.servers.differences import KINDS, Kind


@pytest.fixture(
    params=[
        pytest.param(kind, id=name, marks=pytest.mark.full if name == "prosody-13.0" else ())
        for name, kind in KINDS.items()
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each server that is here; Prosody 0.12 has the same module as 13.0."""
    kind: Kind = request.param
    if not kind.available:
        pytest.skip(kind.missing)
    return kind

"""The same servers as for other faults."""

from __future__ import annotations

from tests.live.faults.conftest import kind as kind

"""Worlds, as the movers' tests have them."""

from __future__ import annotations

from tests.live.movers.conftest import shared_world, world_for

__all__ = ["shared_world", "world_for"]

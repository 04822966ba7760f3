"""Figures and settings of the mover's side while a move is under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from component.core.journey.contacts import Schedule
from component.core.journey.model import ContactState, JourneyState
from component.ops.metrics import Metrics
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import Stage, opened, quick

ODD = "odd@d9.example"
RETRIES = "xmpp_moved_notification_retries_total"
BACK = "xmpp_moved_ways_back_total"


def counted(stage: Stage) -> Metrics:
    """Have the stage's movers report into figures, as App does."""
    metrics = Metrics()
    stage.movers._box = replace(stage.movers._box, gauges=metrics.movers)
    stage.inbound._gauges = metrics.movers
    return metrics


def test_a_move_is_counted(tmp_path: Path) -> None:
    async def main() -> None:
        soon = Schedule((timedelta(seconds=5),) * 5, timedelta(minutes=10))
        async with opened(tmp_path, schedule=soon) as stage:
            stage.people("a@d1.example", manner=Manner.FOLLOWS)
            stage.people("b@d2.example", manner=Manner.SILENT)
            stage.people(ODD)
            stage.server.world.errors[ODD] = "remote-server-not-found"
            value = counted(stage).registry.get_sample_value
            await stage.begin()
            await stage.until(lambda: (value(RETRIES) or 0) >= 2)
            await stage.until(lambda: value(BACK, {"verdict": "take"}) == 1)
            sent = value("xmpp_moved_notifications_total", {"result": "sent"})
            retries = value(RETRIES)
            assert sent is not None
            assert retries is not None
            assert sent - retries == 3  # each contact had a first one
            assert value(BACK, {"verdict": "take"}) == 1
            assert stage.movers.contact_counts()[ContactState.MUTUAL] == 1

    play(main())


def test_other_settings_count_for_a_move_under_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people("b@d2.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.SETTLING)
            stage.movers.reconfigure(quick(enabled=False, look_seconds=7.0))
            run = await stage.movers.find(journey.id)
            assert run.box.settings.look_seconds == 7.0
            assert stage.movers.tombstones._settings.enabled is False

    play(main())

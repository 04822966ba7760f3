"""Plans survive the journal."""

from __future__ import annotations

from dataclasses import replace

from component.core.roster import Carry, follow_plan
from component.engine import plans
from tests.unit.core.samples import divert


def test_round_trip() -> None:
    plan = follow_plan(divert(name="Juliet ☂", groups=("A", "Ω")), Carry())
    assert plans.load(plans.dump(plan)) == plan
    assert plans.load(plans.dump(replace(plan, item=None))) == replace(plan, item=None)

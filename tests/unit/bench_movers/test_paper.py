"""What is multiplied for other sizes, and the page that it goes into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.movers import keep
from bench.movers.engine import Cost
from bench.movers.page import measured_of, part
from bench.movers.paper import Measured, Shutdown, plan
from bench.movers.shutdown import simulate
from bench.movers.town import Size
from bench.movers.weight import of_a_move
from bench.parts import Origin

MEASURED = Measured(0.005, 0.01, 200.0, 100.0, 30_000.0)
ORIGIN: Origin = {"command": "c", "began": "b", "commit": "d", "machine": "m"}
COST = Cost("ejabberd-24.12", 500, 10.0, 9.0, 2.5, 5.0, 95.0, 98.0, 97.0, 1000, 900, 94_000, 0)


def test_the_limit_that_decides() -> None:
    few = plan(Shutdown(7000, domains=1), MEASURED)
    assert few.default_bound == "domain_per_minute_max"
    assert few.default_hours == pytest.approx(126_000 / 60 / 60)
    many = plan(Shutdown(7000, domains=10_000), MEASURED, domain_per_minute_max=600)
    assert many.default_bound == "overall_per_second"
    assert many.default_hours == pytest.approx(126_000 / 20 / 3600)


def test_limits_that_it_needs_are_enough() -> None:
    wanted = plan(Shutdown(500_000), MEASURED)
    then = plan(
        wanted.shutdown,
        MEASURED,
        overall_per_second=wanted.overall_per_second,
        domain_per_minute_max=wanted.domain_per_minute_max,
    )
    assert then.default_hours == pytest.approx(wanted.shutdown.hours)


def test_instances_carry_processor_and_memory() -> None:
    big = plan(Shutdown(500_000), MEASURED)
    assert big.cores == pytest.approx(9_000_000 / 86_400 * 0.005)
    assert big.instances * 0.5 >= big.cores
    assert big.instances * (1024 - 100) >= 500_000 * 30_000 / 2**20
    assert plan(Shutdown(10), MEASURED).instances == 1


def test_a_move_weighs_more_with_more_contacts() -> None:
    few, many = of_a_move(10), of_a_move(100)
    assert 500 < (many - few) / 90 < 5000


def test_what_is_kept_is_what_was_measured(tmp_path: Path) -> None:
    outcome = simulate(Size(users=3, contacts=2, domains=3, hours=0.3, restarts=0), 1)
    keep.keep_cost(COST, ORIGIN, tmp_path)
    keep.keep_cost(replace(COST, version="earlier", engine_cpu=9.0), ORIGIN, tmp_path)
    keep.keep_outcome(outcome, ORIGIN, tmp_path)
    assert list(keep.outcomes(tmp_path)) == [outcome]
    assert [cost.version for cost in keep.costs(tmp_path)] == ["earlier", "this"]
    assert measured_of(keep.costs(tmp_path)).engine_cpu == pytest.approx(0.005)


def test_nothing_measured_gives_no_page(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        part(tmp_path)

"""Figures of the mover's side."""

from __future__ import annotations

from collections import Counter

import pytest

from component.core.belongings.model import JobState
from component.core.journey.handover import HandoverState
from component.core.journey.model import ContactState, JourneyState, Refused
from component.core.journey.pace import Pace, Rates
from component.engine.movers.orders import AdminOrders
from component.engine.movers.ports import MoverGauges
from component.ops.counted import CountedOrders
from component.ops.metrics import Metrics
from tests.unit.ops.fake_orders import FakeOrders, progress


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One figure."""
    return metrics.registry.get_sample_value(name, labels)


def test_notifications_retries_and_ways_back() -> None:
    metrics = Metrics()
    gauges: MoverGauges = metrics.movers
    gauges.notified(again=False, left=True)
    gauges.notified(again=True, left=True)
    gauges.notified(again=True, left=False)
    gauges.way_back("take")
    metrics.movers.ways_back_held(4)
    assert value(metrics, "xmpp_moved_notifications_total", result="sent") == 2
    assert value(metrics, "xmpp_moved_notifications_total", result="not-sent") == 1
    assert value(metrics, "xmpp_moved_notification_retries_total") == 2
    assert value(metrics, "xmpp_moved_ways_back_total", verdict="take") == 1
    assert value(metrics, "xmpp_moved_ways_back_held") == 4


def test_states_that_nobody_is_in_are_zero() -> None:
    metrics = Metrics()
    metrics.movers.journeys({JourneyState.PAUSED: 2})
    metrics.movers.contacts(Counter({ContactState.SENT: 7}))
    metrics.movers.contacts(Counter())
    assert value(metrics, "xmpp_moved_journeys", state="paused") == 2
    assert value(metrics, "xmpp_moved_journeys", state="done") == 0
    for state in ContactState:
        assert value(metrics, "xmpp_moved_journey_contacts", state=state.value) == 0


def test_handovers_and_copies_by_state() -> None:
    metrics = Metrics()
    metrics.movers.handovers({HandoverState.OFFERED: 3}, 2)
    metrics.movers.copies({JobState.RUNNING: 1})
    assert value(metrics, "xmpp_moved_handovers", state="offered") == 3
    assert value(metrics, "xmpp_moved_handovers", state="received") == 0
    assert value(metrics, "xmpp_moved_handovers_left_over") == 2
    assert value(metrics, "xmpp_moved_copies", state="running") == 1
    assert value(metrics, "xmpp_moved_copies", state="done") == 0


def test_domains_are_bounded_and_the_unreachable_come_first() -> None:
    metrics = Metrics()
    pace = Pace(Rates())
    for number in range(500):
        pace.spend(1, f"d{number}.example", 0.0)
    pace.failed("d3.example", 1.0)
    shown = pace.health(50)
    assert shown[0] == ("d3.example", False, 1.0)
    assert len(shown) == 50
    assert shown[1][0] == "d499.example"
    metrics.movers.domains(pace.unreachable(), shown)
    assert value(metrics, "xmpp_moved_domain_up", domain="d3.example") == 0
    assert value(metrics, "xmpp_moved_domain_up", domain="d499.example") == 1
    assert value(metrics, "xmpp_moved_domain_notifications_per_minute", domain="d3.example") == 1
    assert value(metrics, "xmpp_moved_domains_unreachable") == 1
    pace.answered("d3.example", 2.0)
    metrics.movers.domains(pace.unreachable(), pace.health(1))
    assert value(metrics, "xmpp_moved_domains_unreachable") == 0
    assert value(metrics, "xmpp_moved_domain_up", domain="d499.example") is None


def test_other_rates_count_at_once() -> None:
    pace = Pace(Rates(per_mover_per_second=0.001, overall_per_second=100, domain_per_minute=60))
    pace.spend(1, "a.example", 0.0)
    pace.spend(2, "b.example", 0.0)
    assert pace.wait(1, "b.example", 1.0) > 900
    pace.set_rates(Rates(per_mover_per_second=10, domain_per_minute=60, domain_per_minute_max=2))
    assert pace.wait(1, "b.example", 1.0) < 1
    assert pace.health(9) == [("b.example", True, 2.0), ("a.example", True, 2.0)]


async def test_orders_are_counted_and_passed_on() -> None:
    metrics = Metrics()
    fake = FakeOrders(progress(7))
    orders: AdminOrders = CountedOrders(fake, metrics.movers.ordered)
    assert orders.is_admin("admin@x") == fake.is_admin("admin@x")
    await orders.pause_any(7)
    with pytest.raises(Refused):
        await orders.pause_any(7)
    await orders.run_time()
    assert len(await orders.all_journeys()) == 1
    assert value(metrics, "xmpp_moved_control_orders_total", order="pause") == 2
    assert value(metrics, "xmpp_moved_control_orders_total", order="list") == 1
    assert value(metrics, "xmpp_moved_control_orders_total", order="run-time") is None

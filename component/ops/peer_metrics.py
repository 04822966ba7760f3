"""Figures on the instances that share a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge


class PeerMetrics:
    """Part of :class:`component.ops.metrics.Metrics`; implements ``PeerGauges``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._instances: Final = Gauge(
            "xmpp_moved_instances",
            "Instances on this database that live, this one included.",
            registry=registry,
        )
        self._instances.set(1)
        self._held: Final = Gauge(
            "xmpp_moved_journeys_at_work", "Moves that this instance works on.", registry=registry
        )
        self._taken: Final = Counter(
            "xmpp_moved_taken_over_total",
            "Moves and requests of other instances that this one went on with.",
            ["kind"],
            registry=registry,
        )

    def watch_journeys(self, at_work: Callable[[], int]) -> None:
        """Read this at each scrape: how many journeys are worked on."""
        self._held.set_function(at_work)

    def instances(self, alive: int) -> None:
        """How many live, this one included."""
        self._instances.set(alive)

    def taken_over(self, kind: str, number: int) -> None:
        """So many ``journeys`` or ``requests`` were another's until now."""
        self._taken.labels(kind).inc(number)

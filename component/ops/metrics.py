"""The figures that the component exports for Prometheus.

One registry of its own, not the library's global one, so that several components or tests in a
process do not meet.  Callers use the methods, which speak of what happened and know nothing of
Prometheus.  Times are seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from component import __version__
from component.ops.mover_metrics import MoverMetrics
from component.ops.peer_metrics import PeerMetrics

_NETWORK: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
_DISK: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
DOMAINS_SHOWN: Final = 50
"""Contact domains with figures of their own; the others are counted only."""


class Metrics:
    """Counters, gauges and histograms; every name begins with ``xmpp_moved_``.

    All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        build = Gauge(
            "xmpp_moved_build_info",
            "Always 1; the label says what runs.",
            ["version"],
            registry=registry,
        )
        build.labels(__version__).set(1)
        blocks = Gauge(
            "xmpp_moved_memory_blocks",
            "Blocks of memory that Python has handed out: rises with a leak, not with old bursts.",
            registry=registry,
        )
        blocks.set_function(sys.getallocatedblocks)
        self._moves = Counter(
            "xmpp_moved_moves_total",
            "Requests that were decided, by verdict and reason.",
            ["verdict", "reason"],
            registry=registry,
        )
        self._open = Gauge("xmpp_moved_open_requests", "Requests being decided.", registry=registry)
        self._fetches = Counter(
            "xmpp_moved_fetches_total",
            "Statements that were asked for, by result.",
            ["result"],
            registry=registry,
        )
        self._fetch_seconds = Histogram(
            "xmpp_moved_fetch_seconds",
            "Time until a statement, or the lack of one, was known.",
            buckets=_NETWORK,
            registry=registry,
        )
        self._verdict_seconds = Histogram(
            "xmpp_moved_verdict_seconds",
            "Time from a request's arrival to its verdict.",
            buckets=_NETWORK,
            registry=registry,
        )
        self._outcome_seconds = Histogram(
            "xmpp_moved_outcome_seconds",
            "Time from a verdict to the server's word on what became of it.",
            buckets=_NETWORK,
            registry=registry,
        )
        self._link_up = Gauge(
            "xmpp_moved_link_up", "1 while the server has accepted our stream.", registry=registry
        )
        self._reconnects = Counter(
            "xmpp_moved_link_reconnects_total",
            "How often the stream to the server was opened again.",
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "xmpp_moved_journal_commit_seconds",
            "Time of a commit of the journal.",
            buckets=_DISK,
            registry=registry,
        )
        self._batch = Histogram(
            "xmpp_moved_journal_batch_size",
            "Rows that shared a commit of the journal.",
            buckets=_ROWS,
            registry=registry,
        )
        self._refused = Gauge(
            "xmpp_moved_stanzas_refused",
            "Stanzas that were larger or deeper than allowed, and skipped.",
            registry=registry,
        )
        self._queue = Gauge(
            "xmpp_moved_queue_depth", "Stanzas waiting to be sent.", registry=registry
        )
        self._healthy = Gauge(
            "xmpp_moved_healthy", "1 while /health answers 200.", registry=registry
        )
        self._journal_up = Gauge(
            "xmpp_moved_journal_writable", "1 while the journal can be written.", registry=registry
        )
        self._hook_up = Gauge(
            "xmpp_moved_hook_up",
            "1 while the server module of a served host answers.",
            ["host"],
            registry=registry,
        )
        self._pruned = Counter(
            "xmpp_moved_pruned_total",
            "Records removed because their time was over, by kind.",
            ["kind"],
            registry=registry,
        )
        self._reloads = Counter(
            "xmpp_moved_config_reloads_total",
            "How often the configuration was read again, by result.",
            ["result"],
            registry=registry,
        )
        self.movers: Final = MoverMetrics(registry)
        self.peers: Final = PeerMetrics(registry)

    def decided(self, verdict: str, reason: str, seconds: float) -> None:
        """A verdict (``take`` or ``release``) left, ``seconds`` after its request came."""
        self._moves.labels(verdict, reason).inc()
        self._verdict_seconds.observe(seconds)

    def outcome(self, seconds: float) -> None:
        """The server said what became of a verdict, ``seconds`` after it left."""
        self._outcome_seconds.observe(seconds)

    def open_requests(self, count: int) -> None:
        """How many requests are being decided now."""
        self._open.set(count)

    def fetched(self, result: str, seconds: float) -> None:
        """A fetch ended: ``statement``, ``gone``, ``refused``, ``timeout``, ..."""
        self._fetches.labels(result).inc()
        self._fetch_seconds.observe(seconds)

    def link_up(self, up: bool) -> None:
        """Whether the server has accepted our stream."""
        self._link_up.set(1 if up else 0)

    def reconnected(self) -> None:
        """The stream was opened again after a loss."""
        self._reconnects.inc()

    def watch_link(self, queued: Callable[[], int], refused: Callable[[], int]) -> None:
        """Read these figures at each scrape: stanzas waiting to be sent, and refused so far."""
        self._queue.set_function(queued)
        self._refused.set_function(refused)

    def health(self, ok: bool, journal: bool, hooks: Mapping[str, bool]) -> None:
        """How the component is: in all, its journal, and the hook of each served host."""
        self._healthy.set(ok)
        self._journal_up.set(journal)
        for host, up in hooks.items():
            self._hook_up.labels(host).set(up)

    def pruned(self, kind: str, rows: int) -> None:
        """So many records were removed: ``moves`` or ``journeys``."""
        self._pruned.labels(kind).inc(rows)

    def reloaded(self, ok: bool) -> None:
        """The configuration was read again."""
        self._reloads.labels("ok" if ok else "refused").inc()

    def committed(self, rows: int, seconds: float) -> None:
        """The journal committed ``rows`` rows in one transaction."""
        self._batch.observe(rows)
        self._commit_seconds.observe(seconds)

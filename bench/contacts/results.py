"""Figures of rounds, and what follows from them: medians, spreads, ratios."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.contacts.cases import Case
from bench.contacts.ways import Way
from tests.live.faults.run import percentile


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one way."""

    moves: int
    followed: int
    seconds: float
    latencies: Sequence[float]
    server_cpu: float
    """CPU seconds of the contacts' server."""
    own_cpu: float
    """CPU seconds of xmpp-moved."""
    statements: int
    """Requests for a statement that the played server had."""
    looked_at: int
    right: int
    pushes: int = 0
    """Roster pushes that the contacts' devices got."""
    pushes_due: int = 0

    @property
    def good(self) -> bool:
        """All were followed, the rosters that were looked at are right, and every device was told.

        Else the round is void.
        """
        looks = self.right == self.looked_at and self.pushes == self.pushes_due
        return self.followed == self.moves and looks

    @property
    def rate(self) -> float:
        """Moves a second."""
        return self.followed / self.seconds

    def __str__(self) -> str:
        if not self.good:
            return (
                f"VOID: {self.followed} of {self.moves} followed, "
                f"{self.right} of {self.looked_at} rosters right, "
                f"{self.pushes} of {self.pushes_due} pushes"
            )
        return f"{self.rate:.0f} moves/s, {self.server_cpu / self.moves * 1e3:.2f} ms CPU each"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some rounds."""

    median: float
    least: float
    most: float

    def text(self, digits: int = 0) -> str:
        """Median, and in brackets the rest."""
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}..{self.most:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Row:
    """A case that was measured.

    ``verdicts`` has the upper bound of the 99th percentile of the time that a verdict took, in
    seconds; ``fetches`` the statements asked for, a move; ``resident`` MiB at the end.
    """

    case: Case
    samples: Mapping[Way, Sequence[Sample]]
    verdicts: Mapping[Way, float]
    fetches: Mapping[Way, float]
    resident: Mapping[Way, float]

    def good(self, way: Way) -> list[Sample]:
        """The rounds of a way, if there are any and none of them is void."""
        samples = self.samples.get(way, ())
        return list(samples) if all(sample.good for sample in samples) else []

    def spread(self, way: Way, figure: Callable[[Sample], float]) -> Spread | None:
        """Of a figure over the rounds; None where a way was not measured, or in vain."""
        figures = [figure(sample) for sample in self.good(way)]
        if not figures:
            return None
        return Spread(statistics.median(figures), min(figures), max(figures))

    def rate(self, way: Way) -> Spread | None:
        """Moves a second."""
        return self.spread(way, lambda sample: sample.rate)

    def ratio(self, way: Way, to: Way) -> Spread | None:
        """Moves/s of a way by those of another, round by round: these two ran close together."""
        pairs = list(zip(self.good(way), self.good(to), strict=False))
        ratios = [one.rate / other.rate for one, other in pairs]
        if not ratios:
            return None
        return Spread(statistics.median(ratios), min(ratios), max(ratios))

    def server_cpu(self, way: Way) -> float | None:
        """Milliseconds of the server's CPU for each move, over all rounds."""
        return self._total(way, lambda s: s.server_cpu * 1e3, lambda s: s.moves)

    def own_share(self, way: Way) -> float | None:
        """Our CPU for each second of the server's, over all rounds."""
        return self._total(way, lambda s: s.own_cpu, lambda s: s.server_cpu)

    def statements(self, way: Way) -> float | None:
        """Requests for a statement for each move, as the played server counts them."""
        return self._total(way, lambda s: s.statements, lambda s: s.moves)

    def latency(self, way: Way, part: float) -> float | None:
        """Percentile of the seconds from a request to its end."""
        latencies = [seconds for s in self.good(way) for seconds in s.latencies]
        return percentile(latencies, part) if latencies else None

    def _total(
        self, way: Way, above: Callable[[Sample], float], below: Callable[[Sample], float]
    ) -> float | None:
        samples = self.good(way)
        divisor = sum(map(below, samples))
        return sum(map(above, samples)) / divisor if divisor else None


def histogram_bound(buckets: Counter[float], part: float) -> float:
    """The bound of the bucket that holds a percentile; NaN where nothing was counted.

    Args:
        buckets: how many were at most so large, by that bound; infinity is among them.
    """
    wanted = buckets[math.inf] * part
    if not wanted:
        return math.nan
    return min(bound for bound, count in buckets.items() if count >= wanted)

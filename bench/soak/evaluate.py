"""What the rows of a run say: figures and a verdict.

Each bound is here, with its reason.  A figure that a run is too short for is shown, not judged.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.soak.family import PATIENCE
from bench.soak.rows import Event, Sample, What
from tests.live.faults.run import percentile

SLOPE_MIB = 1.0
SLOPE_PART = 0.01
"""Memory may grow by the larger of 1 MiB and 1 % of itself in an hour.

Less cannot be told from the noise of an allocator within two hours, and at this rate a process of
100 MiB takes four days of *steady* load to double: a leak of 15 bytes a move would be seen at 20
moves a second.  The journal grows on disk, not here; SQLite's page cache has a fixed size.

Judged is the second half.  After a restart of the server much comes at once; the allocator keeps
what the largest burst so far took, so that the mark rises in steps until bursts repeat (what Python
itself holds was the same, by tracemalloc, before and after five restarts).  A leak goes on rising.
"""
HELD_PART = 0.01
"""What Python holds may grow by this part of itself in an hour.

Blocks, as Python's allocator counts them: a component has half a million, so that one object left
by every fourteenth move would be seen at 20 moves a second.  It tells a leak from the mark of a
burst, for which the resident memory alone is no witness.
"""
JUDGED_FROM = 1800.0
"""Seconds below which nothing is said to grow: within minutes, caches and pools still fill."""
SPREAD = 1
"""Descriptors or threads that the last quarter may have more than the second."""
SLOWER = 1.5
"""What the last quarter's p99 may be of the second's."""
GRACE = 30.0
"""Seconds after each restart that the comparison of latencies leaves out."""


@dataclass(slots=True)
class Fate:
    """One request: when it was asked (the last time it was sent), and its end."""

    asked: float
    ended: float | None = None
    what: What | None = None
    why: str = ""
    settled: bool = False

    @property
    def latency(self) -> float | None:
        """Seconds from the subscription request to the push with the new address."""
        if self.what is not What.FOLLOWED or self.ended is None:
            return None
        return self.ended - self.asked


@dataclass(frozen=True, slots=True)
class Minute:
    """What was asked within one minute, and what became of it; latency in seconds."""

    number: int
    asked: int
    followed: int
    released: int
    lost: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict; ``ok`` is None where the run is too short to say."""

    name: str
    found: str
    bound: str
    ok: bool | None

    @property
    def word(self) -> str:
        """Its outcome."""
        return {True: "good", False: "BAD", None: "not judged"}[self.ok]


@dataclass(frozen=True, slots=True)
class Restart:
    """The server away: seconds since the run began."""

    stop: float
    start: float
    back: float


@dataclass
class Result:
    """Everything that a report shows."""

    seconds: float
    fates: dict[int, Fate]
    minutes: list[Minute]
    restarts: list[Restart]
    counts: Counter[What]
    reasons: Counter[str]
    unfinished: int
    """Requests still within their time when the run ended."""
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)


def evaluate(events: Sequence[Event], samples: Sequence[Sample]) -> Result:
    """Judge a run; raises ValueError where there is nothing to judge."""
    if not samples or not any(event.what is What.ASKED for event in events):
        raise ValueError("no sample, or nothing asked")
    seconds = max(events[-1].at, samples[-1].at)
    fates = _fates(events)
    counts = Counter(event.what for event in events)
    without = [f for f in fates.values() if f.what is None]
    forgotten = sum(fate.asked < seconds - PATIENCE - 2 for fate in without)
    result = Result(
        seconds=seconds,
        fates=fates,
        minutes=_minutes(fates),
        restarts=_restarts(events),
        counts=counts,
        reasons=Counter(f.why for f in fates.values() if f.what is What.RELEASED),
        unfinished=len(without) - forgotten,
    )
    lost = counts[What.LOST] + forgotten
    result.checks = [
        Check("requests lost", str(lost), "0", lost == 0),
        Check("rosters not whole", str(counts[What.HALF]), "0", counts[What.HALF] == 0),
        _unexplained(result, events),
        Check("streams dropped", str(counts[What.DROPPED]), "0", counts[What.DROPPED] == 0),
        _memory(samples, seconds),
        _held(samples, seconds),
        _count("descriptors", samples, seconds, lambda sample: sample.descriptors),
        _count("threads", samples, seconds, lambda sample: sample.threads),
        _latency(result),
    ]
    return result


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth for each hour, by linear regression; times are seconds."""
    times, values = zip(*points, strict=True)
    return statistics.linear_regression(times, values).slope * 3600


def quarter(number: int, seconds: float) -> tuple[float, float]:
    """Where the first to fourth quarter begins and ends."""
    return (number - 1) * seconds / 4, number * seconds / 4


def undisturbed(result: Result, span: tuple[float, float]) -> list[float]:
    """Latencies of what was asked in a span and not while the server was away or just back."""
    return [
        fate.latency
        for fate in result.fates.values()
        if fate.latency is not None
        and span[0] <= fate.asked < span[1]
        and not any(
            fate.asked + fate.latency > away.stop and fate.asked < away.start + GRACE
            for away in result.restarts
        )
    ]


def cpu_seconds(samples: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    """CPU used over all samples; a process that began anew begins at nought."""
    values = [of(sample) for sample in samples if of(sample)]
    return sum(later - before if later >= before else later for before, later in pairwise(values))


def _fates(events: Sequence[Event]) -> dict[int, Fate]:
    fates: dict[int, Fate] = {}
    # A release is written when its reason is known, so rows are not quite in order of time.
    for event in sorted(events, key=lambda event: event.at):
        if event.what is What.ASKED:
            fates[event.number] = Fate(event.at)
        fate = fates.get(event.number)
        if fate is None:
            continue
        if event.what in (What.FOLLOWED, What.RELEASED, What.LOST, What.GONE) and fate.what is None:
            fate.what, fate.ended, fate.why = event.what, event.at, event.why
        elif event.what is What.SETTLED:
            fate.settled = True
    return fates


def _minutes(fates: dict[int, Fate]) -> list[Minute]:
    by_minute: dict[int, list[Fate]] = {}
    for fate in fates.values():
        by_minute.setdefault(int(fate.asked // 60), []).append(fate)
    minutes = []
    for number, mine in sorted(by_minute.items()):
        kinds = Counter(fate.what for fate in mine)
        latencies = [fate.latency for fate in mine if fate.latency is not None]
        minutes.append(
            Minute(
                number,
                len(mine),
                kinds[What.FOLLOWED],
                kinds[What.RELEASED],
                kinds[What.LOST],
                percentile(latencies, 0.5) if latencies else None,
                percentile(latencies, 0.99) if latencies else None,
            )
        )
    return minutes


def _restarts(events: Sequence[Event]) -> list[Restart]:
    ends = {what: [e.at for e in events if e.what is what] for what in What}
    stops = ends[What.STOP]
    starts, backs = ends[What.START], ends[What.BACK]
    late = events[-1].at  # cut while the server was away
    return [
        Restart(stop, starts[n] if n < len(starts) else late, backs[n] if n < len(backs) else late)
        for n, stop in enumerate(stops)
    ]


def _unexplained(result: Result, events: Sequence[Event]) -> Check:
    """A server that stops may lose what only it has: before it asks us, and after our part."""
    strange = sum(
        event.what in (What.GONE, What.AGAIN)
        and not any(
            result.fates[event.number].asked < away.back and event.at > away.stop
            for away in result.restarts
        )
        for event in events
    )
    return Check("lost by the server, without a restart", str(strange), "0", strange == 0)


def _memory(samples: Sequence[Sample], seconds: float) -> Check:
    def since(first: float) -> list[tuple[float, float]]:
        return [(s.at, s.resident) for s in samples if s.at >= seconds * first]

    late = since(1 / 2)
    if len(late) < 3:
        return Check("memory, growth", "too few samples", "", None)
    growth, long = slope(late), slope(since(1 / 4))
    mean = statistics.fmean(value for _, value in late)
    bound = max(SLOPE_MIB, SLOPE_PART * mean)
    return Check(
        "memory, growth over the second half",
        f"{growth:+.2f} MiB/h at {mean:.1f} MiB ({long:+.2f} over three quarters)",
        f"at most {bound:.2f} MiB/h",
        growth <= bound if seconds >= JUDGED_FROM else None,
    )


def _held(samples: Sequence[Sample], seconds: float) -> Check:
    late = [(s.at, float(s.blocks)) for s in samples if s.blocks and s.at >= seconds / 2]
    if len(late) < 3:
        return Check("held by Python, growth", "too few samples", "", None)
    mean = statistics.fmean(blocks for _, blocks in late)
    growth = slope(late) / mean
    return Check(
        "held by Python, growth over the second half",
        f"{growth:+.2%} an hour at {mean:,.0f} blocks",
        f"at most {HELD_PART:.0%} an hour",
        growth <= HELD_PART if seconds >= JUDGED_FROM else None,
    )


def _count(
    name: str, samples: Sequence[Sample], seconds: float, of: Callable[[Sample], int]
) -> Check:
    second, last = (
        [of(s) for s in samples if quarter(n, seconds)[0] <= s.at <= quarter(n, seconds)[1]]
        for n in (2, 4)
    )
    if not second or not last:
        return Check(name, "too few samples", "", None)
    before, after = statistics.median(second), statistics.median(last)
    return Check(
        f"{name}, median",
        f"{before:g} in the second quarter, {after:g} in the last",
        f"at most {SPREAD} more",
        after <= before + SPREAD if seconds >= JUDGED_FROM else None,
    )


def _latency(result: Result) -> Check:
    second, last = (undisturbed(result, quarter(n, result.seconds)) for n in (2, 4))
    if not second or not last:
        return Check("latency, p99", "too few moves", "", None)
    before, after = percentile(second, 0.99), percentile(last, 0.99)
    return Check(
        "latency, p99",
        f"{before * 1e3:.0f} ms in the second quarter, {after * 1e3:.0f} ms in the last",
        f"at most {SLOWER:g} times",
        after <= SLOWER * before if result.seconds >= JUDGED_FROM else None,
    )

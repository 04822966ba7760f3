"""How fast a journey may speak, to whom: pure bookkeeping, the caller brings the time.

Rules (in docs/moving.md for people): one notification a second for each mover, a fixed number
overall, and for each contact domain a rate that begins low, doubles with every minute in which it
answers, and is halved when it fails.  A domain that cannot be reached costs one probe at a time, at
growing intervals: while it is down, nothing else is sent there.  The start rate is below what
ejabberd's mod_pres_counter (default 5 presences a minute) silently drops.  Journeys that wait for
the same rate take turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rates:
    """Settings of the ``[movers]`` section that the pace needs."""

    per_mover_per_second: float = 1.0
    overall_per_second: float = 20.0
    domain_per_minute: float = 4.0
    domain_per_minute_max: float = 60.0
    remembered_domains: int = 10_000


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill with time; at most ``burst`` of them."""

    per_second: float
    burst: float
    level: float
    at: float

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0 when it is."""
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = now
        # Refilling in small steps leaves a remainder of rounding, which must not cost a wait.
        return 0.0 if self.level >= 1.0 - 1e-9 else (1.0 - self.level) / self.per_second

    def take(self) -> None:
        self.level = max(0.0, self.level - 1.0)


class _Line:
    """Who waits for a bucket's tokens, and when it is whose turn.

    Without it, of thousands of journeys that wait for one bucket each would have to ask for every
    token anew.

    :param strict: a token that somebody has a turn for is not given to whoever asks before.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._turns: OrderedDict[int, float] = OrderedDict()

    def wait(self, journey: int, bucket: _Bucket, now: float) -> float:
        """Seconds until this journey should ask again; 0 when a token is there for it."""
        token = bucket.wait(now)
        while self._turns and next(iter(self._turns.values())) < now - MISSED_SECONDS:
            self._turns.popitem(last=False)
        turn = self._turns.get(journey)
        if turn is not None:
            return max(token, turn - now) if self._strict or token > 0.0 else 0.0
        if token <= 0.0 and (not self._strict or bucket.level >= len(self._turns) + 1 - 1e-9):
            return 0.0
        wait = (len(self._turns) + 1 - bucket.level) / bucket.per_second
        self._turns[journey] = now + wait
        return wait

    def leave(self, journey: int) -> None:
        """It was its turn, or it wants none any more."""
        self._turns.pop(journey, None)

    def clear(self) -> None:
        """The rate has changed: all turns are given anew."""
        self._turns.clear()


@dataclass(slots=True)
class _Domain:
    bucket: _Bucket
    raised_at: float
    line: _Line = field(default_factory=lambda: _Line(strict=False))
    """Not strict: who has a turn here may wait for one of the overall rate still."""
    answered: bool = False
    probing: bool = False
    """It failed last: until it answers, one question at a time."""
    doubt_until: float = 0.0
    """A probe is on its way, and its answer awaited until then."""
    probes_lost: int = 0
    rest_until: float = 0.0
    """Not even a probe before that."""


class Pace:
    """Decides who may be notified next.

    :param near: domains whose users we serve ourselves: their server is ours, so only the mover's
        and the overall rate hold for them.
    """

    def __init__(self, rates: Rates, near: Collection[str] = ()) -> None:
        self._rates = rates
        self._near = frozenset(near)
        self._overall = _Bucket(
            rates.overall_per_second,
            max(1.0, rates.overall_per_second),
            max(1.0, rates.overall_per_second),
            0.0,
        )
        self._line = _Line(strict=True)
        self._movers: dict[int, _Bucket] = {}
        self._domains: OrderedDict[str, _Domain] = OrderedDict()

    def wait(self, journey: int, domain: str, now: float) -> float:
        """Seconds until this journey may notify somebody at this domain; 0 for now.

        Other journeys are not considered: for turns see :meth:`next`.

        :param now: seconds on any monotonic clock.
        """
        waits = [self._overall.wait(now), self._mover(journey, now).wait(now)]
        found = None if domain in self._near else self._domains.get(domain)
        if found is not None:  # who is not known has a minute's allowance
            waits.append(max(found.doubt_until, found.rest_until) - now)
            waits.append(found.bucket.wait(now))
        return max(waits)

    def next(self, journey: int, domains: Iterable[str], now: float) -> tuple[str | None, float]:
        """The first of these domains that may be spoken to now, or None and the wait in seconds.

        Who asks again after that wait keeps its turn among the other journeys.
        """
        own = self._mover(journey, now).wait(now)
        least = LONGEST_SECONDS
        for domain in domains:
            wait = self._domain_wait(journey, domain, now)
            if wait <= 0.0:
                wait = max(own, self._line.wait(journey, self._overall, now))
                return (domain, 0.0) if wait <= 0.0 else (None, _again_in(wait))
            least = min(least, wait)
        self._line.leave(journey)
        return None, _again_in(max(own, least))

    def _domain_wait(self, journey: int, domain: str, now: float) -> float:
        found = None if domain in self._near else self._domains.get(domain)
        if found is None:
            return 0.0
        closed = max(found.doubt_until, found.rest_until) - now
        return closed if closed > 0.0 else found.line.wait(journey, found.bucket, now)

    def spend(self, journey: int, domain: str, now: float) -> None:
        """A notification leaves."""
        self._overall.wait(now)
        self._overall.take()
        self._line.leave(journey)
        mover = self._mover(journey, now)
        mover.wait(now)
        mover.take()
        if domain not in self._near:
            found = self._domain(domain, now)
            found.bucket.wait(now)
            found.bucket.take()
            found.line.leave(journey)
            if found.probing:
                found.doubt_until = now + PROBE_SECONDS

    def answered(self, domain: str, now: float) -> None:
        """Something came from there: it lives.  The rate doubles once a minute."""
        if domain in self._near:
            return
        found = self._domain(domain, now)
        found.doubt_until = now
        if found.probing:
            # Back again: as at the beginning, if it had fallen below that.
            found.probing, found.probes_lost, found.rest_until = False, 0, now
            first = self._rates.domain_per_minute / 60.0
            self._set_rate(found, max(found.bucket.per_second, first))
            found.raised_at = now
        elif now - found.raised_at >= 60.0:
            rate = min(found.bucket.per_second * 2, self._rates.domain_per_minute_max / 60.0)
            self._set_rate(found, rate)
            found.raised_at = now

    def failed(self, domain: str, now: float) -> None:
        """It could not be reached: half the rate, and one probe at a time.

        One outage halves the rate once, however many notifications it costs; each probe that
        fails doubles the rest before the next.
        """
        if domain in self._near:
            return
        found = self._domain(domain, now)
        if not found.probing:
            self._set_rate(found, max(found.bucket.per_second / 2, 1.0 / 600.0))
            found.probing = True
        elif found.doubt_until > now:
            # A probe failed; what was under way before the first failure says nothing new.
            found.probes_lost += 1
            rest = REST_SECONDS * 2 ** min(found.probes_lost - 1, 10)
            found.rest_until = now + min(rest, REST_MAX_SECONDS)
        found.raised_at = now
        found.doubt_until = now

    def set_overall(self, per_second: float) -> None:
        """Change the overall rate while running."""
        self._overall.per_second = per_second
        self._overall.burst = max(1.0, per_second)
        self._line.clear()

    def set_rates(self, rates: Rates) -> None:
        """Change all rates but the overall one, for which see :meth:`set_overall`.

        What a domain has earned or lost stays, up to the new maximum.
        """
        self._rates = rates
        for mover in self._movers.values():
            mover.per_second = rates.per_mover_per_second
            mover.burst = max(1.0, rates.per_mover_per_second)
        for domain in self._domains.values():
            most = rates.domain_per_minute_max / 60.0
            self._set_rate(domain, min(domain.bucket.per_second, most))

    def unreachable(self) -> int:
        """Domains that failed last and have not answered since."""
        return sum(domain.probing for domain in self._domains.values())

    def health(self, most: int) -> list[tuple[str, bool, float]]:
        """(domain, whether it answers, notifications a minute), the unreachable first.

        :param most: so many at most, of the others those spoken to last
        """
        recent = reversed(self._domains.items())
        ordered = sorted(recent, key=lambda pair: not pair[1].probing)  # stable
        return [
            (name, not domain.probing, domain.bucket.per_second * 60.0)
            for name, domain in ordered[:most]
        ]

    def forget(self, journey: int) -> None:
        """A journey ended."""
        self._movers.pop(journey, None)
        self._line.leave(journey)

    def journeys(self) -> int:
        """How many want to speak, or did and have not ended."""
        return len(self._movers)

    def _set_rate(self, domain: _Domain, per_second: float) -> None:
        if per_second != domain.bucket.per_second:
            domain.line.clear()
        domain.bucket.per_second = per_second
        domain.bucket.burst = max(1.0, per_second * BURST_SECONDS)

    def _mover(self, journey: int, now: float) -> _Bucket:
        rate = self._rates.per_mover_per_second
        burst = max(1.0, rate)
        return self._movers.setdefault(journey, _Bucket(rate, burst, burst, now))

    def _domain(self, name: str, now: float) -> _Domain:
        found = self._domains.pop(name, None)
        if found is None:
            rate = self._rates.domain_per_minute / 60.0
            burst = max(1.0, rate * BURST_SECONDS)
            found = _Domain(_Bucket(rate, burst, burst, now), now)
            if len(self._domains) >= self._rates.remembered_domains:
                self._domains.popitem(last=False)
        self._domains[name] = found
        return found


def _again_in(wait: float) -> float:
    """When to ask again: halfway, where the wait is long and may become shorter."""
    return min(wait, max(PROBE_SECONDS, wait / 2), LONGEST_SECONDS)


PROBE_SECONDS = 60.0
"""How long a probe without a word is awaited; a wait up to that is not cut into pieces."""
LONGEST_SECONDS = 300.0
"""The longest wait that :meth:`Pace.next` gives."""
REST_SECONDS = 30.0
REST_MAX_SECONDS = 3600.0
"""The first and the longest rest after a probe that failed."""
MISSED_SECONDS = 10.0
"""Who does not come so long after its turn has lost it."""
BURST_SECONDS = 60.0
"""A minute's allowance may be used at once: four contacts at a domain need not take a minute."""


def estimate(domains: Iterable[tuple[str, int]], rates: Rates, near: Collection[str]) -> float:
    """Seconds until everybody was notified once, if every domain answers.

    :param domains: how many contacts there are at each.
    """
    capacity = 60.0 * min(rates.per_mover_per_second, rates.overall_per_second)
    pairs = list(domains)
    free = float(sum(number for domain, number in pairs if domain in near))
    far = [float(number) for domain, number in pairs if domain not in near]
    # Minute by minute: the allowance of the first minute is there at once, then the rate doubles.
    rate, minutes = rates.domain_per_minute, 0
    credit = rate
    while far and max(far) > credit + rate:
        share = min(1.0, capacity / (free + sum(min(number, credit + rate) for number in far)))
        far = [number - min(number, credit + rate) * share for number in far]
        far = [number for number in far if number > 0.0]
        free -= free * share
        minutes += 1
        rate, credit = min(rate * 2, rates.domain_per_minute_max), 0.0
    left = free + sum(far) - (0.0 if minutes else max(1.0, rates.per_mover_per_second))
    slowest = max((number - credit for number in far), default=0.0) / rate
    return 60.0 * (minutes + max(0.0, left / capacity, slowest))

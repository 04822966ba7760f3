"""The pace on simulated time, and whether the estimate told before keeps its word."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.movers.tally import peak
from component.core.journey.pace import PROBE_SECONDS, SLACK, Pace, Rates, estimate
from sim.model_world import PresCounter

RATES = Rates()
MINUTE = 60.0 * SLACK


class Told:
    """What a simulated journey did: when each notification left, by domain."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.end = 0.0

    def peak(self, domain: str | None, seconds: float) -> int:
        """The most that left within a span."""
        times = (
            self.times[domain] if domain else sorted(t for ts in self.times.values() for t in ts)
        )
        return peak(times, seconds)


def simulate(
    domains: dict[str, int],
    rates: Rates = RATES,
    *,
    near: tuple[str, ...] = (),
    movers: int = 1,
    answers: bool = True,
    step: float = 0.001,
) -> Told:
    """Notify so many at each domain, in turns; every one answers at once, or nobody."""
    pace, told = Pace(rates, near), Told()
    told.times = {domain: [] for domain in domains}
    queues = [Counter(domains) for _ in range(movers)]
    now = 0.0
    while any(queues):
        least = float("inf")
        turn = int(now) % movers  # no mover is always the first
        for number in (*range(turn, movers), *range(turn)):
            queue = queues[number]
            while queue:
                domain, wait = pace.next(number, list(queue), now)
                if domain is None:
                    least = min(least, wait)
                    break
                name = f"{queue[domain]}@{domain}"
                pace.spend(number, domain, now, name)
                told.times[domain].append(now)
                left = queue.pop(domain) - 1
                if left:
                    queue[domain] = left  # last in turn, as the book has it
                if answers:
                    pace.answered(domain, now, number, name)
                told.end = now
        if least != float("inf"):
            now += max(least, step)
    return told


def test_one_mover_speaks_once_a_second() -> None:
    told = simulate({f"d{n}.example": 1 for n in range(300)})
    assert told.peak(None, 60.0) <= 61
    assert told.end == pytest.approx(299, rel=0.01)


def test_a_domain_begins_slowly_and_is_trusted_more_and_more() -> None:
    times = simulate({"big.example": 400}).times["big.example"]
    minutes = Counter(int(time // MINUTE) for time in times)
    assert minutes[0] == RATES.domain_per_minute
    assert all(minutes[n + 1] <= 2 * minutes[n] + 2 for n in range(6))
    assert max(minutes.values()) <= RATES.domain_per_minute_max + 2
    assert times[-1] < 15 * 60


def test_a_silent_domain_is_told_two_a_minute_whatever_minute() -> None:
    told = simulate({"silent.example": 60}, answers=False)
    assert told.peak("silent.example", 60.0) == 2
    assert told.end == pytest.approx(29 * MINUTE, rel=0.01)


def test_no_doubling_while_one_of_the_last_is_silent() -> None:
    """One in two answers: it is as slow as at first."""
    pace, now, told = Pace(RATES), 0.0, 0
    while now < 1800.0:
        domain, wait = pace.next(1, ["half.example"], now)
        if domain is not None:
            pace.spend(1, domain, now, f"{told}@half.example")
            if told % 2:
                pace.answered(domain, now, 1, f"{told}@half.example")
            told += 1
        now += wait
    assert told <= 2 * math.ceil(1800.0 / MINUTE)


def test_one_that_became_silent_is_told_as_slowly_as_at_first() -> None:
    """Until it is trusted; those are people who have not looked."""
    pace, name = Pace(RATES), "d.example"
    for number in range(2):
        pace.spend(1, name, 0.0, f"a{number}")
        pace.answered(name, 1.0, 1, f"a{number}")
    assert pace.wait(1, name, MINUTE + 1) <= 0
    assert pace.health(1) == [(name, True, 4.0)]
    for number in range(2):
        pace.spend(1, name, MINUTE + 2 * number, f"b{number}")
    pace.answered(name, MINUTE + 3, 1, "b0")
    assert pace.wait(1, name, MINUTE + 4) <= MINUTE / 2
    assert pace.wait(1, name, MINUTE + 20) > MINUTE / 2


@dataclass
class Stream:
    """People of one default ejabberd who answer at once, each with a way back that is approved."""

    pace: Pace
    counter: PresCounter = field(default_factory=PresCounter)
    told: int = 0
    lost: int = 0
    """Requests that were dropped."""
    unsure: int = 0
    """Approvals that the pace does not vouch for."""
    dropped: int = 0
    """Approvals that it vouched for, and that were dropped."""

    def run(self, contacts: int, *, delay: float = 0.5) -> float:
        """Tell everybody once; returns when the last one was."""
        now, name = 0.0, "e.example"
        answers: list[tuple[float, int]] = []
        while self.told < contacts:
            domain, wait = self.pace.next(1, [name], now)
            at = now + max(wait, 0.01)
            if domain is not None and self.told < contacts:
                self.pace.spend(1, name, now, f"{self.told}@{name}")
                if self.counter.passes(now):
                    heapq.heappush(answers, (now + delay, self.told))
                else:
                    self.lost += 1
                self.told += 1
                at = now
            while answers and answers[0][0] <= at:
                when, number = heapq.heappop(answers)
                self.pace.answered(name, when, 1, f"{number}@{name}")
                sure = self.pace.approved(name, when)
                passes = self.counter.passes(when)
                self.unsure += not sure
                self.dropped += sure and not passes
            now = at
        return now


@pytest.mark.parametrize("delay", [0.1, 5.0, 40.0, 55.0])
def test_a_default_ejabberd_loses_little_and_nothing_that_nobody_knows_of(delay: float) -> None:
    """No approval is lost that the pace takes for given, and few requests, by trying what it takes.

    The answers come at once, or so late that the next ones are told already.
    """
    stream = Stream(Pace(RATES))
    end = stream.run(100, delay=delay)
    assert stream.dropped == 0
    assert stream.lost <= 25
    assert not stream.pace._domain("e.example", end).trusted
    assert end <= 1.08 * estimate([("e.example", 100)], RATES, ())


def test_a_domain_that_dropped_is_slow_for_a_day() -> None:
    pace, name, now = Pace(RATES), "e.example", 0.0
    pace.spend(1, name, now, "first")
    pace.spend(1, name, now, "second")
    pace.answered(name, now + 1, 1, "second")
    pace.spend(1, name, now + 200, "first", again=True)
    pace.answered(name, now + 201, 1, "first")
    now = 300.0
    while now < 3600.0:
        domain, wait = pace.next(1, [name], now)
        if domain is not None:
            pace.spend(1, name, now, str(now))
            pace.answered(name, now, 1, str(now))
        now += max(wait, 0.1)
    assert pace.health(1) == [(name, True, 2.0)]


def test_a_person_who_answers_a_second_request_late_is_no_counter() -> None:
    pace, name = Pace(RATES), "e.example"
    pace.spend(1, name, 0.0, "first")
    pace.spend(1, name, 200.0, "first", again=True)
    pace.answered(name, 230.0, 1, "first")
    assert pace._domain(name, 230.0).slow_until == 0.0


def test_where_our_own_server_counts_a_contact_costs_three() -> None:
    told = simulate({"d.example": 20}, Rates(counted=True))
    assert told.peak("d.example", 60.0) == 1
    assert told.end == pytest.approx(
        estimate([("d.example", 20)], Rates(counted=True), ()), abs=MINUTE
    )


def test_what_is_withdrawn_keeps_to_the_same_minute() -> None:
    pace, name, now, said = Pace(RATES), "e.example", 0.0, 0
    counter = PresCounter()
    while said < 20:
        wait = pace.may_say(name, now, 2)
        if wait <= 0:
            pace.said(name, now, 2)
            assert counter.passes(now)
            assert counter.passes(now)
            said += 1
        now += wait
    assert now <= 10 * MINUTE


def test_near_domains_are_not_slowed_down() -> None:
    told = simulate({"here.example": 200}, near=("here.example",))
    assert told.end == pytest.approx(199, rel=0.01)


@pytest.mark.parametrize("near", [(), ("d0.example",)])
def test_no_domain_starves(near: tuple[str, ...]) -> None:
    told = simulate({f"d{n}.example": 50 for n in range(10)}, near=near)
    firsts = [times[0] for times in told.times.values()]
    assert max(firsts) <= 15


def test_a_dead_domain_costs_one_probe() -> None:
    pace = Pace(RATES)
    now = 0.0
    pace.spend(1, "dead.example", now)
    pace.failed("dead.example", now + 1)
    probes = []
    while now < 3600:
        wait = pace.wait(1, "dead.example", now)
        if wait <= 0:
            probes.append(now)
            pace.spend(1, "dead.example", now)
            assert pace.wait(1, "dead.example", now) > 0, "one at a time"
            pace.failed("dead.example", now + 1)
            # The bounces of what had left before say nothing new.
            pace.failed("dead.example", now + 1)
        now += max(wait, 1.0)
    assert len(probes) <= 12
    gaps = [b - a for a, b in pairwise(probes)]
    assert gaps[1:] == sorted(gaps[1:]), "the first is as far off as half the rate demands"
    assert gaps[-1] >= 590


def test_a_probe_without_a_word_does_not_close_the_domain() -> None:
    """A domain that is back, where a person only has not looked yet, says nothing at all."""
    pace = Pace(RATES)
    pace.spend(1, "back.example", 0.0)
    pace.failed("back.example", 1.0)
    now = 1.0 + pace.wait(1, "back.example", 1.0)
    pace.spend(1, "back.example", now)
    assert pace.wait(1, "back.example", now + 1) > 0
    later = now + PROBE_SECONDS
    assert pace.wait(1, "back.example", later) <= 2 * MINUTE
    assert pace.wait(1, "back.example", later + 2 * MINUTE) <= 0


def test_an_outage_halves_once_and_answers_bring_the_first_rate_back() -> None:
    pace = Pace(Rates(1000, 1000, 8, 60))
    name = "d.example"
    for number in range(4):
        pace.failed(name, float(number))
        assert pace.health(1) == [(name, False, 4.0)]
    pace.answered(name, 5.0)
    assert pace.health(1) == [(name, True, 8.0)], "as at first"
    assert pace.wait(1, name, 6.0) <= 0


def test_remembered_domains_are_bounded() -> None:
    pace = Pace(Rates(remembered_domains=100))
    for number in range(1000):
        pace.spend(1, f"d{number}.example", 0.0)
    assert len(pace._domains) == 100


def test_a_hundred_thousand_notifications_come_to_an_end() -> None:
    """21 movers of 6000 contacts each: the overall rate is what counts."""
    domains = {f"d{n}.example": 600 for n in range(10)}
    rates = Rates(domain_per_minute=600, domain_per_minute_max=600)
    told = simulate(domains, rates, movers=21, step=1.0)
    assert sum(len(times) for times in told.times.values()) == 126_000
    assert told.peak(None, 1.0) <= 2 * RATES.overall_per_second
    assert told.end == pytest.approx(126_000 / RATES.overall_per_second, rel=0.05)
    for domain in domains:
        assert told.peak(domain, 60.0) <= 2 * 600 + 1


@pytest.mark.parametrize(
    ("counts", "near"),
    [
        ([5], ()),
        ([53], ()),
        ([400], ()),
        ([20] * 10, ()),
        ([150] * 8, ()),
        ([60, 60], ()),
        ([149, 3], ()),
        ([300, 10], ("d0.example",)),
        ([1] * 200, ()),
    ],
)
def test_the_estimate_keeps_its_word(counts: list[int], near: tuple[str, ...]) -> None:
    domains = {f"d{n}.example": count for n, count in enumerate(counts)}
    told = simulate(domains, near=near, answers=False)
    assert told.end <= estimate(domains.items(), RATES, near)
    assert told.end == pytest.approx(estimate(domains.items(), RATES, near), rel=0.05, abs=MINUTE)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 150), min_size=1, max_size=8), near=st.booleans())
def test_the_estimate_is_never_far_off(counts: list[int], near: bool) -> None:
    """A few domains that are all being trusted bit by bit share one mover's second."""
    domains = {f"d{n}.example": count for n, count in enumerate(counts)}
    here = ("d0.example",) if near else ()
    expected = estimate(domains.items(), RATES, here)
    silent, quick = (simulate(domains, near=here, answers=answers) for answers in (False, True))
    assert 0.9 * expected - MINUTE <= silent.end <= 1.1 * expected + 1
    assert quick.end <= silent.end + 1


def test_the_estimate_of_three_domains_that_are_still_slow() -> None:
    domains = {f"d{n}.example": 100 for n in range(3)}
    told = simulate(domains, answers=False)
    assert told.end == pytest.approx(estimate(domains.items(), RATES, ()), rel=0.05, abs=MINUTE)


def test_whoever_waits_for_its_turn_is_not_asked_for_every_token() -> None:
    """Of many journeys that wait for one rate each asks about once for what it may send."""
    movers, each = 500, 3
    pace, now, asked, sent = (
        Pace(Rates(domain_per_minute=6000, domain_per_minute_max=6000)),
        0.0,
        0,
        0,
    )
    due = [(0.0, number, each) for number in range(movers)]
    waited: Counter[int] = Counter()
    while due:
        now, number, left = heapq.heappop(due)
        asked += 1
        domain, wait = pace.next(number, ["one.example", "other.example"], now)
        if domain is None:
            heapq.heappush(due, (now + wait, number, left))
            continue
        pace.spend(number, domain, now)
        sent += 1
        waited[number] = round(now)
        if left > 1:
            heapq.heappush(due, (now, number, left - 1))
    assert sent == movers * each
    assert now == pytest.approx(sent / RATES.overall_per_second, rel=0.05), "no token is wasted"
    assert asked <= 4 * sent
    assert min(waited.values()) >= 0.3 * now, "nobody is served to the end before others begin"


def test_one_domain_that_everybody_waits_for_is_used_to_its_rate() -> None:
    movers = 300
    pace, now, asked, sent = Pace(RATES), 0.0, 0, 0
    due = [(0.0, number) for number in range(movers)]
    while due:
        now, number = heapq.heappop(due)
        asked += 1
        domain, wait = pace.next(number, ["one.example"], now)
        if domain is None:
            heapq.heappush(due, (now + wait, number))
            continue
        pace.spend(number, domain, now)
        pace.answered(domain, now, number)
        sent += 1
    assert sent == movers
    alone = simulate({"one.example": movers}).end
    assert now <= alone * 1.2
    assert asked <= 12 * sent

"""How fast a journey may speak, to whom: pure bookkeeping, the caller brings the time.

Rules (in docs/moving.md for people): one notification a second for each mover, a fixed number
overall, and for each contact domain two contacts a minute until it has shown that it takes more.
ejabberd's mod_pres_counter (on by default) passes 5 subscription presences a minute of one stream
and drops the others without a word.  A contact costs two of them: the request, and our approval of
the way back.  So

* presences are counted, not contacts, over any minute and not from one minute to the next;
* the rate doubles after a minute in which all of the last ones told have answered.  While one of
  them is silent, the domain is told as slowly as at first; who stays silent halves the rate;
* a domain is trusted when so many requests of one minute were answered that no such counter can
  have let them pass; then silence is a person who has not looked yet;
* who answered a second request at once, and not the first, shows that the first was dropped: the
  domain stays slow for a day;
* an approval that may have been dropped is known (:meth:`Pace.approved`), and is the caller's to
  give again.

A domain that cannot be reached is told half as fast, and costs one probe at a time, at growing
intervals: while it is down, nothing else is sent there.  Journeys that wait for the same rate take
turns.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rates:
    """Settings of the ``[movers]`` section that the pace needs."""

    per_mover_per_second: float = 1.0
    overall_per_second: float = 20.0
    domain_per_minute: float = 2.0
    domain_per_minute_max: float = 60.0
    remembered_domains: int = 10_000
    counted: bool = False
    """Whether our own server, too, drops what its users are sent too fast.

    Then a contact costs what their server sends at most: ``subscribed``, ``subscribe``, and
    ``unsubscribed`` to the old account; and no domain is told faster than at first.
    """


class _Source(Protocol):
    """What gives tokens as time passes."""

    def wait(self, now: float, ahead: int = 0) -> float:
        """Seconds until one is there for whoever has so many before them; 0 when it is."""
        ...


@dataclass(slots=True)
class _Bucket:
    """Tokens that refill with time; at most ``burst`` of them."""

    per_second: float
    burst: float
    level: float
    at: float

    def wait(self, now: float, ahead: int = 0) -> float:
        """See :class:`_Source`."""
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = now
        wait = (ahead + 1.0 - self.level) / self.per_second
        # Refilling in small steps leaves a remainder of rounding, which no timer can wait for.
        return 0.0 if wait <= 2e-6 else wait

    def take(self) -> None:
        self.level = max(0.0, self.level - 1.0)


PAIR = 2
"""Contacts that may be told at once, where the rate is not high."""
PRESENCES = 2
"""What a contact costs: the request, and our approval of the way back."""
ANSWERS = 3
"""What it costs our own server, where that counts (:attr:`Rates.counted`)."""
SLACK = 1.1
"""How much longer than it should be a minute is for us: what leaves late may arrive on time."""


@dataclass(slots=True)
class _Window:
    """So many presences in any such time, one of them for an approval that comes late."""

    per_minute: float
    """Contacts."""
    presences: int = PRESENCES
    """That one contact costs."""
    sent: deque[float] = field(default_factory=deque)
    """When presences left."""
    owed: deque[float] = field(default_factory=deque)
    """When contacts were told whose approval is still to come; room is kept for it."""

    @property
    def seconds(self) -> float:
        """How long a presence counts; a second at least: no fast rate is finer than that."""
        return SLACK * max(1.0, 60.0 * PAIR / self.per_minute)

    @property
    def room(self) -> int:
        """Presences that may leave in that time."""
        return PRESENCES * max(PAIR, int(self.per_minute * self.seconds / SLACK / 60.0)) + 1

    @property
    def at_once(self) -> int:
        """Contacts that may be told in that time."""
        return max(1, self.room // self.presences)

    def wait(self, now: float, ahead: int = 0) -> float:
        """See :class:`_Source`; about right where somebody is ahead."""
        return self.until(now, self.presences) + ahead * self.seconds / self.at_once

    def until(self, now: float, presences: int) -> float:
        """Seconds until so many presences may leave."""
        self._forget(now)
        too_many = len(self.sent) + len(self.owed) + presences - self.room
        if too_many <= 0:
            return 0.0
        first = sorted((*self.sent, *self.owed)) if self.owed else self.sent
        if too_many > len(first):
            return self.seconds
        return max(0.0, first[too_many - 1] + self.seconds - now)

    def told(self, now: float) -> None:
        """A request leaves, to be answered by requests of which each is approved."""
        self.sent.append(now)
        self.owed.extend([now] * (self.presences - 1))

    def said(self, now: float, presences: int, *, approval: bool = False) -> bool:
        """Presences leave, whether there is room or not; False where there was none."""
        if approval and self.owed:
            self.owed.popleft()
        self._forget(now)
        self.sent.extend([now] * presences)
        return len(self.sent) <= self.room

    def _forget(self, now: float) -> None:
        # A wait is rounded on its way; what is left of it must not be waited for again and again.
        since = now - self.seconds + 1e-3
        for times in (self.sent, self.owed):
            while times and times[0] <= since:
                times.popleft()


class _Line:
    """Who waits for tokens, and when it is whose turn.

    Without it, of thousands of journeys that wait for one rate each would have to ask for every
    token anew.

    :param strict: a token that somebody has a turn for is not given to whoever asks before.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._turns: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def wait(self, journey: int, source: _Source, now: float) -> float:
        """Seconds until this journey should ask again; 0 when a token is there for it."""
        token = source.wait(now)
        while self._turns and next(iter(self._turns.values())) < now - MISSED_SECONDS:
            self._turns.popitem(last=False)
        turn = self._turns.get(journey)
        if turn is not None:
            return max(token, turn - now) if self._strict or token > 0.0 else 0.0
        ahead = len(self._turns)
        if token <= 0.0 and (not self._strict or source.wait(now, ahead) <= 0.0):
            return 0.0
        wait = source.wait(now, ahead)
        self._turns[journey] = now + wait
        return wait

    def leave(self, journey: int) -> None:
        """It was its turn, or it wants none any more."""
        self._turns.pop(journey, None)

    def clear(self) -> None:
        """The rate has changed: all turns are given anew."""
        self._turns.clear()


Asked = tuple[int, str]
"""A journey, and the contact that it has asked."""


@dataclass(slots=True)
class _Domain:
    slow: _Window
    """The first rate: what is safe everywhere."""
    fast: _Window
    """The rate that it has earned; or lost, where it is below the first."""
    raised_at: float
    line: _Line = field(default_factory=lambda: _Line(strict=False))
    """Not strict: who has a turn here may wait for one of the overall rate still."""
    last: deque[Asked] = field(default_factory=deque)
    """Those told last, a minute's worth."""
    silent: dict[Asked, float] = field(default_factory=dict)
    """Of those: who has not answered, and when they were told."""
    answers: deque[float] = field(default_factory=deque)
    """When those were told who answered last."""
    again: dict[Asked, float] = field(default_factory=dict)
    """Who was asked once more, and when."""
    answered: bool = False
    trusted: bool = False
    rushed: bool = False
    """It has been told faster than at first."""
    slow_until: float = 0.0
    """It drops what comes faster."""
    probing: bool = False
    """It failed last: until it answers, one question at a time."""
    doubt_until: float = 0.0
    """A probe is on its way, and its answer awaited until then."""
    probes_lost: int = 0
    rest_until: float = 0.0
    """Not even a probe before that."""

    @property
    def minute(self) -> float:
        """A minute as the first rate has it: shorter where that was set higher."""
        return self.slow.seconds

    @property
    def worth(self) -> int:
        """How many of the last ones must have answered before it is told faster."""
        return max(PAIR, math.ceil(self.fast.per_minute * self.minute / SLACK / 60.0))

    def source(self, now: float) -> _Window:
        """The rate that counts now."""
        if self.fast.per_minute <= self.slow.per_minute or self.trusted:
            return self.fast
        first = next(iter(self.silent.values()), now)
        return self.fast if now - first <= self.minute * ANSWER_SHARE else self.slow

    def forget_last(self) -> None:
        """Whoever was told at another rate says nothing of this one."""
        self.last.clear()
        self.silent.clear()


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
        found = self._known(domain, now)
        if found is not None:  # who is not known has a minute's allowance
            waits.append(max(found.doubt_until, found.rest_until) - now)
            waits.append(found.source(now).wait(now))
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
        found = self._known(domain, now)
        if found is None:
            return 0.0
        closed = max(found.doubt_until, found.rest_until) - now
        return closed if closed > 0.0 else found.line.wait(journey, found.source(now), now)

    def spend(
        self, journey: int, domain: str, now: float, contact: str = "", *, again: bool = False
    ) -> None:
        """A notification leaves.

        :param again: it was silent where others answered: whether the first was dropped.
        """
        self._overall.wait(now)
        self._overall.take()
        self._line.leave(journey)
        mover = self._mover(journey, now)
        mover.wait(now)
        mover.take()
        if domain in self._near:
            return
        found = self._domain(domain, now)
        found.slow.told(now)
        found.fast.told(now)
        found.line.leave(journey)
        if found.probing:
            found.doubt_until = now + PROBE_SECONDS
        asked = (journey, contact)
        if again:
            late = now - found.minute * ANSWER_SHARE
            found.again = {one: at for one, at in found.again.items() if at >= late}
            found.again[asked] = now
            return
        found.last.append(asked)
        found.silent[asked] = now
        stays_silent = False
        while len(found.last) > found.worth:
            stays_silent |= found.silent.pop(found.last.popleft(), None) is not None
        if stays_silent and not found.trusted and found.fast.per_minute > found.slow.per_minute:
            self._set_rate(found, max(found.fast.per_minute / 2, found.slow.per_minute), now)

    def answered(self, domain: str, now: float, journey: int = 0, contact: str = "") -> None:
        """Something came from there: it lives."""
        if domain in self._near:
            return
        found = self._domain(domain, now)
        found.answered = True
        found.doubt_until = now
        if found.probing:
            # Back again: as at the beginning, if it had fallen below that.
            found.probing, found.probes_lost, found.rest_until = False, 0, now
            self._set_rate(found, max(found.fast.per_minute, self._rates.domain_per_minute), now)
        asked = (journey, contact)
        told, again = found.silent.pop(asked, None), found.again.pop(asked, None)
        if again is not None and now - again <= found.minute * ANSWER_SHARE:
            # They, or their server, answer at once; the first request never got there.
            found.trusted, found.slow_until = False, now + SLOW_SECONDS
            self._set_rate(found, self._rates.domain_per_minute, now)
        elif told is not None:
            self._count_answer(found, told)
        self._raise(found, now)

    def _count_answer(self, found: _Domain, told: float) -> None:
        """Trust a domain that no counter of our first rate's can stand before.

        Within one minute such a counter begins anew once, and so lets through its number twice.
        """
        enough = min(2 * found.slow.room + 1, _ENOUGH)
        found.answers.append(told)
        while len(found.answers) > enough:
            found.answers.popleft()
        span = max(found.answers) - min(found.answers)
        found.trusted |= len(found.answers) == enough and span <= found.minute / SLACK

    def _raise(self, found: _Domain, now: float) -> None:
        """Double the rate where a minute has passed, and all of the last ones have answered."""
        if self._rates.counted or found.probing or found.silent or now < found.slow_until:
            return
        most = max(self._rates.domain_per_minute, self._rates.domain_per_minute_max)
        full = len(found.last) >= found.worth
        if full and now - found.raised_at >= found.minute and found.fast.per_minute < most:
            self._set_rate(found, min(found.fast.per_minute * 2, most), now)
            found.rushed = True

    def approved(self, domain: str, now: float) -> bool:
        """A way back was approved; False where that may have been dropped there.

        It is then to be given again when :meth:`may_approve` says so.
        """
        if domain in self._near:
            return True
        fits = self._say(domain, now, 1, approval=True)
        return fits and not self.drops(domain, now)

    @property
    def minute(self) -> float:
        """Seconds after which whatever was dropped at the first rate is not dropped again."""
        return self._window(self._rates.domain_per_minute).seconds

    def drops(self, domain: str, now: float) -> bool:
        """Whether it has shown that it drops what comes too fast: then others of our server, whom
        nobody counts, may have used it up as well."""
        found = self._domains.get(domain)
        return found is not None and now < found.slow_until

    def may_say(self, domain: str, now: float, presences: int = 1) -> float:
        """Seconds until so many presences may leave that nobody answers; 0 for now."""
        found = self._known(domain, now)
        if found is None:
            return 0.0
        return (found.fast if found.trusted else found.slow).until(now, presences)

    def said(self, domain: str, now: float, presences: int = 1) -> None:
        """So many leave."""
        if domain not in self._near:
            self._say(domain, now, presences)

    def _say(self, domain: str, now: float, presences: int, *, approval: bool = False) -> bool:
        found = self._domain(domain, now)
        found.fast.said(now, presences, approval=approval)
        return found.slow.said(now, presences, approval=approval) or found.trusted

    def doubts(self, domain: str) -> bool:
        """Whether silence there may mean that a request was dropped: others did answer."""
        found = self._domains.get(domain)
        return domain not in self._near and not (found is not None and found.trusted)

    def rushed(self, domain: str) -> bool:
        """Whether it was told faster than at first, and is not known to take that."""
        found = self._domains.get(domain)
        return found is not None and found.rushed and not found.trusted

    def has_answered(self, domain: str) -> bool:
        """Whether anybody there has answered, to any journey."""
        found = self._domains.get(domain)
        return found is not None and found.answered

    def failed(self, domain: str, now: float) -> None:
        """It could not be reached: half the rate, and one probe at a time.

        One outage halves the rate once, however many notifications it costs; each probe that
        fails doubles the rest before the next.
        """
        if domain in self._near:
            return
        found = self._domain(domain, now)
        if not found.probing:
            self._set_rate(found, max(found.fast.per_minute / 2, 0.1), now)
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
        if rates.counted != self._rates.counted:
            self._domains.clear()  # what was found out was found out at another price
        self._rates = rates
        for mover in self._movers.values():
            mover.per_second = rates.per_mover_per_second
            mover.burst = max(1.0, rates.per_mover_per_second)
        for domain in self._domains.values():
            if domain.slow.per_minute != rates.domain_per_minute:
                domain.slow.per_minute = rates.domain_per_minute
                domain.line.clear()
            most = min(domain.fast.per_minute, rates.domain_per_minute_max)
            self._set_rate(domain, most, domain.raised_at)

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
            (name, not domain.probing, domain.fast.per_minute) for name, domain in ordered[:most]
        ]

    def forget(self, journey: int) -> None:
        """A journey ended."""
        self._movers.pop(journey, None)
        self._line.leave(journey)

    def journeys(self) -> int:
        """How many want to speak, or did and have not ended."""
        return len(self._movers)

    def estimate(self, domains: Iterable[tuple[str, int]], now: float) -> float:
        """Seconds until everybody was notified once, if every domain can be reached.

        It is what it takes at most: a domain that answers is told faster and faster.

        :param domains: how many contacts there are at each.
        """
        capacity = min(self._rates.per_mover_per_second, self._rates.overall_per_second)
        pairs = [(domain, number) for domain, number in domains if number > 0]
        total = sum(number for _, number in pairs)
        together = max(0.0, total - max(1.0, self._rates.per_mover_per_second)) / capacity
        return max([together, *(self._time(*pair, now) for pair in pairs)])

    def _time(self, domain: str, contacts: int, now: float) -> float:
        if domain in self._near:
            return 0.0
        found = self._known(domain, now)
        if found is None:
            window = self._window(self._rates.domain_per_minute)
            return self._rounds(contacts, window)
        window = found.fast if found.trusted or found.probing else found.slow
        others = max(0, len(found.line) - 1)
        return max(0.0, window.wait(now)) + self._rounds(contacts + others, window)

    @staticmethod
    def _rounds(contacts: int, window: _Window) -> float:
        """With one more than it takes, for what is dropped where more is tried."""
        rounds = math.ceil(contacts / window.at_once)
        return 0.0 if rounds <= 1 else rounds * window.seconds

    def _set_rate(self, domain: _Domain, per_minute: float, now: float) -> None:
        if per_minute != domain.fast.per_minute:
            domain.line.clear()
            domain.forget_last()
            domain.fast.per_minute = per_minute
        domain.raised_at = now

    def _mover(self, journey: int, now: float) -> _Bucket:
        rate = self._rates.per_mover_per_second
        burst = max(1.0, rate)
        return self._movers.setdefault(journey, _Bucket(rate, burst, burst, now))

    def _window(self, per_minute: float) -> _Window:
        return _Window(per_minute, ANSWERS if self._rates.counted else PRESENCES)

    def _known(self, domain: str, now: float) -> _Domain | None:
        """A domain that was spoken to; None where no rate of its own holds."""
        found = None if domain in self._near else self._domains.get(domain)
        if found is not None:
            self._raise(found, now)
        return found

    def _domain(self, name: str, now: float) -> _Domain:
        found = self._domains.pop(name, None)
        if found is None:
            first = self._rates.domain_per_minute
            found = _Domain(self._window(first), self._window(first), now)
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
ANSWER_SHARE = 1 / 6
"""Of a minute: how soon whoever answers at once has answered."""
SLOW_SECONDS = 86_400.0
"""How long a domain that has dropped requests is not told faster."""
_ENOUGH = 1000
"""Answers that prove a domain where the first rate was set so high that nothing has to."""


def estimate(domains: Iterable[tuple[str, int]], rates: Rates, near: Collection[str]) -> float:
    """The same of a journey that has not begun, where nothing is known of the domains."""
    return Pace(rates, near).estimate(domains, 0.0)

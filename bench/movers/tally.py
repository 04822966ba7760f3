"""What is counted in a simulated shutdown, and what comes of it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.movers.town import Size, Town
from component.core.journey.model import JourneyContact

SHARES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that one domain was sent."""

    domain: str
    contacts: int
    in_a_minute: int
    in_a_second: int
    last: float
    """When its last contact was told for the first time, in seconds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a shutdown.  Times in seconds of the simulation."""

    model: str
    """What was real: ``engine``, or ``pace`` (the pace, the machines and the book alone)."""
    size: Size
    seed: int
    told_share: tuple[tuple[float, float], ...]
    """(share of those who could be told at all, when so many had been told)."""
    sent: int
    """Notifications that left, retries included."""
    retries: int
    shown: int
    """Contacts that were told."""
    twice: int
    """Contacts that were told more than once."""
    longest_wait: float
    """Of one mover, from the order to the first notification of their last contact."""
    median_wait: float
    longest_silence: float
    """Of one mover, from the order to the first notification of anybody."""
    peak_overall: int
    """The most that left within one second."""
    peaks: tuple[Peak, ...]
    """Of each domain, the largest first."""
    states: tuple[tuple[str, int], ...]
    """How many contacts are in each state in the end."""
    progress: tuple[tuple[float, int], ...]
    """(seconds, contacts told by then)."""
    unreadable: int = 0
    """Notifications that left while the statement could not be read."""
    saves: int = 0
    """Transactions."""
    looks: int = 0
    """Rosters that were read."""
    guards: int = 0
    """Looks at a statement."""

    def until(self, share: float) -> float:
        """When this share of all that could be told had been told."""
        return dict(self.told_share)[share]


class Tally:
    """Counts notifications as they leave and arrive.  Movers and contacts are bare JIDs."""

    def __init__(self) -> None:
        self.sent: dict[str, list[float]] = defaultdict(list)
        """When notifications left, by domain."""
        self.asked: dict[tuple[str, str], list[float]] = defaultdict(list)
        """When a notification left, by (mover, contact)."""
        self.shown: Counter[tuple[str, str]] = Counter()
        """How often a contact, or its server on its behalf, was told of the move."""
        self.shown_at: list[float] = []
        """When each was for the first time."""

    def left(self, mover: str, contact: str, now: float) -> None:
        """A notification left."""
        self.sent[contact.partition("@")[2]].append(now)
        self.asked[mover, contact].append(now)

    def arrived(self, mover: str, contact: str, now: float) -> None:
        """A contact, or its server on its behalf, was told."""
        self.shown[mover, contact] += 1
        if self.shown[mover, contact] == 1:
            self.shown_at.append(now)

    def outcome(
        self,
        model: str,
        size: Size,
        seed: int,
        town: Town,
        contacts: Iterable[JourneyContact],
        **counted: int,
    ) -> Outcome:
        """Everything in figures.

        Args:
            contacts: of all movers, as they are in the end.
            counted: ``unreadable``, ``saves``, ``looks``, ``guards``, where they are counted.
        """
        firsts = {pair: times[0] for pair, times in self.asked.items()}
        waits, silences = _waits(town, firsts)
        shown_at = sorted(self.shown_at)
        last: dict[str, float] = {}
        for (_, contact), at in firsts.items():
            domain = contact.partition("@")[2]
            last[domain] = max(at, last.get(domain, 0.0))
        peaks = tuple(
            Peak(name, number, peak(self.sent[name], 60.0), peak(self.sent[name], 1.0), last[name])
            for name, number in town.shares().most_common()
            if name in last
        )
        states = Counter(contact.state.value for contact in contacts)
        return Outcome(
            model=model,
            size=size,
            seed=seed,
            told_share=tuple((s, shown_at[max(0, round(s * len(shown_at)) - 1)]) for s in SHARES),
            sent=sum(map(len, self.sent.values())),
            retries=sum(len(times) - 1 for times in self.asked.values()),
            shown=len(self.shown),
            twice=sum(times > 1 for times in self.shown.values()),
            longest_wait=max(waits),
            median_wait=statistics.median(waits),
            longest_silence=max(silences),
            peak_overall=peak(sorted(t for times in self.sent.values() for t in times), 1.0),
            peaks=peaks,
            states=tuple(sorted(states.items(), key=lambda pair: -pair[1])),
            progress=_progress(shown_at),
            **counted,
        )


def _waits(town: Town, firsts: dict[tuple[str, str], float]) -> tuple[list[float], list[float]]:
    """Of each mover: until the last contact was told, and until the first was."""
    by_mover: dict[str, list[float]] = {}
    for (mover, _), at in firsts.items():
        by_mover.setdefault(mover.partition("@")[0], []).append(at)
    begins = town.begins
    return (
        [max(times) - begins[name] for name, times in by_mover.items()],
        [min(times) - begins[name] for name, times in by_mover.items()],
    )


def peak(times: Iterable[float], seconds: float) -> int:
    """The most of these (ascending) moments within any span of so many seconds."""
    window: deque[float] = deque()
    most = 0
    for time in times:
        window.append(time)
        while window[0] <= time - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def _progress(moments: Sequence[float], points: int = 200) -> tuple[tuple[float, int], ...]:
    step = max(1, len(moments) // points)
    return tuple((moments[n], n + 1) for n in range(0, len(moments), step))

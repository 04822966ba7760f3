"""Who leaves, whom they know, and how the servers of those are: all of it made from a seed."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

from sim.model_world import Manner

HOUR = 3600.0
OLD_HOST, NEW_HOST = "closing.example", "welcome.example"
"""The server that shuts down, and the one that all its users move to; we serve both."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated.  The defaults are a public server that closed in 2023 in size."""

    users: int = 7000
    contacts: int = 18
    """Of each user."""
    domains: int = 2500
    """Of all contacts; how often each occurs falls as 1/rank (Zipf's law)."""
    begin_seconds: float = 600.0
    """All users have begun by then."""
    hours: float = 10.0
    """For how long is looked on: retries after one and six hours are among them."""
    restarts: int = 2
    """How often the component is killed and started again in the first six hours."""

    @property
    def notifications(self) -> int:
        """Contacts to be told."""
        return self.users * self.contacts


@dataclass(slots=True)
class Domain:
    """A contacts' server."""

    name: str
    rank: int
    delay: float
    """Seconds that a stanza needs to it, and back."""
    outages: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it cannot be reached, in seconds."""
    refuses: bool = False
    """It answers every request with an error (``policy-violation``)."""

    @property
    def dead(self) -> bool:
        """It never comes back."""
        return any(end == math.inf for _, end in self.outages)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of one mover."""

    jid: str
    manner: Manner
    hesitates: float
    """Seconds until a person decides, where one does."""


@dataclass(frozen=True, slots=True)
class Town:
    """Everybody."""

    domains: dict[str, Domain]
    movers: dict[str, list[Contact]]
    """By the name of the account."""
    begins: dict[str, float]
    """When each mover gives the order."""
    restarts: tuple[float, ...]

    def shares(self) -> Counter[str]:
        """How many contacts are at each domain."""
        return Counter(c.jid.partition("@")[2] for known in self.movers.values() for c in known)


_MANNERS = ((Manner.FOLLOWS, 50), (Manner.ACCEPTS, 35), (Manner.REFUSES, 3), (Manner.SILENT, 12))
"""What contacts, or their servers, do, in percent."""


def build(size: Size, seed: int) -> Town:
    """The same for the same seed."""
    chance = random.Random(seed)
    domains = [_domain(rank, chance) for rank in range(1, size.domains + 1)]
    weights = list(accumulate(1 / domain.rank for domain in domains))
    movers: dict[str, list[Contact]] = {}
    begins: dict[str, float] = {}
    for number in range(size.users):
        name = f"u{number}"
        places = chance.choices(domains, cum_weights=weights, k=size.contacts)
        movers[name] = [
            _contact(f"{name}c{n}@{place.name}", chance) for n, place in enumerate(places)
        ]
        begins[name] = chance.uniform(0, size.begin_seconds)
    restarts = sorted(chance.uniform(HOUR / 4, 6 * HOUR) for _ in range(size.restarts))
    return Town({domain.name: domain for domain in domains}, movers, begins, tuple(restarts))


def _domain(rank: int, chance: random.Random) -> Domain:
    """One in ten is slow, one in twenty away for a while, one in fifty of the small ones dead,
    one in a hundred refuses; of the three largest the third is away for two hours."""
    domain = Domain(f"d{rank}.example", rank, chance.uniform(0.05, 0.5))
    lot, slow = chance.random(), chance.random()
    if slow < 0.1:
        domain.delay = chance.uniform(5, 60)
    if rank == 3:
        domain.outages.append((HOUR / 2, 2.5 * HOUR))
    elif rank > 3 and lot < 0.05:
        begin = chance.uniform(0, 6 * HOUR)
        domain.outages.append((begin, begin + math.exp(chance.uniform(6.4, 11.6))))
    elif rank > 50 and lot < 0.07:
        domain.outages.append((0.0, math.inf))
    elif rank > 10 and lot < 0.08:
        domain.refuses = True
    return domain


def _contact(jid: str, chance: random.Random) -> Contact:
    manner = chance.choices([m for m, _ in _MANNERS], [n for _, n in _MANNERS])[0]
    return Contact(jid, manner, chance.lognormvariate(math.log(2 * HOUR), 1.5))

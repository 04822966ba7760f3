"""A larger server on paper: what was measured, multiplied in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What one notification, and one move in memory, cost."""

    engine_cpu: float
    """Seconds of one core for each contact."""
    server_cpu: float
    """The same of the XMPP server, with short rosters."""
    journal_bytes: float
    """For each contact."""
    idle_mib: float
    """Of an instance without moves."""
    move_bytes: float
    """Memory of one move with its contacts."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A server that closes."""

    users: int
    contacts: int = 18
    domains: int = 10_000
    hours: float = 24.0
    """How long telling everybody may take."""

    @property
    def notifications(self) -> int:
        """Contacts to be told."""
        return self.users * self.contacts

    @property
    def largest(self) -> float:
        """Contacts at the largest domain, where the n-th has 1/n of the first (Zipf's law)."""
        return self.notifications / sum(1 / rank for rank in range(1, self.domains + 1))


CORE_SHARE = 0.5
"""Of one core, that an instance may use for this: the rest is for everything else."""
INSTANCE_MIB = 1024.0
"""What an instance may use."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What carries a shutdown."""

    shutdown: Shutdown
    default_hours: float
    """With limits as they are by default."""
    default_bound: str
    """Which of them decides."""
    overall_per_second: float
    """Needed, to be done in time; over all instances."""
    domain_per_minute_max: float
    """Needed at the largest domain, in the same time."""
    cores: float
    """Of all instances together, while it lasts."""
    server_cores: float
    memory_mib: float
    """Of all instances together, where all moves begin at once."""
    journal_mib: float
    instances: int
    """That carry it, in processor and memory; two at least for safety are not counted here."""
    waves: int
    """In how many parts one instance can do it."""


def plan(
    shutdown: Shutdown,
    measured: Measured,
    *,
    overall_per_second: float = 20.0,
    domain_per_minute_max: float = 60.0,
) -> Plan:
    """Limits, processors and instances for a shutdown.

    Args:
        overall_per_second, domain_per_minute_max: the limits that there are.
    """
    seconds = shutdown.hours * 3600.0
    by_overall = shutdown.notifications / overall_per_second
    by_domain = shutdown.largest / (domain_per_minute_max / 60.0)
    rate = shutdown.notifications / seconds
    cores = rate * measured.engine_cpu
    moves_mib = shutdown.users * measured.move_bytes / 2**20
    room = INSTANCE_MIB - measured.idle_mib
    return Plan(
        shutdown,
        max(by_overall, by_domain) / 3600.0,
        "overall_per_second" if by_overall >= by_domain else "domain_per_minute_max",
        rate,
        shutdown.largest / seconds * 60.0,
        cores,
        rate * measured.server_cpu,
        moves_mib + measured.idle_mib,
        shutdown.notifications * measured.journal_bytes / 2**20,
        max(1, math.ceil(cores / CORE_SHARE), math.ceil(moves_mib / room)),
        max(1, math.ceil(moves_mib / room)),
    )

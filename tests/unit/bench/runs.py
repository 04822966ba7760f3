"""Rows of runs that never were, for what judges them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.soak.rows import Event, Sample, What

Line = Callable[[float], float]


def flat(value: float) -> Line:
    """Always the same."""
    return lambda at: value


HUNDRED, SIXTEEN, THREE, QUICK = flat(100.0), flat(16), flat(3), flat(0.02)
HALF_A_MILLION = flat(500_000)


def samples(
    seconds: float,
    *,
    memory: Line = HUNDRED,
    blocks: Line = HALF_A_MILLION,
    descriptors: Line = SIXTEEN,
    threads: Line = THREE,
) -> list[Sample]:
    """One each ten seconds."""
    return [
        Sample(
            at=float(at),
            resident=memory(at),
            anonymous=memory(at) - 20,
            descriptors=int(descriptors(at)),
            threads=int(threads(at)),
            cpu=at * 0.05,
            database=at * 1000,
            wal=4_000_000,
            server_resident=60.0,
            server_cpu=at * 0.5 % 300,
            load=1.0,
            blocks=int(blocks(at)),
            waited=at * 0.5,
        )
        for at in range(0, int(seconds) + 1, 10)
    ]


def moves(seconds: float, latency: Line = QUICK, every: float = 10.0) -> list[Event]:
    """Moves that are followed and whole."""
    events: list[Event] = []
    for number in range(int(seconds / every)):
        asked = number * every
        ended = asked + latency(asked)
        events.append(Event(asked, What.ASKED, number))
        events.append(Event(ended, What.FOLLOWED, number))
        events.append(Event(ended, What.SETTLED, number))
    return events


def restart(at: float, away: float = 2.0, until_back: float = 10.0) -> list[Event]:
    """The server goes and comes."""
    return [
        Event(at, What.STOP),
        Event(at + away, What.START),
        Event(at + away + until_back, What.BACK),
    ]


def in_order(*parts: Sequence[Event]) -> list[Event]:
    """As a run would have written them."""
    return sorted((event for part in parts for event in part), key=lambda event: event.at)

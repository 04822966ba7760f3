"""What happens to the network in one schedule: made from a seed, so that it can be had again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.live.faults.proxy import BOTH, FaultProxy, Healing, Way

SENDERS = 4
"""Requests that arrive while the faults go on."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: ``at`` in seconds from the beginning."""

    at: float
    fault: str
    way: Way | None = None
    """None where it is both, or has no direction."""
    seconds: float = 0.0
    """Of latency."""

    def apply(self, proxy: FaultProxy) -> None:
        """Do it."""
        match self.fault:
            case "latency":
                proxy.latency(self.seconds)
            case "crumbs":
                proxy.crumbs()
            case "cut":
                proxy.cut(self.way or Way.UP)
            case "reset":
                proxy.reset()
            case "hole":
                proxy.hole(frozenset([self.way]) if self.way else BOTH)
            case "heal":
                proxy.heal()


@dataclass(frozen=True, slots=True)
class Schedule:
    """``moves`` are the seconds at which requests are sent; ``restart`` is stop, kill or nothing,
    at the end of ``seconds``; then everything heals, ``healing`` saying how."""

    seed: int
    seconds: float
    steps: tuple[Step, ...]
    moves: tuple[float, ...]
    healing: Healing
    restart: str | None

    def __str__(self) -> str:
        steps = ", ".join(
            f"{step.at:.2f} {step.fault}{f' {step.way}' if step.way else ''}" for step in self.steps
        )
        moves = " ".join(f"{at:.2f}" for at in self.moves)
        return (
            f"seed {self.seed}: [{steps}] for {self.seconds:.2f} s, healing {self.healing}, "
            f"restart {self.restart or '-'}, requests at {moves}"
        )


_FAULTS = ("latency", "crumbs", "cut", "reset", "hole", "hole", "heal")


def schedule_of(seed: int) -> Schedule:
    """The schedule of a seed; each fourth restarts the server, in turn in order and by SIGKILL."""
    dice = random.Random(seed)
    seconds = dice.uniform(1.0, 3.0)
    steps = [
        Step(
            dice.uniform(0, seconds * 0.8),
            dice.choice(_FAULTS),
            dice.choice([None, *Way]),
            dice.uniform(0.02, 0.4),
        )
        for _ in range(dice.randint(1, 4))
    ]
    moves = tuple(sorted(dice.uniform(0, seconds) for _ in range(SENDERS)))
    healing = dice.choice([Healing.LATE, Healing.RESET, Healing.STALE])
    restart = None
    if seed % 4 == 3:
        restart = "kill" if seed % 8 == 7 else "stop"
        # The machine of a server that is gone resets what was connected to it: not even a network
        # that has forgotten the connection can leave it as it was.
        healing = Healing.RESET if healing is Healing.STALE else healing
    return Schedule(
        seed,
        seconds,
        tuple(sorted(steps, key=lambda step: step.at)),
        moves,
        healing,
        restart,
    )

"""Every point that the scenes reach, taken many times; ``python -m tests.live.crash.campaign``."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from tests.live.crash import elsewhere, following, forgetting, handing, moving
from tests.live.crash.points import Target
from tests.live.crash.theatre import Scene, Theatre
from tests.live.servers.differences import KINDS

SCENES: Mapping[str, Callable[[Theatre], Scene]] = {
    scene.__name__: scene
    for scene in (
        following.Move,
        following.Unstated,
        following.Asking,
        following.Undoing,
        following.Returning,
        following.Governing,
        forgetting.Forgotten,
        forgetting.Half,
        moving.Journey,
        moving.Copying,
        moving.Stopping,
        moving.TakingBack,
        elsewhere.Leaving,
        elsewhere.Arriving,
        handing.Fetched,
        elsewhere.Afterwards,
    )
}
_SLOW = frozenset({"Forgotten", "Half", "Leaving", "Arriving", "Fetched", "Afterwards"})
"""Left to the points that nothing else reaches."""
_EACH = 4
"""Scenes that a point is looked for in."""
_DEATHS = 10
"""In one play at most."""
_ROUNDS = 3
"""Attempts to take what a plan that came to its end has missed."""

Reached = Mapping[str, Sequence[str]]
"""By scene, the points that it reaches, in order."""


async def survey(theatre: Theatre) -> Reached:
    """Play every scene to its end, without a death."""
    reached: dict[str, Sequence[str]] = {}
    for name, scene in SCENES.items():
        await theatre.play(scene(theatre))
        reached[name] = theatre.daemon.reached
    return reached


def points_of(reached: Reached) -> list[str]:
    """All of them, each once."""
    return sorted(set().union(*reached.values()))


@dataclass(frozen=True, slots=True)
class Trial:
    """One play with its deaths."""

    scene: str
    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return f"{self.scene}, {', '.join(map(str, self.targets))}"


def trials(
    reached: Reached,
    times: int,
    seed: int,
    *,
    wanted: Callable[[str], bool] = lambda point: True,
    deaths: int = _DEATHS,
) -> list[Trial]:
    """Each wanted point this many times: in different scenes, at different places, mixed."""
    dice = random.Random(seed)
    demanded: dict[str, list[str]] = {name: [] for name in reached}
    for point in filter(wanted, points_of(reached)):
        names = [name for name, points in reached.items() if point in points]
        quick = [name for name in names if name not in _SLOW] or names
        for name in islice(cycle(quick[:_EACH]), times):
            demanded[name].append(point)
    planned: list[Trial] = []
    for name, points in demanded.items():
        dice.shuffle(points)
        for start in range(0, len(points), deaths):
            part = points[start : start + deaths]
            planned.append(Trial(name, _targets(reached[name], part, dice)))
    dice.shuffle(planned)
    return planned


def lacking(
    reached: Reached, taken: Counter[str], times: int, wanted: Callable[[str], bool]
) -> list[Trial]:
    """A play for each death that a point lacks, alone: others before it may keep it off."""
    plays: list[Trial] = []
    for point in filter(wanted, points_of(reached)):
        names = [name for name, points in reached.items() if point in points]
        lacks = max(0, times - taken[point])
        plays += [Trial(name, (Target(point),)) for name in islice(cycle(names), lacks)]
    return plays


def _targets(
    order: Sequence[str], points: Sequence[str], dice: random.Random
) -> tuple[Target, ...]:
    """A place for each point, in the order in which a play comes by."""
    places = sorted(
        (dice.choice([n for n, reached in enumerate(order) if reached == point]), point)
        for point in points
    )
    targets: list[Target] = []
    since = -1
    for place, point in places:
        count = sum(reached == point for reached in order[since + 1 : place + 1])
        targets.append(Target(point, max(1, count)))
        since = place
    return tuple(targets)


@dataclass
class Figures:
    """What many deaths came to."""

    taken: Counter[str] = field(default_factory=Counter)
    """Deaths at each point."""
    missed: int = 0
    """Plays that did not come by their point."""
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        least = min(self.taken.values(), default=0)
        return (
            f"{self.taken.total()} deaths at {len(self.taken)} points, each at least {least} times;"
            f" {self.missed} plays passed their point by; {len(self.failed)} failed"
        )


async def attempt(theatre: Theatre, trial: Trial, figures: Figures) -> None:
    """Play; points that a death before them made unreachable are taken in plays of their own."""
    left = await _play(theatre, trial, figures)
    for target in left:
        for _ in range(2):
            alone = Trial(trial.scene, (Target(target.point),))
            if not await _play(theatre, alone, figures):
                break
            figures.missed += 1


async def _play(theatre: Theatre, trial: Trial, figures: Figures) -> Sequence[Target]:
    """Play once; the targets that are left, none where it failed."""
    try:
        taken = await theatre.play(SCENES[trial.scene](theatre), trial.targets)
    except Exception as error:
        told = f"{trial}: {type(error).__name__}: {error}\n"
        figures.failed.append(told + "".join(traceback.format_tb(error.__traceback__)[-3:]))
        return ()
    figures.taken.update(target.point for target in taken)
    return trial.targets[len(taken) :]


async def campaign(
    kind: str,
    folder: Path,
    *,
    plan: Callable[[Reached], Sequence[Trial]],
    say: Callable[[str], None] = lambda line: None,
    more: Callable[[Reached, Counter[str]], Sequence[Trial]] = lambda reached, taken: (),
) -> tuple[Reached, Figures]:
    """Survey, then every planned trial, or a part of them, on one long-lived server.

    :param more: what is to be tried yet, by the deaths until now; asked a few times at the end.
    """
    figures = Figures()
    async with Theatre(KINDS[kind], folder).running() as theatre:
        reached = await survey(theatre)
        began = time.monotonic()
        planned = plan(reached)
        for _ in range(1 + _ROUNDS):
            for number, trial in enumerate(planned, 1):
                failed = len(figures.failed)
                await attempt(theatre, trial, figures)
                if len(figures.failed) > failed:
                    say(figures.failed[-1])
                if number % 5 == 0 or number == len(planned):
                    say(f"{number}/{len(planned)}, {time.monotonic() - began:.0f} s: {figures}")
            planned = more(reached, figures.taken)
    return reached, figures


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.live.crash.campaign", description=__doc__)
    parser.add_argument("--server", default="prosody-0.12", choices=list(KINDS))
    parser.add_argument("--times", type=int, default=20, help="deaths at each point")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deaths", type=int, default=_DEATHS, help="in one play, at most")
    parser.add_argument("--only", default="", help="a part of a point's name")
    parser.add_argument("--keep", type=Path, help="a folder for logs and data")
    given = parser.parse_args(arguments)

    def wanted(point: str) -> bool:
        return given.only in point

    def plan(reached: Reached) -> Sequence[Trial]:
        return trials(reached, given.times, given.seed, wanted=wanted, deaths=given.deaths)

    def more(reached: Reached, taken: Counter[str]) -> Sequence[Trial]:
        return lacking(reached, taken, given.times, wanted)

    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reached, figures = asyncio.run(
            campaign(
                given.server,
                folder,
                plan=plan,
                more=more,
                say=lambda line: print(line, flush=True),
            )
        )
    print(f"{given.server}, {len(points_of(reached))} points: {figures}")
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())

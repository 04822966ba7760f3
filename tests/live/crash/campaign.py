"""Every point that the scenes reach, taken many times; ``python -m tests.live.crash.campaign``."""

from __future__ import annotations

import argparse
import asyncio
import json
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
from typing import Any

from bench.about import commit
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
        elsewhere.Withdrawing,
        elsewhere.Arriving,
        handing.Fetched,
        elsewhere.Afterwards,
    )
}
_SLOW = frozenset(
    {"Forgotten", "Half", "Leaving", "Withdrawing", "Arriving", "Fetched", "Afterwards"}
)
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
    taken: Counter[str] | None = None,
    wanted: Callable[[str], bool] = lambda point: True,
    deaths: int = _DEATHS,
) -> list[Trial]:
    """Each wanted point this many times: in different scenes, at different places, mixed.

    :param taken: deaths that there were before, and that need not be again.
    """
    dice = random.Random(seed)
    demanded: dict[str, list[str]] = {name: [] for name in reached}
    for point in filter(wanted, points_of(reached)):
        names = [name for name, points in reached.items() if point in points]
        quick = [name for name in names if name not in _SLOW] or names
        lacks = max(0, times - taken[point]) if taken else times
        for name in islice(cycle(quick[:_EACH]), lacks):
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


class Book:
    """Deaths of several runs in a file, a line for each play: a run that is broken off goes on.

    :param path: made where it is not there.
    :param server: whose deaths count.
    """

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        self._about = {"server": server, "commit": commit()}

    def deaths(self) -> Counter[str]:
        """Of all runs until now, by point."""
        return Counter(point for play in self._plays() for point in play["deaths"])

    @property
    def failed(self) -> int:
        """Plays of all runs that came to no good end; none of their deaths counts."""
        return sum("failed" in play for play in self._plays())

    def add(self, scene: str, points: Sequence[str]) -> None:
        """A play has come to a good end."""
        self._write({"scene": scene, "deaths": points})

    def fail(self, trial: Trial, why: str) -> None:
        """A play has not."""
        self._write({"scene": trial.scene, "deaths": [], "failed": f"{trial}: {why}"})

    def _plays(self) -> list[dict[str, Any]]:
        lines = self._path.read_text().splitlines() if self._path.exists() else ()
        plays: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [play for play in plays if play["server"] == self._about["server"]]

    def _write(self, play: Mapping[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({**self._about, **play}) + "\n")


@dataclass
class Figures:
    """What many deaths came to."""

    taken: Counter[str] = field(default_factory=Counter)
    """Deaths at each point."""
    missed: int = 0
    """Plays that did not come by their point."""
    failed: list[str] = field(default_factory=list)
    book: Book | None = None
    """Gets each death too."""

    def add(self, scene: str, taken: Sequence[Target]) -> None:
        """The deaths of a play that has come to a good end."""
        points = [target.point for target in taken]
        self.taken.update(points)
        if self.book is not None:
            self.book.add(scene, points)

    def fail(self, trial: Trial, error: Exception) -> None:
        """A play that came to no good end."""
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_tb(error.__traceback__)[-3:])
        self.failed.append(f"{trial}: {told}\n{trace}")
        if self.book is not None:
            self.book.fail(trial, told)

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
        figures.fail(trial, error)
        return ()
    figures.add(trial.scene, taken)
    return trial.targets[len(taken) :]


async def campaign(
    kind: str,
    folder: Path,
    *,
    plan: Callable[[Reached], Sequence[Trial]],
    say: Callable[[str], None] = lambda line: None,
    more: Callable[[Reached, Counter[str]], Sequence[Trial]] = lambda reached, taken: (),
    book: Book | None = None,
) -> tuple[Reached, Figures]:
    """Survey, then every planned trial, or a part of them, on one long-lived server.

    :param more: what is to be tried yet, by the deaths until now; asked a few times at the end.
    :param book: deaths of earlier runs, which count; gets those of this one.
    """
    figures = Figures(book.deaths() if book is not None else Counter(), book=book)
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
    parser.add_argument("--book", type=Path, help="a file for the deaths of several runs, as one")
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        default=(1, 1),
        metavar=("NUMBER", "OF"),
        help="which part of the plays, where several runs of one seed keep one book at a time; "
        "what is lacking then is for a run of its own",
    )
    given = parser.parse_args(arguments)
    book = Book(given.book, given.server) if given.book is not None else None
    number, of = given.share

    def wanted(point: str) -> bool:
        return given.only in point

    def plan(reached: Reached) -> Sequence[Trial]:
        before = book.deaths() if book is not None else None
        planned = trials(
            reached, given.times, given.seed, taken=before, wanted=wanted, deaths=given.deaths
        )
        return planned[number - 1 :: of]

    def more(reached: Reached, taken: Counter[str]) -> Sequence[Trial]:
        return lacking(reached, taken, given.times, wanted) if of == 1 else ()

    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reached, figures = asyncio.run(
            campaign(
                given.server,
                folder,
                plan=plan,
                more=more,
                say=lambda line: print(line, flush=True),
                book=book,
            )
        )
    print(f"{given.server}, {len(points_of(reached))} points: {figures}")
    if book is not None:
        print(f"{given.book}: {book.failed} plays failed in all runs")
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())

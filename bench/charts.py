"""Pictures of the parts, as SVG: the same figures give the same file.

The only module of the parts that needs matplotlib: import it where a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0b6e4f", "#c1440e", "#4a6fa5", "#a0a0a0", "#8a5a83", "#d9a400")
"""Of the first, second, ... series: ours comes first."""

Point = tuple[float, float, float, float]
"""x, y, and the least and the greatest y of all rounds."""


def figure(width: float = 8, height: float = 3.2, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty picture with plots beside each other; sizes in inches."""
    # Letters stay letters; ids do not differ from run to run.
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    made = Figure(figsize=(width, height), layout="constrained")
    return made, list(made.subplots(1, columns, squeeze=False)[0])


def save(made: Figure, path: Path) -> str:
    """Write it; returns the name, for ``Part.pictures``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, format="svg", metadata={"Date": None})
    return path.name


def lines(
    axes: Axes,
    series: Mapping[str, Sequence[Point]],
    labels: tuple[str, str],
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Series of points with their spread; ``labels`` are those of x and y."""
    for colour, (name, points) in zip(COLOURS, series.items(), strict=False):
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        spread = ([p[1] - p[2] for p in points], [p[3] - p[1] for p in points])
        axes.errorbar(xs, ys, yerr=spread, color=colour, label=name, marker="o", ms=3, capsize=2)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _finish(axes, labels)


def bars(
    axes: Axes,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Point | None]],
    labels: tuple[str, str],
) -> None:
    """A bar for each series in each group (None: no bar); x of the points does not count."""
    width = 0.8 / max(1, len(series))
    for number, (name, points) in enumerate(series.items()):
        known = [(at, point) for at, point in enumerate(points) if point is not None]
        axes.bar(
            [at + (number + 0.5) * width - 0.4 for at, _ in known],
            [point[1] for _, point in known],
            width * 0.92,
            yerr=(
                [point[1] - point[2] for _, point in known],
                [point[3] - point[1] for _, point in known],
            ),
            color=COLOURS[number % len(COLOURS)],
            label=name,
            error_kw={"elinewidth": 0.8, "capsize": 1.5},
        )
    axes.set_xticks(range(len(groups)), groups)
    _finish(axes, labels)


def _finish(axes: Axes, labels: tuple[str, str]) -> None:
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)

"""The pictures of a run, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.soak.evaluate import Result
from bench.soak.rows import Sample

# The same rows give the same file, letters stay letters.
mpl.rcParams.update({"svg.hashsalt": "soak", "svg.fonttype": "none", "font.size": 9})
_OURS, _THEIRS, _SECOND = "#0b6e4f", "#a0a0a0", "#c1440e"


def memory(path: Path, result: Result, samples: Sequence[Sample]) -> None:
    """Resident memory of the component, what Python holds of it, and the server's memory."""
    figure, (ours, held, theirs) = _figure(3)
    minutes = [sample.at / 60 for sample in samples]
    ours.plot(minutes, [s.resident for s in samples], color=_OURS, label="component, resident")
    ours.plot(minutes, [s.anonymous for s in samples], color=_SECOND, label="of it no files")
    ours.set_ylim(0, 1.15 * max(s.resident for s in samples))
    known = [s for s in samples if s.blocks]
    held.plot(
        [s.at / 60 for s in known],
        [s.blocks / 1000 for s in known],
        color=_OURS,
        label="blocks that Python has handed out",
    )
    held.set_ylim(0, 1.15 * max((s.blocks / 1000 for s in known), default=1.0))
    held.set_ylabel("thousands")
    running = [s for s in samples if s.server_resident]
    theirs.plot(
        [s.at / 60 for s in running],
        [s.server_resident for s in running],
        color=_THEIRS,
        label="server, resident (each restart begins anew)",
    )
    theirs.set_ylim(0, 1.15 * max((s.server_resident for s in running), default=1.0))
    for axes in (ours, theirs):
        axes.set_ylabel("MiB")
    _save(figure, path, result, (ours, held, theirs))


def latency(path: Path, result: Result, samples: Sequence[Sample]) -> None:
    """From the request to the push, by minute; and how busy the machine was."""
    figure, (times, counts, load) = _figure(3)
    known = [minute for minute in result.minutes if minute.p50 is not None]
    middles = [minute.number + 0.5 for minute in known]
    times.plot(middles, [(m.p99 or 0) * 1e3 for m in known], color=_SECOND, label="p99")
    times.plot(middles, [(m.p50 or 0) * 1e3 for m in known], color=_OURS, label="p50")
    times.set_yscale("log")
    times.set_ylabel("ms")
    every = [minute.number + 0.5 for minute in result.minutes]
    followed = [minute.followed for minute in result.minutes]
    others = [minute.asked - minute.followed for minute in result.minutes]
    counts.bar(every, followed, width=0.9, color=_OURS, label="followed")
    counts.bar(every, others, 0.9, followed, color=_SECOND, label="not followed")
    counts.set_ylabel("moves a minute")
    busy = [sample.load for sample in samples]
    load.plot([s.at / 60 for s in samples], busy, color=_THEIRS, label="load of the whole machine")
    steps = [(early, late) for early, late in pairwise(samples) if late.at > early.at]
    waits = [(late.waited - early.waited) / (late.at - early.at) for early, late in steps]
    label = "share of time in which something waited for the disk"
    load.plot([late.at / 60 for _, late in steps], waits, color=_SECOND, label=label)
    load.set_ylim(0, 1.15 * max(1.0, *busy))
    _save(figure, path, result, (times, counts, load))


def files(path: Path, result: Result, samples: Sequence[Sample]) -> None:
    """Descriptors and threads; the journal."""
    figure, (counts, sizes) = _figure(2)
    minutes = [sample.at / 60 for sample in samples]
    counts.plot(minutes, [s.descriptors for s in samples], color=_OURS, label="descriptors")
    counts.plot(minutes, [s.threads for s in samples], color=_SECOND, label="threads")
    counts.set_ylim(bottom=0)
    sizes.plot(minutes, [s.database / 2**20 for s in samples], color=_OURS, label="database")
    sizes.plot(minutes, [s.wal / 2**20 for s in samples], color=_SECOND, label="WAL")
    sizes.set_ylabel("MiB")
    _save(figure, path, result, (counts, sizes))


def _figure(rows: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 2.2 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, 1, sharex=True))


def _save(figure: Figure, path: Path, result: Result, plots: Sequence[Axes]) -> None:
    for axes in plots:
        for number, away in enumerate(result.restarts):
            axes.axvline(
                away.stop / 60,
                color="#d8d8d8",
                linewidth=0.8,
                zorder=0,
                label=None if number else "restart",
            )
        axes.set_xlim(0, result.seconds / 60)
        axes.legend(loc="lower right", fontsize=8)
    plots[-1].set_xlabel("minutes")
    figure.savefig(path, format="svg", metadata={"Date": None})

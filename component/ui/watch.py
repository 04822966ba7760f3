"""``moves --watch``: moves that run, as bars on a terminal or as a line per change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from component.core.journey.model import ContactState, JourneyState, Progress
from component.ui.as_json import journey_row
from component.ui.control import Control, read_progress
from component.ui.show import safe
from component.ui.show_journeys import ALL_PAUSED, COLOURS
from component.ui.terminal import printable
from component.ui.words import counts_words, duration_words, journey_name

BAR_COLUMNS: Final = 24
ENDED_KEPT: Final = 10
"""Moves that ended while one watched and are still shown."""


class Screen(Protocol):
    """Where changes are shown."""

    def all_paused(self) -> None:
        """At the beginning: an admin has paused all moves."""

    def show(self, progress: Progress) -> None:
        """A move is now so far."""


async def follow(
    control: Control, screen: Screen, wanted: Callable[[Progress], bool], *, until_done: bool
) -> None:
    """Show the moves that run and every change of them, until the component stops.

    :param wanted: which moves to show
    :param until_done: return as soon as none of those that were seen can go on by itself
    :raises CommandFailed: the component was stopped, or is of another release
    """
    answer = await control.ask("watch")
    open_ones: set[int] = set()

    def note(progress: Progress) -> None:
        if not wanted(progress):
            return
        screen.show(progress)
        if progress.journey.state.final:
            open_ones.discard(progress.journey.id)
        else:
            open_ones.add(progress.journey.id)

    if isinstance(answer, dict) and answer.get("paused"):
        screen.all_paused()
    # Oldest first, so that the lines stand in the order in which the moves began.
    for given in reversed(_journeys(answer)):
        note(read_progress(given))
    if until_done and not open_ones:
        return
    async for progress in control.changes():
        note(progress)
        if until_done and not open_ones:
            return


def _journeys(answer: Any) -> list[Any]:
    given = answer.get("journeys") if isinstance(answer, dict) else None
    return given if isinstance(given, list) else []


@contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """Bars where the console is a terminal that can redraw, else lines."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(lambda line: print(line, file=console.file, flush=True))
        return
    # Redrawn when something changes, and by nothing else: no thread, no flicker.
    with Live(console=console, auto_refresh=False) as live:
        board = Board(live.refresh, live.console.print)
        live.update(board)
        yield board


class Lines:
    """A plain line for each change that can be seen."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], datetime] | None = None):
        self._write = write
        self._now = now or _utc_now
        self._last: dict[int, str] = {}

    def all_paused(self) -> None:
        """Say so."""
        self._write(ALL_PAUSED)

    def show(self, progress: Progress) -> None:
        """Write a line, unless it would say what the last one of this move said."""
        line = progress_line(progress)
        if self._last.get(progress.journey.id) != line:
            self._last[progress.journey.id] = line
            self._write(f"{self._now().strftime('%H:%M:%S')} {line}")


class JsonLines:
    """A JSON object for each change, in a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def all_paused(self) -> None:
        """Nothing: each line is a move."""

    def show(self, progress: Progress) -> None:
        """Write it."""
        row = journey_row(progress.journey, progress.counts)
        more = {
            "seconds_left": progress.seconds_left,
            "by_hand": list(progress.by_hand),
            "again": progress.again,
        }
        self._write(json.dumps({**row, **more}, ensure_ascii=False))


class Board:
    """All moves that were seen, as a table with a bar each.

    :param redraw: called after each change
    :param say: writes a line above the table
    """

    def __init__(self, redraw: Callable[[], None], say: Callable[[str], None]) -> None:
        self._redraw = redraw
        self._say = say
        self._rows: dict[int, Progress] = {}

    def all_paused(self) -> None:
        """Say so, above the table."""
        self._say(ALL_PAUSED)

    def show(self, progress: Progress) -> None:
        """Take in a change, and draw."""
        journey = progress.journey.id
        if progress.journey.state.final:
            self._rows.pop(journey, None)  # so that it stands after those that ended before
        self._rows[journey] = progress
        ended = [id for id, row in self._rows.items() if row.journey.state.final]
        for old in ended[:-ENDED_KEPT]:
            del self._rows[old]
        self._redraw()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows:
            yield Text("No move is running.")
            return
        rows = sorted(self._rows.values(), key=lambda row: row.journey.state.final)
        room = max(1, (options.height or console.height) - 2)
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(5):
            table.add_column(overflow="fold")
        for row in rows[:room]:
            table.add_row(*_cells(row))
        yield table
        if len(rows) > room:
            yield Text(f"and {len(rows) - room} more", style="dim")


def _cells(progress: Progress) -> Iterator[Text | ProgressBar]:
    journey = progress.journey
    yield Text(journey_name(journey.id), style="bold")
    yield safe(f"{journey.old} → {journey.new}")
    done, total = achieved(progress)
    yield ProgressBar(total=max(total, 1), completed=done if total else 1, width=BAR_COLUMNS)
    yield Text(state_words(progress), style=COLOURS.get(journey.state, ""))
    yield Text(counts_words(progress.counts))


def achieved(progress: Progress) -> tuple[int, int]:
    """How many contacts have been notified (or, in an undo, put back), and how many are to be."""
    counts = progress.counts
    total = progress.total - counts.get(ContactState.SKIPPED, 0)
    if progress.journey.state in (JourneyState.UNDOING, JourneyState.UNDONE):
        return counts.get(ContactState.RESTORED, 0), total
    waiting = counts.get(ContactState.QUEUED, 0) + counts.get(ContactState.SENDING, 0)
    return max(0, total - waiting), total


def state_words(progress: Progress) -> str:
    """The state, how far it is, and how long it will take: ``notifying 3/30, about 5 min left``."""
    done, total = achieved(progress)
    words = f"{progress.journey.state.value} {done}/{total}"
    if progress.all_paused:
        words += ", all are paused"
    elif progress.seconds_left is not None and progress.journey.state.running:
        words += f", {duration_words(progress.seconds_left)} left"
    if progress.again:
        words += f", {progress.again} told again"
    return words


def progress_line(progress: Progress) -> str:
    """How far a move is, in one line."""
    journey = progress.journey
    line = (
        f"{journey_name(journey.id)} {journey.old} → {journey.new}: {state_words(progress)}; "
        f"{counts_words(progress.counts)}"
    )
    if journey.detail and not journey.state.running:
        line += f" ({journey.detail})"
    return printable(line)


def _utc_now() -> datetime:
    return datetime.now(UTC)

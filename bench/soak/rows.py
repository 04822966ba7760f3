"""The rows of a run: written as it goes, read when it is judged.

A run that is cut short leaves whole rows, and is judged by them: a request that was asked and has
no end there is not counted as lost when the run was stopped before its time to wait was over.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO


class What(StrEnum):
    """What happened."""

    ASKED = "asked"
    """The mover's new account sent its subscription request; ``number`` names it from now on."""
    FOLLOWED = "followed"
    """The contact's roster, as told to the contact's device, lets the new address see them."""
    RELEASED = "released"
    """The contact was shown an ordinary request; ``why`` is the journal's reason."""
    SETTLED = "settled"
    """The contact's roster is whole: the new address is ``both``, the old one sees nothing."""
    UNSENT = "unsent"
    """The server stopped before it had the request: the mover's own roster does not know it."""
    LOST = "lost"
    """The server had it, and the contact saw nothing of it."""
    GONE = "gone"
    """The same, but the server stopped meanwhile and had not asked the component yet."""
    AGAIN = "again"
    """The mover's yes to the contact's own request was lost; the contact asked once more."""
    HALF = "half"
    """It has an end, but the contact's roster was not whole in time."""
    NOTICE = "notice"
    """The component told the contact something."""
    STOP = "stop"
    """The server is being stopped."""
    START = "start"
    """The server serves again."""
    BACK = "back"
    """Everybody is logged in again."""
    DROPPED = "dropped"
    """A stream ended although the server was not being stopped."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of ``events.csv``; ``at`` is seconds since the run began."""

    at: float
    what: What
    number: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of ``samples.csv``: memory in MiB, files in bytes, CPU in seconds."""

    at: float
    resident: float
    anonymous: float
    descriptors: int
    threads: int
    cpu: float
    database: int
    wal: int
    server_resident: float
    server_cpu: float
    load: float
    """Of the whole machine, its average over a minute (getloadavg(3))."""
    blocks: int = 0
    """That the component's Python has handed out, by its own metrics; 0: not asked."""
    waited: float = 0.0
    """Seconds in which something on the machine waited for its disk, in all (/proc/pressure/io)."""


class Rows:
    """The files of a run, each row flushed."""

    EVENTS, SAMPLES = "events.csv", "samples.csv"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files: list[TextIO] = []
        self._events = self._open(folder / self.EVENTS, Event)
        self._samples = self._open(folder / self.SAMPLES, Sample)

    def event(self, event: Event) -> None:
        """Write a row."""
        self._events.writerow([f"{event.at:.4f}", event.what, event.number, event.why])
        self._files[0].flush()

    def sample(self, sample: Sample) -> None:
        """Write a row."""
        self._samples.writerow([_short(getattr(sample, f.name)) for f in fields(sample)])
        self._files[1].flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _open(self, path: Path, kind: type[Event] | type[Sample]) -> Any:
        file = path.open("w", newline="")
        self._files.append(file)
        writer = csv.writer(file)
        writer.writerow([f.name for f in fields(kind)])
        return writer


def read_events(folder: Path) -> list[Event]:
    """All whole rows, in order."""
    return [
        Event(float(row["at"]), What(row["what"]), int(row["number"]), row["why"])
        for row in _read(folder / Rows.EVENTS)
    ]


def read_samples(folder: Path) -> list[Sample]:
    """All whole rows, in order."""
    return [
        Sample(
            at=float(row["at"]),
            resident=float(row["resident"]),
            anonymous=float(row["anonymous"]),
            descriptors=int(row["descriptors"]),
            threads=int(row["threads"]),
            cpu=float(row["cpu"]),
            database=int(row["database"]),
            wal=int(row["wal"]),
            server_resident=float(row["server_resident"]),
            server_cpu=float(row["server_cpu"]),
            load=float(row["load"]),
            blocks=int(row.get("blocks") or 0),
            waited=float(row.get("waited") or 0.0),
        )
        for row in _read(folder / Rows.SAMPLES)
    ]


def _read(path: Path) -> Sequence[dict[str, str]]:
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]  # the last row of a run that was killed may be half
    return list(csv.DictReader(whole.splitlines()))


def _short(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)

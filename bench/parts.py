"""A part of ``docs/lab/performance.md``: what one measurement found, kept as JSON.

Each measurement writes its own part and its own pictures; ``python -m bench --render`` puts all
parts together.  ``make bench-check`` compares the ratios.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from bench import about

FOLDER = Path(__file__).parent / "results"
"""Where parts are."""
DOCS = Path(__file__).parent.parent / "docs" / "lab"
"""Where ``performance.md`` is."""
PICTURES = DOCS / "performance"
"""Where its pictures are."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are shown as they are: whoever makes them rounds them and names the unit."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]

    def markdown(self) -> str:
        """As GitHub shows it."""
        lines = [" | ".join(self.columns), "|".join("---" for _ in self.columns)]
        lines += [" | ".join(str(cell) for cell in row) for row in self.rows]
        return "".join(f"| {line} |\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Part:
    """What one measurement found.

    Args:
        name: of the file, ``bench/results/NAME.json``.
        title: heading in the page.
        text: Markdown in front of the tables: what was measured, and how.
        command: makes it anew.
        began: when, see ``about.today``.
        commit: see ``about.commit``.
        machine: see ``about.machine``.
        tables: in the page's order.
        ratios: what ``make bench-check`` guards.  Without unit, and **bigger is better**: moves/s
            of ours by theirs, CPU seconds of theirs by ours.
        pictures: names of SVG files in ``PICTURES``.
        notes: sentences behind the tables, one item each.
    """

    name: str
    title: str
    command: str
    began: str
    commit: str
    machine: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    ratios: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def write(self, folder: Path = FOLDER) -> Path:
        """Keep it; returns the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        whole = asdict(self)
        whole["ratios"] = {name: round(ratio, 3) for name, ratio in self.ratios.items()}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def read(cls, name: str, folder: Path = FOLDER) -> Part:
        """Raises OSError where there is none, TypeError where it is of another form."""
        whole = json.loads((folder / f"{name}.json").read_text())
        whole["tables"] = tuple(
            Table(table["title"], tuple(table["columns"]), tuple(map(tuple, table["rows"])))
            for table in whole["tables"]
        )
        for key in ("pictures", "notes"):
            whole[key] = tuple(whole[key])
        return cls(**whole)


def names(folder: Path = FOLDER) -> Sequence[str]:
    """All parts there are, in alphabetical order."""
    return sorted(path.stem for path in folder.glob("*.json"))


class Origin(TypedDict):
    """The fields of a part that say where it comes from: ``Part(..., **origin)``."""

    command: str
    began: str
    commit: str
    machine: str


def origin(module: str) -> Origin:
    """Of a part that begins now.

    Args:
        module: what follows ``python -m``.
    """
    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "began": about.today(),
        "commit": about.commit(),
        "machine": about.machine(),
    }

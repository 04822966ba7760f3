"""``docs/lab/performance.md``: all parts, in one page."""

from __future__ import annotations

from pathlib import Path

from bench import parts
from bench.parts import Part

_FIRST = ("contacts-prosody", "contacts-ejabberd", "profile", "movers", "idle")
"""How the names of parts begin that come first, in this order; others follow by name."""

_INTRODUCTION = """\
# How fast it is

Written by `python -m bench --render` from `bench/results/*.json`; each part names the command
that makes it anew, and the machine it ran on. `make bench` measures the contact side and renders
this page. Times belong to the machine. Ratios are of variants that took turns in one run, and are
what counts: `make bench-check` measures the most important of them anew and fails where one is more
than 15 % worse than here.
"""


def page(folder: Path) -> str:
    """The whole page, from the parts in ``folder``."""
    found = {name: Part.read(name, folder) for name in parts.names(folder)}
    order = sorted(found, key=lambda name: (_rank(name), name))
    return "\n".join([_INTRODUCTION, *(_chapter(found[name]) for name in order)])


def render(docs: Path = parts.DOCS, folder: Path = parts.FOLDER) -> Path:
    """Write ``performance.md`` from the parts in ``folder``; returns its path."""
    path = docs / "performance.md"
    path.write_text(page(folder))
    return path


def _rank(name: str) -> int:
    ranks = (rank for rank, start in enumerate(_FIRST) if name.startswith(start))
    return next(ranks, len(_FIRST))


def _chapter(part: Part) -> str:
    blocks = [f"## {part.title}\n"]
    if part.text:
        blocks.append(part.text.strip() + "\n")
    blocks.append(f"`{part.command}`, begun {part.began}; commit {part.commit}; {part.machine}\n")
    for picture in part.pictures:
        words = Path(picture).stem.replace("-", " ")
        blocks.append(f"![{words}]({parts.PICTURES.name}/{picture})\n")
    for table in part.tables:
        blocks.append(f"### {table.title}\n\n{table.markdown()}")
    if part.notes:
        blocks.append("".join(f"* {note}\n" for note in part.notes))
    if part.ratios:
        rows = "".join(f"| {name} | {ratio:.2f} |\n" for name, ratio in part.ratios.items())
        blocks.append(f"### Guarded ratios (bigger is better)\n\n| | |\n|---|---|\n{rows}")
    return "\n".join(blocks)

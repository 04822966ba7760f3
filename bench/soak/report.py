"""The verdict on the terminal, and the report in a folder of documents."""

from __future__ import annotations

import importlib
from pathlib import Path

from bench.soak.about import About
from bench.soak.evaluate import Check, evaluate
from bench.soak.rows import read_events, read_samples


def conclude(folder: Path, docs: Path | None, remark: str = "") -> int:
    """Judge the run in ``folder``, write the report where one is wanted; the exit status.

    :param remark: what the report says of the circumstances of this run
    """
    events, samples = read_events(folder), read_samples(folder)
    result = evaluate(events, samples)
    for check in result.checks:
        print(line(check), flush=True)
    if docs is not None:
        # Only who wants pictures needs the library that draws them.
        pages = importlib.import_module("bench.soak.pages")
        pages.write(docs, About.read(folder), result, samples, remark)
    print("good" if result.ok else "NOT good", flush=True)
    return 0 if result.ok else 1


def line(check: Check) -> str:
    """A check as the terminal shows it."""
    return f"{check.word:>10}  {check.name}: {check.found}" + (
        f" ({check.bound})" if check.bound else ""
    )

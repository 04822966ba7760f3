"""The tables of a profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bench.contacts.ways import Way
from bench.parts import Table

_MOST = 14
"""Rows of a table; the rest is one."""
_LEAST = 0.01
"""Milliseconds of a part that gets a row."""
REST = "all others"

TEXT = """\
Milliseconds of {server}'s processor time for one followed contact, by what took them: {contacts}
contacts of one mover, offline, rosters of 10 entries, {rounds} rounds of each way, as in "The base
case" above, where the ways are explained. The server was looked at only while requests of that way
were under way.
"""
LIBRARIES = """\
**By library** is what `perf record` saw from outside, {hertz} times a second: the server's
programs and libraries, the kernel, and, of Erlang, the modules (`+JPperf map`).
"""
FILES = """\
**By file** is what Prosody saw itself: a hook charges the running function's file with the time
since the last hundred instructions (`mod_bench_profile`). What C does, writing files above all, is
charged to who asked for it or goes on after it: with a roster that is saved, `datamanager`, then
`rostermanager` or the hook's `roster.lib`. The shares are of a run of their own, which the hook
slows down; they are applied to the time that a move takes without it.
"""


def table(title: str, seen: Mapping[Way, Counter[str]], each: Mapping[Way, float | None]) -> Table:
    """What took how much of a move, by way; the largest first.

    Args:
        seen: how often, or for how long, which part was seen.
        each: milliseconds of the server for a move.
    """
    cost = {
        way: {part: count / parts.total() * (each[way] or 0.0) for part, count in parts.items()}
        for way, parts in seen.items()
        if parts
    }
    order = sorted(
        set().union(*cost.values()),
        key=lambda part: -max(of.get(part, 0.0) for of in cost.values()),
    )
    shown = [
        part for part in order[:_MOST] if max(of.get(part, 0.0) for of in cost.values()) >= _LEAST
    ]
    rows = [_row(part, [of.get(part, 0.0) for of in cost.values()]) for part in shown]
    if left := order[len(shown) :]:
        rows.append(_row(REST, [_sum(of, left) for of in cost.values()]))
    rows.append(_row("**together**", [sum(of.values()) for of in cost.values()]))
    return Table(title, ("", *(way.title for way in cost)), tuple(rows))


def _sum(cost: Mapping[str, float], parts: Iterable[str]) -> float:
    return sum(cost.get(part, 0.0) for part in parts)


def _row(name: str, figures: Iterable[float]) -> tuple[str, ...]:
    return (name, *(f"{figure:.2f}" for figure in figures))

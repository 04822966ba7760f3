"""The rows of a server, as a part of ``docs/lab/performance.md``."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.contacts.results import Row, Spread
from bench.contacts.ways import Way
from bench.parts import Origin, Part, Table

_TITLES = {
    "base": "The base case",
    "contacts": "Contacts of one mover, and many movers",
    "roster": "Entries of each contact's roster",
    "statement": "Where the statement is",
    "storage": "Where the server keeps rosters",
    "short rosters": "Short rosters, kept in files and in SQLite",
    "contacts online": "Contacts with devices online",
    "latency": "At a steady rate",
}
_COLUMNS = (
    "",
    "",
    "moves/s",
    "by the in-process module's",
    "by the empty component's",
    "server's CPU, a move",
    "our CPU by the server's",
    "statements asked, a move",
    "verdict, p99",
    "our memory",
)
_TEXT = """\
How fast contacts are followed when somebody moves to another address. The ways take turns on one
{server}, each with a host of its own that has the same users and rosters; a case has several
rounds, and each way is first as often as any other. A figure is the median of the rounds, with the
least and the greatest in brackets; a ratio is that of rounds that ran one after the other. A round
counts only if every contact followed, some {looked_at} rosters that are looked at are right, and
each device was told of each change: else it is *void*.

* **xmpp-moved**: as shipped, with a journal in SQLite. Only `per_domain_per_minute` is higher, or
  it would stop after 600 moves a minute.
* **xmpp-moved, no message**: `[contacts] notice = false`: nobody is told by a message, as nobody is
  by the in-process module. The old address loses its rights all the same; that is no option.
{peer}* **empty component**: answers each question at once, verifies nothing and keeps nothing: no
  component can be faster.
* **ordinary subscription**: a request that is approved {approval}.

The base case: one mover with 500 contacts, all offline; rosters of 10 entries; the server's default
storage; the mover's old and new domain are played by the measurement, so that no time goes into the
mover's own roster. At most {under_way} requests are under way at once. One thing is varied at a
time. Our CPU is that of the component, the server's that of its process. Statements that are asked
for are counted by our own metrics, or where they are played.
"""
_STAND_IN = """\
* **in-process module**: does what the community module mod_auto_moved does; written anew from its
  behaviour, since no Debian package has it. The original names no sender when it asks for a
  statement, so that only accounts of the same host can answer; this one does. It sees to the new
  address alone, and asks as the host: it can verify only statements that anybody may read.
"""
_ORIGINAL = """\
* **in-process module**: the community module mod_auto_moved. It sees to the new address alone, and
  asks for the statement without naming a sender: only accounts of the same host can answer.
"""
_APPROVAL = {
    "prosody": "beforehand (RFC 6121 3.4); no one moves, and\n  nothing is asked in return",
    "ejabberd": "by each contact's client; no one moves, and\n  nothing is asked in return",
}


def part(
    name: str,
    server: str,
    origin: Origin,
    rows: Sequence[Row],
    text: str,
    folder: Path,
    ratios: Mapping[str, float],
) -> Part:
    """Make tables and pictures of rows; the pictures go into ``folder``."""
    axes = list(dict.fromkeys(row.case.axis for row in rows))
    groups = {axis: [row for row in rows if row.case.axis == axis] for axis in axes}
    pictures = [
        _picture(folder / f"{name}-{axis.replace(' ', '-')}.svg", axis, group)
        for axis, group in groups.items()
        if axis not in ("base", "latency") and any(row.rate(w) for row in group for w in Way)
    ]
    return Part(
        name=name,
        title=f"Following contacts: {server}",
        text=text,
        tables=(
            *_aims(rows),
            *(Table(_TITLES[axis], _COLUMNS, tuple(_cells(g))) for axis, g in groups.items()),
            *_latencies(groups.get("latency", [])),
        ),
        ratios=ratios,
        pictures=tuple(pictures),
        **origin,
    )


def merged(new: Part, old: Part) -> Part:
    """A part in which some tables were measured anew; says so in a note.

    The summary goes, since it is of all rows, and so does the note of the measurement that this
    one replaces.
    """
    fresh = {table.title: table for table in new.tables if table.title != AIMS}
    kept = [fresh.pop(table.title, table) for table in old.tables if table.title != AIMS]
    titles = [table.title for table in new.tables if table.title != AIMS] or ["guarded ratios"]
    by = f"Measured anew by `{new.command}`, "
    when = f"{new.began}, commit {new.commit}: {', '.join(titles)}."
    note = " ".join((by + when, *new.notes))
    return replace(
        old,
        tables=(*kept, *fresh.values()),
        ratios={**old.ratios, **new.ratios},
        pictures=tuple(dict.fromkeys((*old.pictures, *new.pictures))),
        notes=(*(former for former in old.notes if not former.startswith(by)), note),
    )


def text(server: str, original_peer: bool, *, looked_at: int, under_way: int) -> str:
    """What stands in front of the tables."""
    kind = server.partition("-")[0]
    peer = (_ORIGINAL if original_peer else _STAND_IN) if kind == "prosody" else ""
    return _TEXT.format(
        server=server,
        peer=peer,
        approval=_APPROVAL[kind],
        looked_at=looked_at,
        under_way=under_way,
    )


def guarded(row: Row) -> dict[str, float]:
    """The ratios of the guarded case; those that could not be measured are left out."""
    ratios: dict[str, float | None] = {}
    server = row.case.setting.server
    for way in (Way.SHIPPED, Way.PLAIN):
        for other in (Way.PEER, Way.LIMIT, Way.FLOOR):
            found = row.ratio(way, other)
            if other is not Way.FLOOR or way is Way.PLAIN:
                ratios[f"moves/s, {way.title} / {other.title}"] = found.median if found else None
            ours, theirs = row.server_cpu(way), row.server_cpu(other)
            if other is not Way.FLOOR:
                ratios[f"server's CPU, {other.title} / {way.title}"] = (
                    theirs / ours if ours and theirs else None
                )
        share = row.own_share(way)
        ratios[f"CPU, server / {way.title}"] = 1 / share if share else None
        asked = row.fetches.get(way)
        ratios[f"moves for each statement asked, {way.title}"] = 1 / asked if asked else None
    return {f"{server}: {name}": ratio for name, ratio in ratios.items() if ratio is not None}


AIMS = "Aims, and the worst case of each"


def _aims(rows: Sequence[Row]) -> Iterable[Table]:
    """The figures of all rows against what they should be."""
    found: list[tuple[str, str, str, str]] = []

    def line(what: str, bound: str, values: list[tuple[float, str]], ok: bool, digits: int) -> None:
        if values:
            value, label = values[0]
            found.append((what, bound, f"{value:.{digits}f} ({label})", "yes" if ok else "**no**"))

    for way in (Way.PLAIN, Way.SHIPPED):
        for other, aim in ((Way.PEER, 1.5), (Way.LIMIT, 0.9)):
            values = sorted(
                (ratio.median, _label(row))
                for row in rows
                if row.case.rate is None and (ratio := row.ratio(way, other)) is not None
            )
            what = f"moves/s, {way.title} by {other.title}"
            line(what, f"at least {aim}", values, bool(values) and values[0][0] >= aim, 2)
        shares = sorted(
            ((s, _label(row)) for row in rows if (s := row.own_share(way)) is not None),
            reverse=True,
        )
        what = f"CPU of {way.title} by the server's"
        line(what, "at most 0.1", shares, bool(shares) and shares[0][0] <= 0.1, 2)
        if way is Way.SHIPPED:
            slow = [
                (row.verdicts[way], _label(row)) for row in rows if row.case.rate and row.good(way)
            ]
            ok = bool(slow) and slow[0][0] <= 2
            line("verdict at 100 moves/s, p99 below, s", "at most 2", slow, ok, 3)
    if found:
        yield Table(AIMS, ("", "aim", "found", "reached"), tuple(found))


def _label(row: Row) -> str:
    return f"{row.case.axis}: {row.case.label}" if row.case.axis != "base" else "base"


def _cells(rows: Iterable[Row]) -> Iterable[tuple[str, ...]]:
    for row in rows:
        for number, (way, samples) in enumerate(row.samples.items()):
            label = "" if number else row.case.label
            rate = row.rate(way)
            if rate is None:
                void = next(sample for sample in samples if not sample.good)
                yield (label, way.title, f"void: {void.followed} of {void.moves} followed",
                       *("" for _ in _COLUMNS[3:]))  # fmt: skip
                continue
            cpu = row.server_cpu(way)
            yield (
                label,
                way.title,
                rate.text(),
                _spread(row.ratio(way, Way.PEER) if way is not Way.PEER else None),
                _spread(row.ratio(way, Way.LIMIT) if way is not Way.LIMIT else None),
                f"{cpu:.2f} ms" if cpu is not None else "",
                f"{row.own_share(way) or 0:.2f}" if way.ours else "",
                _statements(row, way),
                _bound(row.verdicts.get(way)),
                f"{row.resident[way]:.0f} MiB" if way.ours else "",
            )


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else spread.text(2)


def _statements(row: Row, way: Way) -> str:
    if way is Way.FLOOR or way is Way.LIMIT:
        return ""
    count = row.fetches.get(way) or row.statements(way)
    return f"{count:.3f}" if count else ""


def _bound(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return ""
    return f"≤ {seconds * 1e3:g} ms"


def _latencies(rows: Sequence[Row]) -> Iterable[Table]:
    cells = [
        (
            row.case.label if way is next(iter(row.samples)) else "",
            way.title,
            *(
                f"{seconds * 1e3:.0f} ms"
                if (seconds := row.latency(way, p)) is not None
                else "void"
                for p in (0.5, 0.99)
            ),
        )
        for row in rows
        for way in row.samples
    ]
    if cells:
        columns = ("", "", "p50", "p99")
        yield Table("At a steady rate: from request to the end of it", columns, tuple(cells))


def _picture(path: Path, axis: str, rows: Sequence[Row]) -> str:
    # Only who has a picture to draw needs the library for it.
    charts = importlib.import_module("bench.charts")
    made, (plot,) = charts.figure(height=3.0)
    ways = [way for way in Way if any(row.rate(way) for row in rows)]
    series = {
        way.title: [
            (0.0, rate.median, rate.least, rate.most) if (rate := row.rate(way)) else None
            for row in rows
        ]
        for way in ways
    }
    if axis == "roster":
        plot.set_yscale("log")
    charts.bars(plot, [row.case.label for row in rows], series, (_TITLES[axis], "moves/s"))
    return str(charts.save(made, path))

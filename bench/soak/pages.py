"""The report: ``soak.md`` and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.soak import evaluate, pictures
from bench.soak.about import About
from bench.soak.evaluate import Result
from bench.soak.family import PATIENCE
from bench.soak.rows import Sample, What
from bench.soak.run import CONTACTS
from tests.live.faults.run import percentile

_INTRODUCTION = f"""\
# Hours of moves: what is lost, and what grows

This page is written by `make soak MINUTES=120 RATE=20 SERVER=prosody-0.12 RESTART_EVERY=600`, from
the rows that the run left.

One server, the component beside it as an admin runs it (options at their defaults, a journal in
SQLite), and users with real connections. Moves arrive at random times (a Poisson process) that wait
for nobody. In each, the old account says where it moved to, the new account asks a contact with
`<moved/>`, the contact's client is told of the new entry, the new account's client approves the way
back. The server is stopped and started every now and then; everybody logs in again, and it goes on.

* **Followed**: a roster push to the contact's device (or the roster, after a restart) says that the
  new address sees the contact.
* **Whole**: the new address is `both`, and the old one sees nothing any more. At the end each
  contact asks for the roster once more, on a new stream.
* **Released**: the contact was shown an ordinary request. The reason is the journal's; a request
  that the component was never asked about, since it was not connected yet, was not diverted.
* **Lost**: the mover's roster says that the server had the request, and the contact saw nothing of
  it within {PATIENCE:g} s.

## Which moves can go on for ever

An old address is followed to one new address only, few old ones into the same new one, and a return
is no move but takes the last one back. Two plays stay within that with a fixed number of accounts:

* a *ring* goes from A to B to C to A: each old address always moves to the same new one. The
  contacts remove the entry of the address before last, so that each move takes the whole way again.
* every fifth mover is a *commuter*, from A to B and back: each move takes back the one before.

Each mover has {CONTACTS} contacts, and a statement is asked for anew once it is older than the 60 s
for which it is remembered. The movers live on four domains, so that the limit for one domain stays
at its default. The memory of which address was followed where grows with the number of *different*
moves of the last 30 days; here it is full after the first minutes, and no part of the figures.
"""

_MEMORY = ", which is memory: no write is waited for, and no disk stalls"


def write(
    docs: Path, about: About, result: Result, samples: Sequence[Sample], remark: str = ""
) -> None:
    """Write ``soak.md`` and the pictures into a folder; ``remark`` is shown with the run."""
    pictures.memory(docs / "soak-memory.svg", result, samples)
    pictures.latency(docs / "soak-latency.svg", result, samples)
    pictures.files(docs / "soak-files.svg", result, samples)
    parts = [
        _INTRODUCTION,
        _how(about, result, remark),
        _verdict(result),
        _totals(result, samples),
        _quarters(result, samples),
        _restarts(result),
        _bounds(),
    ]
    (docs / "soak.md").write_text("\n".join(parts))


def _how(about: About, result: Result, remark: str) -> str:
    cut = result.seconds < about.minutes * 60 - 1
    memory = _MEMORY if about.files == "tmpfs" else ""
    remarked = f"* {remark}\n" if remark else ""
    return f"""\
## The run

```
{about.command}
```

* begun {about.began}, {result.seconds / 60:.1f} minutes{", cut short" if cut else ""}
* {about.rate:g} moves/s, {about.accounts} accounts, all logged in; restart every \
{about.restart_every:g} s
* server: {about.server}; commit: {about.commit}
* machine: {about.machine}; \
how busy other work kept it is shown with the latency
* files of the server and of the component: {about.files}{memory}
{remarked}"""


def _verdict(result: Result) -> str:
    lines = ["## The verdict", "", "| | found | allowed | |", "|---|---|---|---|"]
    lines += [f"| {c.name} | {c.found} | {c.bound} | {c.word} |" for c in result.checks]
    lines += [
        "",
        "![Memory of the component and of the server](soak-memory.svg)",
        "",
        "![Latency of each minute](soak-latency.svg)",
        "",
        "![Descriptors, threads, journal](soak-files.svg)",
        "",
    ]
    return "\n".join(lines)


def _totals(result: Result, samples: Sequence[Sample]) -> str:
    counts = result.counts
    asked = len(result.fates)
    ours = evaluate.cpu_seconds(samples, lambda sample: sample.cpu)
    theirs = evaluate.cpu_seconds(samples, lambda sample: sample.server_cpu)
    grown = samples[-1].database - samples[0].database
    reasons = ", ".join(f"{why} {count}" for why, count in result.reasons.most_common()) or "-"
    rows = [
        ("moves asked", f"{asked}"),
        ("followed", f"{counts[What.FOLLOWED]}"),
        ("and the roster whole", f"{counts[What.SETTLED]}"),
        ("released, and why", f"{counts[What.RELEASED]}; {reasons}"),
        ("lost", f"{counts[What.LOST]}"),
        ("gone with a stopping server before the component was asked", f"{counts[What.GONE]}"),
        ("a contact's way back lost by a stopping server, asked again", f"{counts[What.AGAIN]}"),
        ("still under way at the end", f"{result.unfinished}"),
        ("sent into a server that was stopping, and sent again", f"{counts[What.UNSENT]}"),
        ("messages of the component to contacts", f"{counts[What.NOTICE]}"),
        ("restarts of the server", f"{len(result.restarts)}"),
        ("CPU of the component for each move", f"{ours / max(1, asked) * 1e3:.2f} ms"),
        ("CPU of the component for each second of the server's", f"{ours / theirs:.2f}"),
        ("journal for each move", f"{grown / max(1, asked) / 1024:.2f} KiB"),
        ("largest WAL", f"{max(sample.wal for sample in samples) / 2**20:.1f} MiB"),
    ]
    return "## In all\n\n| | |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)


def _quarters(result: Result, samples: Sequence[Sample]) -> str:
    lines = [
        "## By quarter",
        "",
        f"Latency: from the request to the push, without the {evaluate.GRACE:g} s after each "
        "restart. Load: of the whole machine, other work included. Disk: the share of the time in "
        "which something waited for it (the kernel's pressure figures).",
        "",
        "| quarter | followed | p50 | p99 | resident, mean | descriptors, most | threads, most "
        "| load, mean | disk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number in range(1, 5):
        span = evaluate.quarter(number, result.seconds)
        latencies = evaluate.undisturbed(result, span)
        mine = [sample for sample in samples if span[0] <= sample.at < span[1]]
        followed = sum(
            fate.what is What.FOLLOWED and span[0] <= fate.asked < span[1]
            for fate in result.fates.values()
        )
        if not latencies or not mine:
            continue
        lines.append(
            f"| {number} | {followed} | {percentile(latencies, 0.5) * 1e3:.0f} ms "
            f"| {percentile(latencies, 0.99) * 1e3:.0f} ms "
            f"| {sum(s.resident for s in mine) / len(mine):.1f} MiB "
            f"| {max(s.descriptors for s in mine)} | {max(s.threads for s in mine)} "
            f"| {sum(s.load for s in mine) / len(mine):.1f} "
            f"| {(mine[-1].waited - mine[0].waited) / max(1.0, mine[-1].at - mine[0].at):.0%} |"
        )
    return "\n".join(lines) + "\n"


def _restarts(result: Result) -> str:
    if not result.restarts:
        return ""
    lines = [
        "## By restart",
        "",
        "Requests from the stop until 30 s after the server was back.",
        "",
        "| at | away | until everybody was logged in | asked | followed | released | lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for away in result.restarts:
        mine = [f for f in result.fates.values() if away.stop <= f.asked < away.start + 30]
        kinds = {what: sum(f.what is what for f in mine) for what in What}
        lines.append(
            f"| {away.stop / 60:.1f} min | {away.start - away.stop:.1f} s "
            f"| {away.back - away.start:.1f} s | {len(mine)} | {kinds[What.FOLLOWED]} "
            f"| {kinds[What.RELEASED]} | {kinds[What.LOST]} |"
        )
    return "\n".join(lines) + "\n"


def _bounds() -> str:
    return f"""\
## The bounds

* **Nothing lost**, and no roster half-way: 0, without exception.
* **Memory**: the slope of the resident memory, by linear regression over the second half, at most
  {evaluate.SLOPE_MIB:g} MiB or {evaluate.SLOPE_PART:.0%} an hour, whichever is more. Less cannot be
  told from the noise of an allocator within two hours; at that rate a process of 100 MiB would take
  four days of steady load to double, and a leak of 15 bytes a move would be seen at 20 moves a
  second. In the first half each restart of the server may set a new mark: much comes at once then,
  and the allocator keeps what the largest burst took; a leak would go on. The journal grows with
  each move, as it must: that is disk, and shown apart.
* **Held by Python**: the slope, over the second half too, of the blocks that its allocator has
  handed out, at most {evaluate.HELD_PART:.0%} an hour: one object left by every fourteenth move
  would be seen at 20 moves a second.
* **Descriptors and threads**: the median of the last quarter at most {evaluate.SPREAD} above that
  of the second.
* **Latency**: the p99 of the last quarter at most {evaluate.SLOWER:g} times that of the second.
  Requests that were under way while the server was away, or sent within {evaluate.GRACE:g} s of its
  return, are left out.
* A run of less than {evaluate.JUDGED_FROM / 60:g} minutes is not judged by what grows.
"""

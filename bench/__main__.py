"""The contact side, measured and written into ``docs/lab/performance.md`` (``make bench``).

With ``--render`` nothing is measured: the page is made of the parts that are there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import pages, parts
from bench.contacts import report
from bench.contacts.cases import Case, cases, guarded, shortened
from bench.contacts.measure import LOOKED_AT, measure
from bench.contacts.play import UNDER_WAY
from bench.contacts.results import Row
from bench.parts import Origin
from tests.live.client import ClientError
from tests.live.daemon import DaemonError
from tests.live.servers.base import ServerError
from tests.live.servers.differences import KINDS

SERVERS = ("prosody-0.12", "ejabberd-24.12")
"""Those that are measured where nothing else is said."""
_QUICK = 5
"""Contacts of a quick run."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--server", action="append", choices=list(KINDS))
    parser.add_argument("--only", metavar="AXIS", action="append", help="'base', 'roster', ...")
    parser.add_argument("--rounds", type=int, help="at most so many for each case")
    parser.add_argument("--contacts", type=int, help="at most so many, and so many movers")
    parser.add_argument("--quick", action="store_true", help="five contacts, one round, no page")
    parser.add_argument(
        "--peer", type=Path, metavar="FOLDER", help="has the original mod_auto_moved.lua"
    )
    args = parser.parse_args()
    if args.render:
        print(pages.render())
        return
    for server in args.server or SERVERS:
        chosen = [*cases(server), guarded(server)]
        if args.only:
            axes = {case.axis for case in chosen}
            if unknown := set(args.only) - axes:
                parser.error(f"no such axis: {', '.join(unknown)}; there are {', '.join(axes)}")
            chosen = [case for case in chosen if case.axis in args.only]
        if args.quick:
            chosen = [shortened(case, contacts=_QUICK, rounds=1) for case in chosen]
        chosen = [
            replace(
                case,
                rounds=min(case.rounds, args.rounds or case.rounds),
                contacts=min(case.contacts, args.contacts or case.contacts),
                movers=min(case.movers, args.contacts or case.movers),
            )
            for case in chosen
        ]
        origin = parts.origin("bench")
        load = os.getloadavg()[0]
        rows, failures = asyncio.run(run(chosen, args.peer))
        if not args.quick:
            _keep(
                server,
                origin,
                rows,
                args.peer is not None,
                _notes(load, args.contacts, failures),
                partial=bool(args.only),
                trial=args.contacts is not None,
            )
    if not args.quick:
        print(pages.render())


async def run(chosen: Sequence[Case], peer: Path | None = None) -> tuple[list[Row], list[str]]:
    """Measure cases, those of one setting with one start of the servers.

    Returns the rows, and a sentence for each case that could not be measured.
    """
    rows: list[Row] = []
    for setting in dict.fromkeys(case.setting for case in chosen):
        group = [case for case in chosen if case.setting == setting]
        with tempfile.TemporaryDirectory(prefix="xmpp-moved-bench-") as folder:
            try:
                async for row in measure(group, Path(folder), peer=peer, tell=_tell):
                    rows.append(row)
            except (ServerError, ClientError, DaemonError, TimeoutError) as error:
                _tell(f"{setting}: {error}")
    done = [row.case for row in rows]
    return rows, [f"Not measured: {c.axis}, {c.label}." for c in chosen if c not in done]


def _tell(line: str) -> None:
    print(line, flush=True)


def _notes(load: float, contacts: int | None, failures: Sequence[str]) -> tuple[str, ...]:
    trial = f"With at most {contacts} contacts, whatever the tables say: a trial."
    busy = f"Load average of other work when it began: {load:.1f}."
    return (busy, *([] if contacts is None else [trial]), *failures)


def _keep(
    server: str,
    origin: Origin,
    rows: Sequence[Row],
    original: bool,
    notes: tuple[str, ...],
    *,
    partial: bool,
    trial: bool,
) -> None:
    name = f"contacts-{server}"
    words = report.text(server, original, looked_at=LOOKED_AT, under_way=UNDER_WAY)
    shown = [row for row in rows if row.case.axis != "guard"]
    ratios = {
        key: ratio
        for row in rows
        if row.case.axis == "guard" and not trial  # what is compared later must be of full size
        for key, ratio in report.guarded(row).items()
    }
    made = report.part(name, server, origin, shown, words, parts.PICTURES, ratios)
    made = replace(made, notes=notes)
    if partial and name in parts.names():
        made = report.merged(made, parts.Part.read(name))
    print(made.write())


if __name__ == "__main__":
    main()

"""Measures the guarded ratios and compares them with the committed ones (``make bench-check``).

Exit status 1 where one was lost.  Times are never compared: they belong to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from bench.__main__ import SERVERS, run
from bench.contacts.cases import guarded
from bench.contacts.report import guarded as ratios
from bench.guard import compare
from bench.parts import Part, names


def main() -> int:
    """Command line; 0: all ratios were kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.check", description=__doc__)
    parser.add_argument("--server", action="append", choices=SERVERS)
    args = parser.parse_args()
    found = []
    for server in args.server or SERVERS:
        name = f"contacts-{server}"
        if name not in names() or not Part.read(name).ratios:
            parser.error(f"nothing is committed for {server}: run python -m bench first")
        rows, _ = asyncio.run(run([guarded(server)]))
        now = ratios(rows[0]) if rows else {}
        found += compare(Part.read(name).ratios, now)
    for finding in found:
        print(finding)
    return 1 if any(finding.lost for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())

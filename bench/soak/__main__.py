"""Hours of moves with the server restarted now and then; exit status 0 where all is well.

The rows are written as the run goes: one that was cut is judged with ``--evaluate FOLDER``.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
from pathlib import Path

from bench import about
from bench.soak import report
from bench.soak.run import Options, Soak
from tests.live.servers.differences import KINDS


def main() -> int:
    """Command line; 0: the verdict is good, 1: it is not."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rate", type=float, default=20, help="moves a second")
    parser.add_argument("--server", default="prosody-0.12", choices=list(KINDS))
    parser.add_argument("--restart-every", type=float, default=600, help="seconds; 0: never")
    parser.add_argument("--folder", type=Path, help="where the rows go; a new one in /tmp if none")
    parser.add_argument("--commit", help="what the report calls this tree, if git does not know")
    parser.add_argument("--docs", type=Path, help="write soak.md and pictures there")
    parser.add_argument("--evaluate", type=Path, metavar="FOLDER", help="judge a run, make none")
    parser.add_argument("--remark", default="", help="what the report says of the circumstances")
    args = parser.parse_args()
    folder = args.evaluate
    if folder is None:
        folder = args.folder or Path(tempfile.mkdtemp(prefix="xmpp-moved-soak-"))
        options = Options(
            minutes=args.minutes,
            rate=args.rate,
            server=args.server,
            restart_every=args.restart_every,
            folder=folder.resolve(),
            command=shlex.join(["python", "-m", "bench.soak", *sys.argv[1:]]),
            commit=args.commit or about.commit(),
        )
        print(f"rows in {options.folder}", flush=True)
        asyncio.run(Soak(options).run())
    return report.conclude(folder, args.docs, args.remark)


if __name__ == "__main__":
    sys.exit(main())

"""The mover side, measured and simulated.

    python -m bench.movers [--only engine|shutdown|page] [--server prosody-0.12 ...]
        [--contacts 500 ...] [--users 7000] [--seed 1] [--only-pace]
        [--code FOLDER]

Results are kept under ``bench/results/movers``; the page is made of all that are there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
from pathlib import Path

import structlog

from bench import pages, parts
from bench.movers import keep, paced
from bench.movers.engine import measure
from bench.movers.page import part
from bench.movers.shutdown import simulate
from bench.movers.town import Size
from tests.live.servers.differences import KINDS

SERVERS = ("prosody-0.12", "ejabberd-24.12")
CONTACTS = (500, 2000, 10_000)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.movers", description=__doc__)
    parser.add_argument("--only", choices=("engine", "shutdown", "page"))
    parser.add_argument("--server", nargs="+", default=SERVERS, choices=list(KINDS))
    parser.add_argument("--contacts", nargs="+", type=int, default=CONTACTS)
    parser.add_argument("--users", type=int, default=Size().users)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only-pace", action="store_true", help="simulate without the engine: minutes, not hours"
    )
    parser.add_argument("--code", type=Path, help="folder with another version of the package")
    args = parser.parse_args()
    origin = parts.origin("bench.movers")
    if args.only in (None, "engine"):
        for server in args.server:
            for contacts in args.contacts:
                cost = asyncio.run(measure(server, contacts, code=args.code))
                keep.keep_cost(cost, origin)
                print(cost, flush=True)
    if args.only in (None, "shutdown"):
        # Millions of log lines, and of objects that all live to the end.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        gc.disable()
        play = paced.simulate if args.only_pace else simulate
        keep.keep_outcome(play(Size(users=args.users), args.seed), origin)
    if args.only in (None, "page"):
        print(part().write())
        print(pages.render())


if __name__ == "__main__":
    main()

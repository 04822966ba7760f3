"""Juliet moves; her contacts watch.  ``python -m tests.demo [--keep]``"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tests.demo.play import Play
from tests.demo.stage import Astray, Stage
from tests.live.daemon import DaemonError
from tests.live.servers.base import ServerError


async def run(keep: bool) -> bool:
    """Play; True if every roster and every message was as it has to be.

    :raises ServerError, DaemonError, RuntimeError: the stage could not be set.
    """
    console = Console()
    began = time.monotonic()
    # Below /tmp since the path of a Unix socket has to be short.
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-demo-", dir="/tmp") as folder:
        stage = Stage(Path(folder), console)
        try:
            try:
                await Play(stage).run()
            except Astray:
                stage.check(bool(stage.wrong), "the play broke off")
            _conclude(stage, time.monotonic() - began)
            if keep:
                await stage.wait_for_visitors()
            return not stage.wrong
        finally:
            await stage.close()


def _conclude(stage: Stage, seconds: float) -> None:
    took = f"({seconds:.1f} s)"
    if not stage.wrong:
        stage.console.print(f"[bold green]Every roster and every message is right[/] {took}.")
        return
    stage.console.print(f"\n[bold red]Not as it has to be[/] {took}:")
    for problem in stage.wrong:
        stage.console.print(f"  [red]✗[/] {escape(problem)}", highlight=False)


def main() -> int:
    """Exit code 0 only if everything is right."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running afterwards")
    logging.basicConfig(level=logging.ERROR)
    try:
        return 0 if asyncio.run(run(parser.parse_args().keep)) else 1
    except (ServerError, DaemonError, RuntimeError) as error:
        print(f"The demo could not be played: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""As much at once as there may be: thousands of requests wait while a user with thousands moves.

An old server that never answers (played by us) holds requests; at the same time one account with so
many contacts moves away, without pacing.

    python -m bench.full [--server prosody-0.12 --server ejabberd-24.12] [--held 5000]
        [--contacts 10000] [--dry]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import pages, parts
from bench.common import favour, server_process, usage
from bench.contact_side import HOST
from bench.idle import CONTACTS, hold, started
from bench.movers.contacts import Contacts
from bench.movers.engine import NEW, OLD, UNPACED, arrange, order, peak_of
from tests.live.servers.base import STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.topology import Arrangement, Topology

BUSY = 100
"""Contacts that have been told before the requests come."""
HOLD_SECONDS = 500.0
"""Within which so many have to be held, by a server that is busy with a roster of thousands."""
DEADLINE_SECONDS = 600.0
"""The longest that the configuration allows."""
AIM = 150
"""MiB."""


class Crowd(Contacts):
    """The mover's contacts; and old accounts that never say a word."""

    def __init__(self, address: str, expected: int) -> None:
        super().__init__(address, expected)
        self.busy = asyncio.Event()
        """:data:`BUSY` contacts have been told."""

    def _handle(self, element: ET.Element) -> None:
        if element.get("type") == "get" and element.get("to", "").startswith("old"):
            return
        super()._handle(element)
        if len(self.requests) >= BUSY:
            self.busy.set()


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of one server; memory is resident MiB of the component."""

    server: str
    start: float
    moving: float
    """The move is under way, nothing is held."""
    full: float
    """So many are held besides."""
    peak: float
    """The most until then."""
    held: int
    told: tuple[int, int]
    """Contacts that had been told when the first request was held, and when the last was."""


async def measure(server: str, held: int, contacts: int) -> Found:
    """All figures of one server.

    Raises RuntimeError where not as many were held, or where the move was over before they were.
    """
    users = [f"c{n}@{HOST}" for n in range(CONTACTS)]
    silent = [f"old{n}@{STRANGER_HOST}" for n in range(max(1, held // CONTACTS))]
    async with _stage(server, silent, users, contacts) as topology:
        daemon, montague = topology.daemon, topology.servers["montague"]
        assert daemon is not None
        start = usage(daemon.pid).resident
        crowd = Crowd(montague.spec.address, contacts)
        await crowd.open()
        try:
            await order(montague)
            await asyncio.wait_for(crowd.busy.wait(), HOLD_SECONDS)
            before, moving = len(crowd.requests), usage(daemon.pid).resident
            waiting = await hold(crowd, montague.spec.address, silent, users, HOLD_SECONDS)
            full, told = usage(daemon.pid).resident, len(crowd.requests)
        finally:
            await crowd.close()
        if waiting < len(silent) * len(users) or told >= contacts:
            raise RuntimeError(
                f"{server}: {waiting} requests were held when {told} of {contacts} had been told"
            )
        return Found(server, start, moving, full, peak_of(daemon.pid), waiting, (before, told))


@contextlib.asynccontextmanager
async def _stage(
    server: str, olds: Sequence[str], users: Sequence[str], contacts: int
) -> AsyncIterator[Topology]:
    settings: tuple[tuple[str, object], ...] = (
        *UNPACED,
        ("limits.per_domain_per_minute", 1_000_000),
        ("contacts.max_old_into_new", 1000),
        ("contacts.deadline_seconds", DEADLINE_SECONDS),
    )
    arrangement = Arrangement(HookOptions(timeout=DEADLINE_SECONDS + 60), True, settings=settings)
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-full-") as folder:
        topology = Topology(KINDS[server], arrangement, Path(folder))
        try:
            montague = topology.servers["montague"]
            await montague.start()
            favour(server_process(montague.folder))
            entries = [RosterEntry(old, "both", "Juliet", ("Friends",)) for old in olds]
            for user in users:
                montague.add_user(user)
                montague.set_roster(user, entries)
            for user in (OLD, NEW):
                montague.add_user(user)
            arrange(montague, contacts)
            daemon = topology.daemon
            assert daemon is not None
            await started(daemon)
            # The very first start makes the database, and keeps in memory what that took.
            await daemon.stop()
            await started(daemon)
            yield topology
        finally:
            await topology.stop()


_TEXT = """\
An old server that never answers holds requests, while one account with {contacts:,} contacts at
another domain moves away, without pacing. Memory is MiB resident of the component, started for the
second time; the aim is less than {aim}.
"""


def part(found: Sequence[Found], contacts: int) -> parts.Part:
    """For docs/lab/performance.md."""
    table = parts.Table(
        "Memory, MiB resident",
        ("server", "ready", "moving", "moving, and holding", "the most", "held", "told meanwhile"),
        tuple(
            (
                *(f.server, *(f"{mib:.0f}" for mib in (f.start, f.moving, f.full, f.peak))),
                *(f"{f.held:,}", f"{f.told[0]:,} to {f.told[1]:,}"),
            )
            for f in found
        ),
    )
    return parts.Part(
        name="full",
        title="As much at once as there may be",
        text=_TEXT.format(contacts=contacts, aim=AIM),
        tables=(table,),
        **parts.origin("bench.full"),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.full", description=__doc__)
    parser.add_argument("--server", action="append", choices=list(KINDS))
    parser.add_argument("--held", type=int, default=5000)
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--dry", action="store_true", help="print only; write no part")
    args = parser.parse_args()
    servers = args.server or ["prosody-0.12", "ejabberd-24.12"]
    found = [asyncio.run(measure(s, args.held, args.contacts)) for s in servers]
    made = part(found, args.contacts)
    print(made.tables[0].markdown())
    if not args.dry:
        print(made.write())
        print(pages.render())


if __name__ == "__main__":
    main()

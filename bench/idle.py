"""What the component costs while nothing happens, and for each request that waits.

A small machine pays for this all day: memory, wake-ups that keep the processor from resting, writes
that wear out a card.  Requests are held by an old server that never answers (played by us), until
as many wait as the server's module holds.

    python -m bench.idle [--server prosody-0.12 --server ejabberd-24.12] [--seconds 60]
        [--held 5000] [--moves 1000] [--dry]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import parts
from bench.common import server_process, usage
from bench.contact_side import HOST, Mover, new_of, one_round
from tests.live.client import RawComponent
from tests.live.daemon import Daemon
from tests.live.servers.base import STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.topology import Arrangement, Topology

CONTACTS = 500
"""Accounts on the server; each has as many movers on its roster as are needed."""
HOLD_SECONDS = 90.0
"""Within which so many requests have to be held, on a machine with other work too."""
POLL = 0.25
START_SECONDS = 120.0
"""For a start on a busy machine."""


class Silent(Mover):
    """Movers whose old server never answers, unless ``answers``."""

    answers = True

    def _handle(self, element: ET.Element) -> None:
        if self.answers or element.get("type") != "get":
            super()._handle(element)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MiB."""

    resident: float
    own: float
    """Proportional set size: what is shared with other processes counts in part (proc(5))."""
    anonymous: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        """As it is now."""
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {
            key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)
        }
        return cls(kib["Rss"] / 1024, kib["Pss"] / 1024, kib["Anonymous"] / 1024)


@dataclass(frozen=True, slots=True)
class Rest:
    """What an idle minute costs."""

    wakeups: float
    """Times that a thread waited for something and went on."""
    cpu: float
    """Seconds."""
    written: float
    """KiB that were sent to the disk."""


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of one server."""

    server: str
    first_start: float
    """Seconds until it is ready, with the database still to be made."""
    start: float
    first: Memory
    idle: Memory
    after: Memory
    """After moves that were followed."""
    rest: Rest
    held: int
    full: Memory

    @property
    def each(self) -> float:
        """KiB for one held request."""
        return (self.full.resident - self.after.resident) * 1024 / self.held


def _switches(pid: int) -> int:
    """Voluntary context switches of all threads (proc(5))."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):
            for line in status.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def _written(pid: int) -> int:
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    raise RuntimeError("the kernel does not count what is written")


async def rest(pid: int, seconds: float) -> Rest:
    """Let it idle, and look what it did."""
    before = _switches(pid), usage(pid).cpu, _written(pid)
    await asyncio.sleep(seconds)
    after = _switches(pid), usage(pid).cpu, _written(pid)
    switches, cpu, written = (b - a for a, b in zip(before, after, strict=True))
    minutes = seconds / 60
    return Rest(switches / minutes, cpu / minutes, written / 1024 / minutes)


async def started(daemon: Daemon) -> float:
    """Start it and wait until it is ready; seconds that this took."""
    began = time.perf_counter()
    await daemon.start(until_ready=False)
    await daemon.log_says("ready", START_SECONDS)
    return time.perf_counter() - began


def _open_requests(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}:29347/metrics", timeout=20) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return int(next(f.samples[0].value for f in families if f.name == "xmpp_moved_open_requests"))


async def hold(
    mover: RawComponent,
    address: str,
    olds: Sequence[str],
    users: Sequence[str],
    within: float = HOLD_SECONDS,
) -> int:
    """Have the server divert a request of each mover to each user; how many wait in the end.

    Args:
        mover: whose domain the movers are of; it must not answer for their old accounts.
        address: of the server.
        olds: the movers' old JIDs; ``users``: the contacts.
        within: seconds.
    """
    for old in olds:
        for user in users:
            mover.send(
                f"<presence type='subscribe' from='{new_of(old)}' to='{user}'>"
                f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved></presence>"
            )
    wanted, found = len(olds) * len(users), 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while found < wanted:
                await asyncio.sleep(POLL)
                found = await asyncio.to_thread(_open_requests, address)
    return found


@contextlib.asynccontextmanager
async def _stage(server: str, olds: Sequence[str], users: Sequence[str]) -> AsyncIterator[Topology]:
    """A server with accounts, nothing beside it yet."""
    settings: tuple[tuple[str, object], ...] = (
        ("log.level", "info"),
        ("limits.per_domain_per_minute", 1_000_000),
        ("contacts.max_old_into_new", 1000),
        ("contacts.deadline_seconds", HOLD_SECONDS + 10),
    )
    hook = HookOptions(timeout=HOLD_SECONDS + 30)
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-idle-") as folder:
        topology = Topology(KINDS[server], Arrangement(hook, settings=settings), Path(folder))
        await topology.start()
        try:
            montague = topology.servers["montague"]
            entries = [RosterEntry(old, "both", "Juliet", ("Friends",)) for old in olds]
            for user in users:
                montague.add_user(user)
                montague.set_roster(user, entries)
            yield topology
        finally:
            await topology.stop()


async def measure(server: str, seconds: float, held: int, moves: int) -> Found:
    """All figures of one server.

    Raises RuntimeError where not as many requests were held as were asked for.
    """
    users = [f"c{n}@{HOST}" for n in range(CONTACTS)]
    followed = [f"old{n}@{STRANGER_HOST}" for n in range(max(1, moves // CONTACTS))]
    silent = [f"oldsilent{n}@{STRANGER_HOST}" for n in range(max(1, held // CONTACTS))]
    async with _stage(server, [*followed, *silent], users) as topology:
        daemon = topology.daemon
        assert daemon is not None
        address = topology.servers["montague"].spec.address
        first_start = await started(daemon)
        await asyncio.sleep(2)
        first = Memory.of(daemon.pid)
        await daemon.stop()
        start = await started(daemon)
        await asyncio.sleep(2)
        idle = Memory.of(daemon.pid)
        resting = await rest(daemon.pid, seconds)
        mover = Silent(address, len(users))
        await mover.open()
        try:
            for old in followed:
                await one_round(mover, old, users)
            await daemon.settled(users, timeout=60)
            after = Memory.of(daemon.pid)
            mover.answers = False
            waiting = await hold(mover, address, silent, users)
            full = Memory.of(daemon.pid)
        finally:
            await mover.close()
        server_process(topology.servers["montague"].folder)  # it has survived this
    wanted = len(silent) * len(users)
    if waiting < wanted:
        raise RuntimeError(f"{server}: {waiting} of {wanted} requests were held")
    return Found(server, first_start, start, first, idle, after, resting, waiting, full)


_TEXT = """\
Start-up is from the command to the log line `ready`; the very first start makes the database. A
wake-up is a voluntary context switch of any thread. Held requests wait for an old server that never
answers; each has its row in the journal.
"""


def part(found: Sequence[Found], seconds: float, moves: int) -> parts.Part:
    """For docs/lab/performance.md."""
    memory = parts.Table(
        "Memory, MiB resident (proportional)",
        (
            *("server", "very first start", "start", f"after {moves} moves"),
            *("with held requests", "held", "KiB each"),
        ),
        tuple(
            (f.server, *map(_both, (f.first, f.idle, f.after, f.full)), f.held, f"{f.each:.1f}")
            for f in found
        ),
    )
    minute = parts.Table(
        "Start-up, and an idle minute",
        ("server", "first start, s", "start, s", "wake-ups", "CPU, s", "written, KiB"),
        tuple(
            _numbers(f.server, f.first_start, f.start, f.rest.wakeups, f.rest.cpu, f.rest.written)
            for f in found
        ),
    )
    return parts.Part(
        name="idle",
        title="Idle, and waiting",
        text=_TEXT,
        tables=(memory, minute),
        notes=(f"Idle for {seconds:g} s, beside a server with {CONTACTS} accounts.",),
        **parts.origin("bench.idle"),
    )


def _numbers(server: str, *figures: float) -> tuple[str, ...]:
    return server, *(f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}" for figure in figures)


def _both(memory: Memory) -> str:
    return f"{memory.resident:.0f} ({memory.own:.0f})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", action="append", choices=list(KINDS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--held", type=int, default=5000)
    parser.add_argument("--moves", type=int, default=1000)
    parser.add_argument("--dry", action="store_true", help="Print only; write no part.")
    args = parser.parse_args()
    servers = args.server or ["prosody-0.12", "ejabberd-24.12"]
    found = [asyncio.run(measure(s, args.seconds, args.held, args.moves)) for s in servers]
    made = part(found, args.seconds, args.moves)
    for table in made.tables:
        print(f"{table.title}\n\n{table.markdown()}")
    if not args.dry:
        print(made.write())


if __name__ == "__main__":
    main()

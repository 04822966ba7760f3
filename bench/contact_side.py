"""How fast contacts are followed: one mover, many contacts, the mover's domain played by us.

The mover's server would spend most of its time saving the mover's own roster; a component that
answers for its domain instead leaves the contact side alone on the scale.  Figures depend on the
machine: quote ratios of one run (``bench/`` holds no limits).

    python -m bench.contact_side [--contacts 500] [--roster 1] [--rounds 3]
        [--server prosody-0.12] [--database sqlite|postgresql] [--instances 1]

Several instances need PostgreSQL, which is started here, with its files synced as by default.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.common import cpu_of_family, server_process, usage
from bench.contacts.play import statement
from tests.live.client import RawComponent
from tests.live.daemon import Daemon
from tests.live.instances.fleet import NAMES
from tests.live.servers.base import STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.topology import Arrangement, Topology, component_settings
from tests.postgres import cluster

HOST = "montague.example"
METRICS_PORT = 29347


class Mover(RawComponent):
    """Plays the mover's old and new server: answers statements, counts who followed."""

    def __init__(self, address: str, contacts: int) -> None:
        super().__init__("mover", STRANGER_HOST, address)
        self.contacts = contacts
        self.followed = 0
        self.asked = 0
        self.all_followed = asyncio.Event()

    def _handle(self, element: ET.Element) -> None:
        kind = element.get("type")
        if element.tag.endswith("}presence"):
            if kind == "subscribed":
                self.followed += 1
                if self.followed == self.contacts:
                    self.all_followed.set()
            return
        if element.tag.endswith("}iq") and kind == "get":
            self.asked += 1
            self.send(statement(element, new_of(element.get("to", ""))))
            return
        super()._handle(element)


def new_of(old: str) -> str:
    """The new JID of an old one."""
    return old.replace("old", "new", 1)


@contextlib.asynccontextmanager
async def database(kind: str) -> AsyncIterator[tuple[str | None, Callable[[], float]]]:
    """The URL of a database, None for SQLite's file; and the CPU seconds of its server so far."""
    if kind == "sqlite":
        yield None, lambda: 0.0
        return
    async with cluster(durable=True) as server:
        with server.database() as url:
            yield url, lambda: cpu_of_family(server.pid)


def daemons(topology: Topology, url: str | None, instances: int) -> list[Daemon]:
    """The instances of the component."""
    first = topology.daemon
    assert first is not None
    found = [first]
    address = topology.servers["montague"].spec.address
    for number in range(1, instances):
        changes = (
            ("component.jid", NAMES[number]),
            ("metrics.listen", f"{address}:{METRICS_PORT + number}"),
        )
        settings = component_settings(address, (*topology.arrangement.settings, *changes))
        found.append(Daemon(first.folder.with_name(f"component{number + 1}"), settings))
    if url is not None:
        for daemon in found:
            daemon.url = url
    return found


async def measure(
    contacts: int, roster: int, rounds: int, server: str, kind: str, instances: int
) -> None:
    """Run and print."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xmpp-moved-bench-"))
        url, database_cpu = await stack.enter_async_context(database(kind))
        settings: tuple[tuple[str, object], ...] = (
            ("limits.per_domain_per_minute", 1_000_000),
            ("contacts.max_old_into_new", 1000),
            *((("database.url", url),) if url is not None else ()),
        )
        hook = HookOptions(components=NAMES[:instances])
        arrangement = Arrangement(hook=hook, component=True, settings=settings)
        topology = Topology(KINDS[server], arrangement, Path(folder))
        montague = topology.servers["montague"]
        users = [f"c{n}@{HOST}" for n in range(contacts)]
        olds = [f"old{r}@{STRANGER_HOST}" for r in range(rounds)]
        others = [RosterEntry(f"f{n}@elsewhere.example", "both") for n in range(roster - 1)]
        entries = [*others, *(RosterEntry(old, "both", "Juliet", ("Friends",)) for old in olds)]
        await montague.start()
        for user in users:
            montague.add_user(user)
            montague.set_roster(user, entries)
        running = daemons(topology, url, instances)
        for daemon in running:
            await daemon.start()
        mover = Mover(montague.spec.address, contacts)
        await mover.open()
        server_pid = server_process(montague.folder)
        try:
            rates = []
            before = [usage(daemon.pid) for daemon in running]
            server_before, database_before = usage(server_pid), database_cpu()
            for old in olds:
                rates.append(contacts / await one_round(mover, old, users))
            after = [usage(daemon.pid) for daemon in running]
            server_after, database_after = usage(server_pid), database_cpu()
            await running[0].settled(users, timeout=30)
            verdicts = await asyncio.to_thread(
                quantiles, f"http://{montague.spec.address}:29347/metrics"
            )
        finally:
            await mover.close()
            await asyncio.gather(*(daemon.stop() for daemon in running))
            await topology.stop()
    cpu = sum(a.cpu - b.cpu for a, b in zip(after, before, strict=True))
    server_cpu = server_after.cpu - server_before.cpu
    moves = contacts * rounds
    print(f"server {server}, roster of {roster}, {contacts} contacts; {kind}, {instances} of us")
    print(f"moves/s: median {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})")
    print(f"statement requests: {mover.asked} for {contacts * rounds} moves")
    print(f"our CPU per second of the server's: {cpu / server_cpu:.2f}")
    print(
        f"CPU per move: {cpu / moves * 1e3:.2f} ms ours, {server_cpu / moves * 1e3:.2f} ms the "
        f"server's, {(database_after - database_before) / moves * 1e3:.2f} ms the database's"
    )
    for b, a in zip(before, after, strict=True):
        print(f"resident: {b.resident:.0f} MiB before, {a.resident:.0f} MiB after")
    print("verdict latency: " + ", ".join(f"{n} below {s} s" for s, n in verdicts))


async def one_round(mover: Mover, old: str, users: list[str]) -> float:
    """Notify everybody; seconds until the last one has followed."""
    mover.followed = 0
    mover.all_followed.clear()
    began = time.perf_counter()
    for user in users:
        mover.send(
            f"<presence type='subscribe' from='{new_of(old)}' to='{user}'>"
            f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved></presence>"
        )
    async with asyncio.timeout(120):
        await mover.all_followed.wait()
    return time.perf_counter() - began


def quantiles(url: str) -> list[tuple[str, int]]:
    """The buckets of the verdict latency that say something."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        if family.name == "xmpp_moved_verdict_seconds":
            buckets = [
                (sample.labels["le"], int(sample.value))
                for sample in family.samples
                if sample.name.endswith("_bucket")
            ]
            return [b for n, b in enumerate(buckets) if n == 0 or b[1] != buckets[n - 1][1]]
    return []


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=500)
    parser.add_argument("--roster", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", default="prosody-0.12", choices=list(KINDS))
    parser.add_argument("--database", default="sqlite", choices=["sqlite", "postgresql"])
    parser.add_argument("--instances", type=int, default=1, choices=range(1, len(NAMES) + 1))
    args = parser.parse_args()
    if args.instances > 1 and args.database == "sqlite":
        parser.error("several instances need --database postgresql")
    asyncio.run(
        measure(args.contacts, args.roster, args.rounds, args.server, args.database, args.instances)
    )


if __name__ == "__main__":
    main()

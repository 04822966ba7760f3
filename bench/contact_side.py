"""How fast contacts are followed: one mover, many contacts, the mover's domain played by us.

The mover's server would spend most of its time saving the mover's own roster; a component that
answers for its domain instead leaves the contact side alone on the scale.  Figures depend on the
machine: quote ratios of one run (``bench/`` holds no limits).

    python -m bench.contact_side [--contacts 500] [--roster 1] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.live.client import RawComponent
from tests.live.servers.base import STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.topology import Arrangement, Topology

HOST = "montague.example"
TICKS_PER_SECOND = 100
"""USER_HZ of /proc/PID/stat on Linux."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident MiB of a process."""

    cpu: float
    resident: float


def usage(pid: int) -> Usage:
    """Read /proc (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return Usage(cpu, int(line.split()[1]) / 1024)
    return Usage(cpu, 0.0)


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
            old = element.get("to", "")
            self.send(
                f"<iq type='result' id='{element.get('id')}' from='{old}' "
                f"to='{element.get('from')}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                "<items node='urn:xmpp:moved:1'><item id='current'>"
                f"<moved xmlns='urn:xmpp:moved:1'><new-jid>{new_of(old)}</new-jid></moved>"
                "</item></items></pubsub></iq>"
            )
            return
        super()._handle(element)


def new_of(old: str) -> str:
    """The new JID of an old one."""
    return old.replace("old", "new", 1)


async def measure(contacts: int, roster: int, rounds: int, server: str) -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-bench-") as folder:
        settings = (
            ("limits.per_domain_per_minute", 1_000_000),
            ("contacts.max_old_into_new", 1000),
        )
        arrangement = Arrangement(hook=HookOptions(), component=True, settings=settings)
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
        assert topology.daemon is not None
        await topology.daemon.start()
        mover = Mover(montague.spec.address, contacts)
        await mover.open()
        server_pid = server_process(montague.folder)
        try:
            rates = []
            before, server_before = usage(topology.daemon.pid), usage(server_pid)
            for old in olds:
                rates.append(contacts / await one_round(mover, old, users))
            after, server_after = usage(topology.daemon.pid), usage(server_pid)
            await topology.daemon.settled(users, timeout=30)
            verdicts = await asyncio.to_thread(
                quantiles, f"http://{montague.spec.address}:29347/metrics"
            )
        finally:
            await mover.close()
            await topology.stop()
    cpu, server_cpu = after.cpu - before.cpu, server_after.cpu - server_before.cpu
    print(f"server {server}, roster of {roster}, {contacts} contacts")
    print(f"moves/s: median {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})")
    print(f"statement requests: {mover.asked} for {contacts * rounds} moves")
    print(f"our CPU per second of the server's: {cpu / server_cpu:.2f}")
    print(f"our CPU per move: {cpu / contacts / rounds * 1e3:.2f} ms")
    print(f"resident: {before.resident:.0f} MiB before, {after.resident:.0f} MiB after")
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


def server_process(folder: Path) -> int:
    """PID of the server that works in a folder."""
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in stat.read_bytes():
                return int(stat.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"no server in {folder}")


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
    args = parser.parse_args()
    asyncio.run(measure(args.contacts, args.roster, args.rounds, args.server))


if __name__ == "__main__":
    main()

"""One mover, many contacts, a real server, no pacing: what the engine can sustain."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench.common import favour, server_process, usage
from bench.movers.contacts import Contacts
from tests.live.daemon import Daemon
from tests.live.movers.control import Control
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.people import Person
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, HookOptions, RosterEntry, Server
from tests.live.servers.differences import KINDS
from tests.live.topology import Arrangement, Topology

OLD, NEW = "romeo@montague.example", "romeo@verona.example"
METRICS_PORT = 29347
"""Of the component in a topology."""
UNPACED: tuple[tuple[str, object], ...] = (
    ("movers.per_mover_per_second", 1000),
    ("movers.overall_per_second", 10_000),
    ("movers.domain_per_minute", 100_000),
    ("movers.domain_per_minute_max", 100_000),
    ("log.level", "info"),
)
"""The largest values that the configuration allows: none of them is ever reached."""
START_SECONDS = 120.0
PATIENCE_SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a move of one account took.  Times in seconds, memory in MiB."""

    server: str
    contacts: int
    seconds: float
    """From the first notification to the last approval of a way back."""
    notifying: float
    """From the first notification to the last."""
    engine_cpu: float
    server_cpu: float
    resident_before: float
    resident_peak: float
    resident_after: float
    writes: int
    """Transactions that were asked for."""
    commits: int
    """Commits that they shared."""
    journal_bytes: int
    """How much the journal grew."""
    twice: int
    """Contacts that were notified more than once."""
    version: str = "this"
    """Of the package; another one is compared with."""

    @property
    def rate(self) -> float:
        """Contacts a second, both ways."""
        return self.contacts / self.seconds

    def each(self, seconds: float) -> float:
        """Milliseconds for each contact."""
        return seconds / self.contacts * 1e3


async def measure(server: str, contacts: int, *, code: Path | None = None) -> Cost:
    """Move one account with so many mutual contacts at another domain.

    Args:
        server: name of a kind in ``tests.live.servers.differences``.
        code: folder with another version of the package, to be compared with.

    Raises TimeoutError where it does not end, AssertionError where the order is not taken.
    """
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-bench-") as folder:
        async with _stage(server, Path(folder), contacts, code) as (topology, control):
            version = "this" if code is None else "earlier"
            return await _move(topology, control, server, contacts, version)


@contextlib.asynccontextmanager
async def _stage(
    server: str, folder: Path, contacts: int, code: Path | None
) -> AsyncIterator[tuple[Topology, Control]]:
    sockets = Path(tempfile.mkdtemp(prefix="xm-"))  # the path of a socket has to be short
    control = Control(sockets / "c")
    settings = (*UNPACED, ("component.control", str(control.path)))
    arrangement = Arrangement(hook=HookOptions(), component=True, settings=settings)
    topology = Topology(KINDS[server], arrangement, folder)
    if topology.daemon is not None and code is not None:
        topology.daemon.code = code
    try:
        montague = topology.servers["montague"]
        await montague.start()
        favour(server_process(montague.folder))
        for user in (OLD, NEW):
            montague.add_user(user)
        arrange(montague, contacts)
        assert topology.daemon is not None
        await topology.daemon.start(until_ready=False)
        await topology.daemon.log_says("ready", START_SECONDS)
        yield topology, control
    finally:
        await topology.stop()
        shutil.rmtree(sockets, ignore_errors=True)


def arrange(server: Server, contacts: int) -> None:
    """The old account's roster.  ejabberd adds to what is there, and takes its time for it."""
    entries = [
        RosterEntry(f"contact{n}@{STRANGER_HOST}", "both", f"Contact {n}", ("Friends",))
        for n in range(contacts)
    ]
    part = 500 if server.kind.startswith("ejabberd") else contacts
    for start in range(0, contacts, part):
        server.set_roster(OLD, entries[start : start + part])


async def _move(
    topology: Topology, control: Control, server: str, contacts: int, version: str
) -> Cost:
    montague, daemon = topology.servers["montague"], topology.daemon
    assert daemon is not None
    played = Contacts(montague.spec.address, contacts)
    await played.open()
    url = f"http://{montague.spec.address}:{METRICS_PORT}/metrics"
    server_pid, pid = server_process(montague.folder), daemon.pid
    try:
        disk, (writes, commits) = _journal(daemon), await asyncio.to_thread(_written, url)
        before, server_before = usage(pid), usage(server_pid)
        await order(montague)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await played.everybody.wait()
            await _until_done(control)
        after, server_after = usage(pid), usage(server_pid)
        written = await asyncio.to_thread(_written, url)
        peak = peak_of(pid)
    finally:
        await played.close()
    await daemon.stop()
    return Cost(
        server,
        contacts,
        played.ended - played.began,
        played.asked_last - played.began,
        after.cpu - before.cpu,
        server_after.cpu - server_before.cpu,
        before.resident,
        peak,
        after.resident,
        written[0] - writes,
        written[1] - commits,
        _journal(daemon) - disk,
        sum(count > 1 for count in played.requests.values()),
        version,
    )


async def order(montague: Server) -> None:
    """Order the move as its owner does, in the chat."""
    old, new = Person(OLD, montague), Person(NEW, montague)
    try:
        await old.log_in()
        await new.log_in()
        guide = GUIDES["chat"](old, COMPONENT_HOST)
        said = await guide.order("away", new=NEW, code=code_of(new, COMPONENT_HOST))
        assert "has begun" in said, said
    finally:
        # Clients would be busy with roster pushes, on the same cores.
        await asyncio.gather(old.log_out(), new.log_out())


async def _until_done(control: Control) -> None:
    def is_done(progress: Mapping[str, Any]) -> bool:
        return bool(progress["journey"]["state"] == "done")

    async with control.watch() as watch:
        if not is_done((await control.order("list"))[0]):
            await watch.until(is_done, "done", PATIENCE_SECONDS)


def _written(url: str) -> tuple[int, int]:
    """Transactions that were asked for, and commits, so far."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    found = {
        sample.name: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("xmpp_moved_journal_batch_size_")
        and not sample.name.endswith("_bucket")
    }
    prefix = "xmpp_moved_journal_batch_size_"
    return found[f"{prefix}sum"], found[f"{prefix}count"]


def _journal(daemon: Daemon) -> int:
    """Bytes that the journal needs, wherever they are written already."""
    with contextlib.closing(sqlite3.connect(daemon.folder / "moved.db")) as database:
        pages, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
    return int(pages * size)


def peak_of(pid: int) -> float:
    """The most resident memory that a process ever had, in MiB (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

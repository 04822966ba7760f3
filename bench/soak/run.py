"""The run itself: one server, the component, families, restarts, samples."""

from __future__ import annotations

import asyncio
import os
import random
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import about
from bench.common import favour, server_process, usage, waited_for_disk
from bench.soak.about import About
from bench.soak.family import NOT_DIVERTED, Family, Request
from bench.soak.people import Place
from bench.soak.rows import Event, Rows, Sample, What
from component.store import Store
from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    COMPONENT_HOST,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    STRANGER_HOST,
    HookOptions,
    ServerSpec,
)
from tests.live.servers.differences import KINDS

CONTACTS_HOST = "montague.example"
MOVERS_HOSTS = ("verona.example", "mantua.example", "padua.example", "venice.example")
"""Four: the limit for one domain ([limits] per_domain_per_minute) stays at its default."""
CONTACTS = 4
"""Contacts of a mover."""
STEP_SECONDS = 25.0
"""Between two steps of a mover.  Three are longer than a verified statement is remembered (60)."""
COMMUTERS = 5
"""Every fifth mover is one."""
SAMPLE_EVERY, TELL_EVERY = 10.0, 30.0
METRICS_PORT = 29347


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; ``restart_every`` 0 means never."""

    minutes: float
    rate: float
    server: str
    restart_every: float
    folder: Path
    command: str
    commit: str


class Soak:
    """One run in a folder, which gets the rows and everything that the servers write."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._rows = Rows(options.folder)
        self._began = time.perf_counter()
        self._counts: dict[What, int] = dict.fromkeys(What, 0)
        self._dice = random.Random(0)
        address = free_address()
        hosts = (CONTACTS_HOST, *MOVERS_HOSTS)
        kind = KINDS[options.server]
        folder = options.folder / "server"
        extra = {}
        if options.server.startswith("prosody"):
            log = folder / "prosody.log"
            extra["log"] = (
                f'{{ {{ levels = {{ min = "info" }}, to = "file", filename = "{log}" }} }}'
            )
        spec = ServerSpec(
            "soak",
            address,
            hosts,
            dict.fromkeys(hosts, address),
            (COMPONENT_HOST, STRANGER_HOST),
            HookOptions(),
            extra,
        )
        self._server = kind.build(spec, folder)
        self._place = Place(kind, address, dropped=lambda jid: self._tell(What.DROPPED, 0, jid))
        self._metrics = f"{address}:{METRICS_PORT}"
        self._blocks = 0
        self._daemon = Daemon(
            options.folder / "component",
            {
                "component": {
                    "jid": COMPONENT_HOST,
                    "secret": COMPONENT_SECRET,
                    "host": address,
                    "port": COMPONENT_PORT,
                    "control": str(options.folder / "component" / "control.sock"),
                },
                "served": {"hosts": list(hosts)},
                "metrics": {"listen": self._metrics},
                "log": {"level": "info"},
            },
        )
        count = max(1, round(options.rate * STEP_SECONDS / CONTACTS))
        self._families = [
            Family(
                str(n),
                (CONTACTS_HOST, MOVERS_HOSTS[n % len(MOVERS_HOSTS)]),
                self._place,
                contacts=CONTACTS,
                addresses=2 if n % COMMUTERS == COMMUTERS - 1 else 3,
                tell=self._tell,
                why=self._why,
            )
            for n in range(count)
        ]
        self._journal: Store | None = None
        self._moves: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Play until the time is over, then wait for what is under way."""
        await self._server.start()
        try:
            for family in self._families:
                family.arrange(self._server)
            await self._daemon.start()
            for pid in (os.getpid(), self._daemon.pid, server_process(self._server.folder)):
                favour(pid)
            self._journal = await Store.open(self._daemon.url, writer=False)
            self._place.up.set()
            await self._enter()
            self._about().write(self.options.folder)
            await self._play()
        finally:
            if self._journal is not None:
                await self._journal.close()
            await self._daemon.stop()
            await self._server.stop()
            self._rows.close()

    def _about(self) -> About:
        options = self.options
        return About(
            began=about.today(),
            command=options.command,
            commit=options.commit,
            machine=about.machine(),
            server=options.server,
            minutes=options.minutes,
            rate=options.rate,
            restart_every=options.restart_every,
            accounts=sum(len(family.people) for family in self._families),
            files=about.filesystem(options.folder),
        )

    async def _play(self) -> None:
        print(f"all logged in; component {self._daemon.pid}", flush=True)
        self._began = time.perf_counter()
        aside = [
            asyncio.create_task(self._sample()),
            asyncio.create_task(self._report()),
            asyncio.create_task(self._restart()),
        ]
        await self._arrivals()
        aside[2].cancel()  # a server that is down now stays up once it is started
        await asyncio.gather(aside[2], return_exceptions=True)
        if not self._server.running:
            await self._return()
        await asyncio.gather(*self._moves)
        await asyncio.gather(*(family.idle() for family in self._families))
        await self._check_rosters()
        for task in aside:
            task.cancel()
        await asyncio.gather(*aside, return_exceptions=True)
        self._say()

    async def _arrivals(self) -> None:
        """Open loop: a Poisson process that waits for nobody."""
        at, number = 0.0, 0
        end = self.options.minutes * 60
        while True:
            at += self._dice.expovariate(self.options.rate)
            if at >= end:
                return
            delay = at - self._now()
            if delay > 0:
                await asyncio.sleep(delay)
            round_, which = divmod(number, len(self._families))
            family = self._families[which]
            step, contact = divmod(round_, CONTACTS)
            number += 1
            task = asyncio.create_task(family.move(number, step, contact))
            self._moves.add(task)
            task.add_done_callback(self._moved)

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moves.discard(task)
        if not task.cancelled() and task.exception() is not None:
            print(f"a move could not be made: {task.exception()!r}", flush=True)

    async def _restart(self) -> None:
        if not self.options.restart_every:
            return
        while True:
            await asyncio.sleep(self.options.restart_every)
            self._tell(What.STOP, 0, "")
            self._place.up.clear()
            await self._server.stop()
            await self._return()

    async def _return(self) -> None:
        for family in self._families:
            for person in family.people:
                person.cut()
        await self._server.start()
        favour(server_process(self._server.folder))
        self._tell(What.START, 0, "")
        self._place.up.set()
        await self._enter()
        self._tell(What.BACK, 0, "")

    async def _enter(self) -> None:
        people = [person for family in self._families for person in family.people]
        await asyncio.gather(*(person.enter() for person in people))

    async def _sample(self) -> None:
        while True:
            with suppress(OSError, RuntimeError):  # the server is being restarted
                self._rows.sample(await asyncio.to_thread(self._measure))
            await asyncio.sleep(SAMPLE_EVERY - self._now() % SAMPLE_EVERY)

    def _measure(self) -> Sample:
        # As a monitoring server would: the figures themselves must not cost memory either.
        with suppress(OSError), urllib.request.urlopen(f"http://{self._metrics}/metrics") as answer:
            self._blocks = _blocks(answer.read().decode())
        own = usage(self._daemon.pid)
        journal = self._daemon.folder / "moved.db"
        wal = journal.with_name(journal.name + "-wal")
        server = usage(server_process(self._server.folder)) if self._place.up.is_set() else None
        return Sample(
            at=self._now(),
            resident=own.resident,
            anonymous=own.anonymous,
            descriptors=own.descriptors,
            threads=own.threads,
            cpu=own.cpu,
            database=journal.stat().st_size,
            wal=wal.stat().st_size if wal.exists() else 0,
            server_resident=server.resident if server is not None else 0.0,
            server_cpu=server.cpu if server is not None else 0.0,
            load=os.getloadavg()[0],
            blocks=self._blocks,
            waited=waited_for_disk(),
        )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            self._say()

    def _say(self) -> None:
        own = usage(self._daemon.pid)
        counts = ", ".join(f"{count} {what}" for what, count in self._counts.items() if count)
        print(
            f"{self._now():6.0f} s: {counts}; {own.resident:.1f} MiB, "
            f"{own.descriptors} descriptors, {len(self._moves)} wait",
            flush=True,
        )

    async def _check_rosters(self) -> None:
        """Ask each contact's server once more, on a new stream."""
        for family in self._families:
            for contact in family.contacts:
                request = contact.request
                await contact.person.leave()
                await contact.person.enter()
                if request is None:
                    continue
                new = contact.person.entry(request.new)
                if new.subscription != "both" or contact.person.entry(request.old).grants:
                    self._tell(What.HALF, request.number, f"{contact.person.jid} at the end: {new}")

    async def _why(self, request: Request) -> str:
        """The journal's reason; what it does not know was never diverted."""
        assert self._journal is not None
        await asyncio.sleep(1)
        for record in await self._journal.list_moves(limit=1, contact=request.contact.jid):
            # The same step of an earlier round looks alike.
            if (record.old, record.new) == (request.old, request.new) and (
                record.at >= request.since
            ):
                return record.reason.value if record.reason is not None else record.state.value
        return NOT_DIVERTED

    def _tell(self, what: What, number: int, why: str) -> None:
        self._counts[what] += 1
        self._rows.event(Event(self._now(), what, number, why))

    def _now(self) -> float:
        return time.perf_counter() - self._began


def _blocks(exported: str) -> int:
    """That the component's Python has handed out."""
    return next(
        int(family.samples[0].value)
        for family in text_string_to_metric_families(exported)
        if family.name == "xmpp_moved_memory_blocks"
    )

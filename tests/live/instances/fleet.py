"""A server whose hook asks several components, all with one PostgreSQL database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from component.core.records import MoveRecord
from component.store import Store
from component.store.shared import LEASE_SECONDS
from tests.live.daemon import Daemon
from tests.live.faults.house import nothing_open, until
from tests.live.movers.control import Control
from tests.live.movers.world import House, Settings, World
from tests.live.servers.base import COMPONENT_HOST, HookOptions, Server
from tests.live.servers.differences import Kind
from tests.postgres import Postgres

NAMES = (COMPONENT_HOST, "moved2.montague.example", "moved3.montague.example")
"""What the instances are called."""
HOOK_SECONDS = 15.0
"""How long the hook holds a request: shorter than by default, for a test that waits for it."""
NOTICED = LEASE_SECONDS + 10.0
"""Seconds within which a death is noticed, and what was held is claimed."""
SETTLED = NOTICED + HOOK_SECONDS + 20.0
"""Seconds within which requests of a dead instance have their end."""
_METRICS_PORT = 29347
_SETTINGS: Settings = (("contacts.deadline_seconds", 10.0), ("movers.look_seconds", 1.0))


@dataclass
class Instance:
    """One of them, running or not."""

    name: str
    daemon: Daemon
    control: Control

    def stop_time(self) -> None:
        """SIGSTOP: it sleeps, and its connections stand."""
        os.kill(self.daemon.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.daemon.pid, signal.SIGCONT)


class Fleet:
    """The servers of a world, and instances beside the first one.

    Args:
        count: how many instances there are.
        settings: for all of them, after those of every world.
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path,
        postgres: Postgres,
        *,
        count: int = 2,
        settings: Settings = (),
        servers: tuple[str, ...] = ("montague", "mantua"),
    ) -> None:
        self.kind = kind
        self._postgres = postgres
        self._folder = folder
        self._settings = (*_SETTINGS, *settings)
        self._count = count
        hook = HookOptions(timeout=HOOK_SECONDS, components=NAMES)
        self.world = World(kind, folder, self._settings, servers, hook)
        self.url = ""
        self.instances: list[Instance] = []

    @property
    def home(self) -> House:
        """The server with the instances."""
        return self.world.houses["montague"]

    @property
    def server(self) -> Server:
        """As of a :class:`~tests.live.faults.house.Home`."""
        return self.home.server

    @property
    def address(self) -> str:
        """As of a :class:`~tests.live.faults.house.Home`."""
        return self.server.spec.address

    @contextlib.asynccontextmanager
    async def running(self, *, start: bool = True) -> AsyncIterator[Fleet]:
        """Everything is started; the instances only with ``start``."""
        with self._postgres.database() as self.url:
            self.instances = [self.instance(number) for number in range(self._count)]
            self.speak_to(self.instances[0])
            try:
                await self.world.start(components=False)
                if start:
                    await self.start()
                yield self
            finally:
                for instance in self.instances:
                    with contextlib.suppress(ProcessLookupError):
                        instance.go_on()
                await asyncio.gather(*(one.daemon.stop() for one in self.instances))
                await self.world.stop()

    async def start(self) -> None:
        """Start the instances, one after the other: the first one makes the tables."""
        for instance in self.instances:
            await instance.daemon.start()
        await self.all_seen(len(self.instances))

    def speak_to(self, instance: Instance) -> None:
        """Have what looks at "the" component of the server look at this one."""
        self.home.daemon, self.home.control = instance.daemon, instance.control

    async def all_seen(self, count: int, timeout: float = NOTICED) -> None:
        """Wait until so many instances live, by the database."""

        async def so_many() -> bool:
            rows = await asyncio.to_thread(
                self.sql,
                "SELECT count(*) FROM instances WHERE beat_at > now() - interval '15 s'",
            )
            return int(rows) == count

        await until(so_many, f"{count} instances live", timeout)

    def sql(self, statement: str) -> str:
        """Ask the database; what it prints."""
        return self._postgres.sql(statement, database=self.url.rpartition("/")[2]).strip()

    def holders(self) -> Counter[str]:
        """How many requests each instance was given."""
        rows = self.sql("SELECT holder, count(*) FROM moves GROUP BY holder").splitlines()
        return Counter({name: int(number) for name, _, number in (r.partition("|") for r in rows)})

    async def records(self) -> Sequence[MoveRecord]:
        """The whole journal, the newest first."""
        async with await Store.open(self.url, writer=False) as store:
            return await store.list_moves(limit=100_000)

    async def nothing_open(self, timeout: float = SETTLED) -> float:
        """Wait until every request has its end; how many seconds it took."""
        return await nothing_open(self.url, timeout)

    def instance(self, number: int, folder: str | None = None) -> Instance:
        """One that does not run yet.

        Args:
            folder: of its own; it then has other ports than the one of this number.
        """
        name = NAMES[number]
        called = folder or f"instance{number + 1}"
        control = Control(self.world.sockets / f"{called}.sock")
        daemon = Daemon(self._folder / called, {})
        daemon.url = self.url
        port = _METRICS_PORT + number + (len(NAMES) if folder else 0)
        daemon.configure(self._configuration(number, control, port))
        return Instance(name, daemon, control)

    def _configuration(
        self, number: int, control: Control, port: int
    ) -> dict[str, dict[str, object]]:
        whole = self.world.configuration(self.home, control.path)
        whole["component"]["jid"] = NAMES[number]
        whole["metrics"]["listen"] = f"{self.address}:{port}"
        return whole

"""Servers, component and people for these tests, and how to see that nothing came of a forgery."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count

from prometheus_client.parser import text_string_to_metric_families

from tests.live.client import Client, RawComponent
from tests.live.daemon import Daemon
from tests.live.servers.base import COMPONENT_HOST, Fault, RosterEntry, Server
from tests.live.topology import Topology

HOST = "montague.example"
_numbers = count(1)


class House:
    """ "montague" with the component; "capulet" too, unless the test plays it."""

    def __init__(self, topology: Topology, played: bool) -> None:
        self.topology = topology
        self._played = played
        self._log_begins = 0
        self.stack = AsyncExitStack()

    @property
    def federates(self) -> bool:
        """Whether the other server is a real one."""
        return not self._played

    @property
    def daemon(self) -> Daemon:
        """The component."""
        assert self.topology.daemon is not None
        return self.topology.daemon

    @property
    def component_jid(self) -> str:
        """Address of the component."""
        return COMPONENT_HOST

    @property
    def server(self) -> Server:
        """The contacts' server."""
        return self.topology.servers["montague"]

    def begin(self) -> None:
        """What is logged counts from now on."""
        self._log_begins = self.daemon.log_path.stat().st_size

    def unique(self, name: str, host: str = HOST) -> str:
        """A bare JID that no other test has: the component remembers what an account said."""
        return f"{name}{next(_numbers)}@{host}"

    def account(
        self, name: str, *entries: RosterEntry, host: str = HOST, fault: Fault | None = None
    ) -> str:
        """A new account with a roster; returns its bare JID."""
        jid = self.unique(name, host)
        server = self.topology.server_of(host)
        assert server is not None
        server.add_user(jid)
        if entries:
            server.set_roster(jid, entries)
        if fault is not None:
            server.set_fault(jid, fault)
        return jid

    async def device(self, jid: str, resource: str = "phone") -> Client:
        """A device of an account, available; what connecting brought is forgotten."""
        server = self.topology.server_of(jid.partition("@")[2])
        assert server is not None
        client = Client(jid, f"{jid}/{resource}", server.spec.address)
        await client.open()
        self.stack.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        await client.ping()
        client.inbox.clear()
        return client

    async def component(self, domain: str) -> RawComponent:
        """Another component of the same server."""
        other = RawComponent(domain, domain, self.server.spec.address)
        await other.open()
        self.stack.push_async_callback(other.close)
        return other

    async def metrics(self) -> Mapping[str, float]:
        """The component's figures: ``name`` or ``name{label=value,...}``."""
        url = f"http://{self.server.spec.address}:29347/metrics"

        def read() -> str:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        found: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(await asyncio.to_thread(read)):
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] += sample.value
        return found

    def logged(self, *, level: str = "error") -> list[dict[str, object]]:
        """Log lines of at least this level since the test began."""
        wanted = ("error", "critical") if level == "error" else ("warning", "error", "critical")
        lines = [json.loads(line) for line in self._log()]
        return [line for line in lines if line.get("level") in wanted]

    def reconnects(self) -> int:
        """How often the component has connected again since the test began."""
        return sum('"event": "connected"' in line for line in self._log())

    def _log(self) -> list[str]:
        with self.daemon.log_path.open() as log:
            log.seek(self._log_begins)
            return log.read().splitlines()

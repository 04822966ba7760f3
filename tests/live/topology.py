"""Two servers that reach each other, and the component beside the first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    COMPONENT_HOST,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    STRANGER_HOST,
    HookOptions,
    Server,
    ServerSpec,
)
from tests.live.servers.differences import Kind

MONTAGUE_HOSTS = ("montague.example", "verona.example")
"""Hosts of server "montague": with hook and component where a scenario has them."""
CAPULET_HOSTS = ("capulet.example", "bücher.example")
"""Hosts of server "capulet": never with a hook."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What a scenario wants to run on; a topology can go from one to another.

    ``settings`` are dotted keys of the component's configuration, as pairs.
    """

    hook: HookOptions | None = None
    component: bool = False
    settings: tuple[tuple[str, object], ...] = ()


@dataclass
class Topology:
    """Servers "montague" and "capulet" and the component."""

    kind: Kind
    arrangement: Arrangement
    folder: Path
    servers: dict[str, Server] = field(default_factory=dict)
    daemon: Daemon | None = None

    def __post_init__(self) -> None:
        montague, capulet = free_address(), free_address()
        zone = dict.fromkeys(MONTAGUE_HOSTS, montague)
        zone |= dict.fromkeys(CAPULET_HOSTS, capulet)
        self._build_hooked(ServerSpec("montague", montague, MONTAGUE_HOSTS, zone))
        self._build(ServerSpec("capulet", capulet, CAPULET_HOSTS, zone))
        self._configure()

    def _build(self, spec: ServerSpec) -> None:
        self.servers[spec.name] = self.kind.build(spec, self.folder / spec.name)

    def _build_hooked(self, spec: ServerSpec) -> None:
        """Build "montague" with the hook that the arrangement asks for."""
        hook = self.arrangement.hook
        asked = hook.components if hook is not None else ()
        components = tuple(dict.fromkeys((COMPONENT_HOST, STRANGER_HOST, *asked)))
        self._build(replace(spec, components=components, hook=hook))

    def _configure(self) -> None:
        self.daemon = None
        if self.arrangement.hook is not None:
            address = self.servers["montague"].spec.address
            settings = component_settings(address, self.arrangement.settings)
            self.daemon = Daemon(self.folder / "component", settings)

    async def become(self, arrangement: Arrangement) -> None:
        """Restart what this arrangement wants otherwise, and start what is down."""
        before, self.arrangement = self.arrangement, arrangement
        if arrangement != before:
            if self.daemon is not None:
                await self.daemon.stop()
            if arrangement.hook != before.hook:
                await self.servers["montague"].stop()
                self._build_hooked(self.servers["montague"].spec)
            self._configure()
        await self.start()

    async def start(self) -> None:
        """Start what the arrangement asks for and does not run."""
        down = [server for server in self.servers.values() if not server.running]
        await asyncio.gather(*(server.start() for server in down))
        daemon = self.daemon
        if self.arrangement.component and daemon is not None and not daemon.running:
            await daemon.start()

    async def stop(self) -> None:
        """Stop everything that runs."""
        if self.daemon is not None:
            await self.daemon.stop()
        await asyncio.gather(*(server.stop() for server in self.servers.values()))

    def server_of(self, host: str) -> Server | None:
        """The server of a host, None for a domain that nobody serves."""
        for server in self.servers.values():
            if host in server.spec.hosts:
                return server
        return None


def component_settings(
    address: str, changes: tuple[tuple[str, object], ...]
) -> Mapping[str, Mapping[str, object]]:
    """The configuration of a component beside the server at this address."""
    settings: dict[str, dict[str, object]] = {
        "component": {
            "jid": COMPONENT_HOST,
            "secret": COMPONENT_SECRET,
            "host": address,
            "port": COMPONENT_PORT,
        },
        "served": {"hosts": list(MONTAGUE_HOSTS)},
        "metrics": {"listen": f"{address}:29347"},
        # A message for each move would have to be awaited everywhere: who wants it says so.
        "contacts": {"notice": False},
    }
    for key, value in changes:
        section, _, option = key.partition(".")
        settings.setdefault(section, {})[option] = value
    return settings

"""Four servers that reach each other: two with hook and component, two with neither."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.daemon import Daemon
from tests.live.movers.control import Control
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
from tests.live.servers.uploads import with_uploads

HOSTS: Mapping[str, tuple[str, ...]] = {
    "montague": ("montague.example", "verona.example"),
    "capulet": ("capulet.example",),
    "mantua": ("mantua.example",),
    "padua": ("padua.example",),
}
"""Hosts of each server.  On montague and capulet users are served; mantua and padua know nothing
of xmpp-moved, and padua is the one that is down and returns."""

BOTS_HOST = "bots.mantua.example"
"""A component of mantua's that stands in for a remote server with any number of users."""

COMPONENTS: Mapping[str, str] = {"montague": COMPONENT_HOST, "capulet": "moved.capulet.example"}
"""The component of each server that has one."""

FAST: Mapping[str, object] = {
    "movers.per_mover_per_second": 200.0,
    "movers.overall_per_second": 400.0,
    "movers.domain_per_minute": 6000,
    "movers.domain_per_minute_max": 6000,
    "movers.look_seconds": 0.5,
    "movers.pending_minutes": 0.02,
    "movers.retry_hours": [0.001],
    "movers.failed_minutes": 0,
}
"""What every world runs with: the same rules, at a pace that a test can wait for."""

Settings = tuple[tuple[str, object], ...]
"""Dotted keys of the component's configuration with their values; later ones win."""

METRICS_PORT = 29347

# After it could not reach a server, ejabberd bounces what is for there for up to five minutes.
_EXTRA = {"s2s_max_retry_delay": "1"}

# As in a topology of two kinds: neighbours of different kinds, so that every way is walked.
_LIKE = {"mantua": "capulet", "padua": "montague"}


@dataclass
class House:
    """One server, and its component if it has one."""

    name: str
    server: Server
    daemon: Daemon | None = None
    control: Control | None = None

    @property
    def component(self) -> str:
        """Domain of its component; KeyError where it has none."""
        return COMPONENTS[self.name]

    @property
    def running_daemon(self) -> Daemon:
        """Its component as a process; it must have one."""
        assert self.daemon is not None, f"{self.name} has no component"
        return self.daemon

    @property
    def orders(self) -> Control:
        """The control socket of its component; it must have one."""
        assert self.control is not None, f"{self.name} has no component"
        return self.control


@dataclass
class World:
    """All servers of a test.

    Args:
        kind: of the servers; where it has sides, mantua is of capulet's and padua of montague's.
        folder: gets everything but the control sockets, whose paths have to be short.
        settings: changes to ``FAST``, for every component.
        names: which servers there are.
        hook: options of the server module; where it names several components, montague has all
            of them, and only the first one is started here.
        uploads: whether montague keeps files for its first host.
    """

    kind: Kind
    folder: Path
    settings: Settings = ()
    names: tuple[str, ...] = tuple(HOSTS)
    hook: HookOptions = field(default_factory=HookOptions)
    uploads: bool = False
    houses: dict[str, House] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sockets = Path(tempfile.mkdtemp(prefix="xm-", dir="/tmp"))
        addresses = {name: free_address() for name in self.names}
        zone = {host: addresses[name] for name in self.names for host in HOSTS[name]}
        if "mantua" in self.names:
            zone[BOTS_HOST] = addresses["mantua"]
        for name in self.names:
            spec = ServerSpec(
                name,
                addresses[name],
                HOSTS[name],
                zone,
                tuple(dict.fromkeys((*_components(name), *self.hook.components))),
                self.hook if name in COMPONENTS else None,
                self._extra(name, addresses[name]),
            )
            house = House(name, self.side(name).build(spec, self.folder / name))
            if name in COMPONENTS:
                socket = self.sockets / f"{name}.sock"
                house.control = Control(socket)
                house.daemon = Daemon(
                    self.folder / f"{name}-component", self.configuration(house, socket)
                )
            self.houses[name] = house

    def _extra(self, name: str, address: str) -> dict[str, str]:
        extra = dict(_EXTRA) if self.side(name).name.startswith("ejabberd") else {}
        if self.uploads and name == "montague":
            extra |= with_uploads(self.side(name), address, HOSTS[name], self.folder)
        return extra

    def side(self, name: str) -> Kind:
        """The kind of the server of this name."""
        return self.kind.sides.get(_LIKE.get(name, name), self.kind)

    async def start(self, names: Iterable[str] = (), *, components: bool = True) -> None:
        """Start what does not run of these servers, all by default; then their components unless
        told not to."""
        houses = [self.houses[name] for name in names or self.names]
        await asyncio.gather(*(h.server.start() for h in houses if not h.server.running))
        daemons = [h.daemon for h in houses if h.daemon is not None and not h.daemon.running]
        if components:
            await asyncio.gather(*(daemon.start() for daemon in daemons))

    async def stop(self) -> None:
        """Stop everything that runs."""
        await self.stop_components()
        await asyncio.gather(*(house.server.stop() for house in self.houses.values()))
        shutil.rmtree(self.sockets, ignore_errors=True)

    async def stop_components(self) -> None:
        """Stop every component."""
        await asyncio.gather(*(daemon.stop() for daemon in self.daemons()))

    def daemons(self) -> Iterator[Daemon]:
        """Every component."""
        return (house.daemon for house in self.houses.values() if house.daemon is not None)

    def configure(self, settings: Settings) -> None:
        """Write new settings for every component; they count from its next start."""
        self.settings = settings
        for house in self.houses.values():
            if house.daemon is not None and house.control is not None:
                house.daemon.configure(self.configuration(house, house.control.path))

    def house_of(self, jid: str) -> House:
        """The server of a JID or host."""
        host = jid.partition("/")[0].rpartition("@")[2]
        for house in self.houses.values():
            if host in house.server.spec.hosts:
                return house
        raise KeyError(f"nobody serves {host}")

    def component_of(self, jid: str) -> str:
        """The component that serves a user; KeyError where none does."""
        return self.house_of(jid).component

    def logs(self) -> str:
        """Where to look when something went wrong."""
        paths = [house.server.log_path for house in self.houses.values()]
        paths += [daemon.log_path for daemon in self.daemons()]
        return " ".join(str(path) for path in paths)

    def configuration(self, house: House, socket: Path) -> dict[str, dict[str, object]]:
        """The configuration of a house's component, whose control socket is there."""
        spec = house.server.spec
        whole: dict[str, dict[str, object]] = {
            "component": {
                "jid": house.component,
                "secret": COMPONENT_SECRET,
                "host": spec.address,
                "port": COMPONENT_PORT,
                "control": str(socket),
            },
            "served": {"hosts": list(spec.hosts)},
            "metrics": {"listen": f"{spec.address}:{METRICS_PORT}"},
        }
        for key, value in (*FAST.items(), *self.settings):
            section, _, option = key.partition(".")
            whole.setdefault(section, {})[option] = value
        return whole


def _components(name: str) -> tuple[str, ...]:
    if name == "montague":
        return (COMPONENT_HOST, STRANGER_HOST)
    if name == "mantua":
        return (BOTS_HOST,)
    return (COMPONENTS[name],) if name in COMPONENTS else ()

"""Everything that one start of the servers needs: servers, components, and who plays the rest."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import server_process
from bench.contacts import limit
from bench.contacts.cases import Place, Setting
from bench.contacts.latency import DelayLine
from bench.contacts.play import DOMAIN, Play
from bench.contacts.rosters import EjabberdRosters, ProsodyRosters, Rosters
from bench.contacts.servers import FAR_HOST, OTHER_HOST, build, build_far, is_ejabberd
from bench.contacts.ways import Way
from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import COMPONENT_PORT, COMPONENT_SECRET, S2S_PORT, Server
from tests.live.servers.process import Process, tail

_METRICS_PORT = 29347
_READY = 60.0
"""Seconds for a component to start, on a machine that is busy with other things."""
_POLL = 0.02


@dataclass
class House:
    """What runs."""

    setting: Setting
    ways: Sequence[Way]
    server: Server
    far: Server | None
    play: Play
    rosters: Rosters
    daemons: dict[Way, Daemon]

    @property
    def address(self) -> str:
        """Of the contacts' server."""
        return self.server.spec.address

    @property
    def pid(self) -> int:
        """Of the contacts' server."""
        return server_process(self.server.folder)

    def metrics(self, way: Way) -> str:
        """URL of the figures of one of ours."""
        return f"http://{self.address}:{_METRICS_PORT + self.ways.index(way)}/metrics"

    def old_host(self, way: Way) -> str:
        """Where the movers of a way's contacts come from."""
        return {
            Place.PLAYED: DOMAIN,
            Place.LOCAL: way.host,
            Place.OTHER: OTHER_HOST,
            Place.FAR: FAR_HOST,
        }[self.setting.place]

    @property
    def old_server(self) -> Server:
        """The server of the movers' old accounts, where they have real ones."""
        return self.far or self.server


@contextlib.asynccontextmanager
async def running(
    setting: Setting, ways: Sequence[Way], folder: Path, peer: Path | None = None
) -> AsyncIterator[House]:
    """Start everything; stop it with the block."""
    async with contextlib.AsyncExitStack() as stack:
        here = free_address()
        zone = dict.fromkeys((DOMAIN, OTHER_HOST, *(way.host for way in ways)), here)
        far: Server | None = None
        if setting.place is Place.FAR:
            there, line = free_address(), free_address()
            far = build_far(setting, there, dict(zone), folder / "far")
            zone[FAR_HOST] = there if setting.latency == 0 else line
            await stack.enter_async_context(DelayLine(line, there, S2S_PORT, setting.latency))
            stack.push_async_callback(far.stop)
            await far.start()
        server = build(setting, ways, here, zone, folder / "contacts", peer)
        stack.push_async_callback(server.stop)
        await server.start()
        play = Play(here)
        await play.open()
        stack.push_async_callback(play.close)
        ejabberd = is_ejabberd(server)
        rosters: Rosters = (
            ProsodyRosters(play) if ejabberd is None else EjabberdRosters(ejabberd, setting.storage)
        )
        house = House(setting, ways, server, far, play, rosters, {})
        for number, way in enumerate(ways):
            if way.ours:
                house.daemons[way] = _daemon(way, here, number, folder)
        for daemon in house.daemons.values():
            stack.push_async_callback(daemon.stop)
            await daemon.start(until_ready=False)
        for daemon in house.daemons.values():
            await daemon.log_says("ready", _READY)
        if Way.LIMIT in ways:
            process = await _limit(here, folder)
            stack.push_async_callback(process.kill)
        yield house


def _daemon(way: Way, address: str, number: int, folder: Path) -> Daemon:
    """As shipped, but for what keeps a measurement from being stopped as an attack."""
    settings: dict[str, dict[str, object]] = {
        "component": {
            "jid": way.component,
            "secret": COMPONENT_SECRET,
            "host": address,
            "port": COMPONENT_PORT,
            "control": "",
        },
        "served": {"hosts": [way.host]},
        "limits": {"per_domain_per_minute": 1_000_000},
        "metrics": {"listen": f"{address}:{_METRICS_PORT + number}"},
        "log": {"level": "info"},
    }
    if way is Way.PLAIN:
        settings["contacts"] = {"notice": False}
    return Daemon(folder / way.component, settings)


async def _limit(address: str, folder: Path) -> Process:
    way, log = Way.LIMIT, folder / "limit.log"
    command = [sys.executable, "-m", limit.__name__, address, way.component, way.host]
    process = Process(command, cwd=Path(__file__).parents[2], output=log)
    async with asyncio.timeout(_READY):
        while limit.READY not in log.read_text():
            if process.returncode is not None:
                raise RuntimeError(f"the empty component ended:\n{tail(log)}")
            await asyncio.sleep(_POLL)
    return process

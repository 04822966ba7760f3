"""A TCP proxy that does to a connection what networks do: late, in crumbs, cut, reset, or nothing.

TCP never loses a byte in the middle of a connection: what a black hole swallowed either comes late,
or the connection is dead.  So a hole holds bytes back, and its end decides what becomes of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_CHUNK = 65536
_LINGER_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST (socket(7))."""


class Way(StrEnum):
    """Direction of bytes: up is from the component to the server."""

    UP = "up"
    DOWN = "down"


BOTH = frozenset(Way)


class Healing(StrEnum):
    """What becomes of the connections that were in a black hole when it ends."""

    LATE = "late"
    """They go on: everything arrives late."""
    RESET = "reset"
    """Both ends learn that it is dead."""
    STALE = "stale"
    """Nobody learns anything: nothing is ever forwarded on it again, as where a firewall has
    forgotten a connection.  New ones work.  The server learns of it when the component gives up."""
    HALF_OPEN = "half-open"
    """The same, and the server never learns of it."""


@dataclass(eq=False)
class _Pair:
    """One connection of the component and the one to the server that goes with it."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    dead: bool = False
    half_open: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        """RST to both ends; where it is half open, to the component's."""
        self.dead = True
        _reset(self.near)
        if self.far is not None and not self.half_open:
            _reset(self.far)


class FaultProxy:
    """Stands between the component and the server's component port.

    Args:
        address: loopback address of the server; the proxy listens there too.
        port: of the server.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._changed = asyncio.Event()
        self._latency = 0.0
        self._crumbs = False
        self._holes: frozenset[Way] = frozenset()
        self._cuts: set[Way] = set()
        self._forgotten: list[asyncio.StreamWriter] = []
        self.port = 0
        self.connections = 0
        """Connections that were accepted so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._address, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        tasks = [task for pair in self._pairs for task in pair.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for far in self._forgotten:
            _reset(far)

    @property
    def passes(self) -> bool:
        """There is a connection through to the server that no fault has ended."""
        return any(pair.far is not None and not pair.dead for pair in self._pairs)

    # Faults ---------------------------------------------------------------------------------

    def latency(self, seconds: float) -> None:
        """Forward each chunk so much later."""
        self._latency = seconds

    def crumbs(self) -> None:
        """Forward one byte at a time."""
        self._crumbs = True

    def cut(self, way: Way) -> None:
        """Forward half of the next chunk of this direction, then reset the connection."""
        self._cuts.add(way)

    def reset(self) -> None:
        """Reset all connections now."""
        for pair in self._pairs:
            pair.reset()

    def hole(self, ways: frozenset[Way] = BOTH) -> None:
        """Forward nothing in these directions; also new connections get nowhere."""
        self._holes = ways

    def heal(self, how: Healing = Healing.LATE) -> None:
        """End every fault; ``how`` says what becomes of connections in a black hole."""
        if self._holes and how is not Healing.LATE:
            for pair in self._pairs:
                if how is Healing.RESET:
                    pair.reset()
                else:
                    pair.dead = True
                    pair.half_open = how is Healing.HALF_OPEN
        self._latency, self._crumbs, self._holes = 0.0, False, frozenset()
        self._cuts.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    # Connections ----------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        pair = _Pair(near, tasks=[task])
        self._pairs.add(pair)
        try:
            await self._passable(pair, *Way)
            if pair.dead:
                await _swallow(reader)
                return
            far_reader, pair.far = await asyncio.open_connection(self._address, self._upstream)
            for writer in (near, pair.far):
                writer.get_extra_info("socket").setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
                )
            pumps = [
                asyncio.create_task(self._pump(pair, Way.UP, reader, pair.far)),
                asyncio.create_task(self._pump(pair, Way.DOWN, far_reader, near)),
            ]
            pair.tasks += pumps
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # What the other direction still holds goes its way; then the rest is closed.
            await asyncio.wait(pumps, timeout=0.5)
            for pump in pumps:
                pump.cancel()
        except OSError:
            pass  # the server does not listen: whoever connected is reset
        finally:
            pair.reset()
            self._pairs.discard(pair)
            if pair.half_open and pair.far is not None:
                self._forgotten.append(pair.far)

    async def _passable(self, pair: _Pair, *ways: Way) -> None:
        while not pair.dead and any(way in self._holes for way in ways):
            await self._changed.wait()

    async def _pump(
        self, pair: _Pair, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await source.read(_CHUNK)
                if self._latency and data:
                    await asyncio.sleep(self._latency)
                await self._passable(pair, way)
                if pair.dead:
                    await _swallow(source, data)
                    return
                if not data:
                    sink.close()
                    return
                if way in self._cuts:
                    self._cuts.discard(way)
                    sink.write(data[: max(1, len(data) // 2)])
                    await sink.drain()
                    pair.reset()
                    return
                await self._forward(data, sink)

    async def _forward(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if not self._crumbs:
            sink.write(data)
            await sink.drain()
            return
        for at in range(len(data)):
            sink.write(data[at : at + 1])
            await sink.drain()
            await asyncio.sleep(0)


async def _swallow(source: asyncio.StreamReader, data: bytes = b"x") -> None:
    """Read to the end without forwarding."""
    with contextlib.suppress(OSError):
        while data:
            data = await source.read(_CHUNK)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it may be closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    writer.transport.abort()

"""The control socket: orders of the admin on this machine, as JSON lines over a Unix socket.

A request is one line, ``{"order": "pause", "id": 7}``; its answer is one line,
``{"ok": true, "result": ...}`` or ``{"ok": false, "problem": "...", "facts": {...}}``.  The order
``watch`` is answered like any other, with the moves that run, and then with a line
``{"ok": true, "progress": {...}}`` for each change, until either side closes.

Whoever may open the socket is the admin: it has mode 0600, and the other process must run as root
or as the user that runs the component.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self

import structlog

from component.core.journey.model import Problem, Progress, Refused
from component.engine.movers.orders import ControlOrders
from component.ops.control_json import progress_dict
from component.ops.control_orders import WATCH, BadRequest, Fault, carry_out, parse

LINE_BYTES: Final = 64 * 1024
"""The longest request line; a longer one is read to its end, and refused."""

log = structlog.get_logger(__name__)


class _Unusable(Exception):
    """The socket cannot be opened there; says what to do."""


class _Gone(Exception):
    """The client went away in the middle."""


class ControlServer:
    """Takes orders from :meth:`start` to :meth:`stop`; also an async context manager.

    :param path: of the socket, in a folder that exists; "" for none at all
    :param orders: who carries them out
    """

    def __init__(self, path: str, orders: ControlOrders) -> None:
        self._path = path
        self._orders = orders
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._ours: tuple[int, int] | None = None

    @property
    def listening(self) -> bool:
        """Whether orders can come in."""
        return self._server is not None

    async def start(self) -> None:
        """Listen.  Where that is not possible, a warning says why, and there is no socket.

        The socket file of a process that ended is replaced; one that somebody listens on is not.
        """
        if not self._path or self._server is not None:
            return
        try:
            listener = _bind(self._path)
        except _Unusable as why:
            log.warning(
                "no control socket",
                path=self._path,
                reason=str(why),
                remedy='correct that, or choose another path for [component] control ("" for none)',
            )
            return
        self._ours = _identity(self._path)
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listener, limit=LINE_BYTES
        )

    async def stop(self) -> None:
        """Take no more orders, end every connection, remove the socket; harmless when stopped."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await server.wait_closed()
        if self._ours is not None and _identity(self._path) == self._ours:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.create_task(self._attend(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from beginning to end."""
        try:
            with contextlib.suppress(_Gone):
                if _may_order(writer.get_extra_info("socket")):
                    await self._converse(reader, writer)
                elif await _read_line(reader) is not None:
                    # Read first: a socket closed on unread bytes may lose what it said.
                    await _say(writer, _refusal(Fault.NOT_PERMITTED))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()  # a stop does not wait for a client that does not read

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = False
        while not last and (line := await _read_line(reader)) is not None:
            try:
                if line == _TOO_LONG:
                    raise BadRequest(Fault.TOO_LONG, most=f"{LINE_BYTES} bytes")
                request = parse(line)
                if request.order == WATCH:
                    last = True
                    await self._watch(reader, writer)
                    continue
                answer = {"ok": True, "result": await carry_out(self._orders, request)}
            except BadRequest as fault:
                answer = _refusal(fault.fault, fault.facts)
            except Refused as refused:
                answer = _refusal(refused.problem, refused.facts)
            except _Gone:
                raise
            except Exception:
                # Whatever it is (the journal, the stream): the admin is told, the log has it all.
                log.exception("an order of the control socket failed")
                answer = _refusal(Problem.UNAVAILABLE)
            await _say(writer, answer)

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell the moves that run now, then every change, until the client goes."""
        changes = _Changes()
        collect = asyncio.create_task(changes.collect(self._orders.watch()))
        await asyncio.sleep(0)  # it listens from here on, so that nothing falls between
        gone = asyncio.create_task(_until_gone(reader))
        tell = asyncio.create_task(self._tell(changes, writer))
        try:
            await asyncio.wait((gone, tell), return_when=asyncio.FIRST_COMPLETED)
            if tell.done():
                tell.result()
                await collect
        finally:
            for task in (collect, gone, tell):
                task.cancel()
            await asyncio.gather(collect, gone, tell, return_exceptions=True)

    async def _tell(self, changes: _Changes, writer: asyncio.StreamWriter) -> None:
        running = await self._orders.all_journeys(running_only=True)
        settings = await self._orders.run_time()
        journeys = [progress_dict(progress) for progress in running]
        await _say(
            writer, {"ok": True, "result": {"paused": settings.paused, "journeys": journeys}}
        )
        async for progress in changes:
            await _say(writer, {"ok": True, "progress": progress_dict(progress)})


class _Changes:
    """The newest progress of each move that has not been told yet.

    A client that reads slowly gets fewer lines, never old ones, and costs no more memory.
    """

    def __init__(self) -> None:
        self._untold: dict[int, Progress] = {}
        self._news = asyncio.Event()
        self._over = False

    async def collect(self, source: AsyncIterator[Progress]) -> None:
        """Take in what ``source`` yields, until it ends."""
        try:
            async for progress in source:
                self._untold[progress.journey.id] = progress
                self._news.set()
        finally:
            self._over = True
            self._news.set()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._untold:
                yield self._untold.pop(next(iter(self._untold)))
            if self._over:
                return


_TOO_LONG: Final = b"\n"
"""What :func:`_read_line` returns for a line past the limit; no line has a line feed within."""


async def _read_line(reader: asyncio.StreamReader) -> bytes | None:
    """The next line without its end; ``_TOO_LONG``; None at the end of the stream."""
    too_long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            too_long = True
            await reader.readexactly(overrun.consumed)
        except asyncio.IncompleteReadError as end:
            if not end.partial and not too_long:
                return None
            return _TOO_LONG if too_long else end.partial
        except OSError as error:
            raise _Gone from error
        else:
            return _TOO_LONG if too_long else line[:-1]


async def _until_gone(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed; what it writes meanwhile is nothing to us."""
    with contextlib.suppress(OSError):
        while await reader.read(LINE_BYTES):
            pass


async def _say(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    try:
        writer.write(json.dumps(answer, allow_nan=False).encode() + b"\n")
        await writer.drain()
    except OSError as error:
        raise _Gone from error


def _refusal(problem: Problem | Fault, facts: dict[str, str] | None = None) -> dict[str, Any]:
    return {"ok": False, "problem": problem.value, "facts": facts or {}}


def _may_order(connection: socket.socket) -> bool:
    """Whether the process at the other end may give orders (SO_PEERCRED, unix(7))."""
    if sys.platform != "linux":
        return True  # the mode of the socket has to do
    form = struct.Struct("3i")  # struct ucred: pid, uid, gid
    _, uid, _ = form.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    if uid in (0, os.geteuid()):
        return True
    log.warning("the control socket was opened by another user", uid=uid)
    return False


def _bind(path: str) -> socket.socket:
    """A socket bound to ``path`` with mode 0600, not listening yet.

    Nobody can connect before it listens, so nobody can between the bind and the change of mode.

    :raises _Unusable: it cannot be had; says why and what to do
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        folder = os.path.dirname(path) or "."
        remedy = {
            FileNotFoundError: f"the folder {folder} does not exist; create it (with systemd: "
            "RuntimeDirectory=xmpp-moved)",
            PermissionError: f"the user that runs xmpp-moved may not write to {folder}; let it",
        }.get(type(error), error.strerror or str(error))
        raise _Unusable(remedy) from error
    return listener


def _clear(path: str) -> None:
    """Remove the socket that an ended process has left.

    :raises _Unusable: what is there is no socket, or somebody listens, or one cannot tell
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise _Unusable("there is a file of that name that is no socket; remove it")
    except OSError:
        return  # nothing there; or the bind will say what is wrong
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # its queue is full: it lives
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):  # the bind will say what is wrong
                os.unlink(path)
            return
        except OSError as error:
            raise _Unusable(
                f"there is a socket already, and it cannot be looked at ({error.strerror}); "
                "remove it if no other xmpp-moved uses it"
            ) from error
    raise _Unusable("another process listens there, perhaps a second xmpp-moved; end it")


def _identity(path: str) -> tuple[int, int] | None:
    """What tells this file from another of the same name."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino

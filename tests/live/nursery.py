"""Components that start within a moment: forked from a process that has imported everything.

An own process spends seconds of processor time on imports before it does anything.  What a forked
one does from then on is the same: ``main`` of the command with its arguments, a session, a folder
and an environment of its own, and an end with an exit code.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import component
from tests.live.servers.process import Child

COMMAND = "component.ui.cli"
"""The module whose ``main`` is ``python -m component``."""
ROOT = Path(component.__file__).parents[1]
_FURTHER = (
    *("aiosqlite", "asyncpg", "sqlalchemy.dialects.sqlite.aiosqlite"),
    *("sqlalchemy.dialects.postgresql.asyncpg", "alembic.command"),
    "tests.live.crash.component",
)
"""What a command imports when it is needed, beside all that is in the package."""
_LONGEST_ORDER = 1 << 17
_PR_SET_PDEATHSIG = 1


class Forked(Child):
    """A process that the nursery forked; see :class:`Child`.

    :param pid: process id
    :param handle: a descriptor of the process (pidfd_open(2)): its number may be taken again
    :param code: a pipe that gets the exit code
    """

    def __init__(self, pid: int, handle: int, code: int) -> None:
        self._pid = pid
        self._handle = handle
        self._code = code
        self._returncode: int | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        if self._returncode is None:
            with contextlib.suppress(BlockingIOError):
                # Nothing is said where the nursery is gone: its children are killed with it.
                self._returncode = int(os.read(self._code, 16) or -signal.SIGKILL)
                os.close(self._code)
                os.close(self._handle)
        return self._returncode

    async def wait(self, timeout: float) -> int:
        """Return the exit code; raises TimeoutError after ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            return await self.ended()

    async def ended(self) -> int:
        """Return the exit code once it has ended."""
        if (code := self.returncode) is not None:
            return code
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        # One descriptor for each call, since a loop watches each only once.
        watched = os.dup(self._code)
        loop.add_reader(watched, over.set)
        try:
            while (code := self.returncode) is None:
                over.clear()
                await over.wait()
            return code
        finally:
            loop.remove_reader(watched)
            os.close(watched)

    def _signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)


class Nursery:
    """Where components are forked: begun when it is first needed, it ends with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None

    async def start(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str],
        module: str = COMMAND,
    ) -> Forked:
        """A new process, in a thread: the first one has to wait for all the imports.

        :param output: file that receives stdout and stderr, appended
        :param environment: the whole of it
        :param module: whose ``main`` it runs with the arguments
        """
        order = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
        }
        return await asyncio.to_thread(self._fork, json.dumps(order).encode(), output)

    def _fork(self, order: bytes, output: Path) -> Forked:
        code, theirs = os.pipe()
        os.set_blocking(code, False)
        try:
            with self._lock, output.open("ab") as sink:
                orders = self._begun()
                socket.send_fds(orders, [order], [sink.fileno(), theirs])
                pid, handles, _, _ = socket.recv_fds(orders, 16, 1)
                if not handles:
                    raise ChildProcessError("the nursery is gone")
        except BaseException as error:
            os.close(code)
            if isinstance(error, OSError):  # ChildProcessError is one
                self._orders = None  # the next start begins another one
            raise
        finally:
            os.close(theirs)
        return Forked(int(pid), handles[0], code)

    def _begun(self) -> socket.socket:
        if self._orders is None:
            self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # No LEASH: that would end it with the thread that starts it.
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "tests.live.nursery"],
                    cwd=ROOT,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            atexit.register(self._end)
        return self._orders

    def _end(self) -> None:
        """End it; components that still live end with it."""
        if self._orders is not None and self._child is not None:
            self._orders.close()
            self._child.wait()


NURSERY = Nursery()
"""The one of this process."""


# In the nursery itself --------------------------------------------------------------------------


def main() -> None:
    """Fork a process for each order on standard input, and pass on how each one ended."""
    _import_everything()
    orders, watched = socket.socket(fileno=0), selectors.DefaultSelector()
    watched.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.data is not None:
                watched.unregister(key.fd)
                _report(key.fd, *key.data)
                continue
            order, (*given,), _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 2)
            if not order:
                return
            output, code = given
            pid = os.fork()
            if pid == 0:
                watched.close()
                orders.detach()
                _grow_up(json.loads(order), output)
            os.close(output)
            handle = os.pidfd_open(pid)
            watched.register(handle, selectors.EVENT_READ, (pid, code))
            socket.send_fds(orders, [str(pid).encode()], [handle])


def _import_everything() -> None:
    for module in pkgutil.walk_packages(component.__path__, f"{component.__name__}."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    for name in _FURTHER:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the collector would copy the pages of all this into every child


def _report(handle: int, pid: int, code: int) -> None:
    """Say how a process ended, whom nobody may ask for it any more."""
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(code, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(code)
    os.close(handle)


def _grow_up(order: dict[str, Any], output: int) -> NoReturn:
    """The rest of a forked process's life, which begins as a new process does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.exit(importlib.import_module(order["module"]).main(order["arguments"]))


if __name__ == "__main__":
    main()

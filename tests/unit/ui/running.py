"""A control socket in a thread, and the command as a process beside it, on a pipe or a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from component.ops.control import ControlServer
from tests.unit.ops.fake_orders import FakeOrders

ROOT = Path(__file__).parents[3]
AT_MOST = 30.0

T = TypeVar("T")


class Running:
    """A component as far as the control socket shows it."""

    def __init__(self, orders: FakeOrders, server: ControlServer, loop: Any) -> None:
        self.orders = orders
        self._server = server
        self._loop: asyncio.AbstractEventLoop = loop

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Have a coroutine run where the server runs, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(AT_MOST)

    def do(self, work: Callable[[], T]) -> T:
        """Call something there."""

        async def call() -> T:
            return work()

        return self.wait(call())

    def stop(self) -> None:
        """End the server, as a component does that is stopped."""
        self.wait(self._server.stop())


@contextmanager
def running(path: Path, orders: FakeOrders) -> Iterator[Running]:
    """Listen at ``path`` for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = ControlServer(str(path), orders)
        component = Running(orders, server, loop)
        component.wait(server.start())
        try:
            yield component
        finally:
            component.stop()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(AT_MOST)
        loop.close()


class Process:
    """The command as a process; its output, and a way to type where it has a terminal."""

    def __init__(self, child: subprocess.Popen[bytes], output: int) -> None:
        self._child = child
        self._output = output
        self.text = ""

    def until(self, holds: Callable[[str], bool]) -> str:
        """Read until this is true of all that was printed."""
        deadline = time.monotonic() + AT_MOST
        while not holds(self.text):
            left = max(0.0, deadline - time.monotonic())
            chunk = self._read() if select.select([self._output], [], [], left)[0] else b""
            assert chunk, f"it ended, or took too long, having printed:\n{self.text}"
            self.text += chunk.decode()
        return self.text

    def type(self, text: str) -> None:
        """Type on its terminal."""
        os.write(self._output, text.encode())

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self._child.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Its exit code and all that it printed, once it has ended by itself."""
        while chunk := self._read():
            self.text += chunk.decode()
        return self._child.wait(AT_MOST), self.text

    def _read(self) -> bytes:
        try:
            return os.read(self._output, 65536)
        except OSError:  # how a terminal ends on Linux
            return b""


@contextmanager
def process(*arguments: str | Path, terminal: bool = False) -> Iterator[Process]:
    """Run ``xmpp-moved`` with both outputs together on a pipe, or on a terminal of 24 x 120."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("XMPP_MOVED_")}
    clean |= {"TERM": "xterm", "COLUMNS": "120", "LINES": "24", "PYTHONIOENCODING": "utf-8"}
    if not terminal:
        del clean["COLUMNS"]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "component", *map(str, arguments)],
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=clean,
            cwd=ROOT,
            start_new_session=terminal,
        )
    finally:
        os.close(theirs)
    try:
        yield Process(child, ours)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait(AT_MOST)
        os.close(ours)

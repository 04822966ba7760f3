"""The component under test as a child process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from component.core.records import MoveRecord
from component.store import Store, StoreError
from component.store.connect import locate
from tests.live.nursery import COMMAND, NURSERY, ROOT
from tests.live.servers.process import Child, Process, tail

READY_TIMEOUT = 60.0
"""Seconds from the start to the log line ``ready``."""
JOURNAL_TIMEOUT = 20.0
"""Seconds that a test waits for the journal to say something."""
_POLL = 0.02


class DaemonError(Exception):
    """The component did not do what the harness waited for."""


class Daemon:
    """``python -m component run`` with a configuration and a journal of its own.

    Args:
        folder: gets ``config.toml``, ``moved.db`` and ``component.log``.
        settings: sections of the configuration file (DESIGN 8), without ``[database]``
            and the format of the log, which the harness sets.
    """

    own_process = True
    """Whether ``python -m component`` is started, as whoever measures must have it.  The tests'
    conftest sets it to false for all: then the nursery forks what runs the same command, unless
    ``code`` is elsewhere."""
    module = COMMAND
    """What ``start`` runs, where the nursery forks it."""

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, object]]) -> None:
        self.folder = folder
        self.log_path = folder / "component.log"
        self.config_path = folder / "config.toml"
        self.url = f"sqlite+aiosqlite:///{folder / 'moved.db'}"
        self.code = ROOT
        """Where the package is that ``start`` runs."""
        self.environment: dict[str, str] = {}
        """Added to the environment of every process that is started from now on."""
        self._process: Child | None = None
        self._seen = 0
        self._readers: AsyncGenerator[Store] | None = None
        self._opened: tuple[object, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(settings)

    def configure(self, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Write the configuration; counts from the next start."""
        whole = {
            **settings,
            "database": {"url": self.url, **settings.get("database", {})},
            "log": {"level": "debug", **settings.get("log", {}), "format": "json"},
        }
        lines: list[str] = []
        for section, options in whole.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {_toml(value)}" for key, value in options.items()]
        self.config_path.write_text("\n".join(lines) + "\n")
        self.config_path.chmod(0o600)

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        if self._process is None:
            raise DaemonError("the component was never started")
        return self._process.pid

    def command(self, *arguments: str) -> list[str]:
        """The command line of ``xmpp-moved`` with this configuration."""
        return [sys.executable, "-m", "component", "--config", str(self.config_path), *arguments]

    async def start(self, *, until_ready: bool = True) -> None:
        """Start; wait for the log line ``ready`` unless told not to.

        Raises DaemonError with the log's tail when it ends or is not ready in time.
        """
        if self.running:
            raise DaemonError("the component runs already")
        await self._close_reader()
        self._seen = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._process = await self._spawn()
        if until_ready:
            await self.log_says("ready", READY_TIMEOUT)

    async def _spawn(self) -> Child:
        return await self._child("run", output=self.log_path, code=self.code, module=self.module)

    async def _child(
        self, *arguments: str, output: Path, code: Path = ROOT, module: str = COMMAND
    ) -> Child:
        """A process that runs a subcommand, its output appended to a file."""
        command = self.command(*arguments)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("XMPP_MOVED")}
        environment |= self.environment
        if self.own_process or code != ROOT:
            return Process(command, cwd=code, output=output, env=environment)
        begun = command.index("--config")
        return await NURSERY.start(
            command[begun:], output=output, environment=environment, module=module
        )

    async def log_says(self, event: str, timeout: float = READY_TIMEOUT) -> dict[str, Any]:
        """Return the next log line with this ``event`` since the start or the last call."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = self._next_event(event)
                    if found is not None:
                        return found
                    if not self.running:
                        raise DaemonError(self._story(f"ended before it said {event!r}"))
                    await asyncio.sleep(_POLL)
        except TimeoutError as slow:
            raise DaemonError(self._story(f"did not say {event!r} in {timeout} s")) from slow

    def said(self, event: str) -> list[dict[str, Any]]:
        """All its log lines with this ``event``."""
        lines = self.log_path.read_bytes().splitlines()
        return [entry for line in lines if (entry := _entry(line, event)) is not None]

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        await self._close_reader()
        return await self._process.terminate() if self._process is not None else 0

    async def kill(self) -> None:
        """SIGKILL."""
        await self._close_reader()
        if self._process is not None:
            await self._process.kill()

    async def wait(self, timeout: float = 10.0) -> int:
        """Return the exit code once the component has ended by itself."""
        if self._process is None:
            raise DaemonError("the component was never started")
        return await self._process.wait(timeout)

    async def run_command(self, *arguments: str, timeout: float = 30.0) -> tuple[int, str]:
        """Run another subcommand with the same configuration; return exit code and output."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as output:
            child = await self._child(*arguments, output=Path(output.name))
            try:
                code = await child.wait(timeout)
            except TimeoutError:
                await child.kill()
                raise
            return code, output.read().decode(errors="replace")

    async def moves(self, contact: str | None = None) -> Sequence[MoveRecord]:
        """The journal's records of a contact (bare JID), the newest first."""
        async with self._reading():
            try:
                store = await self._reader()
            except StoreError:
                if self.running:
                    raise
                return []
            return await store.list_moves(limit=1000, contact=contact)

    def _reading(self) -> asyncio.Lock:
        """Held by whoever opens, uses or closes the reader."""
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    async def _reader(self) -> Store:
        """The journal, which stays open: as long as the loop runs and the file is the same."""
        opened = (self._loop, _inode(self.url))
        if self._readers is None or self._opened != opened:
            await self._drop_reader()
            readers = _reader(self.url)
            self._store = await anext(readers)
            self._readers, self._opened = readers, opened
        return self._store

    async def _close_reader(self) -> None:
        """Before the component starts or ends: what it does with the file must not depend on us."""
        async with self._reading():
            await self._drop_reader()

    async def _drop_reader(self) -> None:
        readers, self._readers = self._readers, None
        if readers is not None:
            await readers.aclose()

    async def journal_says(
        self,
        contact: str | None,
        holds: Callable[[Sequence[MoveRecord]], bool],
        what: str,
        timeout: float = JOURNAL_TIMEOUT,
    ) -> Sequence[MoveRecord]:
        """Wait until the journal of a contact satisfies ``holds``; raises DaemonError."""
        return await self._until(lambda: self.moves(contact), holds, what, timeout)

    async def settled(self, contacts: Sequence[str], timeout: float = JOURNAL_TIMEOUT) -> None:
        """Wait until no record of these contacts is open; raises DaemonError."""
        for contact in contacts:
            await self.journal_says(
                contact, lambda moves: all(m.state.final for m in moves), "settled", timeout
            )

    async def _until(
        self,
        read: Callable[[], Awaitable[Sequence[MoveRecord]]],
        holds: Callable[[Sequence[MoveRecord]], bool],
        what: str,
        timeout: float,
    ) -> Sequence[MoveRecord]:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            moves = await read()
            if holds(moves):
                return moves
            if asyncio.get_running_loop().time() > deadline:
                shown = "\n".join(
                    f"  {m.id}: {m.state} {m.reason} {m.old} -> {m.new} ({m.detail})" for m in moves
                )
                raise DaemonError(
                    self._story(f"journal: not '{what}' within {timeout} s, but\n{shown or '  -'}")
                )
            await asyncio.sleep(_POLL)

    def _next_event(self, event: str) -> dict[str, Any] | None:
        if not self.log_path.exists():
            return None
        with self.log_path.open("rb") as log:
            log.seek(self._seen)
            for line in log:
                if not line.endswith(b"\n"):
                    return None
                self._seen += len(line)
                if (entry := _entry(line, event)) is not None:
                    return entry
        return None

    def _story(self, what: str) -> str:
        return f"component: {what}; log {self.log_path}\n{tail(self.log_path)}"


async def _reader(url: str) -> AsyncGenerator[Store]:
    """A database for reading; a loop that ends closes its generators, and so this."""
    async with await Store.open(url, writer=False) as store:
        while True:
            yield store


def _inode(url: str) -> int | None:
    """Which file a database is; None where it is none."""
    path = locate(url).path
    return path.stat().st_ino if path is not None and path.exists() else None


def _entry(line: bytes, event: str) -> dict[str, Any] | None:
    """A line of the log, if it is of this event."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.get("event") == event else None


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=False)

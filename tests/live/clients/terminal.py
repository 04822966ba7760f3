"""A program in a terminal of its own: what it draws is kept as a screen that can be read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

PATIENCE = 30.0
"""Seconds within which a client must show anything (the machine may be busy with other tests)."""
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/games"
"""Where client programs are looked for."""
COLUMNS, LINES = 120, 40
"""Size of a terminal, unless told otherwise."""
_LEASH = ("setpriv", "--pdeathsig", "KILL")
_UNPRIVILEGED = "nobody"


class ScreenError(Exception):
    """A program did not show what it should have shown in time, or ended."""


class Home:
    """A throw-away home folder, and the user who may use it.

    Clients that nobody here wrote do not run as root (poezio refuses to): where the tests do,
    the clients run as ``nobody``.
    """

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"xmpp-moved-{name}-"))
        self.owner: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            self.owner = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.path, self.owner.pw_uid, self.owner.pw_gid)

    def write(self, path: str, text: str) -> Path:
        """Write a file below the home folder, readable for its user alone; return its path."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(0o600)
        if self.owner is not None:
            for part in (target, *target.relative_to(self.path).parents):
                os.chown(self.path / part, self.owner.pw_uid, self.owner.pw_gid)
        return target

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that make it run as the home's user and end with the tests."""
        if self.owner is None:
            return _LEASH
        ids = (f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}", "--clear-groups")
        return (*_LEASH, *ids)

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment of a client: nothing of the tests' own user, no desktop.

        ``TERM=linux`` is what pyte understands completely; other types scroll in ways it ignores.
        """
        return {
            "PATH": SEARCH_PATH,
            "HOME": str(self.path),
            "XDG_CONFIG_HOME": str(self.path / "config"),
            "XDG_DATA_HOME": str(self.path / "data"),
            "XDG_CACHE_HOME": str(self.path / "cache"),
            "XDG_RUNTIME_DIR": str(self.path),
            "TMPDIR": str(self.path),
            "LC_ALL": "C.UTF-8",
            "TERM": "linux",
            "NO_AT_BRIDGE": "1",
        }

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


class Terminal:
    """A pseudo-terminal with a program in it; to be made inside a running event loop.

    Args:
        name: what failures call the program.
        command: program and arguments.
        home: where, and as whom, it runs.
        lines: height.
    """

    def __init__(self, name: str, command: Sequence[str], home: Home, lines: int = LINES) -> None:
        self.name = name
        self._screen = pyte.Screen(COLUMNS, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (lines, COLUMNS))
        os.set_blocking(self._master, False)
        if home.owner is not None:
            os.fchown(slave, home.owner.pw_uid, home.owner.pw_gid)
        try:
            # setsid -c: a session with this terminal as its own, so that size and keys work.
            self._child = subprocess.Popen(
                [*home.prefix, "setsid", "-c", *command],
                cwd=home.path,
                env=dict(home.environment),
                stdin=slave,
                stdout=slave,
                stderr=slave,
            )
        finally:
            os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    @property
    def lines(self) -> list[str]:
        """The screen's lines without trailing blanks."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The screen as text, without empty lines at the end."""
        return "\n".join(self.lines).rstrip()

    @property
    def cursor_line(self) -> str:
        """The line that the cursor is in."""
        return self.lines[self._screen.cursor.y]

    def type(self, keys: str) -> None:
        """Press keys; raises ScreenError when the program has ended or does not read."""
        try:
            written = os.write(self._master, keys.encode())
        except OSError as gone:
            raise ScreenError(self._story(f"takes no keys ({gone})")) from gone
        if written < len(keys.encode()):
            raise ScreenError(self._story("does not read its keys"))

    async def until(self, holds: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        """Wait until the screen satisfies ``holds``, looked at whenever something was drawn.

        Raises ScreenError with the screen when the time is over or the program has ended.
        """
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    if self._ended.is_set():
                        raise ScreenError(self._story(f"ended before {what}"))
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as slow:
            raise ScreenError(self._story(f"no {what} within {timeout:g} s")) from slow

    async def shows(self, *texts: str, timeout: float = PATIENCE) -> None:
        """Wait until all these texts are on the screen at once."""
        what = " and ".join(repr(text) for text in texts)
        await self.until(lambda: all(text in self.text for text in texts), what, timeout)

    async def end(self, grace: float = 10.0) -> int:
        """Wait for the program to end by itself, kill it after ``grace`` seconds; its exit code."""
        try:
            async with asyncio.timeout(grace):
                await self._ended.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        code = await asyncio.to_thread(self._child.wait, 10.0)
        self._finish()
        return code

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process on the other side is gone
            data = b""
        if data:
            self._stream.feed(data)
        else:
            self._finish()
        self._changed.set()

    def _finish(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1
        self._ended.set()

    def _story(self, what: str) -> str:
        frame = "-" * COLUMNS
        return f"{self.name}: {what}; its screen:\n{frame}\n{self.text}\n{frame}"

"""The service manager's protocol: what systemd is told of us (sd_notify(3)).

Written here rather than taken from a library: it is one datagram to a socket.  The package sdnotify
has had no release since 2017, blocks, and knows neither reloads nor watchdogs; the bindings to
libsystemd need a compiler and its headers.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_STATUS_LENGTH: Final = 300
"""Characters of a status; ``systemctl status`` shows one line."""


class ServiceManager:
    """Tells the service manager; does nothing where there is none.

    :param address: of its socket (``NOTIFY_SOCKET``): a path, or ``@`` and an abstract name
    :param watchdog_seconds: what it waits for a sign of life, None: no watchdog
    """

    def __init__(
        self, address: str | None = None, *, watchdog_seconds: float | None = None
    ) -> None:
        self._address = _address(address)
        self.watchdog_seconds = watchdog_seconds
        self._ready = False
        self._status: str | None = None

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> ServiceManager:
        """As sd_notify(3) and sd_watchdog_enabled(3) read it out of the environment."""
        return cls(environ.get("NOTIFY_SOCKET"), watchdog_seconds=_watchdog(environ))

    def ready(self) -> None:
        """The start is over.  Told once; a call that could not be told counts for nothing."""
        if not self._ready:
            self._ready = self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; until :meth:`reloaded`."""
        if self._ready:
            moment = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._send("RELOADING=1", f"MONOTONIC_USEC={moment}")

    def reloaded(self) -> None:
        """The reload is over, whatever became of it."""
        if self._ready:  # before, it would end the start
            self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, sentence: str) -> None:
        """What ``systemctl status`` shows; told where it differs from the last one."""
        line = " ".join(sentence.split())[:_STATUS_LENGTH]
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def _send(self, *lines: str) -> bool:
        """Whether it was told, or there is nobody to tell.  Never waits."""
        if self._address is None:
            return True
        message = "\n".join(lines).encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message, self._address)
        except OSError as error:
            log.warning(
                "the service manager cannot be told",
                what=lines[0],
                error=error.strerror or str(error),
            )
            return False
        return True


def _address(given: str | None) -> str | None:
    if not given:
        return None
    if given.startswith("@"):
        return "\0" + given[1:]
    if given.startswith("/"):
        return given
    log.warning("NOTIFY_SOCKET is of a kind that is not supported", address=given)
    return None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    try:
        seconds = int(environ.get("WATCHDOG_USEC", "0")) / 1_000_000
    except ValueError:
        return None
    return seconds if seconds > 0 else None

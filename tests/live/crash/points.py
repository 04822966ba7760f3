"""Places where a process may be made to die: named, counted, and taken on demand."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

FAIL = "XMPP_MOVED_FAIL"
"""Environment: ``point:n``, where the process is to die."""
TRACE = "XMPP_MOVED_POINTS"
"""Environment: a file that gets a line for each point that is reached."""


@dataclass(frozen=True, slots=True)
class Target:
    """The ``count``-th time that a point is reached, from 1."""

    point: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.point}:{self.count}"

    @classmethod
    def read(cls, text: str) -> Target:
        """From ``point:n``; raises ValueError for anything else."""
        point, colon, count = text.rpartition(":")
        if not colon or not point or int(count) < 1:
            raise ValueError(f"{FAIL} is point:n, not {text!r}")
        return cls(point, int(count))


class Points:
    """Counts what is reached, and kills this process by SIGKILL at the target.

    Reached from the event loop and from the thread that writes.

    :param trace: gets a line for each point; the last one of a process that died of its target
        begins with an exclamation mark.
    """

    def __init__(self, target: Target | None = None, trace: str | None = None) -> None:
        self._target = target
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._said: str | None = None
        self._trace = (
            os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if trace else None
        )

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Points:
        """As ``XMPP_MOVED_FAIL`` and ``XMPP_MOVED_POINTS`` say; raises ValueError."""
        fail = environment.get(FAIL)
        return cls(Target.read(fail) if fail else None, environment.get(TRACE))

    def is_next(self, point: str) -> bool:
        """Whether the process dies when this point is reached once more."""
        target = self._target
        return target is not None and (target.point, target.count) == (
            point,
            self._counts[point] + 1,
        )

    def reach(self, point: str) -> None:
        """Count a point; does not return where it is the target."""
        with self._lock:
            last = self.is_next(point)
            self._counts[point] += 1
            if self._trace is not None:
                os.write(self._trace, f"{'!' if last else ''}{point}\n".encode())
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # the signal is on its way

    @property
    def said(self) -> str | None:
        """The kind of notice that is being sent right now."""
        return self._said

    @contextmanager
    def saying(self, notice: str) -> Iterator[None]:
        """While a notice of this kind is turned into messages."""
        self._said = notice
        try:
            yield
        finally:
            self._said = None

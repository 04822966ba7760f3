"""Logging: structlog for our own events, the stdlib loggers of our libraries; both on stderr.

Ours go there directly: through the stdlib each took twice the time, and there is one for each move.

Text for people, or one JSON object a line (``event``, ``level``, ``logger``, ``timestamp``, and
what the event brings).  Times are UTC (RFC 3339).  Libraries are heard from
``warning`` on, whatever our own level: at debug, slixmpp writes whole stanzas, secrets included.
Of our own warnings and errors that are alike, only some are written in a while.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LIBRARIES: Final = ("slixmpp", "sqlalchemy", "alembic", "aiosqlite", "asyncio")
ROSTER_KEYS: Final = frozenset(
    {"roster", "item", "items", "old_item", "new_item", "name", "groups"}
    | {"stanza", "payload", "before", "after", "changes"}
)
"""Event keys that carry what a user wrote into a roster: only debug may show their values."""

ALIKE: Final = 20
"""Warnings, or errors, of the same event that are written in :data:`ALIKE_SECONDS`: what somebody
outside can cause must not fill the disk."""
ALIKE_SECONDS: Final = 10.0
_EVENTS = 1000
"""Events that are counted."""

_HIDDEN = "(shown at debug only)"


def configure(level: str = "info", format: str = "text", stream: TextIO | None = None) -> None:
    """Set up logging for the process.  May be called again; the last call counts.

    :param level: ``debug``, ``info``, ``warning`` or ``error``, for our own events
    :param format: ``text`` or ``json``
    :param stream: where to write; standard error by default
    :raises ValueError: another level or format
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    if format not in ("text", "json"):
        raise ValueError(f"unknown log format {format!r}")
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_rosters,
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(format, out),
            ],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, _OURS)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[Sparing(), *shared, *_renderers(format, out)],
        logger_factory=lambda name="component": _Lines(name, out),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )


class Sparing:
    """Structlog processor: of warnings and errors that are alike a few are written in a while.

    The next one that is says how many were not (``left_out``).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When the first one of an event came, and how many since."""

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Pass an event on, or drop it."""
        if method in ("debug", "info"):
            return event
        key, now = str(event.get("event")), self._clock()
        since, number = self._seen.pop(key, (now, 0))
        if now - since >= ALIKE_SECONDS:
            if number > ALIKE:
                event["left_out"] = number - ALIKE
            since, number = now, 0
        self._seen[key] = (since, number + 1)
        if len(self._seen) > _EVENTS:
            self._seen.popitem(last=False)
        if number >= ALIKE:
            raise structlog.DropEvent
        return event


class _Lines:
    """Where structlog hands a rendered event to; has a method for each level."""

    def __init__(self, name: str, out: TextIO) -> None:
        self.name = name
        self._out = out

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a log that is gone is no reason to stop
            self._out.write(f"{line}\n")
            self._out.flush()

    debug = info = warning = error = critical = _write


_OURS = structlog.stdlib.ProcessorFormatter


def hide_rosters(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Structlog processor: above debug, blanks the values of :data:`ROSTER_KEYS`."""
    if event.get("level", method) != "debug":
        for key in ROSTER_KEYS.intersection(event):
            event[key] = _HIDDEN
    return event


def _renderers(format: str, out: TextIO) -> list[Processor]:
    if format == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]

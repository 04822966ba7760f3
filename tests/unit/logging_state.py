"""Puts logging back as it was, for tests that set it up for the whole process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from component.ops.log import LIBRARIES


@contextmanager
def logging_restored() -> Iterator[None]:
    """Restore handlers, levels and structlog's configuration at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, was in levels.items():
            logging.getLogger(name).setLevel(was)
        structlog.reset_defaults()

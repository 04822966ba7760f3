"""Writing to a terminal, or to a pipe, what strangers may have had a hand in."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import IO, TextIO

from rich.console import Console

_PIPE_WIDTH = 1000
"""Columns where there is no screen: nothing is cut or wrapped, so that grep finds it."""


def make_console(stream: TextIO | None = None) -> Console:
    """A console without markup or guessing; colours only on a terminal (and not with NO_COLOR)."""
    out = sys.stdout if stream is None else stream
    width = None if out.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=out, width=width, markup=False, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Text with control and direction characters made visible.

    Roster names and addresses are chosen by others and could otherwise steer the terminal.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def marks(stream: IO[str] | None = None) -> tuple[str, str, str]:
    """The signs for good, for good with a remark, and for bad that this stream can show."""
    out = sys.stdout if stream is None else stream
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        "✓✗→".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "ok  ", "note", "FAIL"
    return "✓", "!", "✗"


def utc(at: datetime) -> str:
    """A time for people, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""How a command ends when it cannot do what was asked."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command (stable; 77 and 78 as in BSD's sysexits.h)."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    REFUSED = 77
    CONFIG = 78


class CommandFailed(Exception):
    """An expected failure: a sentence for standard error, and the exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILURE) -> None:
        super().__init__(sentence)
        self.code = code

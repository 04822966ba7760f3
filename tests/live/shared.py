"""Servers that many tests share, and the servers that a test leaves to ``make test-full``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import pytest

from tests.live.servers.differences import KINDS, Kind

NEWER_PROSODY = "prosody-13.0"
"""Has the hook's tests in ``make test``; what the hook has no part in is the same as on 0.12."""


class Runs(Protocol):
    """What can be started, and stopped in another event loop."""

    def start(self) -> Awaitable[None]: ...

    def stop(self) -> Awaitable[None]: ...


T = TypeVar("T", bound=Runs)


@contextmanager
def kept(thing: T) -> Iterator[T]:
    """Start something for many tests, each of which has an event loop of its own; stop it after."""

    async def run(what: Awaitable[None]) -> None:
        await what

    try:
        asyncio.run(run(thing.start()))
        yield thing
    finally:
        asyncio.run(run(thing.stop()))


def kinds(
    *full: str, group: str = "", argument: str = "kind", among: Iterable[Kind] = KINDS.values()
) -> pytest.MarkDecorator:
    """A mark: the test, or each of the module, runs with each ``kind``.

    :param full: kinds with which it is left to ``make test-full``
    :param group: modules of one group share what runs, so that one worker has to run them all
    """

    def marks(name: str) -> list[pytest.MarkDecorator]:
        left = [pytest.mark.full] if name in full else []
        return [*left, pytest.mark.xdist_group(f"{group} {name}")] if group else left

    return pytest.mark.parametrize(
        argument,
        [pytest.param(kind, id=kind.name, marks=marks(kind.name)) for kind in among],
        indirect=True,
    )

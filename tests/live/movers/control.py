"""The control socket as a test uses it: orders, and the progress of every move as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds within which whatever a test waits for must come true."""
_LINE_MAX = 16 * 1024 * 1024


class ControlError(Exception):
    """An order was refused: ``problem`` is its word."""

    def __init__(self, problem: str, facts: Mapping[str, str]) -> None:
        super().__init__(f"{problem}: {dict(facts)}")
        self.problem = problem
        self.facts = facts


class Watch:
    """Every progress line since the watch began."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def add(self, progress: dict[str, Any]) -> None:
        """One more line."""
        self.lines.append(progress)
        self._news.set()

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], what: str, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """The first line that fits, be it there already; AssertionError after ``timeout``."""
        seen = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for line in self.lines[seen:]:
                        if holds(line):
                            return line
                    seen = len(self.lines)
                    self._news.clear()
                    if seen == len(self.lines):
                        await self._news.wait()
        except TimeoutError:
            last = self.lines[-1] if self.lines else "no line at all"
            raise AssertionError(f"{what}: not within {timeout} s; the last was {last}") from None

    def check_totals(self, total: int, picks: Callable[[dict[str, Any]], bool]) -> None:
        """See that in every line of one move the states add up to the size of the roster."""
        lines = [line for line in self.lines if picks(line)]
        wrong = [
            line
            for line in lines
            if sum(line["counts"].values()) != line["total"] or line["total"] != total
        ]
        assert lines, "no line came"
        assert not wrong, wrong


class Control:
    """A client of the control socket of one component."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def order(self, order: str, **arguments: object) -> Any:
        """Give one order; return its result.  Raises ControlError when it is refused."""
        reader, writer = await self._open()
        try:
            writer.write(_line({"order": order, **arguments}))
            async with asyncio.timeout(PATIENCE):
                answer = json.loads(await reader.readline())
        finally:
            writer.close()
        if not answer["ok"]:
            raise ControlError(answer["problem"], answer.get("facts", {}))
        return answer.get("result")

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        """Collect progress while the block runs; the stream may end, as a component may die."""
        reader, writer = await self._open()
        writer.write(_line({"order": "watch"}))
        await writer.drain()
        watch = Watch()

        async def collect() -> None:
            with contextlib.suppress(ConnectionError):
                async for line in reader:
                    answer = json.loads(line)
                    assert answer["ok"], answer
                    for progress in _progresses(answer):
                        watch.add(progress)

        task = asyncio.create_task(collect(), name=f"watch {self.path.name}")
        try:
            yield watch
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            writer.close()

    async def raw(self, data: bytes) -> bytes:
        """Send bytes as they are; return the line that comes back, empty where the stream ends."""
        reader, writer = await self._open()
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                with contextlib.suppress(ConnectionError):
                    return await reader.readline()
            return b""
        finally:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path), limit=_LINE_MAX)


def _progresses(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a line of a watch tells: the first one holds all moves that run, the others one."""
    if "progress" in answer:
        yield answer["progress"]
    else:
        yield from answer["result"]["journeys"]


def _line(request: Mapping[str, object]) -> bytes:
    return json.dumps(request).encode() + b"\n"

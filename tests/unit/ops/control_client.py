"""A client of the control socket, for tests that write to it by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

AT_MOST = 10.0


class Client:
    """Writes lines, reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, line: bytes) -> None:
        self.writer.write(line)
        await self.writer.drain()

    async def answer(self) -> Any:
        line = await asyncio.wait_for(self.reader.readline(), AT_MOST)
        return json.loads(line) if line else None

    async def ask(self, order: object) -> Any:
        await self.send(json.dumps(order).encode() + b"\n")
        return await self.answer()


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()

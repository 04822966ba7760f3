"""A TCP relay that hands on each byte so much later, without slowing the stream down."""

from __future__ import annotations

import asyncio
import contextlib


class DelayLine:
    """Listens on an address and relays to another; what goes there is late, what returns is not.

    Unlike the proxy of the fault tests it keeps many chunks on their way at once, as a long line
    does; one way is enough, since only the sum counts.

    Args:
        seconds: how late.
    """

    def __init__(self, address: str, to: str, port: int, seconds: float) -> None:
        self._address, self._to, self._port, self._seconds = address, to, port, seconds
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._address, self._port)

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, near_in: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_in, far = await asyncio.open_connection(self._to, self._port)
        try:
            await asyncio.gather(self._late(near_in, far), _at_once(far_in, near))
        finally:
            near.close()
            far.close()

    async def _late(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await source.read(65536):
            loop.call_later(self._seconds, sink.write, data)
        loop.call_later(self._seconds, sink.close)


async def _at_once(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
    sink.close()

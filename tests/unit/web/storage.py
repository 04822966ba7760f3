"""A storage for files on a real HTTP server, which can be told to misbehave."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Storage:
    """Use as an async context manager.  ``files`` are kept by path; ``asked`` is what was asked.

    :param tls: the server's side of it; None: plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        """Of the last request."""
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        """What is done about a path instead of what is right."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self.base = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.base = f"{'https' if self._tls else 'http'}://localhost:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.headers = dict(request.headers)
        other = self.answers.get(request.raw_path)
        if other is not None:
            return await other(request)
        if request.method == "PUT":
            self.files[request.raw_path] = await request.read()
            return web.Response(status=201)
        if request.raw_path not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[request.raw_path], content_type="application/xml")


async def endless(request: web.Request) -> web.StreamResponse:
    """Send for as long as somebody reads, without saying how much."""
    answer = web.StreamResponse()
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    while True:
        await answer.write(b"x" * 65_536)


def redirect(url: str) -> Answer:
    """Send them elsewhere."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": url})

    return answer


def status(number: int) -> Answer:
    """Answer with this status, and a body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=number, body=b"<server-data/>")

    return answer


def headed(body: bytes, **headers: str) -> Answer:
    """Answer with these headers, whatever the body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        made = web.StreamResponse(
            headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        await made.prepare(request)
        await made.write(body)
        # The connection ends here, whatever was announced.
        assert request.transport is not None
        request.transport.close()
        return made

    return answer

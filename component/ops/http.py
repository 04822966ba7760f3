"""``/metrics`` and ``/health`` over HTTP, in a thread of its own.

The servers are those of prometheus_client and the stdlib.  The health callable runs on the event
loop, not in the thread: it needs no locks, and a loop that is stuck is unhealthy.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from socketserver import TCPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HEALTH_SECONDS: Final = 2.0
"""How long the event loop has to answer a health check."""
CLIENT_SECONDS: Final = 10.0
"""How long a client may take to send its request."""

MAX_CLIENTS: Final = 32
"""Served at once; the others are turned away."""
REST_SECONDS: Final = 0.2
"""Until a client is looked for again after no descriptor was left for one."""
COMPLAIN_SECONDS: Final = 60.0
"""Between log lines about that."""

log = structlog.get_logger(__name__)


class ListenError(Exception):
    """The address of ``[metrics] listen`` cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Health:
    """What ``/health`` answers: 200 if ``ok``, else 503, with ``detail`` as JSON beside it."""

    ok: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


class HttpServer:
    """Serves until :meth:`stop`; also a context manager.

    :param address: host and port (0: any free one); see ``MetricsSection.address``
    :param registry: what ``/metrics`` shows
    :param health: called for each ``/health``
    :param loop: run ``health`` there; without one, in the request's thread
    :param health_seconds: how long the loop has for that
    """

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        health: Callable[[], Health],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        health_seconds: float = HEALTH_SECONDS,
    ) -> None:
        self._address = address
        self._metrics = make_wsgi_app(registry)
        self._health = health
        self._loop = loop
        self._health_seconds = health_seconds
        self._server: ThreadingWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use; useful where 0 was asked for."""
        return int(self._server.server_port) if self._server else self._address[1]

    def start(self) -> None:
        """Listen, and serve in a daemon thread.

        :raises ListenError: the address is in use, not ours, or not permitted
        """
        server = _bind(self._address)
        server.set_app(self._app)
        self._server = server
        self._thread = threading.Thread(
            target=self._serve, args=(server,), name="http", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening.  Harmless when not started."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            with contextlib.suppress(OSError):  # refused: it has other clients to wake up for
                socket.create_connection((self._address[0], server.server_port), 1.0).close()
            thread.join()
            server.server_close()

    def _serve(self, server: ThreadingWSGIServer) -> None:
        # Not serve_forever: that wakes up ten times a second to see whether it should stop.
        while self._server is server:
            server.handle_request()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _app(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        if path != "/health":
            return _text(start, HTTPStatus.NOT_FOUND, "Try /metrics or /health.\n")
        if environ["REQUEST_METHOD"] != "GET":
            return _text(start, HTTPStatus.METHOD_NOT_ALLOWED, "Use GET.\n")
        health = self._ask()
        status = HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps({"ok": health.ok, **health.detail}, default=str) + "\n"
        return _text(start, status, body, "application/json")

    def _ask(self) -> Health:
        if self._loop is None:
            return self._health()
        answer: concurrent.futures.Future[Health] = concurrent.futures.Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(self._health())
            except Exception as error:
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(run)
            return answer.result(self._health_seconds)
        except (concurrent.futures.TimeoutError, RuntimeError) as error:
            answer.cancel()
            what = "does not answer" if isinstance(error, TimeoutError) else "is closed"
            return Health(False, {"error": f"the event loop {what}"})
        except Exception as error:
            return Health(False, {"error": f"the health check failed: {type(error).__name__}"})


class _Server(ThreadingWSGIServer):
    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        self._complained = float("-inf")
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; where no descriptor is left, rest instead of trying without end."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                if time.monotonic() - self._complained > COMPLAIN_SECONDS:
                    log.error(
                        "no descriptor is left: the health check cannot be answered; raise the "
                        "limit (systemd: LimitNOFILE=)",
                        error=error.strerror,
                    )
                    self._complained = time.monotonic()
                time.sleep(REST_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Whoever comes when too many are there is turned away: they share our descriptors."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the thread of this client."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def server_bind(self) -> None:
        """As the stdlib does it, without asking the DNS for the name of this machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    """Logs nothing, and does not wait for ever."""

    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not news."""


def _text(
    start: StartResponse, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8"
) -> list[bytes]:
    body = text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start(f"{status.value} {status.phrase}", [*headers, ("Cache-Control", "no-store")])
    return [body]


def _bind(address: tuple[str, int]) -> ThreadingWSGIServer:
    host, port = address
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _Server((host, port), family)
    except OSError as error:
        remedy = {
            errno.EADDRINUSE: "another program listens there (perhaps a second xmpp-moved); "
            "choose another port",
            errno.EADDRNOTAVAIL: "this machine has no such address",
            errno.EACCES: "ports below 1024 need more rights; choose a higher one",
        }.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(
            f'[metrics] listen = "{shown}" cannot be used: {remedy}, or set it to "" to do without'
        ) from error

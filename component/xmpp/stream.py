"""One connection to the server: a slixmpp component stream, guarded, bounded and watched.

slixmpp (1.17) brings the stream header and the handshake.  This class adds what it lacks: a
parser with bounds, a bounded send queue that knows whether the server reads, dead-peer
detection, and one loss report whatever the cause.  An object serves one connection and
is thrown away with it, so nothing leaks from one session into the next.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import xml.etree.ElementTree as ET
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import structlog
from slixmpp import ComponentXMPP

from component.xmpp.errors import LinkBusy, LinkLost
from component.xmpp.guard import GuardError, StanzaParser
from component.xmpp.names import IQ, MESSAGE, NS_STREAM, NS_STREAM_ERRORS, PRESENCE

log = structlog.get_logger(__name__)

_STANZAS = frozenset((IQ, MESSAGE, PRESENCE))
_STREAM_ERROR = f"{{{NS_STREAM}}}error"
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Believes nobody: a component's stream has no TLS (XEP-0114)."""
_WRITE_BYTES = 256 * 1024
"""Stanzas are handed to the socket in pieces of about this size."""
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""Seconds, seconds and probes: a silent peer is found dead after a minute."""
_SYSTEM_STALL = 1.5
"""How many times our own patience with an unread byte the system's is (TCP_USER_TIMEOUT)."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a connection ended, or never came about."""

    reason: str
    condition: str | None = None
    """The stream error the server sent, if it did (RFC 6120 section 4.9.3)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one connection."""

    stanza_bytes: int
    stanza_depth: int
    max_queue: int
    """Stanzas waiting to be sent; answers may use as much again."""
    max_queue_bytes: int
    stall: float
    """Seconds the server may leave our bytes unread."""
    keepalive: float
    """Seconds between whitespace keepalives (RFC 6120 section 4.6.1)."""
    probe: float
    """Seconds without a byte from the server after which the owner is to ask for one."""
    silence: float
    """Seconds without a byte after which the connection is dead."""


class StreamOwner(Protocol):
    """Who is told what happens on a stream; called synchronously, in order."""

    def stream_up(self, stream: Stream) -> None:
        """The handshake is done."""

    def stream_stanza(self, stream: Stream, stanza: ET.Element) -> None:
        """A stanza came."""

    def stream_refused(self, stream: Stream, top: ET.Element, reason: str) -> None:
        """A stanza beyond the bounds came and is skipped; ``top`` is it without its content."""

    def stream_quiet(self, stream: Stream) -> None:
        """Nothing came for a while: make the server send something."""

    def stream_lost(self, stream: Stream, loss: Loss) -> None:
        """The connection ended; called once, also where it was never up."""


class Stream(ComponentXMPP):
    """A component stream (XEP-0114) for one connection.

    ``up`` is done when the handshake is, ``lost`` when the connection has ended or could not be
    made.  Neither ever holds an exception.
    """

    def __init__(
        self, jid: str, secret: str, host: str, port: int, bounds: Bounds, owner: StreamOwner
    ) -> None:
        super().__init__(jid, secret, host, port)  # type: ignore[no-untyped-call]
        # slixmpp makes one for each stream, with all certificates of the system (0.8 MiB outside
        # of what Python counts), and keeps it until the next full garbage collection.
        self.ssl_context = _NO_TLS
        self.whitespace_keepalive_interval = max(1, round(bounds.keepalive))
        loop = asyncio.get_running_loop()
        self.up: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[Loss] = loop.create_future()
        self.sent = 0
        self._bounds = bounds
        self._owner = owner
        self._loss: Loss | None = None
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._flushing = False
        self._paused = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._silence_timer: asyncio.TimerHandle | None = None
        self.add_event_handler("session_start", self._on_session_start)
        self.add_event_handler("connection_failed", self._on_connection_failed)

    # What the link asks ---------------------------------------------------------------------

    @property
    def queue_depth(self) -> int:
        """Stanzas that are not with the operating system yet."""
        return len(self._out)

    def write(self, text: str, *, answer: bool = False) -> None:
        """Queue one serialised stanza.

        :param answer: a reply that the server waits for; it may exceed the bound as far again.
        :raises LinkLost: there is no session.
        :raises LinkBusy: the queue is full.
        """
        if not self.up.done() or self.lost.done() or self.transport is None:
            raise LinkLost("there is no session with the server")
        data = text.encode()
        factor = 2 if answer else 1
        if (
            len(self._out) >= self._bounds.max_queue * factor
            or self._out_bytes + len(data) > self._bounds.max_queue_bytes * factor
        ):
            raise LinkBusy(f"{len(self._out)} stanzas wait to be sent")
        self._out.append(data)
        self._out_bytes += len(data)
        self.sent += 1
        if not self._flushing and not self._paused:
            self._flushing = True
            self.loop.call_soon(self._flush)

    async def close(self, wait: float = 2.0) -> None:
        """End the stream in order; after ``wait`` seconds without an answer, abort it."""
        if self.transport is not None:
            self._note(Loss("closed by us"))
            self._flush()
            self.disconnect(wait=wait, ignore_send_queue=True)
            await asyncio.wait({self.lost}, timeout=wait + 1.0)
        self.dispose()

    def dispose(self) -> None:
        """Drop the connection, and every task and timer that belongs to it."""
        self.cancel_connection_attempt()
        if self.transport is not None:
            self.transport.abort()
        self._cancel_stall()
        self._cancel_silence()
        if self._run_out_filters is not None:
            # slixmpp leaves this task behind, and with it the whole stream.
            self._run_out_filters.cancel()
        self._finish(Loss("dropped"))

    # What asyncio and slixmpp call ----------------------------------------------------------

    def init_parser(self) -> None:
        """slixmpp: a connection begins."""
        super().init_parser()
        # slixmpp calls feed() and read_events() of it, and no more.
        self.parser = StanzaParser(  # type: ignore[assignment]
            self._bounds.stanza_bytes, self._bounds.stanza_depth, self._on_refused
        )

    def connection_made(self, transport: asyncio.BaseTransport, send_event: bool = True) -> None:
        """asyncio: connected."""
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # The system counts from the first byte left unread, and says less: it comes second.
            unread = ("TCP_USER_TIMEOUT", int(self._bounds.stall * _SYSTEM_STALL * 1000))
            for name, value in (*_KEEPALIVE, unread):
                option = getattr(socket, name, None)  # not everywhere
                if option is not None:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
        super().connection_made(transport, send_event)

    def data_received(self, data: bytes | str) -> None:
        """asyncio: bytes came."""
        self._heard = self.loop.time()
        if self._loss is not None:
            return  # what follows a stream error or our own close counts for nothing
        try:
            super().data_received(data)
        except GuardError as error:
            self._refuse(error)

    def connection_lost(self, exception: BaseException | None) -> None:
        """asyncio: disconnected."""
        ended = self.disconnect_reason == "End of stream"
        super().connection_lost(exception)
        self._cancel_stall()
        self._cancel_silence()
        if exception is not None:
            reason = f"the connection broke: {exception}"
        else:
            reason = "the server ended the stream" if ended else "the server closed the connection"
        self._finish(Loss(reason))

    def pause_writing(self) -> None:
        """asyncio: the server does not read as fast as we write."""
        self._paused = True
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self._bounds.stall, self._on_stall)

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        self._paused = False
        self._cancel_stall()
        self._flush()

    def _spawn_event(self, xml: ET.Element) -> None:
        # slixmpp would build a stanza object and try every handler; stanzas skip all that.
        xml = self.incoming_filter(xml)  # type: ignore[no-untyped-call]
        if xml.tag in _STANZAS:
            if self.up.done():
                self._deliver(xml)
        elif xml.tag == _STREAM_ERROR:
            self._on_stream_error(xml)
        else:
            super()._spawn_event(xml)

    # Inside ---------------------------------------------------------------------------------

    def _deliver(self, stanza: ET.Element) -> None:
        try:
            self._owner.stream_stanza(self, stanza)
        except Exception:
            log.exception("a stanza could not be routed", stanza=stanza.tag, id=stanza.get("id"))

    def _on_refused(self, top: ET.Element, reason: str) -> None:
        top = self.incoming_filter(top)  # type: ignore[no-untyped-call]
        if top.tag in _STANZAS and self.up.done():
            try:
                self._owner.stream_refused(self, top, reason)
            except Exception:
                log.exception("a stanza could not be refused", stanza=top.tag, id=top.get("id"))

    def _on_session_start(self, _event: object) -> None:
        if not self.up.done() and self._loss is None:
            self.up.set_result(None)
            self._heard = self.loop.time()
            self._silence_timer = self.loop.call_later(self._bounds.probe, self._on_quiet)
            self._owner.stream_up(self)

    def _on_connection_failed(self, error: object) -> None:
        reason = str(error)
        if isinstance(error, OSError):
            # The same cause reads the same each time, whatever addresses were tried.
            reason = os.strerror(error.errno) if error.errno else reason
        where = f"{self.server_host}:{self.server_port}"
        self.cancel_connection_attempt()  # slixmpp would retry with a backoff of its own
        self._finish(Loss(f"cannot connect to {where}: {reason}"))

    def _on_stream_error(self, xml: ET.Element) -> None:
        condition, text = "undefined-condition", None
        for child in xml:
            namespace, _, name = child.tag.rpartition("}")
            if namespace != f"{{{NS_STREAM_ERRORS}":
                continue
            if name == "text":
                text = child.text
            else:
                condition = name
        detail = f"{condition} ({text})" if text else condition
        self._note(Loss(f"the server closed the stream: {detail}", condition))
        self.abort()

    def _refuse(self, error: GuardError) -> None:
        self._note(Loss(f"{error.condition}: {error}"))
        self.send_raw(
            f"<stream:error><{error.condition} xmlns='{NS_STREAM_ERRORS}'/></stream:error>"
            "</stream:stream>"
        )
        if self.transport is not None:
            self.transport.close()  # writes what is left
            # A peer that does not read must not keep a refused stream alive.
            self.loop.call_later(2.0, self.transport.abort)

    def _flush(self) -> None:
        self._flushing = False
        while self._out and not self._paused and self.transport is not None:
            batch: list[bytes] = []
            size = 0
            while self._out and size < _WRITE_BYTES:
                data = self._out.popleft()
                batch.append(data)
                size += len(data)
            self._out_bytes -= size
            self.send_raw(b"".join(batch))

    def _on_stall(self) -> None:
        self._note(Loss(f"the server read nothing for {self._bounds.stall:g} s"))
        if self.transport is not None:
            self.transport.abort()

    def _cancel_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _on_quiet(self) -> None:
        """Look how long nothing came.  TCP alone would not find out: a connection that a firewall
        has forgotten stays open at both ends, and what is sent on it is lost."""
        self._silence_timer = None
        if self.lost.done():
            return
        bounds, now = self._bounds, self.loop.time()
        quiet = now - self._heard
        if quiet >= bounds.silence:
            self._note(Loss(f"nothing came from the server for {bounds.silence:g} s"))
            if self.transport is not None:
                self.transport.abort()
            return
        if quiet >= bounds.probe:
            self._owner.stream_quiet(self)
            rest = min(bounds.probe, bounds.silence - quiet)
        else:
            rest = bounds.probe - quiet
        self._silence_timer = self.loop.call_later(max(rest, 0.01), self._on_quiet)

    def _cancel_silence(self) -> None:
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None

    def _note(self, loss: Loss) -> None:
        """Keep the first cause: what follows are its consequences."""
        if self._loss is None:
            self._loss = loss

    def _finish(self, loss: Loss) -> None:
        self._note(loss)
        if not self.lost.done() and self._loss is not None:
            self.lost.set_result(self._loss)
            self._out.clear()
            self._out_bytes = 0
            self._owner.stream_lost(self, self._loss)

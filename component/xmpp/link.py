"""The link to the server: one session after another, for as long as the component runs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import structlog
from slixmpp.jid import JID

from component.core.conditions import Condition
from component.xmpp.disco import CommandList, SelfDescription
from component.xmpp.errors import (
    BadStanza,
    LinkBusy,
    LinkError,
    LinkLost,
    RemoteError,
    SecretRefused,
    StanzaError,
)
from component.xmpp.names import IQ, MESSAGE
from component.xmpp.questions import Questions
from component.xmpp.router import IqHandler, MessageHandler, Router
from component.xmpp.settings import LinkSettings, LinkStats
from component.xmpp.stream import Bounds, Loss, Stream
from component.xmpp.wire import serialise

__all__ = ["Link", "LinkSettings", "LinkStats"]

log = structlog.get_logger(__name__)

_REMEDIES = {
    "host-unknown": "the server has no component of this name: add it to the server's "
    "configuration, or correct the component's jid in ours",
    "conflict": "another process is connected under this name: stop it, or give one of them "
    "another name",
}
_FIRST = 16
"""Doublings after which the backoff cannot grow any more, whatever its settings."""


class Link:
    """A component's stream (XEP-0114) that comes back by itself.

    :param on_up: runs as a task after each handshake; cancelled when that session is lost, and
        over before the next one's begins.  What it raises is logged.
    :param on_down: called with a reason at the end of each session, after its pending requests
        failed.
    """

    def __init__(
        self,
        settings: LinkSettings,
        *,
        on_up: Callable[[], Awaitable[None]] | None = None,
        on_down: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._jid = JID(settings.jid).bare
        self._on_up = on_up
        self._on_down = on_down
        self._router = Router(self._jid, max_handlers=settings.max_handlers)
        self._about = SelfDescription(settings.version)
        self._about.register(self._router)
        self._stream: Stream | None = None
        self._questions = Questions(self._jid, settings.max_in_flight)
        self._probe = f"probe-{secrets.token_hex(4)}"
        self._greeting: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._cause: str | None = None
        self._sent = 0
        self._received = 0
        self._sessions = 0
        self._dropped = 0

    # The interface --------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """There is a session: the handshake is done and the stream is not lost."""
        return self._stream is not None

    @property
    def trouble(self) -> str | None:
        """Why the last attempt to connect failed; None once a session is up."""
        return self._cause

    @property
    def stats(self) -> LinkStats:
        """Figures for the metrics."""
        stream = self._stream
        return LinkStats(
            sent=self._sent + (stream.sent if stream else 0),
            received=self._received,
            in_flight=len(self._questions),
            queue_depth=stream.queue_depth if stream else 0,
            handlers=self._router.running,
            sessions=self._sessions,
            reconnects=max(0, self._sessions - 1),
            dropped=self._dropped,
            refused=self._router.refused,
        )

    def add_feature(self, namespace: str) -> None:
        """Announce one more feature in service discovery (XEP-0030)."""
        self._about.add_feature(namespace)

    def list_commands(self, commands: CommandList) -> None:
        """Show ad-hoc commands in service discovery (XEP-0050 section 2)."""
        self._about.list_commands(commands)

    def route_iq(
        self, kind: Literal["get", "set"], namespace: str, name: str, handler: IqHandler
    ) -> None:
        """Hand requests to the component's JID with this payload to ``handler``.

        It gets the whole iq and returns the payload of the result, or None for an empty one; it
        raises StanzaError to answer with an error.  Anything else it raises is logged and
        answered ``internal-server-error``.
        """
        self._router.route_iq(kind, namespace, name, handler)

    def route_message(self, namespace: str, name: str, handler: MessageHandler) -> None:
        """Hand messages to the component's JID that hold such a child to ``handler``."""
        self._router.route_message(namespace, name, handler)

    def route_chat(self, handler: MessageHandler) -> None:
        """Hand what people write to the component's bare JID to ``handler``."""
        self._router.route_chat(handler)

    async def request(
        self,
        kind: Literal["get", "set"],
        to: str,
        payload: ET.Element,
        *,
        timeout: float,
        from_: str | None = None,
    ) -> ET.Element:
        """Ask, and return the whole answer, an iq of type result.

        :param to: who is asked, in prepared form; only an answer from there counts.
        :param timeout: seconds to wait for it.
        :param from_: another JID of the component's own domain to ask as.
        :raises RemoteError: the answer is an error.
        :raises RequestTimeout: none came.
        :raises LinkLost: there is no session, or it ended before the answer came.
        :raises LinkBusy: too many requests in flight, or stanzas to be sent; nothing was sent.
        :raises BadStanza: XML cannot carry the payload; nothing was sent.
        """
        stream = self._session()
        sender = self._own(from_)

        def send(id_: str) -> None:
            iq = ET.Element(IQ, {"type": kind, "id": id_, "to": to, "from": sender})
            iq.append(payload)
            stream.write(serialise(iq))

        return await self._questions.ask(to, timeout, send)

    def send(self, stanza: ET.Element) -> None:
        """Queue a stanza; its ``from`` is the component's JID where it has none.

        :raises LinkLost: there is no session.
        :raises LinkBusy: the queue is full.
        :raises BadStanza: XML cannot carry it.
        """
        stream = self._session()
        sender = self._own(stanza.get("from"))
        if stanza.get("from") is None:
            own = ET.Element(stanza.tag, {**stanza.attrib, "from": sender})
            own.text = stanza.text
            own.extend(stanza)
            stanza = own
        stream.write(serialise(stanza))

    async def run(self) -> None:
        """Connect, and connect again after each loss, until :meth:`stop`.

        Between attempts it waits a random time below a bound that doubles from ``backoff_first``
        to ``backoff_max``, and begins anew after a session that lasted ``backoff_max``.

        :raises SecretRefused: the server does not take the secret.
        """
        if not self._over.is_set():
            raise RuntimeError("the link runs already")
        self._over.clear()
        stop = asyncio.create_task(self._stop.wait())
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while not self._stop.is_set():
                began = loop.time()
                loss, was_up = await self._one_session(stop)
                if self._stop.is_set():
                    break
                if not was_up and loss.condition == "not-authorized":
                    raise self._secret_refused(loss)
                if was_up and loop.time() - began >= self._settings.backoff_max:
                    failures = 0
                bound = self._settings.backoff_first * 2 ** min(failures, _FIRST)
                delay = random.uniform(0, min(bound, self._settings.backoff_max))
                failures += 1
                self._complain(loss, was_up, delay)
                await asyncio.wait({stop}, timeout=delay)
        finally:
            stop.cancel()
            if self._greeting is not None:
                self._greeting.cancel()
            self._over.set()

    async def stop(self, grace: float = 5.0) -> None:
        """Wait for the handlers at work, then close the stream and end :meth:`run`.

        :param grace: seconds that handlers get; those that take longer are cancelled.
        """
        await self._router.drain(grace)
        self._stop.set()
        await self._over.wait()

    # Sessions -------------------------------------------------------------------------------

    async def _one_session(self, stop: asyncio.Task[Literal[True]]) -> tuple[Loss, bool]:
        """One connection from beginning to end; says why it ended and whether it was up."""
        settings = self._settings
        bounds = Bounds(
            stanza_bytes=settings.stanza_bytes,
            stanza_depth=settings.stanza_depth,
            max_queue=settings.max_queue,
            max_queue_bytes=settings.max_queue_bytes,
            stall=settings.stall_timeout,
            keepalive=settings.keepalive,
            probe=settings.probe_after,
            silence=settings.silence_timeout,
        )
        stream = Stream(self._jid, settings.secret, settings.host, settings.port, bounds, self)
        try:
            stream.connect()
            await asyncio.wait(
                {_any(stream.up), _any(stream.lost), _any(stop)},
                timeout=settings.handshake_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stream.up.done():
                await asyncio.wait(
                    {_any(stream.lost), _any(stop)}, return_when=asyncio.FIRST_COMPLETED
                )
            elif not stream.lost.done() and not stop.done():
                where = f"{settings.host}:{settings.port}"
                return Loss(f"no handshake from {where} in {settings.handshake_timeout:g} s"), False
            if not stream.lost.done():
                await stream.close()
        finally:
            stream.dispose()
        return stream.lost.result(), stream.up.done()

    def stream_up(self, stream: Stream) -> None:
        """Called by the stream: the handshake is done."""
        self._stream = stream
        self._sessions += 1
        self._cause = None
        log.info("connected", server=f"{self._settings.host}:{self._settings.port}", jid=self._jid)
        if self._on_up is not None:
            self._greeting = asyncio.create_task(self._greet(self._on_up, self._greeting))

    def stream_stanza(self, stream: Stream, stanza: ET.Element) -> None:
        """Called by the stream: a stanza came."""
        if stanza.tag == IQ and stanza.get("id") == self._probe and self._is_me(stanza):
            return
        self._received += 1

        def answer(reply: ET.Element) -> None:
            self._answer(stream, reply)

        if stanza.tag == IQ:
            kind = stanza.get("type")
            if kind == "result":
                self._questions.settle(stanza, None)
            elif kind == "error":
                self._questions.settle(stanza, RemoteError.from_element(stanza))
            elif kind in ("get", "set"):
                self._router.iq(stanza, answer)
        elif stanza.tag == MESSAGE:
            self._router.message(stanza)
        else:
            self._router.presence(stanza, answer)

    def stream_refused(self, stream: Stream, top: ET.Element, reason: str) -> None:
        """Called by the stream: a stanza beyond the bounds came, and is skipped."""
        self._router.refuse(top, reason, lambda reply: self._answer(stream, reply))
        if top.tag == IQ and top.get("type") in ("result", "error"):
            error = RemoteError(Condition.POLICY_VIOLATION, "modify", f"the answer is {reason}")
            self._questions.settle(top, error)

    def stream_quiet(self, stream: Stream) -> None:
        """Called by the stream: the server is to show that it is there.

        A stanza to ourselves comes back from every server, and from one that works only.
        """
        probe = {"type": "result", "id": self._probe, "to": self._jid, "from": self._jid}
        with contextlib.suppress(LinkError):
            stream.write(serialise(ET.Element(IQ, probe)))

    def stream_lost(self, stream: Stream, loss: Loss) -> None:
        """Called by the stream: the connection ended, or was never made."""
        if stream is not self._stream:
            return
        self._stream = None
        self._sent += stream.sent
        self._questions.lose(loss.reason)
        if self._greeting is not None:
            self._greeting.cancel()
        if self._on_down is not None:
            try:
                self._on_down(loss.reason)
            except Exception:
                log.exception("on_down failed")

    async def _greet(
        self, on_up: Callable[[], Awaitable[None]], earlier: asyncio.Task[None] | None
    ) -> None:
        if earlier is not None and not earlier.done():
            await asyncio.wait({earlier})
        try:
            await on_up()
        except LinkLost as error:
            log.debug("the stream was lost while greeting", reason=str(error))
        except Exception:
            log.exception("on_up failed")

    def _complain(self, loss: Loss, was_up: bool, delay: float) -> None:
        """One warning for each new cause, not one for each attempt."""
        say = log.warning if was_up or loss.reason != self._cause else log.debug
        self._cause = loss.reason
        remedy = _REMEDIES.get(loss.condition or "")
        details = {"remedy": remedy} if remedy else {}
        what = "stream lost" if was_up else "no connection to the server"
        say(what, reason=loss.reason, retry_seconds=round(delay, 1), **details)

    def _secret_refused(self, loss: Loss) -> SecretRefused:
        where = f"{self._settings.host}:{self._settings.port}"
        return SecretRefused(
            f"The server at {where} refuses the secret of the component {self._jid}. The secret "
            "in the server's configuration for exactly this component (Prosody: component_secret; "
            "ejabberd: password in the listener's hosts) and the one in [component] of ours must "
            f"be the same, and the server must have loaded it. It said: {loss.reason}"
        )

    # Stanzas --------------------------------------------------------------------------------

    def _session(self) -> Stream:
        if self._stream is None:
            raise LinkLost("there is no session with the server")
        return self._stream

    def _is_me(self, stanza: ET.Element) -> bool:
        return stanza.get("from") == self._jid

    def _own(self, sender: str | None) -> str:
        """Servers close the whole stream over a sender that is not ours (invalid-from)."""
        if sender is None:
            return self._jid
        if sender.partition("/")[0].rpartition("@")[2] != self._jid:
            raise ValueError(f"{sender} is not in the domain of the component {self._jid}")
        return sender

    def _answer(self, stream: Stream, reply: ET.Element) -> None:
        """Send a reply on the stream its request came on; on another it means nothing."""
        try:
            try:
                stream.write(serialise(reply), answer=True)
            except BadStanza:
                log.exception("an answer cannot be sent", to=reply.get("to"))
                del reply[:]
                reply.set("type", "error")
                reply.append(StanzaError(Condition.INTERNAL_SERVER_ERROR).element())
                stream.write(serialise(reply), answer=True)
        except LinkLost:
            log.debug("an answer is dropped, its stream is lost", to=reply.get("to"))
        except LinkBusy as error:
            self._dropped += 1
            log.warning("an answer is dropped", to=reply.get("to"), reason=str(error))


def _any(future: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Futures of different types in one set."""
    return future

"""Requests and messages that come in: which handler gets them, and what is answered."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

import structlog

from component.core.conditions import Condition
from component.xmpp.chat import BODY
from component.xmpp.errors import LinkLost, StanzaError
from component.xmpp.names import IQ, PRESENCE

log = structlog.get_logger(__name__)

IqHandler = Callable[[ET.Element], Awaitable[ET.Element | None]]
"""Gets the whole iq, which is its own; returns the payload of the result, None for an empty one."""
MessageHandler = Callable[[ET.Element], Awaitable[None]]
Answer = Callable[[ET.Element], None]
"""Sends an answer on the stream that the request came on."""

_WARN_EVERY = 60.0
"""Seconds between warnings of refused stanzas, which anyone may send at will."""
_MAX_ID = 4096
"""Characters of an id that is answered.  An answer repeats it, escaped in our way: without a bound
it could be larger than the server takes from us (Prosody 0.12: 512 KiB), which ends the stream."""


class Router:
    """Finds handlers by the payload's name in constant time, and runs them as bounded tasks.

    :param jid: the component's own JID; only what is addressed to it is handled.
    :param max_handlers: handlers at work at the same time; past it, requests are answered with
        ``resource-constraint`` and messages are dropped.
    """

    def __init__(self, jid: str, *, max_handlers: int) -> None:
        self._jid = jid
        self._max_handlers = max_handlers
        self._iqs: dict[tuple[str, str], IqHandler] = {}
        self._messages: dict[str, MessageHandler] = {}
        self._chat: MessageHandler | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self.refused = 0
        """Stanzas beyond the stream's bounds."""
        self._warned: float | None = None
        self._unwarned = 0

    @property
    def running(self) -> int:
        """Handlers at work."""
        return len(self._tasks)

    def route_iq(
        self, kind: Literal["get", "set"], namespace: str, name: str, handler: IqHandler
    ) -> None:
        """Hand requests with this payload to ``handler``, which may raise StanzaError."""
        self._iqs[kind, f"{{{namespace}}}{name}"] = handler

    def route_message(self, namespace: str, name: str, handler: MessageHandler) -> None:
        """Hand messages that hold such a child to ``handler``.  Errors are never handed over."""
        self._messages[f"{{{namespace}}}{name}"] = handler

    def route_chat(self, handler: MessageHandler) -> None:
        """Hand messages of type chat or normal with a body to ``handler``.

        Only those to the component's bare JID that no payload's handler takes.
        """
        self._chat = handler

    # Requests -------------------------------------------------------------------------------

    def iq(self, iq: ET.Element, answer: Answer) -> None:
        """Take an iq of type get or set (RFC 6120 section 8.2.3).

        Exactly one answer leaves, unless the request names no sender or id to answer to.
        """
        if not self._answerable(iq):
            return
        refused = self._refusal(iq)
        if refused is not None:
            answer(self._error(iq, refused))
            return
        handler = self._iqs[iq.get("type", ""), iq[0].tag]
        self._start(self._run_iq(handler, iq, answer))

    def refuse(self, top: ET.Element, reason: str, answer: Answer) -> None:
        """Count a stanza that is too large or too deep, and answer it if it is a request.

        :param top: the stanza without its content.
        """
        self.refused += 1
        self._unwarned += 1
        now = asyncio.get_running_loop().time()
        if self._warned is None or now - self._warned >= _WARN_EVERY:
            log.warning(
                "a stanza is refused",
                reason=reason,
                sender=top.get("from"),
                stanzas_since_last_warning=self._unwarned,
            )
            self._warned = now
            self._unwarned = 0
        if top.tag == IQ and top.get("type") in ("get", "set") and self._answerable(top):
            answer(self._error(top, StanzaError(Condition.POLICY_VIOLATION, "modify", reason)))

    def _answerable(self, iq: ET.Element) -> bool:
        id_, sender = iq.get("id"), iq.get("from")
        if not id_ or not sender:
            log.warning("a request without sender or id", sender=sender, id=id_)
            return False
        if len(id_) > _MAX_ID:
            log.info("a request with an id too long to answer", sender=sender, length=len(id_))
            return False
        return True

    def _refusal(self, iq: ET.Element) -> StanzaError | None:
        if len(iq) != 1:
            return StanzaError(Condition.BAD_REQUEST, "modify", "a request has one payload")
        if iq.get("to", self._jid) != self._jid or (
            (iq.get("type", ""), iq[0].tag) not in self._iqs
        ):
            return StanzaError(Condition.SERVICE_UNAVAILABLE)
        if self._draining:
            return StanzaError(Condition.RESOURCE_CONSTRAINT, "wait", "stopping")
        if len(self._tasks) >= self._max_handlers:
            return StanzaError(Condition.RESOURCE_CONSTRAINT, "wait", "too many requests at once")
        return None

    async def _run_iq(self, handler: IqHandler, iq: ET.Element, answer: Answer) -> None:
        named = iq[0].tag  # the handler may take the payload out
        try:
            payload = await handler(iq)
            result = self._reply(iq, "result")
            if payload is not None:
                result.append(payload)
            answer(result)
        except StanzaError as error:
            answer(self._error(iq, error))
        except LinkLost as error:
            # Whoever asked has had the stream's end for an answer.
            log.debug("a handler lost the stream", payload=named, error=str(error))
            answer(self._error(iq, StanzaError(Condition.INTERNAL_SERVER_ERROR)))
        except asyncio.CancelledError:
            answer(self._error(iq, StanzaError(Condition.RESOURCE_CONSTRAINT, "wait", "stopping")))
            raise
        except Exception:
            log.exception("a handler failed", payload=named, sender=iq.get("from"))
            answer(self._error(iq, StanzaError(Condition.INTERNAL_SERVER_ERROR)))

    def _reply(self, iq: ET.Element, kind: str) -> ET.Element:
        return ET.Element(
            IQ,
            {
                "type": kind,
                "id": iq.get("id", ""),
                "to": iq.get("from", ""),
                "from": iq.get("to", self._jid),
            },
        )

    def _error(self, iq: ET.Element, error: StanzaError) -> ET.Element:
        reply = self._reply(iq, "error")
        reply.append(error.element())
        return reply

    # Messages and presence ------------------------------------------------------------------

    def message(self, message: ET.Element) -> None:
        """Take a message; one that nobody asked for is ignored."""
        if message.get("type") == "error" or not self._is_ours(message):
            log.debug("a message is ignored", sender=message.get("from"), type=message.get("type"))
            return
        for child in message:
            handler = self._messages.get(child.tag)
            if handler is not None:
                self._take(handler, message, child.tag)
                return
        if self._chat is not None and self._is_chat(message):
            self._take(self._chat, message, BODY)

    def _is_chat(self, message: ET.Element) -> bool:
        """A message without a type is a normal one (RFC 6121 section 5.2.2)."""
        return (
            message.get("type", "normal") in ("chat", "normal")
            and message.get("to") == self._jid
            and message.find(BODY) is not None
        )

    def _take(self, handler: MessageHandler, message: ET.Element, tag: str) -> None:
        if len(self._tasks) >= self._max_handlers:
            log.warning("a message is dropped, too many handlers", payload=tag)
        else:
            self._start(self._run_message(handler, message, tag))

    async def _run_message(self, handler: MessageHandler, message: ET.Element, tag: str) -> None:
        try:
            await handler(message)
        except (StanzaError, LinkLost) as error:
            log.info("a message was refused", payload=tag, reason=str(error))
        except Exception:
            log.exception("a handler failed", payload=tag, sender=message.get("from"))

    def presence(self, presence: ET.Element, answer: Answer) -> None:
        """Take a presence: the component is available to whoever asks (RFC 6121 section 4.3).

        slixmpp answers probes with ``unsubscribed``, which takes us off rosters.
        """
        sender, kind = presence.get("from"), presence.get("type")
        if not sender or not self._is_ours(presence) or kind not in ("probe", "subscribe"):
            return
        if kind == "subscribe":
            bare = sender.partition("/")[0]
            answer(ET.Element(PRESENCE, {"type": "subscribed", "to": bare, "from": self._jid}))
        answer(ET.Element(PRESENCE, {"to": sender, "from": self._jid}))

    def _is_ours(self, stanza: ET.Element) -> bool:
        return stanza.get("to", self._jid).partition("/")[0] == self._jid

    # Tasks ----------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, grace: float) -> None:
        """Refuse new requests and wait for the handlers at work.

        :param grace: seconds after which they are cancelled, and answer ``resource-constraint``.
        """
        self._draining = True
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace)
        left = set(self._tasks)
        for task in left:
            task.cancel()
        if left:
            log.warning("handlers were cancelled", handlers=len(left))
            await asyncio.wait(left, timeout=1.0)

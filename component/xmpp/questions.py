"""What the component has asked on its stream, until it is answered."""

from __future__ import annotations

import asyncio
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from slixmpp.jid import JID

from component.xmpp.errors import LinkBusy, LinkLost, RemoteError, RequestTimeout

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Question:
    to: str
    answer: asyncio.Future[ET.Element]


class Questions:
    """Requests in flight.  An answer is one by its id, and only from whom was asked (RFC 6120
    8.2.3: an answer goes to whoever asked, under the id of the request).

    :param jid: the component's own, from which an answer without a sender comes.
    :param most: how many may be open at a time.
    """

    def __init__(self, jid: str, most: int) -> None:
        self._jid = jid
        self._most = most
        self._open: dict[str, _Question] = {}
        self._prefix = secrets.token_hex(4)
        self._serial = 0

    def __len__(self) -> int:
        return len(self._open)

    async def ask(self, to: str, timeout: float, send: Callable[[str], None]) -> ET.Element:
        """Ask, and return the answer, an iq of type result.

        :param to: who is asked, in prepared form.
        :param timeout: seconds to wait.
        :param send: sends the request under this id; what it raises is raised.
        :raises RemoteError: the answer is an error.
        :raises RequestTimeout: none came.
        :raises LinkLost: the session ended before.
        :raises LinkBusy: too many are open; nothing was sent.
        """
        if len(self._open) >= self._most:
            raise LinkBusy(f"{len(self._open)} requests wait for an answer")
        self._serial += 1
        id_ = f"{self._prefix}-{self._serial:x}"
        send(id_)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ET.Element] = loop.create_future()
        self._open[id_] = _Question(to, answer)
        timer = loop.call_later(timeout, _expire, answer, to, timeout)
        try:
            return await answer
        finally:
            timer.cancel()
            self._open.pop(id_, None)

    def settle(self, iq: ET.Element, error: RemoteError | None) -> None:
        """An answer came.

        :param error: what it says, where it is an error.
        """
        question = self._open.get(iq.get("id", ""))
        sender = iq.get("from", self._jid)
        if question is None:
            log.debug("an answer to nothing, or too late", sender=sender, id=iq.get("id"))
        elif question.to != sender and not _same(question.to, sender):
            log.warning("an answer from someone else", asked=question.to, sender=sender)
        elif question.answer.done():
            pass
        elif error is None:
            question.answer.set_result(iq)
        else:
            question.answer.set_exception(error)

    def lose(self, reason: str) -> None:
        """The session ended: nothing that is open will be answered."""
        questions = list(self._open.values())
        self._open.clear()
        for question in questions:
            if not question.answer.done():
                question.answer.set_exception(LinkLost(reason))


def _same(asked: str, sender: str) -> bool:
    """Equal after preparation (case of the domain, IDN)."""
    try:
        return bool(JID(asked) == JID(sender))
    except ValueError:
        return False


def _expire(answer: asyncio.Future[ET.Element], to: str, timeout: float) -> None:
    if not answer.done():
        answer.set_exception(RequestTimeout(f"no answer from {to} in {timeout:g} s"))

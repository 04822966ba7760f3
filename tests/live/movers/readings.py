"""Moved notifications as contacts see them, and what the statement says when one comes."""

from __future__ import annotations

import asyncio
import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.live.arrange import NS_MOVED, NS_PUBSUB
from tests.live.client import ClientError, RawComponent, Received, Stream

MOVED, OLD_JID, NEW_JID = (f"{{{NS_MOVED}}}{name}" for name in ("moved", "old-jid", "new-jid"))
ITEM = f"{{{NS_PUBSUB}}}pubsub/{{{NS_PUBSUB}}}items/{{{NS_PUBSUB}}}item"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
STATEMENT_GET = (
    f"<pubsub xmlns='{NS_PUBSUB}'><items node='{NS_MOVED}'><item id='current'/></items></pubsub>"
)
_AGAIN = 0.2
"""Seconds until a server that is down is asked again: nothing tells a contact that it is back."""
_GOING_DOWN = "Communication with remote domains is not enabled"
"""What Prosody 0.12 answers to its own users on its way down, with ``not-allowed``."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A subscription request with ``<moved/>`` that somebody was shown."""

    serial: int
    to: str
    new: str
    old: str
    element: ET.Element


@dataclass(frozen=True, slots=True)
class Proof:
    """What the statement said when a notification came: ``new`` address, or the error."""

    notification: Notification
    new: str | None
    condition: str | None

    @property
    def holds(self) -> bool:
        """Whether the statement named who notified."""
        return self.new == self.notification.new


class Readings:
    """Reads the statement whenever a notification comes, until whoever has it answers.

    What is not answered when the reader's server goes down is read again when it is back.

    Args:
        on_proof: called with each proof.
    """

    def __init__(self, on_proof: Callable[[], None]) -> None:
        self.proofs: list[Proof] = []
        self._on_proof = on_proof
        self._unread: dict[int, Notification] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Notifications whose statement was not read yet."""
        return len(self._unread)

    def add(self, stream: Stream, notification: Notification) -> None:
        """Read the statement of a notification that has just come."""
        self._unread[notification.serial] = notification
        self._start(stream, notification)

    def resume(self, stream: Stream) -> None:
        """The reader is connected again: read what was not answered before."""
        for notification in self._unread.values():
            self._start(stream, notification)

    def stop(self) -> None:
        """The reader is disconnected."""
        for task in list(self._tasks):
            task.cancel()

    def _start(self, stream: Stream, notification: Notification) -> None:
        task = asyncio.create_task(self._read(stream, notification))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, stream: Stream, notification: Notification) -> None:
        sender = notification.to if isinstance(stream, RawComponent) else None
        while stream.connected:  # else it is read on the next one
            with contextlib.suppress(ClientError):
                answer = await stream.request(STATEMENT_GET, to=notification.old, sender=sender)
                found = read_statement(answer)
                if not _says_nothing(answer, found[1]):
                    del self._unread[notification.serial]
                    self.proofs.append(Proof(notification, *found))
                    self._on_proof()
                    return
            await asyncio.sleep(_AGAIN)


def _says_nothing(answer: ET.Element, condition: str | None) -> bool:
    """Whether a server that is down, or on its way down or up, is all that has answered.

    Prosody ends its s2s before its clients' streams, ejabberd its modules before its listeners
    (``service-unavailable``, RFC 6120 section 8.3.3.19: *currently*).
    """
    if condition is None:
        return False
    nobody = condition.startswith(("remote-server", "service-unavailable"))
    return nobody or _GOING_DOWN in _texts(answer)


def _texts(answer: ET.Element) -> Iterator[str]:
    return (text.text or "" for text in answer.iter(f"{STANZAS}text"))


def notification_of(received: Received, to: str) -> Notification | None:
    """The moved notification that a request is, None for any other."""
    element = received.element
    moved = element.find(MOVED)
    if moved is None or element.get("type") != "subscribe":
        return None
    old = (moved.findtext(OLD_JID) or "").strip()
    new = element.get("from", "").partition("/")[0]
    return Notification(received.serial, to, new, old, element)


def read_statement(answer: ET.Element) -> tuple[str | None, str | None]:
    """(new address, None) or (None, error condition); (None, None) where there is no statement."""
    namespace = answer.tag.partition("}")[0] + "}"
    error = answer.find(f"{namespace}error")
    if answer.get("type") == "error":
        for child in error if error is not None else ():
            if child.tag.startswith(STANZAS):
                text = f" {child.text}" if child.text else ""
                return None, child.tag.removeprefix(STANZAS) + text
        return None, "undefined-condition"
    new = answer.findtext(f"{ITEM}/{MOVED}/{NEW_JID}")
    return (new.strip() if new else None), None

"""A domain whose every account is played by the test, as a component of the contacts' server."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

from tests.live.client import RawComponent
from tests.live.news import News
from tests.live.servers.base import STRANGER_HOST

NS_PUBSUB = "http://jabber.org/protocol/pubsub"
_ITEMS = f"{{{NS_PUBSUB}}}pubsub/{{{NS_PUBSUB}}}items"


def statement(
    new: str,
    *,
    id: str = "current",
    node: str = "urn:xmpp:moved:1",
    more: str = "",
    inner: str = "",
) -> str:
    """The content of a result that names a new address."""
    return (
        f"<pubsub xmlns='{NS_PUBSUB}'><items node='{node}'>"
        f"<item id='{id}'{more}><moved xmlns='urn:xmpp:moved:1'>"
        f"<new-jid>{escape(new)}</new-jid>{inner}</moved></item></items></pubsub>"
    )


def moved(*old_jids: str, more: str = "") -> str:
    """What makes a subscription request a moved notification (XEP-0283 4.2)."""
    olds = "".join(f"<old-jid>{escape(old)}</old-jid>" for old in old_jids)
    return f"<moved xmlns='urn:xmpp:moved:1'>{olds}</moved>{more}"


class Domain(RawComponent):
    """Asks contacts, and answers for the accounts that it claims to have been.

    :param answer: the content of the result for a question about an account's statement, the whole
        answer to it as stanzas, or None for none; gets the account and the question.
    """

    def __init__(self, address: str, answer: Callable[[str, ET.Element], str | None]) -> None:
        super().__init__("domain", STRANGER_HOST, address)
        self._answer_of = answer
        self.asked: Counter[str] = Counter()
        """Questions about each account's statement."""
        self.heard: Counter[tuple[str, str, str]] = Counter()
        """Presences, by type, sender and addressee."""
        self._news = News()

    def asks(self, sender: str, contact: str, content: str) -> None:
        """Send a contact a subscription request."""
        self.send(
            f"<presence type='subscribe' from={quoteattr(sender)} to={quoteattr(contact)}>"
            f"{content}</presence>"
        )

    def wake(self) -> None:
        """Something happened elsewhere that :meth:`until` waits for."""
        self._news.wake()

    async def until(self, holds: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        """Wait for something that this domain hears; raises AssertionError."""
        await self._news.until(holds, what, timeout)

    def _handle(self, element: ET.Element) -> None:
        kind, account = element.get("type", ""), element.get("to", "")
        if element.tag.endswith("}presence"):
            self.heard[kind, element.get("from", "").partition("/")[0], account] += 1
            self._news.wake()
        elif kind == "get" and element.find(_ITEMS) is not None:
            self.asked[account] += 1
            self._news.wake()
            said = self._answer_of(account, element)
            if said is not None and said.startswith("<iq"):
                self.send(said)
            elif said is not None:
                self.send(
                    f"<iq type='result' id={quoteattr(element.get('id', ''))}"
                    f" from={quoteattr(account)} to={quoteattr(element.get('from', ''))}>"
                    f"{said}</iq>"
                )
        else:
            super()._handle(element)

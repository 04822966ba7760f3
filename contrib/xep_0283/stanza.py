"""Stanza classes of XEP-0283 (version 0.2.0)."""

from __future__ import annotations

from typing import ClassVar

from slixmpp.plugins.xep_0060.stanza import EventItem, Item
from slixmpp.stanza import Presence
from slixmpp.xmlstream import ElementBase, register_stanza_plugin

NS = "urn:xmpp:moved:1"


class Moved(ElementBase):
    """
    A moved element: in a PEP item of the old account it is the statement
    that names the new address, in a subscription request of the new
    account it is the notification that names the old one.

    .. code-block:: xml

        <moved xmlns='urn:xmpp:moved:1'>
          <new-jid>romeo@new.example</new-jid>
        </moved>

        <presence type='subscribe' to='juliet@capulet.example'>
          <moved xmlns='urn:xmpp:moved:1'>
            <old-jid>romeo@old.example</old-jid>
          </moved>
        </presence>

    Stanza Interface:

    ::

        old_jid  -- The old address, as text; '' if there is none.
        new_jid  -- The new address, as text; '' if there is none.
        old_jids -- All old addresses, a list. Read it where it matters
                    that there is exactly one.
        new_jids -- All new addresses, a list.

    The texts come from someone else and may be anything: build a
    :class:`~slixmpp.jid.JID` from them and expect InvalidJID.
    """

    namespace = NS
    name = "moved"
    plugin_attrib = "moved"
    plugin_multi_attrib = "moveds"
    interfaces: ClassVar[set[str]] = {"old_jid", "new_jid", "old_jids", "new_jids"}

    def get_old_jid(self) -> str:
        """The first old address."""
        return self._first("old-jid")

    def set_old_jid(self, value: object) -> None:
        """Replace all old addresses by this one; a JID or a text."""
        self._replace("old-jid", [value])

    def del_old_jid(self) -> None:
        """Remove all old addresses."""
        self._replace("old-jid", [])

    def get_new_jid(self) -> str:
        """The first new address."""
        return self._first("new-jid")

    def set_new_jid(self, value: object) -> None:
        """Replace all new addresses by this one; a JID or a text."""
        self._replace("new-jid", [value])

    def del_new_jid(self) -> None:
        """Remove all new addresses."""
        self._replace("new-jid", [])

    def get_old_jids(self) -> list[str]:
        """All old addresses, in order."""
        return self._texts("old-jid")

    def set_old_jids(self, values: list[object]) -> None:
        """Replace all old addresses by these."""
        self._replace("old-jid", values)

    def del_old_jids(self) -> None:
        """Remove all old addresses."""
        self._replace("old-jid", [])

    def get_new_jids(self) -> list[str]:
        """All new addresses, in order."""
        return self._texts("new-jid")

    def set_new_jids(self, values: list[object]) -> None:
        """Replace all new addresses by these."""
        self._replace("new-jid", values)

    def del_new_jids(self) -> None:
        """Remove all new addresses."""
        self._replace("new-jid", [])

    def _texts(self, name: str) -> list[str]:
        return [(sub.text or "").strip() for sub in self.xml.findall(f"{{{NS}}}{name}")]

    def _first(self, name: str) -> str:
        texts = self._texts(name)
        return texts[0] if texts else ""

    def _replace(self, name: str, values: list[object]) -> None:
        tag = f"{{{NS}}}{name}"
        for sub in self.xml.findall(tag):
            self.xml.remove(sub)
        for value in values:
            text = "" if value is None else str(value)
            if text:
                sub = self.xml.makeelement(tag, {})
                sub.text = text
                self.xml.append(sub)


def register_plugins() -> None:
    """Make ``presence['moved']`` and the payload of pubsub items known."""
    register_stanza_plugin(Presence, Moved, iterable=True)
    register_stanza_plugin(Item, Moved)
    register_stanza_plugin(EventItem, Moved)

"""What any entity on the network may ask the component: who it is, and whether it is there."""

from __future__ import annotations

import platform
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Protocol

from component.core.conditions import Condition
from component.xmpp.chat import lang_of
from component.xmpp.errors import StanzaError
from component.xmpp.names import (
    NS_COMMANDS,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_FORMS,
    NS_PING,
    NS_VERSION,
)
from component.xmpp.router import Router

NAME = "xmpp-moved"


class CommandList(Protocol):
    """Says which ad-hoc commands an asker may see."""

    def commands(self, asker: str, lang: str | None) -> Mapping[str, str]:
        """Names by node, in the order in which they are shown.

        :param asker: the JID of the stanza at hand, with its resource.
        :param lang: the stanza's language tag.
        """


class SelfDescription:
    """Answers XEP-0030, XEP-0092 and XEP-0199 requests to the component's own JID.

    :param version: of the software, as XEP-0092 tells it.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._commands: CommandList | None = None
        self._features = {NS_DISCO_INFO, NS_DISCO_ITEMS, NS_VERSION, NS_PING}

    def add_feature(self, namespace: str) -> None:
        """Announce one more feature (XEP-0030 section 3.1)."""
        self._features.add(namespace)

    def list_commands(self, commands: CommandList) -> None:
        """Show these commands to those who may use them (XEP-0050 section 2)."""
        self._commands = commands
        self.add_feature(NS_COMMANDS)

    def register(self, router: Router) -> None:
        """Have these requests routed here."""
        router.route_iq("get", NS_DISCO_INFO, "query", self._info)
        router.route_iq("get", NS_DISCO_ITEMS, "query", self._items)
        router.route_iq("get", NS_VERSION, "query", self._about)
        router.route_iq("get", NS_PING, "ping", self._ping)

    async def _info(self, iq: ET.Element) -> ET.Element:
        node = iq[0].get("node")
        if not node:
            return _info_of(None, ("component", "generic", NAME), sorted(self._features))
        commands = self._seen_by(iq)
        if node == NS_COMMANDS and commands:
            return _info_of(node, ("automation", "command-list", NAME), (NS_COMMANDS,))
        if node not in commands:
            raise StanzaError(Condition.ITEM_NOT_FOUND)
        features = (NS_COMMANDS, NS_FORMS)
        return _info_of(node, ("automation", "command-node", commands[node]), features)

    async def _items(self, iq: ET.Element) -> ET.Element:
        node = iq[0].get("node")
        query = ET.Element(f"{{{NS_DISCO_ITEMS}}}query", {"node": node} if node else {})
        if not node:
            return query
        if node != NS_COMMANDS or self._commands is None:
            raise StanzaError(Condition.ITEM_NOT_FOUND)
        for command, name in self._seen_by(iq).items():
            ET.SubElement(
                query,
                f"{{{NS_DISCO_ITEMS}}}item",
                {"jid": iq.get("to", ""), "node": command, "name": name},
            )
        return query

    def _seen_by(self, iq: ET.Element) -> Mapping[str, str]:
        if self._commands is None:
            return {}
        return self._commands.commands(iq.get("from", ""), lang_of(iq))

    async def _about(self, _iq: ET.Element) -> ET.Element:
        query = ET.Element(f"{{{NS_VERSION}}}query")
        ET.SubElement(query, f"{{{NS_VERSION}}}name").text = NAME
        ET.SubElement(query, f"{{{NS_VERSION}}}version").text = self._version
        ET.SubElement(query, f"{{{NS_VERSION}}}os").text = platform.system()
        return query

    async def _ping(self, _iq: ET.Element) -> None:
        return None


def _info_of(
    node: str | None, identity: tuple[str, str, str], features: Sequence[str]
) -> ET.Element:
    query = ET.Element(f"{{{NS_DISCO_INFO}}}query", {"node": node} if node else {})
    category, kind, name = identity
    ET.SubElement(
        query,
        f"{{{NS_DISCO_INFO}}}identity",
        {"category": category, "type": kind, "name": name},
    )
    for feature in features:
        ET.SubElement(query, f"{{{NS_DISCO_INFO}}}feature", {"var": feature})
    return query

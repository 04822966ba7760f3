"""What any entity on the network may ask the component: who it is, and whether it is there."""

from __future__ import annotations

import platform
import xml.etree.ElementTree as ET

from component.xmpp.errors import StanzaError
from component.xmpp.names import NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, NS_VERSION
from component.xmpp.router import Router

NAME = "xmpp-moved"


class SelfDescription:
    """Answers XEP-0030, XEP-0092 and XEP-0199 requests to the component's own JID.

    :param version: of the software, as XEP-0092 tells it.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._features = {NS_DISCO_INFO, NS_DISCO_ITEMS, NS_VERSION, NS_PING}

    def add_feature(self, namespace: str) -> None:
        """Announce one more feature (XEP-0030 section 3.1)."""
        self._features.add(namespace)

    def register(self, router: Router) -> None:
        """Have these requests routed here."""
        router.route_iq("get", NS_DISCO_INFO, "query", self._info)
        router.route_iq("get", NS_DISCO_ITEMS, "query", self._items)
        router.route_iq("get", NS_VERSION, "query", self._about)
        router.route_iq("get", NS_PING, "ping", self._ping)

    async def _info(self, iq: ET.Element) -> ET.Element:
        _refuse_node(iq)
        query = ET.Element(f"{{{NS_DISCO_INFO}}}query")
        ET.SubElement(
            query,
            f"{{{NS_DISCO_INFO}}}identity",
            {"category": "component", "type": "generic", "name": NAME},
        )
        for feature in sorted(self._features):
            ET.SubElement(query, f"{{{NS_DISCO_INFO}}}feature", {"var": feature})
        return query

    async def _items(self, iq: ET.Element) -> ET.Element:
        _refuse_node(iq)
        return ET.Element(f"{{{NS_DISCO_ITEMS}}}query")

    async def _about(self, _iq: ET.Element) -> ET.Element:
        query = ET.Element(f"{{{NS_VERSION}}}query")
        ET.SubElement(query, f"{{{NS_VERSION}}}name").text = NAME
        ET.SubElement(query, f"{{{NS_VERSION}}}version").text = self._version
        ET.SubElement(query, f"{{{NS_VERSION}}}os").text = platform.system()
        return query

    async def _ping(self, _iq: ET.Element) -> None:
        return None


def _refuse_node(iq: ET.Element) -> None:
    """We have no nodes (XEP-0030 section 7)."""
    if iq[0].get("node"):
        raise StanzaError("item-not-found")

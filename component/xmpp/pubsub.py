"""What an owner asks of a node (XEP-0060 section 8), and the forms of its options."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from component.xmpp.codecs import tag
from component.xmpp.names import NS_PUBSUB, NS_PUBSUB_OWNER

NS_DATA = "jabber:x:data"
NODE_CONFIG = f"{NS_PUBSUB}#node_config"
PUBLISH_OPTIONS = f"{NS_PUBSUB}#publish-options"


def owner(action: str, node: str) -> ET.Element:
    """A question or an order of a node's owner: ``configure``, ``affiliations``, ``delete``."""
    pubsub = ET.Element(tag(NS_PUBSUB_OWNER, "pubsub"))
    ET.SubElement(pubsub, tag(NS_PUBSUB_OWNER, action), {"node": node})
    return pubsub


def configure(node: str, options: Mapping[str, Sequence[str]]) -> ET.Element:
    """Give a node that is there these options (XEP-0060 section 8.2)."""
    pubsub = owner("configure", node)
    pubsub[0].append(form(NODE_CONFIG, options))
    return pubsub


def affiliations(node: str, members: Mapping[str, str]) -> ET.Element:
    """Give JIDs these affiliations with a node (XEP-0060 section 8.9.2)."""
    pubsub = owner("affiliations", node)
    for jid, affiliation in members.items():
        one = {"jid": jid, "affiliation": affiliation}
        ET.SubElement(pubsub[0], tag(NS_PUBSUB_OWNER, "affiliation"), one)
    return pubsub


def form(kind: str, options: Mapping[str, Sequence[str]]) -> ET.Element:
    """A filled-in form (XEP-0004), of this ``FORM_TYPE``."""
    filled = ET.Element(tag(NS_DATA, "x"), {"type": "submit"})
    typed = ET.SubElement(filled, tag(NS_DATA, "field"), {"var": "FORM_TYPE", "type": "hidden"})
    ET.SubElement(typed, tag(NS_DATA, "value")).text = kind
    for name, values in options.items():
        field = ET.SubElement(filled, tag(NS_DATA, "field"), {"var": name})
        for value in values:
            ET.SubElement(field, tag(NS_DATA, "value")).text = value
    return filled

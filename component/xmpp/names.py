"""XML namespaces, and element names in ElementTree's ``{namespace}name`` notation."""

from __future__ import annotations

from typing import Final

NS_COMPONENT: Final = "jabber:component:accept"
"""Stanzas on a component's stream (XEP-0114)."""
NS_CLIENT: Final = "jabber:client"
NS_STREAM: Final = "http://etherx.jabber.org/streams"
NS_STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
"""Conditions of stream errors (RFC 6120 section 4.9)."""
NS_STANZAS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
"""Conditions of stanza errors (RFC 6120 section 8.3)."""
NS_XML: Final = "http://www.w3.org/XML/1998/namespace"

NS_HOOK: Final = "urn:xmpp-moved:hook:0"
"""Between this component and the module inside the server."""
NS_MOVED: Final = "urn:xmpp:moved:1"
"""XEP-0283, version 0.2.0."""
NS_FORWARD: Final = "urn:xmpp:forward:0"
"""XEP-0297."""
NS_ROSTER: Final = "jabber:iq:roster"
NS_PUBSUB: Final = "http://jabber.org/protocol/pubsub"
"""XEP-0060."""
NS_PUBSUB_OWNER: Final = "http://jabber.org/protocol/pubsub#owner"
NS_PUBSUB_ERRORS: Final = "http://jabber.org/protocol/pubsub#errors"
NS_DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
"""XEP-0030."""
NS_DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
NS_VERSION: Final = "jabber:iq:version"
"""XEP-0092."""
NS_PING: Final = "urn:xmpp:ping"
"""XEP-0199."""

IQ: Final = f"{{{NS_COMPONENT}}}iq"
MESSAGE: Final = f"{{{NS_COMPONENT}}}message"
PRESENCE: Final = f"{{{NS_COMPONENT}}}presence"

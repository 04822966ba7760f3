"""A roster as long as a move may be comes in one stanza, and has to be let in."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from component.config.movers import MoversSection
from component.core.model import RosterItem, Subscription
from component.xmpp.settings import LinkSettings
from sim.model_world import item_element


def test_the_longest_roster_fits_in_a_stanza() -> None:
    most = MoversSection().max_contacts
    query = ET.Element("query")
    for number in range(most):
        jid = f"contact-with-a-long-name-{number}@conversations.domain.example"
        name = f"Somebody with a name of many words, {number}"
        groups = ("Friends and family", "People whom I have known since 2007")
        query.append(item_element(RosterItem(jid, Subscription.BOTH, False, name, groups)))
    assert len(ET.tostring(query)) <= LinkSettings("jid.example", "secret").stanza_bytes

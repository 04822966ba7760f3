"""Bookmarks of XEP-0048 become items of XEP-0402."""

from __future__ import annotations

import pytest

from component.account.bookmarks import NODE
from component.account.model import NS_BOOKMARKS, PepItem, PepNode, Xml
from tests.unit.account.files import things

OLD = (
    "<storage xmlns='storage:bookmarks'>"
    "<conference jid='Orchard@Rooms.Capulet.example' name='The Orchard 🌳' autojoin='1'>"
    "<nick>JC</nick><password>p&amp;w</password>"
    "<print_status xmlns='xmpp:gajim.org/bookmarks'>all</print_status></conference>"
    "<conference jid='balcony@rooms.capulet.example' autojoin='false'><nick/></conference>"
    "<url name='Complete Works' url='http://the-tech.mit.edu/Shakespeare/'/>"
    "<conference name='nowhere'/></storage>"
)
ORCHARD = PepItem(
    NS_BOOKMARKS,
    "orchard@rooms.capulet.example",
    Xml(
        f'<conference xmlns="{NS_BOOKMARKS}" autojoin="true" name="The Orchard 🌳"><nick>JC</nick>'
        "<password>p&amp;w</password><extensions>"
        '<print_status xmlns="xmpp:gajim.org/bookmarks">all</print_status>'
        "</extensions></conference>"
    ),
)
BALCONY = PepItem(
    NS_BOOKMARKS, "balcony@rooms.capulet.example", Xml(f'<conference xmlns="{NS_BOOKMARKS}"/>')
)
PUBSUB = "http://jabber.org/protocol/pubsub"
PRIVATE = f"<query xmlns='jabber:iq:private'>{OLD}</query>"
NODE_OF_OLD = (
    f"<pubsub xmlns='{PUBSUB}#owner'><configure node='storage:bookmarks'/></pubsub>"
    f"<pubsub xmlns='{PUBSUB}'><items node='storage:bookmarks'><item id='current'>{OLD}</item>"
    "</items></pubsub>"
)


@pytest.mark.parametrize("where", [PRIVATE, NODE_OF_OLD, PRIVATE + NODE_OF_OLD])
def test_rooms_of_the_old_format(where: str) -> None:
    pieces, skipped = things(where)
    assert pieces == [NODE, ORCHARD, BALCONY]
    times = where.count("<storage")
    assert skipped == {
        "bookmark in the old format, 'url'": times,
        "bookmark in the old format, 'conference'": times,
    }


def test_nobody_else_may_read_them() -> None:
    assert NODE.access_model == "whitelist"


@pytest.mark.parametrize("old_first", [True, False])
def test_what_the_new_format_has_counts(old_first: bool) -> None:
    new = (
        f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{NS_BOOKMARKS}'/></pubsub>"
        f"<pubsub xmlns='{PUBSUB}'><items node='{NS_BOOKMARKS}'>"
        f"<item id='orchard@rooms.capulet.example'><conference xmlns='{NS_BOOKMARKS}'/></item>"
        "</items></pubsub>"
    )
    pieces, _ = things(PRIVATE + new if old_first else new + PRIVATE)
    mine = PepItem(NS_BOOKMARKS, ORCHARD.id, BALCONY.payload)
    assert pieces == [PepNode(NS_BOOKMARKS), mine, BALCONY]


def test_another_element_on_the_old_node() -> None:
    pieces, skipped = things(
        f"<pubsub xmlns='{PUBSUB}'><items node='storage:bookmarks'><item id='current'>"
        "<x xmlns='u:x'/></item></items></pubsub>"
    )
    assert pieces == []
    assert skipped == {"bookmarks in the old format": 1}

"""One account with some of everything, in many scripts."""

from __future__ import annotations

from base64 import b64encode

from component.account.bookmarks import NODE
from component.account.model import (
    NS_BOOKMARKS,
    Blocked,
    Contact,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
    in_order,
)

NICK = "http://jabber.org/protocol/nick"
PICTURE = b64encode(bytes(range(256)) * 40).decode()


def node(name: str, access: str, *members: str) -> PepNode:
    """A node that keeps one item, or as many as there is room for."""
    config = (
        ("pubsub#access_model", (access,)),
        ("pubsub#max_items", ("10",)),
        ("pubsub#persist_items", ("true",)),
    )
    return PepNode(name, config, members)


BLOCKED: tuple[Piece, ...] = (
    Blocked("evil.example"),
    Blocked("tybalt@bücher.example"),
    Blocked("paris@verona.example/Gerät"),
)
CONTACTS: tuple[Piece, ...] = (
    Contact("romeo@montague.example", "Rómeo 🌹 <&> \"'", ("Ämter & Würden", "друзья", "🏰")),
    Contact("רומאו@bücher.example", "\u202e\u05e8\u05d5\u202c \u0627\u0628", ("\u05d0 \u05d1",)),
    Contact("ジュリエット@例え.example", "👩\u200d👩\u200d👧 e\u0301", ()),
    Contact("icq.montague.example", None, ("Gateways",)),
    Contact("o\\27neill@montague.example", None, ()),
)
PROFILE = VcardTemp(
    Xml(
        '<vCard xmlns="vcard-temp"><FN>Júliet 🌹 &amp; &lt;C&gt;</FN><N><FAMILY>C</FAMILY></N>'
        f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{PICTURE}</BINVAL></PHOTO></vCard>"
    )
)
SETTINGS = PrivateXml(
    "exodus",
    "exodus:prefs",
    Xml('<exodus xmlns="exodus:prefs" größe="&lt;&quot;&amp;\u05d0"><nick>J 🌹</nick></exodus>'),
)
OLD_ROOMS = (
    "<storage xmlns='storage:bookmarks'>"
    "<conference jid='balcony@rooms.example' name='Der Balkon 🌙' autojoin='1'><nick>J</nick>"
    "</conference></storage>"
)
OLD_ROOM = PepItem(
    NS_BOOKMARKS,
    "balcony@rooms.example",
    Xml(
        f'<conference xmlns="{NS_BOOKMARKS}" autojoin="true" name="Der Balkon 🌙">'
        "<nick>J</nick></conference>"
    ),
)
PUBLISHED: tuple[Piece, ...] = (
    NODE,
    PepItem(
        NS_BOOKMARKS,
        "orchard@rooms.example",
        Xml(
            f'<conference xmlns="{NS_BOOKMARKS}" autojoin="true" name="\u05d0 &amp; 🌳"><nick>J'
            '</nick><extensions><x xmlns="urn:example:x" y="1"/></extensions></conference>'
        ),
    ),
    PepItem(NS_BOOKMARKS, "a@rooms.example", Xml(f'<conference xmlns="{NS_BOOKMARKS}"/>')),
    node(NICK, "presence"),
    PepItem(NICK, "current", Xml(f'<nick xmlns="{NICK}">Júliet 🌹</nick>')),
    node("urn:xmpp:avatar:data", "open"),
    PepItem(
        "urn:xmpp:avatar:data",
        "5ba9b7bd0e4e3d0a47a3cd7a1a4b9d20cb4ee1f7",
        Xml(f'<data xmlns="urn:xmpp:avatar:data">{PICTURE}</data>'),
    ),
    node("urn:xmpp:avatar:metadata", "open"),
    PepItem(
        "urn:xmpp:avatar:metadata",
        "5ba9b7bd0e4e3d0a47a3cd7a1a4b9d20cb4ee1f7",
        Xml(
            '<metadata xmlns="urn:xmpp:avatar:metadata"><info bytes="10240" '
            'id="5ba9b7bd0e4e3d0a47a3cd7a1a4b9d20cb4ee1f7" type="image/png"/></metadata>'
        ),
    ),
    node("urn:xmpp:vcard4", "open"),
    PepItem(
        "urn:xmpp:vcard4",
        "current",
        Xml(
            '<vcard xmlns="urn:ietf:params:xml:ns:vcard-4.0"><fn><text>Júliet</text></fn>'
            "<note><text>one\ntwo\tthree</text></note></vcard>"
        ),
    ),
    node("urn:example:größe/🌹", "whitelist", "nurse@capulet.example", "romeo@montague.example"),
    PepItem("urn:example:größe/🌹", "ä 1", Xml('<x xmlns="urn:example:x"><y xmlns="u:y"/>z</x>')),
    PepItem("urn:example:größe/🌹", "0", Xml('<x xmlns="urn:example:x" a="2" z="1"/>')),
)
NEVER: tuple[Piece, ...] = (
    node("eu.siacs.conversations.axolotl.devicelist", "open"),
    PepItem(
        "eu.siacs.conversations.axolotl.devicelist",
        "current",
        Xml('<list xmlns="eu.siacs.conversations.axolotl"><device id="31415"/></list>'),
    ),
    node("urn:xmpp:omemo:2:devices", "open"),
    PepItem(
        "urn:xmpp:omemo:2:devices",
        "current",
        Xml('<devices xmlns="urn:xmpp:omemo:2"><device id="27183"/></devices>'),
    ),
    node("urn:xmpp:moved:1", "open"),
    PepItem(
        "urn:xmpp:moved:1",
        "current",
        Xml('<moved xmlns="urn:xmpp:moved:1"><new-jid>j@new.example</new-jid></moved>'),
    ),
)
"""What is on a server's disk and comes along nowhere."""

EVERYTHING = in_order([*BLOCKED, *CONTACTS, PROFILE, SETTINGS, *PUBLISHED])

"""What the reader makes of files as others write them."""

from __future__ import annotations

import io

import pytest

from component.account import carried
from component.account.errors import BadFile, Why
from component.account.frames import UNKNOWN, Skip
from component.account.model import (
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    PrivateXml,
    VcardTemp,
    Xml,
)
from component.account.read import Reader, accounts
from component.core.model import Subscription
from tests.unit.account.files import HEAD, HOST, JULIET, Parts, account, read, things

PUBSUB = "http://jabber.org/protocol/pubsub"


def test_who_it_is() -> None:
    reader = Reader(io.BytesIO(account("")))
    assert reader.identity is None
    assert list(reader) == [Identity("capulet.example", "juliet")]
    assert reader.identity is not None
    assert reader.identity.jid == JULIET
    assert not reader.skipped


def test_addresses_are_prepared() -> None:
    data = account("<query xmlns='jabber:iq:roster'><item jid='ROMEO@Bücher.Example'/></query>")
    data = data.replace(b"'juliet'", "'Jülïet'".encode())
    identity, contact = read(data)
    assert identity == Identity("capulet.example", "jülïet")
    assert contact == Contact("romeo@bücher.example")


def test_contacts() -> None:
    pieces, skipped = things(
        "<query xmlns='jabber:iq:roster' ver='7'>"
        "<item jid='romeo@montague.example' name='Rómeo 🌹' subscription='both' approved='true'>"
        "<group>\u202e\u05e2\u05d1</group><group>Ämter &amp; Würden</group><group/>"
        "<group>Ämter &amp; Würden</group></item>"
        "<item jid='icq.example/registered' subscription='from' ask='subscribe'/>"
        "<item jid='ROMEO@montague.example' name='again'/>"
        "<item jid='gone@montague.example' subscription='remove'/>"
        "<item jid='new@montague.example' name=''><x xmlns='u:x'>y</x></item>"
        "<!-- nothing --><item xmlns='u:x' jid='?'/>text</query>"
    )
    assert pieces == [
        Contact(
            "romeo@montague.example",
            "Rómeo 🌹",
            ("Ämter & Würden", "\u202e\u05e2\u05d1"),
            Subscription.BOTH,
            approved=True,
        ),
        Contact("icq.example", subscription=Subscription.FROM, ask=True),
        Contact("new@montague.example"),
    ]
    assert skipped == {"contact": 2, "<x xmlns='u:x'/>": 1, "<item xmlns='u:x'/>": 1}


def test_addresses_that_some_servers_have_and_we_cannot_prepare() -> None:
    """Prosody takes characters that came after Unicode 3.2; one such contact stops nothing."""
    pieces, skipped = things(
        "<blocklist xmlns='urn:xmpp:blocking'><item jid='a@b.example/📱'/></blocklist>"
        "<query xmlns='jabber:iq:roster'><item jid='😀@b.example' name='x'/>"
        "<item jid='a@b.example'/></query>"
        f"<pubsub xmlns='{PUBSUB}#owner'><affiliations node='n'>"
        "<affiliation jid='😀@b.example' affiliation='member'/></affiliations></pubsub>"
        f"<pubsub xmlns='{PUBSUB}'><items node='n'><item id='1' publisher='a@b.example/📱'>"
        "<x xmlns='u:x'/></item></items></pubsub>"
    )
    item = PepItem("n", "1", Xml('<x xmlns="u:x"/>'))
    assert pieces == [Contact("a@b.example"), PepNode("n"), item]
    assert skipped == {
        "blocked person": 1,
        "contact": 1,
        "member of a PEP node": 1,
        "publisher of a PEP item": 1,
    }


def test_what_held_in_our_own_files() -> None:
    pieces, _ = things(
        "<query xmlns='jabber:iq:roster' xmlns:was='urn:xmpp-moved:account:0'>"
        "<item jid='a@b.example' subscription='none' was:subscription='to' was:ask='subscribe'"
        " was:approved='true'/></query>"
    )
    assert pieces == [Contact("a@b.example", None, (), Subscription.TO, True, True)]


def test_blocked_people_of_the_default_list_only() -> None:
    pieces, skipped = things(
        "<query xmlns='jabber:iq:privacy'><active name='b'/><default name='a'/>"
        "<list name='b'><item type='jid' value='nobody@x.example' action='deny' order='1'/></list>"
        "<list name='a'>"
        "<item type='jid' value='late@x.example' action='deny' order='9'/>"
        "<item type='jid' value='friend@x.example' action='allow' order='2'/>"
        "<item type='jid' value='friend@x.example' action='deny' order='3'/>"
        "<item type='jid' value='evil.example' action='deny' order='4'/>"
        "<item type='jid' value='Tybalt@x.example/Phone' action='deny' order='1'>"
        "<message/><iq/><presence-in/><presence-out/></item>"
        "<item type='jid' value='loud@x.example' action='deny' order='5'><message/></item>"
        "<item type='group' value='Foes' action='deny' order='6'/>"
        "<item type='jid' value='odd@x.example' action='deny' order='many'/>"
        "<item action='allow' order='8'/></list></query>"
        "<blocklist xmlns='urn:xmpp:blocking'><item jid='evil.example'/><item jid='p@x.example'/>"
        "</blocklist>"
    )
    blocked = ["tybalt@x.example/Phone", "evil.example", "p@x.example"]
    assert pieces == [Blocked(jid) for jid in blocked]
    assert skipped["privacy list"] == 1
    assert skipped["blocked person"] == 1
    assert skipped["<active xmlns='jabber:iq:privacy'/>"] == 1
    # friend twice, loud, the group, the end of the list; and the one whose order is no number.
    assert skipped["rule of a privacy list"] == 6


def test_a_profile() -> None:
    pieces, skipped = things(
        "<vCard xmlns='vcard-temp' xmlns:x='u:x'>\n<FN>J</FN><x:more x:b='2' a='1'/><!-- no -->"
        "</vCard><vCard xmlns='vcard-temp'/>"
    )
    whole = '<vCard xmlns="vcard-temp">\n<FN>J</FN><more xmlns="u:x" xmlns:a0="u:x" a="1"'
    assert pieces == [VcardTemp(Xml(whole + ' a0:b="2"/></vCard>'))]
    assert skipped == {"profile": 1}


def test_private_xml() -> None:
    pieces, skipped = things(
        "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><nick>H</nick></exodus>"
        "<notes xmlns='storage:rosternotes'/><x xmlns=''/></query>"
    )
    nick = Xml('<exodus xmlns="exodus:prefs"><nick>H</nick></exodus>')
    assert pieces == [
        PrivateXml("exodus", "exodus:prefs", nick),
        PrivateXml("notes", "storage:rosternotes", Xml('<notes xmlns="storage:rosternotes"/>')),
    ]
    assert skipped == {"private XML": 1}


def test_nodes_with_options_and_readers() -> None:
    pieces, skipped = things(
        f"<pubsub xmlns='{PUBSUB}#owner'>"
        "<configure node='n'><x xmlns='jabber:x:data' type='form'><title>T</title>"
        "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#node_config</value></field>"
        "<field var='pubsub#access_model'><option><value>open</value></option>"
        "<value>whitelist</value></field>"
        "<field var='pubsub#roster_groups_allowed'><value>b</value><value>a</value></field>"
        "<field var='pubsub#title'/></x></configure>"
        "<affiliations node='n'><affiliation jid='r@m.example' affiliation='member'/>"
        "<affiliation jid='x@m.example' affiliation='publisher'/>"
        "<affiliation jid='a@m.example' affiliation='member'/></affiliations>"
        "<subscriptions node='n'><subscription jid='r@m.example' subscription='subscribed'/>"
        "</subscriptions>"
        "<configure node='n'/><configure/></pubsub>"
        f"<pubsub xmlns='{PUBSUB}'><items node='n'>"
        "<item id='2' publisher='juliet@capulet.example/x'><b xmlns='u:b'/></item>"
        "<item id='1'><a xmlns='u:a'/><a xmlns='u:a'/></item>"
        "<item><a xmlns='u:a'/></item><item id='3'/></items>"
        "<items node='late'><item id='1'><a xmlns='u:a'/></item></items></pubsub>"
        f"<pubsub xmlns='{PUBSUB}#owner'><configure node='n'/></pubsub>"
    )
    config = (
        ("pubsub#access_model", ("whitelist",)),
        ("pubsub#roster_groups_allowed", ("b", "a")),
    )
    node = PepNode("n", config, ("a@m.example", "r@m.example"))
    assert node.access_model == "whitelist"
    assert node.option("max_items") is None
    assert pieces == [
        node,
        PepItem("n", "2", Xml('<b xmlns="u:b"/>'), "juliet@capulet.example/x"),
        PepItem("n", "1", Xml('<a xmlns="u:a"/>')),
        PepItem("late", "1", Xml('<a xmlns="u:a"/>')),
        PepNode("late"),
    ]
    assert skipped == {
        "affiliation of a PEP node": 1,
        "subscriptions of a PEP node": 1,
        "PEP node": 3,
        "part of a PEP item": 1,
        "PEP item": 2,
    }


NEVER = [
    "eu.siacs.conversations.axolotl.devicelist",
    "eu.siacs.conversations.axolotl.bundles:4711",
    "urn:xmpp:omemo:2:devices",
    "urn:xmpp:omemo:2:bundles",
    "urn:xmpp:moved:1",
    "urn:xmpp-moved:transfer:0",
]


@pytest.mark.parametrize("node", NEVER)
def test_nodes_that_are_never_carried(node: str) -> None:
    rule = carried.node(node)
    assert not rule.carried
    pieces, skipped = things(
        f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{node}'/></pubsub>"
        f"<pubsub xmlns='{PUBSUB}'><items node='{node}'><item id='current'><x xmlns='u:x'/></item>"
        "</items></pubsub>"
    )
    assert pieces == []
    assert skipped == {f"{rule.what}, {node!r}": 2}


def test_what_of_an_account_is_never_carried() -> None:
    data = account(
        "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><salt>c2Fs</salt>"
        "</scram-credentials>"
        "<offline-messages><message xmlns='jabber:client'><body>hi</body></message>"
        "</offline-messages><presence type='subscribe' from='a@b.example'/>"
        "<presence xmlns='jabber:client' type='subscribe' from='b@b.example'/>"
        "<archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2'/></archive>"
        "<mystery xmlns='u:x'><vCard xmlns='vcard-temp'/></mystery>"
    ).replace(b"name='juliet'", b"name='juliet' password='secret'")
    reader = Reader(io.BytesIO(data))
    assert list(reader) == [Identity("capulet.example", "juliet")]
    reasons = {rule.what: rule.reason for rule in carried.RULES if not rule.carried}
    expected = {
        Skip(what, reasons[what]): 1
        for what in ("passwords", "passwords (SCRAM)", "offline messages", "message history")
    }
    waiting = "requests that wait for an answer"
    expected |= {Skip(waiting, reasons[waiting]): 2, Skip("<mystery xmlns='u:x'/>", UNKNOWN): 1}
    assert dict(reader.skipped) == expected
    assert "secret" not in str(reader.skipped)


def test_the_report_has_an_end() -> None:
    unknown = "".join(f"<x{number} xmlns='u:x'/>" for number in range(300))
    reader = Reader(io.BytesIO(account(unknown)))
    list(reader)
    assert len(reader.skipped) == 101
    assert sum(reader.skipped.values()) == 300


SEVERAL = (
    HEAD
    + "<extra xmlns='u:x'/>"
    + HOST
    + "<user name='nurse'><vCard xmlns='vcard-temp'><FN>N</FN></vCard></user>"
    "<user name='juliet'><vCard xmlns='vcard-temp'><FN>J</FN></vCard></user></host>"
    "<host jid='xn--bcher-kva.example'><user name='juliet'><query xmlns='broken'>"
    "<item/></query></user></host></server-data>"
).encode()


def test_one_account_of_several() -> None:
    assert read(SEVERAL, "JULIET@capulet.example") == [
        Identity("capulet.example", "juliet"),
        VcardTemp(Xml('<vCard xmlns="vcard-temp"><FN>J</FN></vCard>')),
    ]
    assert read(SEVERAL, "juliet@bücher.example") == [Identity("xn--bcher-kva.example", "juliet")]
    assert [found.jid for found in accounts(io.BytesIO(SEVERAL))] == [
        "nurse@capulet.example",
        JULIET,
        "juliet@xn--bcher-kva.example",
    ]


def test_a_hosts_file_and_a_users_file() -> None:
    inner = "<user name='juliet'><vCard xmlns='vcard-temp'/></user>"
    pieces = [
        Identity("capulet.example", "juliet"),
        VcardTemp(Xml('<vCard xmlns="vcard-temp"/>')),
    ]
    a_host = f"<host xmlns='urn:xmpp:pie:0' jid='capulet.example'>{inner}</host>"
    assert read(a_host.encode()) == pieces
    a_user = inner.replace("<user", "<user xmlns='urn:xmpp:pie:0'").encode()
    assert read(a_user, JULIET) == pieces
    with pytest.raises(BadFile) as refused:
        read(a_user)
    assert refused.value.why is Why.SECOND_HOST


def test_other_ways_to_write_the_same() -> None:
    prefixed = (
        "<?xml version='1.0' encoding=\"utf-8\" ?><p:server-data xmlns:p='urn:xmpp:pie:0'>"
        "<p:host jid='capulet.example'><p:user name='juliet'><r:query xmlns:r='jabber:iq:roster'>"
        "<r:item jid='a&#64;b.example'><r:group><![CDATA[<x>]]></r:group></r:item></r:query>"
        "</p:user></p:host></p:server-data><!-- end -->\n"
    )
    pieces = [Identity("capulet.example", "juliet"), Contact("a@b.example", None, ("<x>",))]
    assert read(prefixed.encode()) == pieces
    assert read(b"\xef\xbb\xbf" + prefixed.encode()) == pieces
    byte_by_byte = Parts(bytes([byte]) for byte in prefixed.encode())
    assert list(Reader(byte_by_byte)) == pieces  # type: ignore[arg-type]


def test_lines_of_a_long_file() -> None:
    """Further than 65,535 lines, where a parser's own count ends."""
    contacts = "".join(f"<item\n jid='c{number}@b.example'/>\n" for number in range(35_000))
    data = account(f"<query xmlns='jabber:iq:roster'>\n{contacts}<item/>\n</query>")
    with pytest.raises(BadFile) as refused:
        read(data)
    assert refused.value.line == 70_006


def test_included_files_in_users_data_are_data() -> None:
    """XEP-0227 section 6: they are opaque, and never opened."""
    pieces, _ = things(
        "<vCard xmlns='vcard-temp'>"
        "<include xmlns='http://www.w3.org/2001/XInclude' href='x'/></vCard>"
    )
    assert "href" in str(pieces[0])


def test_a_file_that_has_nothing_wanted_after_the_user() -> None:
    with pytest.raises(BadFile) as refused:
        read((HEAD + HOST + "<user name='juliet'/></host>").encode())
    assert refused.value.why is Why.TRUNCATED

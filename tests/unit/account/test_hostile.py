"""Files that nobody should have made: each is refused, in words, before it costs anything."""

from __future__ import annotations

import contextlib
import io
import random

import pytest

from component.account.errors import REMEDIES, BadFile, Limits, Why
from component.account.read import Reader, accounts
from tests.unit.account.files import HEAD, HOST, JULIET, OPENED, TAIL, USER, account, read

ROSTER = "<query xmlns='jabber:iq:roster'>\n"
ITEM = "<item jid='romeo@montague.example'/>\n"
USER_PATH = "server-data/host/user"

# Name: the file, what is wrong with it, its line, the element, and a word of the message.
REFUSED: dict[str, tuple[bytes, Why, int, str, str]] = {
    "nothing": (b"", Why.NOT_XML, 1, "", "empty"),
    "no XML": (b"juliet@capulet.example\n", Why.NOT_XML, 1, "", "'<' not found"),
    "packed": (b"\x1f\x8b\x08\x00\x00\x00", Why.NOT_XML, 1, "", ""),
    "another root": (b"<html/>", Why.ROOT, 1, "html", "'html'"),
    "a stanza": (b"<iq xmlns='jabber:client'/>", Why.ROOT, 1, "iq", "server-data"),
    "no namespace": (b"<server-data/>", Why.NAMESPACE, 1, "server-data", "urn:xmpp:pie:0"),
    "wrong namespace of the root": (
        b"\n<server-data xmlns='http://www.xmpp.org/extensions/xep-0227.html#ns'/>",
        Why.NAMESPACE,
        2,
        "server-data",
        "xep-0227.html",
    ),
    "wrong namespace of a host": (
        (HEAD + "<host xmlns='urn:other' jid='capulet.example'/>").encode(),
        Why.NAMESPACE,
        3,
        "server-data/host",
        "urn:other",
    ),
    "wrong namespace of a user": (
        (HEAD + HOST + "<user xmlns='' name='juliet'/>").encode(),
        Why.NAMESPACE,
        4,
        USER_PATH,
        "''",
    ),
    "host without name": ((HEAD + "<host/>").encode(), Why.NO_ADDRESS, 3, "server-data/host", ""),
    "host with user": (
        (HEAD + "<host jid='juliet@capulet.example'/>").encode(),
        Why.BAD_ADDRESS,
        3,
        "server-data/host",
        "no host",
    ),
    "user without name": ((HEAD + HOST + "<user/>").encode(), Why.NO_ADDRESS, 4, USER_PATH, ""),
    "user with host": (
        (HEAD + HOST + "<user name='juliet@capulet.example'/>").encode(),
        Why.BAD_ADDRESS,
        4,
        USER_PATH,
        "no user's name",
    ),
    "user outside a host": ((HEAD + USER).encode(), Why.ROOT, 3, "server-data/user", "<user/>"),
    "same user twice": (
        (OPENED + "</user>\n<user name='JULIET'/>\n</host></server-data>").encode(),
        Why.DUPLICATE_USER,
        6,
        USER_PATH,
        JULIET,
    ),
    "same user in a second host": (
        (OPENED + "</user></host>\n" + HOST + USER + TAIL).encode(),
        Why.DUPLICATE_USER,
        7,
        USER_PATH,
        JULIET,
    ),
    "several users": (
        (OPENED + "</user>\n<user name='nurse'/>\n</host></server-data>").encode(),
        Why.SEVERAL_USERS,
        6,
        USER_PATH,
        "nurse@capulet.example",
    ),
    "a second host": (
        (OPENED + "</user></host>\n<host jid='montague.example'/></server-data>").encode(),
        Why.SECOND_HOST,
        6,
        "server-data/host",
        "montague.example",
    ),
    "another user inside": (
        account("<user name='nurse'><vCard xmlns='vcard-temp'/></user>"),
        Why.OTHER_USER,
        5,
        f"{USER_PATH}/user",
        "inside a user",
    ),
    "another host inside": (
        account("<host jid='montague.example'/>"),
        Why.OTHER_USER,
        5,
        f"{USER_PATH}/host",
        "",
    ),
    "contact without address": (
        account(ROSTER + ITEM + "<item name='Romeo'/>\n</query>"),
        Why.NO_ADDRESS,
        7,
        f"{USER_PATH}/query/item",
        "no address",
    ),
    "contact with a bad address": (
        account(ROSTER + ITEM + ITEM + "<item jid='@@@'\n  name='Romeo'\n/>\n</query>"),
        Why.BAD_ADDRESS,
        10,
        f"{USER_PATH}/query/item",
        "'@@@'",
    ),
    "contact with a bad address, not in ASCII": (
        account(ROSTER + "<item jid='ä ö@b.example'/></query>"),
        Why.BAD_ADDRESS,
        6,
        f"{USER_PATH}/query/item",
        "ä ö",
    ),
    "blocked without address": (
        account("<blocklist xmlns='urn:xmpp:blocking'>\n<item/></blocklist>"),
        Why.NO_ADDRESS,
        6,
        f"{USER_PATH}/blocklist/item",
        "",
    ),
    "blocked with a bad address": (
        account(
            "<query xmlns='jabber:iq:privacy'><default name='x'/><list name='x'>"
            "<item type='jid' value='a b@c' action='deny' order='1'/></list></query>"
        ),
        Why.BAD_ADDRESS,
        5,
        f"{USER_PATH}/query/list/item",
        "'a b@c'",
    ),
    "publisher with a bad address": (
        account(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'>"
            "<item id='1' publisher='@'><x xmlns='u:x'/></item></items></pubsub>"
        ),
        Why.BAD_ADDRESS,
        5,
        f"{USER_PATH}/pubsub/items/item",
        "'@'",
    ),
    "name of a contact too long": (
        account(f"{ROSTER}<item jid='a@b.example' name='{'x' * 70_000}'/></query>"),
        Why.LENGTH,
        6,
        f"{USER_PATH}/query/item",
        "65536",
    ),
    "group too long": (
        account(f"{ROSTER}<item jid='a@b.example'>\n<group>{'x' * 70_000}</group></item></query>"),
        Why.LENGTH,
        7,
        f"{USER_PATH}/query/item/group",
        "65536",
    ),
    "groups without end": (
        account(
            f"{ROSTER}<item jid='a@b.example'>"
            f"{''.join(f'<group>{n}</group>' for n in range(201))}</item></query>"
        ),
        Why.TOO_MANY,
        6,
        f"{USER_PATH}/query/item/group",
        "200 groups",
    ),
    "too deep where nobody looks": (
        account("<unknown xmlns='urn:other'>" + "<a>" * 100 + "</a>" * 100 + "</unknown>"),
        Why.DEPTH,
        5,
        "/".join(["a"] * 20),
        "100 elements",
    ),
    "document type": (
        account("").replace(b"<server-data", b"<!DOCTYPE server-data>\n<server-data"),
        Why.ENTITIES,
        2,
        "",
        "document type",
    ),
    "entities": (
        b"<!DOCTYPE server-data [<!ENTITY x 'y'>]><server-data xmlns='urn:xmpp:pie:0'>&x;",
        Why.ENTITIES,
        1,
        "",
        "document type",
    ),
    "entities of entities": (
        b"<!DOCTYPE server-data [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>\n"
        b"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><server-data xmlns='&c;'/>",
        Why.ENTITIES,
        1,
        "",
        "document type",
    ),
    "entity of another file": (
        b"<!DOCTYPE server-data [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        b"<server-data xmlns='urn:xmpp:pie:0'>&x;</server-data>",
        Why.ENTITIES,
        1,
        "",
        "",
    ),
    "document type on the network": (
        b"<!DOCTYPE server-data SYSTEM 'http://example.org/x.dtd'>"
        b"<server-data xmlns='urn:xmpp:pie:0'/>",
        Why.ENTITIES,
        1,
        "",
        "",
    ),
    "entity that nobody declared": (
        account("<vCard xmlns='vcard-temp'><FN>&nbsp;</FN></vCard>"),
        Why.ENTITIES,
        5,
        f"{USER_PATH}/vCard/FN",
        "nbsp",
    ),
    "included user": (
        (
            HEAD + HOST + "<include xmlns='http://www.w3.org/2001/XInclude' href='../passwd'/>"
        ).encode(),
        Why.INCLUDE,
        4,
        "server-data/host/include",
        "'../passwd'",
    ),
    "included thing": (
        account("<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='vcard.xml'/>"),
        Why.INCLUDE,
        5,
        f"{USER_PATH}/include",
        "'vcard.xml'",
    ),
    "cut off in a tag": (account(ROSTER)[:-30], Why.TRUNCATED, 0, "", "end of the file"),
    "cut off between tags": (
        (OPENED + ROSTER + ITEM).encode(),
        Why.TRUNCATED,
        0,
        f"{USER_PATH}/query",
        "end of the file",
    ),
    "cut off in a character": (
        (OPENED + ROSTER + "<item jid='a@b.example' name='").encode() + b"\xc3",
        Why.TRUNCATED,
        0,
        "",
        "",
    ),
    "tags that do not match": (account("<a><b></a>"), Why.MALFORMED, 5, f"{USER_PATH}/a/b", ""),
    "something after the end": (account("") + b"<more/>", Why.MALFORMED, 8, "", ""),
    "prefix without namespace": (account("<x:y/>\n"), Why.MALFORMED, 5, USER_PATH, "prefix x"),
    "attribute's prefix without namespace": (
        account("<x y:z=''/>\n"),
        Why.MALFORMED,
        5,
        USER_PATH,
        "prefix y",
    ),
    "UTF-16": (account("").decode().encode("utf-16"), Why.ENCODING, 1, "", "UTF-16"),
    "Latin 1, as it says": (
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n<server-data/>".encode("latin-1"),
        Why.ENCODING,
        1,
        "",
        "ISO-8859-1",
    ),
    "Latin 1, secretly": (
        account(ROSTER + "<item jid='a@b.example' name='X'/></query>").replace(b"X", b"\xfc"),
        Why.ENCODING,
        6,
        f"{USER_PATH}/query",
        "encoding",
    ),
    "character that XML has not": (
        account("<vCard xmlns='vcard-temp'><FN>a\x01b</FN></vCard>"),
        Why.ENCODING,
        5,
        f"{USER_PATH}/vCard/FN",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    data, why, line, element, word = REFUSED[name]
    with pytest.raises(BadFile) as refused:
        read(data)
    error = refused.value
    assert error.why is why, str(error)
    assert not line or error.line == line, str(error)
    assert error.element.endswith(element), str(error)
    assert word in str(error)
    assert error.remedy == REMEDIES[why]
    assert str(error).startswith(f"line {error.line}")
    assert str(error).endswith(error.remedy)


def test_everything_that_can_be_wrong_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Why)


def test_another_users_file() -> None:
    with pytest.raises(BadFile) as refused:
        read(account(""), "romeo@montague.example")
    assert refused.value.why is Why.NO_USER
    assert "romeo@montague.example is not in this file, but juliet@capulet" in str(refused.value)


def test_no_user_at_all() -> None:
    with pytest.raises(BadFile) as refused:
        read((HEAD + HOST + "</host></server-data>").encode())
    assert refused.value.why is Why.NO_USER


def test_who_is_meant_must_be_an_address() -> None:
    with pytest.raises(ValueError, match="no bare JID"):
        Reader(io.BytesIO(), "juliet")


@pytest.mark.parametrize(
    ("things", "limits"),
    [
        (ROSTER + ITEM + "<item jid='a@b.example'/></query>", Limits(contacts=1)),
        (
            "<blocklist xmlns='urn:xmpp:blocking'><item jid='a'/><item jid='b'/></blocklist>",
            Limits(contacts=1),
        ),
        (
            "<query xmlns='jabber:iq:privacy'><list name='x'><item action='allow' order='1'/>"
            "<item action='allow' order='2'/></list></query>",
            Limits(contacts=1),
        ),
        (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='a'/>"
            "<configure node='b'/></pubsub>",
            Limits(nodes=1),
        ),
        (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><affiliations node='a'>"
            "<affiliation jid='a' affiliation='member'/><affiliation jid='b' affiliation='member'/>"
            "</affiliations></pubsub>",
            Limits(nodes=1),
        ),
        (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='a'/><items node='b'/>"
            "</pubsub>",
            Limits(nodes=1),
        ),
        (
            "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
            "<conference jid='a@c'/><conference jid='b@c'/></storage></query>",
            Limits(nodes=1),
        ),
        (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='a'>"
            "<x xmlns='jabber:x:data'><field var='a'><value/></field><field var='b'><value/>"
            "</field></x></configure></pubsub>",
            Limits(groups=1),
        ),
        (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='a'>"
            "<x xmlns='jabber:x:data'><field var='a'><value/><value/></field></x></configure>"
            "</pubsub>",
            Limits(groups=1),
        ),
    ],
)
def test_there_is_an_end_to_how_many(things: str, limits: Limits) -> None:
    with pytest.raises(BadFile) as refused:
        list(Reader(io.BytesIO(account(things)), limits=limits))
    assert refused.value.why is Why.TOO_MANY


def test_there_is_an_end_to_how_many_accounts() -> None:
    users = "".join(f"<user name='u{number}'/>" for number in range(3))
    with pytest.raises(BadFile) as refused:
        accounts(
            io.BytesIO(f"{HEAD}{HOST}{users}</host></server-data>".encode()), Limits(contacts=2)
        )
    assert refused.value.why is Why.TOO_MANY


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused(seed: int) -> None:
    whole = account(
        "<blocklist xmlns='urn:xmpp:blocking'><item jid='x@b.example'/></blocklist>"
        f"{ROSTER}{ITEM}</query><vCard xmlns='vcard-temp'><FN>J &amp; ü</FN></vCard>"
    )
    dice = random.Random(seed)
    for _ in range(100):
        damaged = bytearray(whole)
        place = dice.randrange(len(damaged))
        match dice.randrange(3):
            case 0:
                damaged[place] = dice.randrange(256)
            case 1:
                del damaged[place : place + dice.randint(1, 40)]
            case 2:
                damaged[place:place] = dice.choice(INSERTED)
        with contextlib.suppress(BadFile):
            read(bytes(damaged))


INSERTED = (
    b"<",
    b">",
    b"&",
    b"<a>",
    b"</a>",
    b"'",
    b"<!DOCTYPE x>",
    b"<![CDATA[",
    b"\xff",
    b"&#0;",
)

"""Pasted contact lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component.core import jids
from component.core.journey.model import ContactState, JourneyContact
from component.core.model import Subscription
from component.engine.movers.orders import Given
from component.ui.talk.lists import BadList, Why, parse

A, B = "anna@x.example", "ben@y.example"
NAMED = ((A, "Anna"), (B, "Ben"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (A, [Given(A)]),
        (f"\ufeff  {A}\r\n\r\n{B}\r\n", [Given(A), Given(B)]),
        (f"{A} Anna Karenina", [Given(A, "Anna Karenina")]),
        (f"{A}, {B};{A}", [Given(A), Given(B)]),
        (f"{A}, Anna", [Given(A, "Anna")]),
        (f'{A},"Anna"\n{B},"Ben"', [Given(A, "Anna"), Given(B, "Ben")]),
        (f"{A}\tAnna", [Given(A, "Anna")]),
        (f"Anna <{A}>, <{B}>", [Given(A, "Anna"), Given(B)]),
        (f"<{A}>", [Given(A)]),
        (f"Anna K. <xmpp:{A}>", [Given(A, "Anna K.")]),
        (f"xmpp:{A}", [Given(A)]),
        ("Anna@X.Example", [Given(A)]),
        (f"# friends\n{A}", [Given(A)]),
        (f"{A} Anna\n{A} Other", [Given(A, "Anna")]),
        (f"{A} Anna [to]", [Given(A, "Anna", (), Subscription.TO)]),
        (f"{A} [From]", [Given(A, None, (), Subscription.FROM)]),
        (f"{A} [to] Anna", [Given(A, "Anna", (), Subscription.TO)]),
        (f"{A} [both] Anna", [Given(A, "Anna")]),
        (f"Anna [to] <{A}>", [Given(A, "Anna", (), Subscription.TO)]),
        (f"{A},[to] Anna;{B} [to],Ben", [Given(j, n, (), Subscription.TO) for j, n in NAMED]),
        (f"{A} Anna [x] [none]", [Given(A, "Anna [x] [none]")]),
        (f"{A} Anna from [to] Rome", [Given(A, "Anna from [to] Rome")]),
        (f"{A} \u202eannA\u0000", [Given(A, "annA")]),
    ],
)
def test_lines(text: str, found: list[Given]) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("", Why.EMPTY, 0),
        ("# nothing", Why.EMPTY, 0),
        ("nobody", Why.LINE, 1),
        (f"{A}\n\nnobody here", Why.LINE, 3),
        (f"{A}, Anna, Karenina", Why.LINE, 1),
        ("a@b@c", Why.LINE, 1),
        ("@x.example", Why.LINE, 1),
        ("anna@", Why.LINE, 1),
        ("Name <anna>", Why.LINE, 1),
        ("\n".join(f"u{n}@x.example" for n in range(10_001)), Why.TOO_MANY, 0),
    ],
)
def test_bad_lines(text: str, why: Why, line: int) -> None:
    with pytest.raises(BadList) as caught:
        parse(text)
    assert (caught.value.why, caught.value.line) == (why, line)


XML = """<?xml version='1.0' encoding='UTF-8'?>
<server-data xmlns='urn:xmpp:pie:0'><host jid='x.example'>
<user name='anna'><query xmlns='jabber:iq:roster'>
 <item jid='ben@y.example' name='Ben' subscription='both'><group>A</group><group>B</group></item>
 <item jid='To@y.example' subscription='to'/>
 <item jid='none@y.example' subscription='none' ask='subscribe'/>
 <item jid='gone@y.example' subscription='remove'/>
</query></user>
<user name='other'><query xmlns='jabber:iq:roster'><item jid='c@y.example' subscription='both'/>
</query></user></host></server-data>"""


def test_an_account_in_a_file() -> None:
    assert parse(XML, "anna@x.example") == [
        Given(B, "Ben", ("A", "B"), Subscription.BOTH),
        Given("to@y.example", None, (), Subscription.TO),
        Given("none@y.example", None, (), Subscription.NONE, ask=True),
    ]


def test_the_old_account_is_picked_out_of_a_servers_export() -> None:
    other = [Given("c@y.example", None, (), Subscription.BOTH)]
    assert parse(XML, "other@x.example") == other
    for owner in ("somebody@else.example", None):
        with pytest.raises(BadList) as caught:
            parse(XML, owner)
        assert caught.value.why is Why.NO_ROSTER
    one = XML[: XML.index("<user name='other'>")] + "</host></server-data>"
    assert len(parse(one, "somebody@else.example")) == 3, "one account that moved before"


def test_a_roster_alone() -> None:
    query = "<query xmlns='jabber:iq:roster'><item jid='a@b.example' subscription='from'/></query>"
    assert parse(query) == [Given("a@b.example", None, (), Subscription.FROM)]


def test_services_of_a_roster_are_passed_over() -> None:
    gateway = "<item jid='gateway.example' subscription='both'/>"
    query = f"<query xmlns='jabber:iq:roster'>{gateway}<item jid='a@b.example' subscription='to'/>"
    assert [given.jid for given in parse(f"{query}</query>")] == ["a@b.example"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (XML[:300], Why.XML),
        ("<a/>", Why.XML),
        ("<user xmlns='urn:xmpp:pie:0'/>", Why.XML),
        ("<server-data xmlns='urn:xmpp:pie:0'><host jid='x.y'/></server-data>", Why.NO_ROSTER),
        ("<query xmlns='jabber:iq:roster'/>", Why.EMPTY),
        ("<query xmlns='jabber:iq:roster'><item jid='@' subscription='to'/></query>", Why.XML),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", Why.XML),
        ("<!DOCTYPE a SYSTEM 'http://x.example/a.dtd'><a/>", Why.XML),
        ("<a>&nbsp;</a>", Why.XML),
        ("<a>" * 5000 + "</a>" * 5000, Why.XML),
        ("<", Why.LINE),
    ],
)
def test_bad_xml(text: str, why: Why) -> None:
    with pytest.raises(BadList) as caught:
        parse(text)
    assert caught.value.why is why or (text == "<" and caught.value.why is Why.XML)


def test_files_are_not_read() -> None:
    """Neither as an entity nor by inclusion."""
    text = (
        "<query xmlns='jabber:iq:roster' xmlns:xi='http://www.w3.org/2001/XInclude'>"
        "<xi:include href='/etc/passwd' parse='text'/></query>"
    )
    with pytest.raises(BadList) as caught:
        parse(text)
    assert caught.value.why in (Why.EMPTY, Why.XML)
    assert not caught.value.text


LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=20)
NAMES = st.none() | st.text("abcdefghijkl ÄÖÜéñ", min_size=1, max_size=30).map(
    lambda s: " ".join(s.split()) or None
)
ENTRIES = st.lists(
    st.tuples(LOCAL.map(lambda s: f"{s}@x.example"), NAMES),
    min_size=1,
    max_size=30,
    unique_by=lambda e: e[0],
)


@given(
    ENTRIES, st.sampled_from(["after", "before", "comma"]), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_what_is_written_is_read(
    entries: list[tuple[str, str | None]], style: str, newline: str
) -> None:
    def line(jid: str, name: str | None) -> str:
        if name is None:
            return jid
        return {"after": f"{jid} {name}", "before": f"{name} <{jid}>", "comma": f"{jid}, {name}"}[
            style
        ]

    text = newline.join(line(*entry) for entry in entries)
    assert parse(text) == [Given(jid, name) for jid, name in entries]


@settings(max_examples=500)
@given(st.text(max_size=200) | st.text("<>/@!&;,= \n'\"axq", max_size=200))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except BadList:
        return
    assert found
    for entry in found:
        assert jids.bare(entry.jid) == entry.jid
        assert entry.name is None or (entry.name.isprintable() and len(entry.name) <= 200)


@given(
    name=st.none() | st.text() | st.sampled_from(["[to]", "Anna [from]", "[both] Anna"]),
    subscription=st.sampled_from([Subscription.BOTH, Subscription.TO, Subscription.FROM]),
)
def test_what_the_old_account_is_given_can_be_pasted(
    name: str | None, subscription: Subscription
) -> None:
    known = JourneyContact("romeo@montague.example", name, (), subscription, ContactState.PENDING)
    (read,) = parse(known.line)
    assert read.jid == known.jid
    assert read.subscription is subscription
    if name and name.isalnum():
        assert read.name == name[:200]

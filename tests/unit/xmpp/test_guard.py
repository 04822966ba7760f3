"""The parser with bounds: what it builds, what it skips, and what it does not take at all."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component.xmpp.errors import BadStanza
from component.xmpp.guard import GuardError, StanzaParser, read_element
from component.xmpp.wire import serialise
from tests.unit.cases import cases

HEADER = b"<?xml version='1.0'?><s:stream xmlns='a' xmlns:s='b' id='1' note=\"'>\">"
BEFORE, AFTER = b"<iq n='before'><x>1</x></iq>", b"<iq n='after'><x>2</x></iq>"
DEEP = b"<iq n='bad'>" + b"<b>" * 9 + b"</b>" * 9 + b"</iq>"


@dataclass
class Seen:
    """What came of a stream."""

    stanzas: list[ET.Element] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    ended: bool = False
    error: GuardError | None = None


def feed(data: bytes, *, size: int = 0, max_bytes: int = 1000, max_depth: int = 4) -> Seen:
    """Feed it in pieces, and read events after each as slixmpp does."""
    seen = Seen()

    def refused(top: ET.Element, reason: str) -> None:
        assert not len(top)
        seen.refused.append((top.get("n", ""), reason))
        seen.order.append(top.get("n", ""))

    parser = StanzaParser(max_bytes, max_depth, refused)
    depth = 0
    step = size or max(1, len(data))
    try:
        for start in range(0, len(data), step):
            parser.feed(data[start : start + step])
            for event, element in parser.read_events():
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1:
                    seen.stanzas.append(element)
                    seen.order.append(element.get("n", ""))
                seen.ended = depth == 0
    except GuardError as error:
        seen.error = error
    return seen


def stanza(length: int) -> bytes:
    """An iq of exactly that many bytes."""
    empty = len(b"<iq a=''></iq>")
    return b"<iq a='" + b"x" * (length - empty) + b"'></iq>"


@pytest.mark.parametrize("size", [0, 1, 7])
def test_takes_an_ordinary_stream(size: int) -> None:
    body = b"<handshake/> \n" + stanza(900) * 5 + b"<m><b>&lt;&#252;</b></m>" + b"</s:stream>"
    seen = feed(HEADER + body, size=size)
    assert (len(seen.stanzas), seen.refused, seen.error, seen.ended) == (7, [], None, True)
    assert seen.stanzas[-1][0].text == "<ü"


@pytest.mark.parametrize("size", [0, 1, 5])
def test_builds_what_elementtree_builds(size: int) -> None:
    text = (
        "<iq xml:lang='de' to='ä'>t&amp;\n<s:q s:a='1' b='2'/>tail<q xmlns=''>"
        "<![CDATA[<x>]]]]></q><p:r xmlns:p='urn:{p' p:z='&lt;'>ü</p:r> </iq>"
    ).encode()
    seen = feed(HEADER + text + b"</s:stream>", size=size)
    (expected,) = ET.fromstring(HEADER + text + b"</s:stream>")
    assert ET.tostring(seen.stanzas[0]) == ET.tostring(expected)


def test_a_namespace_may_hold_anything() -> None:
    seen = feed(HEADER + b"<iq><x xmlns='{}}'/></iq>" + AFTER)
    assert [found[0].tag for found in seen.stanzas] == ["{{}}}x", "{a}x"]


@pytest.mark.parametrize("size", [0, 1, 7])
def test_depth(size: int) -> None:
    seen = feed(HEADER + b"<a><b><c><d/></c></b></a>" * 2, size=size)
    assert (len(seen.stanzas), seen.refused) == (2, [])
    seen = feed(HEADER + BEFORE + DEEP + AFTER + b"<a/>", size=size)
    assert seen.order == ["before", "bad", "after", ""]
    assert seen.refused == [("bad", "deeper than 4 elements")]
    assert seen.error is None


BIG = {
    "text": b"<iq n='bad'><b>" + b"x" * 3000 + b"</b></iq>",
    "top attribute": b"<iq n='bad' a='" + b"x>/" * 1000 + b"'/>",
    "inner attribute": b"<iq n='bad'><b a='" + b"x>/" * 1000 + b"'/></iq>",
    "space in a tag": b"<iq n='bad' " + b" " * 3000 + b"><b/></iq>",
    "children": b"<iq n='bad'>" + b"<b/><c d='\"/>'></c >" * 300 + b"</iq  >",
    "names": b"<iq n='bad'>" + b"".join(b"<n%x m%x=''/>" % (n, n) for n in range(300)) + b"</iq>",
    "cdata": b"<iq n='bad'>" + b"<![CDATA[</iq><iq>]]]]>]]" * 200 + b"</iq>",
    "just": b"<iq n='bad' a='" + b"x" * 990 + b"'></iq>",
    "huge": b"<iq n='bad'>" + b"<b c='>'>\xc3\xbc&amp;</b><![CDATA[</iq>]]>" * 20_000 + b"</iq>",
}


@pytest.mark.parametrize("size", [0, 1, 7, 100])
@pytest.mark.parametrize("name", BIG)
def test_size(name: str, size: int) -> None:
    if name == "huge" and size:
        size *= 997
    seen = feed(HEADER + BEFORE + BIG[name] * 2 + AFTER + b"</s:stream>", size=size)
    assert seen.order == ["before", "bad", "bad", "after"]
    assert {reason for _, reason in seen.refused} == {"larger than 1000 bytes"}
    assert (seen.error, seen.ended) == (None, True)


@pytest.mark.parametrize("size", [1, 100])
def test_an_unfinished_stanza_is_refused_when_it_passes_the_bound(size: int) -> None:
    seen = feed(HEADER + b"<iq n='bad'><b>" + b"x" * 1100, size=size)
    assert seen.order == ["bad"]


@pytest.mark.parametrize("size", [1448, 0])
def test_a_tag_that_does_not_end(size: int) -> None:
    seen = feed(HEADER + BEFORE + b"<iq a='" + b"x" * 5_000_000, size=size)
    assert seen.order == ["before"]
    assert seen.error is not None
    assert seen.error.condition == "policy-violation"


@pytest.mark.parametrize("size", [1448, 0])
def test_a_long_tag_that_does(size: int) -> None:
    bad = b"<iq n='bad'><b c='" + b"x" * 3_000_000 + b"'/></iq>"
    assert feed(HEADER + bad + AFTER, size=size).order == ["bad", "after"]


@pytest.mark.parametrize("start", [b"<s:stream xmlns:s='b' a='" + b"x" * 5_000_000, b" " * 200_000])
def test_a_header_that_does_not_end(start: bytes) -> None:
    seen = feed(start, size=1000)
    assert seen.error is not None
    assert seen.error.condition == "policy-violation"


@pytest.mark.parametrize("size", [1, 64])
def test_keepalives_do_not_add_up(size: int) -> None:
    seen = feed(HEADER + b" " * 5000 + stanza(900) + b"\n" * 5000 + stanza(900), size=size)
    assert (len(seen.stanzas), seen.refused, seen.error) == (2, [], None)


@pytest.mark.parametrize("size", [0, 1000, 1448])
def test_a_long_stream(size: int) -> None:
    """Over several of the parsers that it uses up."""
    body = b"".join(b"<iq n='%d' a%d='' xmlns:p='c'><p:q/> </iq>\n" % (n, n) for n in range(90_000))
    seen = feed(HEADER + body + b"</s:stream>", size=size)
    assert seen.order == [str(n) for n in range(90_000)]
    assert {(found.tag, found[0].tag) for found in seen.stanzas} == {("{a}iq", "{c}q")}
    assert (seen.error, seen.ended) == (None, True)


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE x [<!ENTITY e 'eeee'>]>" + HEADER, "restricted-xml"),
        (HEADER + b"<!-- x -->", "restricted-xml"),
        (HEADER + b"<a><?php x?></a>", "restricted-xml"),
        (HEADER + b"<a>&undeclared;</a>", "not-well-formed"),
        (HEADER + b"<a></b>", "not-well-formed"),
        (HEADER + b"<p:a/>", "not-well-formed"),
        (HEADER + b"<a>\xff</a>", "not-well-formed"),
        (HEADER + b"<a>\x00</a>", "not-well-formed"),
        (HEADER + b"</s:stream><again/>", "not-well-formed"),
        (HEADER + b"<a/>text<a/>", "bad-format"),
        (HEADER + DEEP + b"text<a/>", "bad-format"),
        (HEADER + b"<a>" * 90_000 + b"<!-- x -->", "restricted-xml"),
        (HEADER + b"<a>" * 90_000 + b"<?php x?>", "restricted-xml"),
        (HEADER + b"<a>" * 90_000 + b"<![CDX[", "restricted-xml"),
        (HEADER + b"<a>" * 90_000 + b"<b <", "not-well-formed"),
        (HEADER + b"<a>" * 90_000 + b"<b c='<'>", "not-well-formed"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not-well-formed"),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_forbidden(data: bytes, condition: str, size: int) -> None:
    seen = feed(data, size=size)
    assert seen.error is not None
    assert seen.error.condition == condition


@pytest.mark.parametrize(
    "tag",
    [
        # Prosody and ejabberd make this of <xml:x/>, which anybody may send them.
        b"<x xmlns='http://www.w3.org/XML/1998/namespace'/>",
        b"<x y='>' xmlns='http://www.w3.org/XML/1998/namespace'><y/>&z;</x>",
        b"<p:x a='/>'/>",
        b"<x xmlns:p=''/>",
        b"<x xmlns:xml='u'/>",
    ],
)
def test_names_that_xml_does_not_allow_cost_one_stanza(tag: bytes) -> None:
    with cases() as case:
        for deep, size in product((1, 9), range(0, 60, 3)):
            with case(f"{deep} deep, {size} at once"):
                bad = b"<iq n='bad'>" + b"<b>" * deep + tag + b"</b>" * deep + b"<c/></iq>"
                seen = feed(HEADER + BEFORE + bad + bad + AFTER + b"</s:stream>", size=size)
                assert seen.order == ["before", "bad", "bad", "after"]
                assert (seen.error, seen.ended) == (None, True)


def test_an_element_is_read_as_it_was_written() -> None:
    (given,) = feed(HEADER + b"<iq><x xmlns='{}' xml:lang='a'>b<xml:y/></x>c</iq>").stanzas
    assert ET.tostring(read_element(serialise(given, ""))) == ET.tostring(given)
    for broken in ("", "<a/><b/>", "<a>", "<p:a/>", "a", "<a/>a"):
        with pytest.raises(BadStanza):
            read_element(broken)


def test_what_came_before_an_error_is_delivered() -> None:
    seen = feed(HEADER + BEFORE + DEEP + AFTER + b"<a></b>")
    assert seen.order == ["before", "bad", "after"]
    assert seen.error is not None


@given(st.binary(max_size=300), st.integers(1, 50))
def test_only_ever_raises_its_own_error(data: bytes, size: int) -> None:
    feed(HEADER + data, size=size)


CONTENT = st.recursive(
    st.sampled_from(
        ["", "text", "ü", "/>", "]]", "&lt;", "<e/>", "<e />", "<![CDATA[]]>", "<![CDATA[</a>]]]>"]
    ),
    lambda inner: st.builds(
        "<a{}>{}</a{}>".format,
        st.sampled_from(["", " ", " b='>'", ' b="/>"', " b='/'", " b='\"' c=\"'\"", " b='/' "]),
        st.lists(inner, max_size=4).map("".join),
        st.sampled_from(["", " ", "\n"]),
    ),
    max_leaves=20,
)


@given(CONTENT, st.integers(0, 30), st.integers(1, 60))
@settings(deadline=None)
def test_a_skipped_stanza_ends_where_it_ends(content: str, deep: int, size: int) -> None:
    bad = "<iq n='bad'>" + "<x>" * 4 + "</x>" * 4 + content * (deep % 7 + 1) + "</iq>"
    seen = feed(HEADER + BEFORE + bad.encode() + AFTER + b"<m/>", size=size)
    assert seen.order == ["before", "bad", "after", ""]

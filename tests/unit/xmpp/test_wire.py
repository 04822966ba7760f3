"""Serialising, and errors both ways."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.xmpp.errors import BadStanza, RemoteError, StanzaError
from component.xmpp.names import IQ, NS_CLIENT, NS_COMPONENT
from component.xmpp.wire import serialise


def parse(text: str) -> ET.Element:
    return ET.fromstring(f"<s xmlns='{NS_COMPONENT}'>{text}</s>")[0]


def same(a: ET.Element, b: ET.Element) -> bool:
    return (
        (a.tag, a.attrib, a.text or "", len(a)) == (b.tag, b.attrib, b.text or "", len(b))
        and all((x.tail or "") == (y.tail or "") for x, y in zip(a, b, strict=True))
        and all(same(x, y) for x, y in zip(a, b, strict=True))
    )


XML_TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[*map(chr, range(9)), *"\x0b\x0c\ufffe\uffff"],
    ).filter(lambda c: c >= " " or c in "\t\n\r")
)
TAGS = st.sampled_from(["{urn:a}x", "{urn:b&'\"}y", IQ, f"{{{NS_CLIENT}}}iq", "bare"])
KEYS = st.sampled_from(["k", "{urn:k}k", "{http://www.w3.org/XML/1998/namespace}lang", "{urn:l}k"])


def build(
    tag: str, attrib: dict[str, str], text: str, tail: str, kids: list[ET.Element]
) -> ET.Element:
    element = ET.Element(tag, attrib)
    element.text, element.tail = text, tail
    element.extend(kids)
    return element


def elements(kids: st.SearchStrategy[list[ET.Element]]) -> st.SearchStrategy[ET.Element]:
    return st.builds(build, TAGS, st.dictionaries(KEYS, XML_TEXT), XML_TEXT, XML_TEXT, kids)


TREES = st.recursive(
    elements(st.just([])), lambda inner: elements(st.lists(inner, max_size=3)), max_leaves=8
)


@given(TREES)
def test_what_is_written_reads_the_same(element: ET.Element) -> None:
    assert same(parse(serialise(element)), element)


def test_stanzas_are_written_as_servers_write_them() -> None:
    iq = ET.Element(IQ, {"type": "get"})
    ET.SubElement(ET.SubElement(iq, "{urn:q}query"), "{urn:q}item").text = "1 < 2"
    assert serialise(iq) == '<iq type="get"><query xmlns="urn:q"><item>1 &lt; 2</item></query></iq>'


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\ud800", "\uffff"])
def test_what_xml_cannot_carry(bad: str) -> None:
    element = ET.Element(IQ)
    element.text = f"a{bad}b"
    with pytest.raises(BadStanza):
        serialise(element)


@pytest.mark.parametrize("namespace", [NS_COMPONENT, NS_CLIENT])
def test_reads_gone(namespace: str) -> None:
    stanza = ET.fromstring(
        f"<iq xmlns='{namespace}' type='error'><query xmlns='urn:q'/><error type='cancel'>"
        "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'> xmpp:new@x.example </gone>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>moved</text></error></iq>"
    )
    error = RemoteError.from_element(stanza)
    assert (error.condition, error.type, error.text) == ("gone", "cancel", "moved")
    assert error.gone_uri == "xmpp:new@x.example"
    assert error.element is not None


def test_reads_an_error_that_says_nothing() -> None:
    for text in ("<iq/>", f"<iq xmlns='{NS_CLIENT}'><error/></iq>"):
        error = RemoteError.from_element(ET.fromstring(text))
        assert (error.condition, error.type) == ("undefined-condition", "cancel")
        assert error.gone_uri is None


def test_errors_go_there_and_back() -> None:
    iq = ET.Element(IQ)
    iq.append(StanzaError("bad-request", "modify", "why").element())
    error = RemoteError.from_element(iq)
    assert (error.condition, error.type, error.text) == ("bad-request", "modify", "why")

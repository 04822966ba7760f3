"""Elements as canonical text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import cast

import pytest
from hypothesis import given, settings
from lxml import etree

from component.account.canonical import Element, canonical, unordered
from tests.unit.account.pieces import elements

SAME = [
    (
        "<x:a xmlns:x='u:1' xmlns:y='u:2' y:d='4' c='3' x:b='2'><y:e/><x:f></x:f></x:a>",
        "<a xmlns='u:1' c='3' q:b='2' p:d='4' xmlns:p='u:2' xmlns:q='u:1'><e xmlns='u:2'/><f/></a>",
        '<a xmlns="u:1" xmlns:a0="u:1" xmlns:a1="u:2" c="3" a0:b="2" a1:d="4">'
        '<e xmlns="u:2"/><f/></a>',
    ),
    (
        "<a xmlns='u:1' xml:lang='d' b='&lt;&quot;&#9;&#10;&#13;&amp;&gt;'>&lt;&gt;&amp;&#13;'</a>",
        "<a b='&lt;\"&#x9;&#xA;&#xD;&amp;>' xmlns='u:1' xml:lang='d'>&lt;&gt;&amp;&#xD;<?p?>'</a>",
        '<a xmlns="u:1" b="&lt;&quot;&#x9;&#xA;&#xD;&amp;>" xml:lang="d">&lt;&gt;&amp;&#xD;\'</a>',
    ),
    (
        "<a xmlns='u:1'><b xmlns=''><c xmlns='u:1'/>t</b> <!-- x --> <?pi?>x</a>",
        "<z:a xmlns:z='u:1'><b><z:c/>t</b>  <?pi other?>x</z:a>",
        '<a xmlns="u:1"><b xmlns=""><c xmlns="u:1"/>t</b>  x</a>',
    ),
]


@pytest.mark.parametrize(("one", "other", "text"), SAME)
def test_the_same_content_gives_the_same_text(one: str, other: str, text: str) -> None:
    for written in (one, other, text):
        assert canonical(ET.fromstring(written)) == text
        assert canonical(cast(Element, etree.fromstring(written))) == text


def test_what_differs_gives_different_texts() -> None:
    texts = [
        "<a xmlns='u:1'/>",
        "<a xmlns='u:2'/>",
        "<a/>",
        "<a xmlns='u:1' b=''/>",
        "<a xmlns='u:1' xmlns:q='u:1' q:b=''/>",
        "<a xmlns='u:1'> </a>",
        "<a xmlns='u:1'><b/></a>",
        "<a xmlns='u:1'><b xmlns=''/></a>",
    ]
    assert len({canonical(ET.fromstring(text)) for text in texts}) == len(texts)


def test_profiles_are_compared_without_an_order() -> None:
    one = "<v xmlns='v'><N>\n<B>b</B> <A>a</A></N><T>x y</T><N><A>0</A></N></v>"
    other = "<v xmlns='v'>\n<N><A>0</A></N>\n<T>x y</T>\n<N><A>a</A><B>b</B></N></v>"
    third = "<v xmlns='v'><N><A>b</A><B>a</B></N><T>x y</T><N><A>0</A></N></v>"
    texts = [unordered(canonical(ET.fromstring(text))) for text in (one, other, third)]
    assert texts[0] == texts[1] != texts[2]
    assert "<T>x y</T>" in texts[0]


@settings(max_examples=60, deadline=None)
@given(elements())
def test_canonical_text_is_that_element(element: ET.Element) -> None:
    text = canonical(element)
    for again in (ET.fromstring(text), cast(Element, etree.fromstring(text))):
        assert canonical(again) == text
    # The W3C's canonical form, with prefixes made equal, judges whether anything was lost.
    # (The standard library writes a carriage return as it is, which no parser gives back.)
    written = ET.tostring(element, "unicode").replace("\r", "&#13;")
    assert ET.canonicalize(text, rewrite_prefixes=True) == ET.canonicalize(
        written, rewrite_prefixes=True
    )

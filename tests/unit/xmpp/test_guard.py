"""The guard before the parser."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.xmpp.guard import GuardError, StreamGuard

HEADER = b"<?xml version='1.0'?><s:stream xmlns='a' xmlns:s='b' id='1'>"


def feed(data: bytes, *, size: int = 0, max_bytes: int = 1000, max_depth: int = 4) -> None:
    guard = StreamGuard(max_bytes, max_depth)
    step = size or len(data)
    for start in range(0, len(data), step):
        guard.feed(data[start : start + step])


def stanza(length: int) -> bytes:
    """An iq of exactly that many bytes."""
    empty = len(b"<iq a=''></iq>")
    return b"<iq a='" + b"x" * (length - empty) + b"'></iq>"


@pytest.mark.parametrize("size", [0, 1, 7])
def test_takes_an_ordinary_stream(size: int) -> None:
    body = b"<handshake/> \n" + stanza(900) * 5 + b"<m><b>&lt;&#252;</b></m>" + b"</s:stream>"
    feed(HEADER + body, size=size)


@pytest.mark.parametrize("size", [0, 1])
def test_depth(size: int) -> None:
    feed(HEADER + b"<a><b><c><d/></c></b></a>" * 2, size=size)
    with pytest.raises(GuardError) as error:
        feed(HEADER + b"<a><b><c><d><e/></d></c></b></a>", size=size)
    assert error.value.condition == "policy-violation"


@pytest.mark.parametrize(
    "tail",
    [
        stanza(1100),
        b"<iq><b>" + b"x" * 1100,
        b"<iq a='" + b"x" * 1100,
        b"<iq " + b" " * 1100,
        b"<iq>" + b"<b/>" * 300,
    ],
    ids=["whole", "text-unfinished", "attribute-unfinished", "tag-unfinished", "many-children"],
)
@pytest.mark.parametrize("size", [0, 1, 100])
def test_size(tail: bytes, size: int) -> None:
    with pytest.raises(GuardError) as error:
        feed(HEADER + stanza(900) + tail, size=size)
    assert error.value.condition == "policy-violation"


def test_size_of_the_stream_header() -> None:
    with pytest.raises(GuardError, match="larger"):
        feed(b"<s:stream xmlns:s='b' a='" + b"x" * 1100, size=10)


@pytest.mark.parametrize("size", [1, 64])
def test_keepalives_do_not_add_up(size: int) -> None:
    feed(HEADER + b" " * 5000 + stanza(900) + b"\n" * 5000 + stanza(900), size=size)


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE x [<!ENTITY e 'eeee'>]>" + HEADER, "restricted-xml"),
        (HEADER + b"<!-- x -->", "restricted-xml"),
        (HEADER + b"<a><?php x?></a>", "restricted-xml"),
        (HEADER + b"<a>&undeclared;</a>", "not-well-formed"),
        (HEADER + b"<a></b>", "not-well-formed"),
        (HEADER + b"<a>\xff</a>", "not-well-formed"),
        (HEADER + b"<a>\x00</a>", "not-well-formed"),
        (HEADER + b"</s:stream><again/>", "not-well-formed"),
        (HEADER + b"<a/>text<a/>", "bad-format"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not-well-formed"),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_forbidden(data: bytes, condition: str, size: int) -> None:
    with pytest.raises(GuardError) as error:
        feed(data, size=size)
    assert error.value.condition == condition


@given(st.binary(max_size=300), st.integers(1, 50))
def test_only_ever_raises_its_own_error(data: bytes, size: int) -> None:
    with contextlib.suppress(GuardError):
        feed(HEADER + data, size=size)

"""What is written is read again as it was; and the file itself is as others need it."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from component.account import carried
from component.account.carried import Place
from component.account.model import (
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
    in_order,
)
from component.account.read import Reader
from component.account.write import write
from component.core.model import Subscription
from tests.unit.account.files import read
from tests.unit.account.pieces import accounts

JULIET = Identity("capulet.example", "juliet")
PAYLOAD = Xml('<x xmlns="u:x"/>')


def written(*pieces: Piece) -> bytes:
    file = io.BytesIO()
    write(file, pieces)
    return file.getvalue()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(accounts())
def test_what_is_written_is_read_again(pieces: list[Piece]) -> None:
    data = written(*pieces)
    reader = Reader(io.BytesIO(data))
    found = list(reader)
    assert found == pieces
    assert not reader.skipped
    assert written(*found) == data


def test_equal_accounts_give_equal_files() -> None:
    pieces: list[Piece] = [
        PepItem("n", "2", PAYLOAD),
        PepItem("n", "1", PAYLOAD),
        PepNode("n"),
        Contact("b@b.example", None, ("z", "a")),
        PepNode("m"),
        Contact("a@b.example"),
        Blocked("evil.example"),
        JULIET,
    ]
    one = written(*in_order(pieces))
    others = [pieces[0], pieces[1], *reversed(pieces[2:])]
    assert written(*in_order(others)) == one
    # Items of a node stay in their order: the last one counts for many.
    assert [piece.id for piece in read(one) if isinstance(piece, PepItem)] == ["2", "1"]


def test_nothing_in_a_file_grants_a_subscription() -> None:
    data = written(
        JULIET,
        *(
            Contact(f"{number}@b.example", subscription=subscription, ask=True, approved=True)
            for number, subscription in enumerate(Subscription)
        ),
    )
    items = etree.fromstring(data).findall(".//{jabber:iq:roster}item")
    assert len(items) == 4
    for item in items:
        plain = {str(name): value for name, value in item.attrib.items()}
        plain = {name: value for name, value in plain.items() if not name.startswith("{")}
        assert plain == {"jid": item.get("jid"), "subscription": "none"}


def test_no_element_has_a_prefix() -> None:
    """Servers that look at names as they are written would not know them."""
    payload = Xml('<x xmlns="u:x" xmlns:a0="u:y" a0:z=""><y xmlns=""/></x>')
    data = written(
        JULIET,
        Blocked("evil.example"),
        Contact("a@b.example", "A", ("G",), Subscription.BOTH),
        VcardTemp(Xml('<vCard xmlns="vcard-temp"/>')),
        PrivateXml("x", "u:x", payload),
        PepNode("n", (("pubsub#access_model", ("open",)),), ("a@b.example",)),
        PepItem("n", "1", payload),
    )
    assert data.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    elements = list(etree.fromstring(data).iter())
    assert len(elements) > 20
    assert all(element.prefix is None for element in elements)
    # One piece a line, so that a line number leads to it.
    assert max(len(line) for line in data.splitlines()) < 200


@pytest.mark.parametrize(
    ("pieces", "what"),
    [
        ([], "whose"),
        ([Contact("a@b.example")], "whose"),
        ([JULIET, JULIET], "one user"),
        ([JULIET, Contact("b@b.example"), Contact("a@b.example")], "out of order"),
        ([JULIET, Contact("a@b.example"), Blocked("a@b.example")], "out of order"),
        ([JULIET, PepItem("n", "1", PAYLOAD)], "not the node"),
        ([JULIET, PepNode("n"), PepNode("n")], "twice"),
        ([JULIET, PepNode("urn:xmpp:omemo:2:devices")], "must not be carried"),
        ([JULIET, PepNode("urn:xmpp:moved:1")], "must not be carried"),
        ([JULIET, PepNode("n"), PepItem("n", "1", Xml("<x/>"))], "namespace"),
        ([JULIET, VcardTemp(PAYLOAD)], "vCard"),
        ([JULIET, PrivateXml("y", "u:x", PAYLOAD)], "should be"),
        ([JULIET, Contact("a@b.example", "\x00")], "XML compatible"),
        ([JULIET, PrivateXml("x", "u:ü", Xml('<x xmlns="u:ü"/>'))], "valid URI"),
        ([JULIET, VcardTemp(Xml("<vCard"))], "Start Tag"),
    ],
)
def test_what_no_file_may_hold(pieces: list[Piece], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        written(*pieces)


def test_the_table_says_why() -> None:
    never = [rule for rule in carried.RULES if not rule.carried]
    assert len(never) > 8
    assert all(rule.reason for rule in never)
    for place in Place:
        found = [rule for rule in carried.RULES if rule.place is place]
        assert len({rule.match for rule in found}) == len(found)
        # Whatever stands below a rule for everything would never be asked.
        assert "*" not in [rule.match for rule in found[:-1]]

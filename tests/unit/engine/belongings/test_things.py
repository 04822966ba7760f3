"""Pieces as things: nothing is lost on the way into the store and back."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings

from component.account.canonical import canonical
from component.account.model import (
    NS_BOOKMARKS,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    VcardTemp,
    Xml,
)
from component.core.belongings.model import Line, Result, Sort, Thing
from component.core.model import Subscription
from component.engine.belongings.things import (
    entry_of,
    line_of,
    piece_of,
    readers_of,
    thing_of,
    things,
)
from tests.unit.account.pieces import accounts


def known(piece: Piece) -> Thing:
    found = thing_of(piece)
    assert found is not None
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(accounts())
def test_into_the_store_and_back(pieces: list[Piece]) -> None:
    found = things(pieces)
    assert len(found) == len([piece for piece in pieces if not isinstance(piece, Identity)])
    for number, thing in enumerate(found):
        line = Line(thing, Result.CHANGED, "x", (thing,), done=True)
        again = line_of(entry_of(number, line))
        assert again.thing.content == thing.content
        assert again.thing.id == thing.id
        assert piece_of(again.thing) == piece_of(thing)
        assert piece_of(again.before[0]) == piece_of(thing)


def test_what_counts_as_the_same() -> None:
    one = VcardTemp(Xml('<vCard xmlns="vcard-temp"><FN>J</FN><N>K</N></vCard>'))
    two = VcardTemp(Xml('<vCard xmlns="vcard-temp"><N>K</N><FN>J</FN></vCard>'))
    assert known(one).content == known(two).content
    romeo = Contact("romeo@x", "R", ("a", "b"), Subscription.BOTH)
    assert known(romeo).content == known(Contact("romeo@x", "R", ("b", "a"))).content
    assert known(romeo).bound
    assert not known(Contact("romeo@x", "R")).bound
    assert known(Contact("romeo@x")).blank
    assert known(Contact("romeo@x", None, (), ask=True)).bound
    # An address in two spellings is one.
    assert known(Contact("a@xn--bcher-kva.example")).id == known(Contact("a@bücher.example")).id
    rooms = (PepItem(NS_BOOKMARKS, id, Xml("<x xmlns='u'/>")) for id in ("R@x", "r@x"))
    assert len({known(room).id for room in rooms}) == 1


def test_readers() -> None:
    config = (("pubsub#access_model", ("roster",)), ("pubsub#roster_groups_allowed", ("a",)))
    assert readers_of(PepNode("n", config)).groups == ("a",)
    assert readers_of(PepNode("n", (("pubsub#max_items", ("max",)),))).room is None
    assert readers_of(PepNode("n", (("pubsub#max_items", ("7",)),))).room == 7
    assert readers_of(PepNode("n")).access == "presence"
    # Members count where they let somebody in.
    assert known(PepNode("n", config, ("a@x",))).content == known(PepNode("n", config)).content


@pytest.mark.parametrize("text", ['["a"]', "[1,2,3,4]", "{}", "null"])
def test_what_no_release_wrote(text: str) -> None:
    with pytest.raises(ValueError, match=r"no release|unpack|values"):
        piece_of(Thing(Sort.CONTACT, "", "", text))


def test_a_profile_is_kept_as_it_is() -> None:
    element = ET.fromstring('<vCard xmlns="vcard-temp"><N>K</N><FN>J</FN></vCard>')
    profile = VcardTemp(canonical(element))
    assert piece_of(known(profile)) == profile

"""Roster items as JSON text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.core.model import RosterItem, Subscription
from component.store.jsonio import (
    groups_from_json,
    groups_to_json,
    item_from_json,
    item_to_json,
    optional_item_from_json,
    value_from_json,
    value_to_json,
)

from .support import OLD

items = st.builds(
    RosterItem,
    st.text(),
    st.sampled_from(Subscription),
    st.booleans(),
    st.none() | st.text(),
    st.lists(st.text()).map(tuple),
)


@given(items)
def test_any_item_comes_back_equal(item: RosterItem) -> None:
    text = item_to_json(item)
    assert text is not None
    assert item_from_json(text) == item
    assert item_to_json(item_from_json(text)) == text


def test_the_stored_form_is_fixed() -> None:
    assert item_to_json(OLD) == (
        '{"jid":"romeo@old.example","subscription":"both","ask":false,'
        '"name":"Rómeo \\"R\\" 🌹","groups":["Friends","Verona, Old"]}'
    )
    assert item_to_json(None) is None
    assert optional_item_from_json(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"jid":1,"subscription":"both","ask":false,"name":null,"groups":[]}',
        '{"jid":"a","subscription":"all","ask":false,"name":null,"groups":[]}',
        '{"jid":"a","subscription":"both","ask":0,"name":null,"groups":[]}',
        '{"jid":"a","subscription":"both","ask":false,"name":null,"groups":[1]}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        item_from_json(text)


@given(st.lists(st.text()).map(tuple))
def test_groups_come_back_equal(groups: tuple[str, ...]) -> None:
    assert groups_from_json(groups_to_json(groups)) == groups


@pytest.mark.parametrize("text", ["", "{}", "[1]", '"a"', "null"])
def test_other_groups_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        groups_from_json(text)


def test_plain_values() -> None:
    for value in (None, True, 2.5, "bücher", ["a", "b"], []):
        assert value_from_json(value_to_json(value)) == value
    with pytest.raises(TypeError):
        value_to_json(object())

"""Choices as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.ui.talk.language import Words
from component.ui.talk.pages import BadInput, Option
from component.ui.talk.picking import pick_many, pick_one

OPTIONS = [Option(v, v.title()) for v in ("anna@x", "ben@x", "cleo@x", "dora@x", "3@x")]
WORDS = Words("en")


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("1", "1"),
        ("1-3, 5", "1235"),
        ("1 \u2013 3", "123"),
        ("2,2;2 2", "2"),
        ("4 2", "24"),
        ("All", "12345"),
        ("none", ""),
        ("all but 3, 5", "124"),
        ("ALL  EXCEPT 1-4", "5"),
        ("everyone but ben@x", "1345"),
        ("ben@x, 3", "23"),
        ("3@x", "5"),
    ],
)
def test_many(text: str, chosen: str) -> None:
    wanted = [OPTIONS[int(n) - 1].value for n in chosen]
    assert pick_many(text, OPTIONS, WORDS) == wanted


@pytest.mark.parametrize(
    "text", ["0", "6", "3-1", "1-9", "-2", "1.5", "ben", "all but", "but 3", "9" * 50, "²"]
)
def test_many_wrong(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        pick_many(text, OPTIONS, WORDS)
    assert "from 1 to 5" in caught.value.sentence


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_other_languages(language: str) -> None:
    written = {"de": "Alle außer 3, 5", "fr": "Tous sauf 3, 5", "es": "todos menos 3, 5"}
    for text in (written[language], "all but 3, 5"):
        assert len(pick_many(text, OPTIONS, Words(language))) == 3


@pytest.mark.parametrize(
    ("text", "value"), [("2", "ben@x"), ("2.", "ben@x"), ("BEN@X", "ben@x"), ("Ben@X", "ben@x")]
)
def test_one(text: str, value: str) -> None:
    assert pick_one(text, OPTIONS, WORDS) == value


@given(st.sets(st.integers(1, 5)))
def test_but_is_the_rest(left: set[int]) -> None:
    text = ", ".join(map(str, sorted(left)))
    chosen = pick_many(text, OPTIONS, WORDS) if left else []
    rest = (
        pick_many(f"all but {text}", OPTIONS, WORDS) if left else pick_many("all", OPTIONS, WORDS)
    )
    assert sorted(chosen + rest) == sorted(o.value for o in OPTIONS)


@given(st.text(max_size=60))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        chosen = pick_many(text, OPTIONS, WORDS)
    except BadInput:
        return
    assert set(chosen) <= {o.value for o in OPTIONS}

"""The catalogs are complete, and every value that is told has words."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from component.core.journey.model import CheckName, ContactState, JourneyState, Problem
from component.core.notices import Follow
from component.ui.talk import chat, moving, phrases, picking
from component.ui.talk.language import (
    DOMAIN,
    LANGUAGES,
    LOCALE,
    SOURCE,
    Languages,
    Words,
    folded,
    known,
)
from tests.unit.ui.talk.fake import World

Key = str | tuple[str, ...]
KEYWORDS = {"say": None, "say_n": (1, 2), "N_": None}
OTHERS = [language for language in LANGUAGES if language != SOURCE]
_QUOTED = re.compile(r"[“„«]\s*([^”“»{}]+?)\s*[”“»]")


def extracted() -> set[Key]:
    """Every message of the source."""
    found: set[Key] = set()
    root = str(LOCALE.parent)
    for _file, _line, message, _comments, _context in extract_from_dir(
        root, [("**.py", "python")], keywords=KEYWORDS
    ):
        found.add(message if isinstance(message, str) else tuple(message))
    return found


def catalog(language: str) -> Catalog:
    """A language's catalog, as it is written."""
    with (LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as source:
        return read_po(source, locale=language, abort_invalid=True)


def placeholders(text: str) -> set[str]:
    """Names of the facts that a sentence takes."""
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalog_is_complete(language: str) -> None:
    """If this fails: the messages named are to be added to, or taken from, the catalog."""
    translated = {
        m.id if isinstance(m.id, str) else tuple(m.id): m for m in catalog(language) if m.id
    }
    source = extracted()
    assert source - translated.keys() == set()
    assert translated.keys() - source == set()
    for key, message in translated.items():
        assert not message.fuzzy, key
        string = message.string or ""
        texts = [string] if isinstance(string, str) else list(string)
        assert all(texts), key
        ids = [key] if isinstance(key, str) else list(key)
        wanted = placeholders(ids[-1])
        for text in texts:
            # A singular may say "one" in a word.
            assert wanted - {"n"} <= placeholders(text) <= wanted, (key, text)
            assert text.count("{") == len(re.findall(r"{\w+}", text)), text
        if isinstance(key, tuple):
            assert len(texts) == catalog(language).num_plurals
            assert "n" in placeholders(texts[-1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_that_a_text_tells_to_write_are_understood(language: str) -> None:
    """Each word between quotation marks can be written as it stands there."""
    words = Words(language)
    known_words: set[str] = {"ok", "1-4, 7"}
    for command in World().talk._book._commands:
        known_words |= words.either(command.words)
    for listed in (
        *(chat._HELP, chat._CANCEL, chat._BACKWARDS, chat._OK, chat._YES, chat._NO),
        *(picking._ALL, picking._NONE, moving._ANOTHER),
    ):
        known_words |= words.either(listed)
    known_words |= {f"{but} 3, 5" for but in words.either(picking._BUT)}
    for key in extracted():
        if not isinstance(key, str):
            continue
        text = words.say(key, **dict.fromkeys(placeholders(key), "{x}"))
        for quoted in _QUOTED.findall(text):
            assert folded(quoted) in known_words, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_commands_are_told_apart(language: str) -> None:
    """No two commands answer to one word, and none to a word of the dialog but cancel."""
    words = Words(language)
    seen: set[str] = set()
    for command in World().talk._book._commands:
        mine = words.either(command.words)
        assert not mine & seen, (command.name, mine & seen)
        seen |= mine
    for dialog in (chat._HELP, chat._OK, chat._YES, chat._NO, chat._BACKWARDS):
        assert not words.either(dialog) & seen
    answers = [words.either(m) for m in (chat._YES, chat._NO, chat._OK, chat._CANCEL)]
    assert sum(map(len, answers)) == len(frozenset().union(*answers))


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (phrases.PROBLEMS, Problem),
        (phrases.CHECKS, CheckName),
        (phrases.CONTACT_STATES, ContactState),
        (phrases.JOURNEY_STATES, JourneyState),
        (phrases.FOLLOWS, Follow),
    ],
)
def test_every_value_has_words(table: dict[StrEnum, str], enum: type[StrEnum]) -> None:
    assert list(table) == list(enum)


def test_plurals() -> None:
    french = Words("fr")
    # In French, nought is one.
    assert french.say_n("and one more", "and {n} more", 0) == "et 0 autre"
    assert french.say_n("and one more", "and {n} more", 2) == "et 2 autres"
    assert Words("de").say_n("and one more", "and {n} more", 1) == "und noch einer"
    assert Words("en").say_n("and one more", "and {n} more", 7) == "and 7 more"


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("de", "de"),
        ("de-CH-1996", "de"),
        ("FR_ca", "fr"),
        (" es ", "es"),
        ("en-GB", "en"),
        ("pt", None),
        ("deutsch", None),
        ("../de", None),
        ("", None),
        (None, None),
    ],
)
def test_tags(tag: str | None, language: str | None) -> None:
    assert known(tag) == language


def test_whose_word_counts() -> None:
    languages = Languages("es")
    assert languages.words("a@b").language == "es"
    languages.hear("a@b", "fr-CA")
    assert languages.words("a@b").language == "fr"
    assert languages.words("a@b", "pt").language == "fr"
    assert languages.words("a@b", "en").language == "en"
    languages.choose("a@b", "de")
    assert languages.words("a@b", "en").language == "de"
    languages.choose("a@b", None)
    assert languages.words("a@b").language == "fr"
    assert languages.words(None, "de").language == "de"
    assert Languages("tlh").words(None).language == "en"


def test_what_is_heard_is_bounded() -> None:
    languages = Languages("en")
    for n in range(10_001):
        languages.hear(f"u{n}@b", "de")
    assert languages.words("u0@b").language == "en"
    assert languages.words("u1@b").language == "de"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "less than a minute"), (59, "less than a minute"), (125, "2 minutes"), (7300, "2 hours")],
)
def test_durations(seconds: float, text: str) -> None:
    assert Words("en").duration(seconds) == text

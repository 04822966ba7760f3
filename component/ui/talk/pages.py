"""What a command shows and asks, for any renderer: forms, their fields, and ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from component.core import jids
from component.ui.talk.language import N_, Words, folded

MAX_TEXT = 10_000
"""Characters of any text, but for fields that say otherwise."""
# Translators: words that people write between a command and an address.
_BEFORE_ADDRESS: Final = N_("to, from")
_YES, _NO = ("1", "true"), ("0", "false")
"""Booleans as XEP-0004 section 3.3 writes them."""


class Kind(StrEnum):
    """What a field takes."""

    TEXT = "text"
    ADDRESS = "address"
    """A bare JID, prepared; given as people write one."""
    CODE = "code"
    LONG = "long"
    """Several lines."""
    CHOICE = "choice"
    MANY = "many"
    """Several of the choices."""
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """One question.

    ``default`` is what is filled in or ticked at first.  It is never taken by itself: a form that
    comes back without the field is no answer.
    """

    name: str
    kind: Kind
    label: str
    required: bool = True
    default: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    limit: int = MAX_TEXT
    """Characters."""

    def read(self, raw: Sequence[str], words: Words) -> tuple[str, ...]:
        """What was given, checked.

        :raises BadInput: it is none of what the field takes; says what is.
        """
        texts = [text.strip() for text in raw]
        if sum(map(len, texts)) + len(texts) > self.limit:
            raise BadInput(
                words.say(
                    "That is too long: at most {limit} characters, please.", limit=self.limit
                ),
                self.name,
            )
        if self.kind is Kind.LONG:
            whole = "\n".join(texts).strip()
            texts = [whole] if whole else []
        given = tuple(text for text in texts if text)
        if not given:
            if self.required:
                raise BadInput(self._nothing(words), self.name)
            return ()
        return self._check(given, words)

    def _check(self, given: tuple[str, ...], words: Words) -> tuple[str, ...]:
        if self.kind is Kind.MANY:
            unknown = set(given) - {option.value for option in self.options}
            if unknown:
                raise BadInput(
                    words.say("“{text}” is not in the list.", text=short(min(unknown))), self.name
                )
            return tuple(dict.fromkeys(given))
        if len(given) > 1:
            raise BadInput(words.say("One answer only, please."), self.name)
        (text,) = given
        if self.kind is Kind.CHOICE and text not in {option.value for option in self.options}:
            raise BadInput(
                words.say("“{text}” is none of the choices.", text=short(text)), self.name
            )
        if self.kind is Kind.FLAG:
            if text not in _YES + _NO:
                raise BadInput(words.say("Please answer with “yes” or “no”."), self.name)
            return ("1",) if text in _YES else ("0",)
        if self.kind is Kind.ADDRESS:
            return (self._address(text, words),)
        if self.kind is Kind.CODE:
            return ("".join(text.split()).replace("-", ""),)
        return (text,)

    def _address(self, text: str, words: Words) -> str:
        first, _, rest = text.partition(" ")
        led = bool(rest) and folded(first) in words.anywhere(_BEFORE_ADDRESS)
        prepared = jids.typed(rest if led else text)
        if prepared is None:
            raise BadInput(
                words.say(
                    "“{text}” is not an address. An address looks like name@server.example.",
                    text=short(text),
                ),
                self.name,
            )
        return prepared

    def _nothing(self, words: Words) -> str:
        match self.kind:
            case Kind.ADDRESS:
                return words.say("Please give an address, which looks like name@server.example.")
            case Kind.CHOICE:
                return words.say("Please choose one.")
            case Kind.MANY:
                return words.say("Please choose at least one.")
            case Kind.FLAG:
                return words.say("Please answer with “yes” or “no”.")
            case Kind.CODE:
                return words.say("Please give the code.")
            case _:
                return words.say("Please write something.")


class BadInput(Exception):
    """What was given cannot be taken.  ``sentence`` says what can; ``field`` is whose it is."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


@dataclass(frozen=True, slots=True)
class Turn:
    """One step: who takes it, by the stanza at hand, and the words to answer in."""

    asker: str
    words: Words


class Answers:
    """What was given to a form, by the names of its fields."""

    def __init__(self, values: Mapping[str, tuple[str, ...]]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """The only value, or an empty text."""
        return (self._values.get(name) or ("",))[0]

    def flag(self, name: str) -> bool:
        """Whether it was answered with yes."""
        return self._values.get(name) == ("1",)

    def many(self, name: str) -> tuple[str, ...]:
        """All values."""
        return self._values.get(name, ())


@dataclass(frozen=True, slots=True)
class Form:
    """A page with questions.  ``then`` is called with the answers, all of them checked."""

    title: str
    text: str
    fields: tuple[Field, ...]
    then: Callable[[Turn, Answers], Awaitable[Page]]
    last: bool = False
    """Whether it is the last one, as far as can be said before it is answered."""
    passed: bool = False
    """Whether nobody comes back to it once it is answered: what it asked for is used up."""

    def read(self, raw: Mapping[str, Sequence[str]], words: Words) -> Answers:
        """Check what was given; unknown names are ignored.

        :raises BadInput: a field's value cannot be taken.
        """
        return Answers({f.name: f.read(raw.get(f.name, ()), words) for f in self.fields})


@dataclass(frozen=True, slots=True)
class Done:
    """The end."""

    text: str
    warning: bool = False
    """Nothing was done, and the text says why."""


Page = Form | Done


def short(text: str, most: int = 60) -> str:
    """Somebody's text on one line, fit to be quoted: no control or direction marks."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"

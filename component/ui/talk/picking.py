"""Choices out of a numbered list, as people write them: ``1-4, 7``, ``all but 3, 5``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from component.ui.talk.language import N_, Words
from component.ui.talk.pages import BadInput, Option, short

# Translators: words that mean this when a user writes them; the first one is shown.
_ALL: Final = N_("all, everyone")
_NONE: Final = N_("none, nobody")
_BUT: Final = N_("all but, all except, everyone but, everyone except, all without")
_RANGE = re.compile(r"([0-9]{1,9})\s*[-\u2013\u2014]\s*([0-9]{1,9})")
_SLIP = re.compile(r"\S*[,;]\s*[,;]\S*|^[,;]")
"""Something is missing between two commas: a number that was meant."""
_SEPARATORS = re.compile(r"[,;\s]+")


def pick_one(text: str, options: Sequence[Option], words: Words) -> str:
    """The value of one option: by number, by value, or by its label.

    :raises BadInput: none is meant; says what is expected.
    """
    folded = text.casefold().rstrip(".)")
    if folded.isdecimal() and len(folded) <= 9:
        number = int(folded)
        if 1 <= number <= len(options):
            return options[number - 1].value
    for option in options:
        if folded in (option.value.casefold(), option.label.casefold()):
            return option.value
    raise BadInput(words.say("Please answer with a number from 1 to {most}.", most=len(options)))


def pick_many(text: str, options: Sequence[Option], words: Words) -> list[str]:
    """The values of several options, in the order of the list.

    :raises BadInput: a part is no number, range or value of the list; says what is expected.
    """
    folded = " ".join(text.casefold().split())
    if folded in words.either(_ALL):
        return [option.value for option in options]
    if folded in words.either(_NONE):
        return []
    for but in sorted(words.either(_BUT), key=len, reverse=True):
        if folded.startswith(f"{but} "):
            left = _places(folded[len(but) :], options, words)
            return [o.value for i, o in enumerate(options) if i not in left]
    chosen = _places(folded, options, words)
    return [o.value for i, o in enumerate(options) if i in chosen]


def _places(text: str, options: Sequence[Option], words: Words) -> set[int]:
    places: set[int] = set()
    by_value = {option.value.casefold(): i for i, option in enumerate(options)}
    # Ranges may have blanks about the dash.
    joined = _RANGE.sub(r"\1-\2", text.strip())
    slip = _SLIP.search(joined)
    if slip:
        raise _unreadable(slip[0], options, words)
    for part in filter(None, _SEPARATORS.split(joined)):
        found = _RANGE.fullmatch(part)
        first, last = (int(found[1]), int(found[2])) if found else (0, 0)
        if not found and part.isdecimal() and len(part) <= 9:
            first = last = int(part)
        if 1 <= first <= last <= len(options):
            places |= set(range(first - 1, last))
        elif part in by_value:
            places.add(by_value[part])
        else:
            raise _unreadable(part, options, words)
    return places


def _unreadable(text: str, options: Sequence[Option], words: Words) -> BadInput:
    return BadInput(
        words.say(
            "I cannot read “{text}”. Please write numbers from 1 to {most}, such as “1-4, 7”, or "
            "“all but 3, 5”.",
            text=short(text),
            most=len(options),
        )
    )

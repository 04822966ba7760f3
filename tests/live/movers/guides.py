"""Two ways to give an order: talking to the component, and a client's command window.

Both take the answers by the names of the fields, so that one test proves both.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Protocol

from tests.live.movers.adhoc import Commands
from tests.live.movers.people import Person

Answer = str | Sequence[str] | Callable[[], Awaitable[str]]
"""What is answered to a question; a callable is asked when the question comes."""

PASTED = r"\A(\S+@\S+( [^\n]*)?(\n|\Z))+\Z"
"""The message with the contacts, to be pasted at the new account: nothing but such lines."""

_REFUSED = "This move cannot begin"
"""What failed may be the address's fault: it is asked for again."""
_threads = count(1)
_TURNS = 12

WORDS = {
    "away": "move away",
    "arrive": "arrive",
    "progress": "progress",
    "pause": "pause",
    "resume": "resume",
    "cancel": "cancel move",
    "undo": "undo",
    "undo-contact": "undo contact",
    "settings": "settings",
}
"""What calls each command in a chat."""

_LABELS = (
    ("new", "your new address"),
    ("old", "your old address"),
    ("access", "who may read that you have moved"),
    ("contacts", r"who is told\?\n1\. \["),
    ("who", r"who is told\?"),
    ("leave_out", "not to be told"),
    ("code", "the code$"),
    ("move", r"which move\?"),
    ("what", r"what is to be undone\?"),
    ("sure", r"are you sure\?|begin now\?"),
    ("list", "your contacts$"),
)
"""How each field is asked for in English: at the beginning of the question."""

_OPTIONS = {"everyone": "everyone", "choose": "let me choose", "suggested": "suggested"}


class Message(Protocol):
    """One chat message, as somebody reads it."""

    @property
    def body(self) -> str:
        """Its text."""


class Speaker(Protocol):
    """Who talks to the component."""

    def says(self, to: str, text: str, *, more: str = "") -> object:
        """Send a chat message, with more XML beside its body."""

    async def hears(self, pattern: str = "", *, sender: str, thread: str | None = None) -> Message:
        """The next message of a sender in a thread; raises AssertionError where none comes."""


class Guide(Protocol):
    """Gives orders for one person."""

    async def order(self, name: str, **answers: Answer) -> str:
        """Give an order and answer what is asked; return the last word.

        What has no answer is left as it is suggested.  Raises AssertionError where an answer is
        not taken; the text of a refusal is a last word like any other.
        """


class Talk:
    """By chat.  Each order is a thread, so that answers are told from notices."""

    def __init__(self, person: Speaker, component: str) -> None:
        self._person = person
        self._component = component

    async def order(self, name: str, **answers: Answer) -> str:
        """See :class:`Guide`."""
        thread = f"t{next(_threads)}"
        text, given = WORDS[name], set[str]()
        for _ in range(_TURNS):
            body = await self.say(text, thread)
            asked = _asked(body)
            if asked is None:
                return body
            if asked in given and _REFUSED in body:
                await self.say("cancel", thread)
                return body
            assert asked not in given, f"{asked} was not taken: {body}"
            given.add(asked)
            text = _in_words(asked, await _value(answers.get(asked)), body)
        raise AssertionError(f"{name} goes on and on")

    async def say(self, text: str, thread: str) -> str:
        """Say something in a thread, and hear the answer."""
        self._person.says(self._component, text, more=f"<thread>{thread}</thread>")
        return (await self._person.hears(sender=self._component, thread=thread)).body


class Window:
    """By ad-hoc commands."""

    def __init__(self, person: Person, component: str) -> None:
        self._commands = Commands(person.device, component)

    async def order(self, name: str, **answers: Answer) -> str:
        """See :class:`Guide`."""
        page = await self._commands.execute(name)
        for _ in range(_TURNS):
            if page.done:
                return page.text
            values: dict[str, str | Sequence[str]] = {}
            for var, field in page.fields.items():
                if var and field.kind != "fixed":
                    values[var] = await _value(answers.get(var)) or field.values
            page = await self._commands.next(page, **values)
            if any(_REFUSED in text for text in page.errors):
                await self._commands.cancel(page)
                return page.text
            assert not page.errors, page
        raise AssertionError(f"{name} goes on and on")


GUIDES: dict[str, type[Talk] | type[Window]] = {"chat": Talk, "ad-hoc": Window}


def code_of(person: Person, component: str) -> Callable[[], Awaitable[str]]:
    """The code that this person is sent: to be given where the other account is asked for it."""

    async def read() -> str:
        line = await person.hears("enter this code", sender=component)
        found = re.search(r"enter this code there: (\S+)", line.body)
        assert found is not None, line.body
        return found[1]

    return read


async def _value(answer: Answer | None) -> str | Sequence[str] | None:
    return await answer() if callable(answer) else answer


def _asked(body: str) -> str | None:
    """Which field the question at the end of a message is for."""
    question = body.rpartition("\n\n")[2]
    for name, label in _LABELS:
        if re.match(label, question, re.IGNORECASE | re.MULTILINE):
            return name
    return None


def _in_words(asked: str, value: str | Sequence[str] | None, body: str) -> str:
    """An answer as somebody would write it."""
    if value is None:
        return "ok"
    numbered = re.findall(r"^(\d+)\. (.*)$", body.rpartition("\n\n")[2], re.MULTILINE)
    if asked == "contacts":
        wanted = {value} if isinstance(value, str) else set(value)
        left = [n for n, label in numbered if not any(jid in label for jid in wanted)]
        return f"all but {', '.join(left)}" if left else "all"
    assert isinstance(value, str), f"{asked}: {value}"
    if asked == "sure":
        return "yes" if value == "1" else "no"
    if numbered:
        label = _OPTIONS.get(value, value)
        return next((n for n, text in numbered if label in text), value)
    return value

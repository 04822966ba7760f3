"""Commands as a chat: a question for each field, with words and numbers for answers."""

from __future__ import annotations

import asyncio
import unicodedata
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from component.core.journey.model import Refused
from component.core.links import is_link
from component.core.model import same_account
from component.engine.ports import Clock
from component.ui.talk import phrases
from component.ui.talk.bounds import Crowd, Kept, Pace
from component.ui.talk.commands import Book, Command, Shown
from component.ui.talk.language import N_, Words, folded
from component.ui.talk.pages import MAX_TEXT, BadInput, Done, Field, Form, Kind, Turn, short
from component.ui.talk.picking import pick_many, pick_one
from component.ui.talk.teller import Sender, message_id
from component.xmpp.chat import ChatMessage, read_chat, write_chat
from component.xmpp.errors import LinkError

log = structlog.get_logger(__name__)

REST_SECONDS = 900.0
MOST_DIALOGS = 1000
_AT_ONCE = 5
"""Messages of one user that wait for their answers."""
_ANSWERS_A_MINUTE = 30
_LEFT_A_MINUTE = 10
"""Questions that are left in a minute however many messages there were."""
_CHUNK = 4000
"""Characters of a message; clients hide what is longer."""
_BACK = 10

_QUOTES: Final = "“”„«»\"'.!,:\u00a0"
"""What people write about a command's words."""

# Translators: words that mean this when a user writes them; the first one is shown.
_HELP: Final = N_("help, ?, menu, hello, hi")
_CANCEL: Final = N_("cancel, stop, quit")
_BACKWARDS: Final = N_("back")
_OK: Final = N_("ok, okay, -")
_YES: Final = N_("yes, y, yes please")
_NO: Final = N_("no, n")


@dataclass(slots=True)
class _Dialog:
    command: Command
    form: Form
    account: str | None
    """Whose it is: the token of the account that was asked."""
    before: list[Form] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)
    """Raw values of the fields that were answered, in the form's order."""

    @property
    def asked(self) -> Field:
        """The field whose answer is awaited."""
        return self.form.fields[len(self.given)]


class Chat:
    """Dialogs with users, one for each bare JID.

    :param turn: makes a step's turn out of its sender and language tag.
    """

    def __init__(
        self, book: Book, turn: Callable[[str | None, str | None], Turn], link: Sender, clock: Clock
    ) -> None:
        self._book = book
        self._turn = turn
        self._link = link
        self._clock = clock
        self._crowd = Crowd(_AT_ONCE)
        self._pace = Pace(most=_ANSWERS_A_MINUTE, seconds=60.0)
        self._leaving = Pace(most=_LEFT_A_MINUTE, seconds=60.0)
        self._warned = Pace(most=1, seconds=60.0)
        self._dialogs: Kept[_Dialog] = Kept(seconds=REST_SECONDS, most=MOST_DIALOGS)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @property
    def dialogs(self) -> int:
        """Dialogs that are kept."""
        return len(self._dialogs)

    async def handle(self, stanza: ET.Element) -> None:
        """Answer a message; strangers get no answer."""
        message = read_chat(stanza)
        if message is None:
            return
        turn = self._turn(message.sender, message.lang)
        if not self._book.visible(turn.asker):
            log.debug("a stranger wrote", sender=message.sender)
            return
        with self._crowd.enter(turn.asker) as admitted:
            if not self._takes(turn, message, admitted):
                self._slow_down(message, turn)
                return
            lock = self._locks.setdefault(turn.asker, asyncio.Lock())
            async with lock:
                self._send(message, turn, await self._answer(turn, message))

    def _takes(self, turn: Turn, message: ChatMessage, admitted: bool) -> bool:
        """Whether a message is answered; who wants to leave a question can, but for a flood."""
        now = self._clock.tick()
        if self._pace.take(turn.asker, now) and admitted:
            return True
        if self._dialogs.get(turn.asker) is None:
            return False
        leaves = _says(turn.words, _CANCEL, message.body) or _says(turn.words, _NO, message.body)
        return leaves and self._leaving.take(turn.asker, now)

    def _slow_down(self, message: ChatMessage, turn: Turn) -> None:
        """Say once a minute why nothing more is answered; an automatic answerer never tires."""
        if not self._warned.take(turn.asker, self._clock.tick()):
            return
        log.info("a user writes faster than they are answered", user=turn.asker)
        text = turn.words.say(
            "That is too fast for me. Please wait a minute, then write again. “cancel” still "
            "leaves a question."
        )
        self._send(message, turn, text)

    def _send(self, message: ChatMessage, turn: Turn, text: str) -> None:
        lang = turn.words.language
        for part in _chunks(text):
            stanza = write_chat(
                message.sender, part, id=message_id(), lang=lang, thread=message.thread
            )
            try:
                self._link.send(stanza)
            except LinkError as error:
                log.warning("an answer is lost", user=turn.asker, reason=str(error))

    async def _answer(self, turn: Turn, message: ChatMessage) -> str:
        words = turn.words
        if message.encrypted:
            return words.say(
                "I cannot read encrypted messages. Please switch encryption off for this chat."
            )
        now = self._clock.tick()
        rested = self._dialogs.rested(turn.asker, now)
        if rested:
            self._dialogs.drop(turn.asker)
        dialog = self._dialogs.get(turn.asker)
        if dialog is not None:
            try:
                account = await self._book.account(turn.asker)
            except Refused as refused:
                if not _says(words, _CANCEL, message.body):
                    return phrases.problem(words, refused)
                account = dialog.account  # to leave shows nothing
            if not same_account(dialog.account, account):
                # Somebody else was asked, who had the name before.
                self._dialogs.drop(turn.asker)
                dialog = None
        limit = max(MAX_TEXT, dialog.asked.limit) if dialog is not None else MAX_TEXT
        if len(message.body) > limit:
            return words.say("That is too long: at most {limit} characters, please.", limit=limit)
        # Some systems write an umlaut as two characters.
        text = unicodedata.normalize("NFC", message.body).strip()
        if dialog is None:
            shared = (message.link or "").strip()
            return await self._outside(turn, shared if is_link(shared) else text, rested)
        if message.corrects is not None:
            return words.say(
                "What was answered stays answered. Write “back” to answer again, or “cancel” to "
                "leave."
            )
        self._dialogs.put(turn.asker, dialog, now)
        return await self._inside(turn, dialog, text)

    # Without a dialog ---------------------------------------------------------------------------

    async def _outside(self, turn: Turn, text: str, rested: bool) -> str:
        words = turn.words
        visible = self._book.visible(turn.asker)
        if _says(words, _HELP, text):
            return _help(words, visible)
        command, rest = _find(words, visible, text)
        if rested and (command is None or text.isdecimal()):
            # It was meant for a question that is no longer asked.
            return words.say(
                "That took more than a quarter of an hour, so I have left what we were at. "
                "Nothing was changed. Write “help” to see what I can do."
            )
        if command is None:
            return await self._book.elsewhere(turn, text) or words.say(
                "I did not understand that. Write “help” to see what I can do."
            )
        try:
            account = await self._book.account(turn.asker)
        except Refused as refused:
            return phrases.problem(words, refused)
        shown = await self._book.begin(command, turn)
        if not isinstance(shown.page, Form):
            return self._show(turn, None, shown)
        dialog = _Dialog(command, shown.page, account)
        if not rest:
            return self._show(turn, dialog, shown)
        self._dialogs.put(turn.asker, dialog, self._clock.tick())
        return await self._inside(turn, dialog, rest)

    # In a dialog --------------------------------------------------------------------------------

    async def _inside(self, turn: Turn, dialog: _Dialog, text: str) -> str:
        words = turn.words
        if _says(words, _CANCEL, text):
            self._dialogs.drop(turn.asker)
            return words.say("Left. Nothing was changed.")
        if _says(words, _BACKWARDS, text):
            return self._back(turn, dialog)
        if _says(words, _HELP, text):
            hint = words.say(
                "I wait for an answer. Write “back” for the question before, “cancel” to leave."
            )
            return f"{hint}\n\n{_reminder(words, dialog)}"
        asked = dialog.asked
        try:
            raw = _read(words, asked, text)
            asked.read(raw, words)
        except BadInput as bad:
            return await self._not_taken(turn, dialog, text, bad.sentence)
        dialog.given[asked.name] = raw
        if len(dialog.given) < len(dialog.form.fields):
            return _question(words, dialog.asked)
        given, dialog.given = dialog.given, {}
        shown = await self._book.submit(dialog.command, turn, dialog.form, given)
        if shown.page is dialog.form:
            # Ask again from the field that could not be taken.
            for f in dialog.form.fields:
                if shown.field is None or f.name == shown.field:
                    break
                dialog.given[f.name] = given[f.name]
            if shown.note:
                self._dialogs.put(turn.asker, dialog, self._clock.tick())
                return await self._not_taken(turn, dialog, text, shown.note)
        elif isinstance(shown.page, Form):
            if not dialog.form.passed:
                dialog.before = [*dialog.before, dialog.form][-_BACK:]
            dialog.form = shown.page
        return self._show(turn, dialog, shown)

    async def _not_taken(self, turn: Turn, dialog: _Dialog, text: str, why: str) -> str:
        """Ask again; who gave another order, or a code at the wrong place, is told so."""
        words, parts = turn.words, [why]
        command, rest = _find(words, self._book.visible(turn.asker), text)
        if command is not None and not rest and not _is_number(text) and not is_link(text):
            parts.append(
                words.say(
                    "This question is about “{title}”. To leave it, write “cancel”; then write "
                    "“{text}” again.",
                    title=words.say(dialog.command.title),
                    text=short(text),
                )
            )
        elsewhere = await self._book.elsewhere(turn, text)
        parts += [elsewhere] if elsewhere else []
        return "\n\n".join([*parts, _reminder(words, dialog)])

    def _back(self, turn: Turn, dialog: _Dialog) -> str:
        if dialog.given:
            dialog.given.popitem()
        elif dialog.before:
            dialog.form = dialog.before.pop()
        else:
            hint = turn.words.say("This is the first question. Write “cancel” to leave.")
            return f"{hint}\n\n{_reminder(turn.words, dialog)}"
        return _reminder(turn.words, dialog)

    def _show(self, turn: Turn, dialog: _Dialog | None, shown: Shown) -> str:
        page = shown.page
        if isinstance(page, Done) or dialog is None:
            self._dialogs.drop(turn.asker)
            return page.text
        self._dialogs.put(turn.asker, dialog, self._clock.tick())
        question = _question(turn.words, dialog.asked)
        return "\n\n".join(part for part in (page.text.strip(), question) if part)


# Words ----------------------------------------------------------------------------------------


def _help(words: Words, visible: list[Command]) -> str:
    lines = [words.say("I can do this for you. Write the number or the words:")]
    for number, command in enumerate(visible, start=1):
        first = words.say(command.words).partition(",")[0]
        lines.append(f"{number}. {words.say(command.title)}: {first}")
    return "\n".join(lines)


def _find(words: Words, visible: list[Command], text: str) -> tuple[Command | None, str]:
    """The command that a text begins with, by number or words, and what follows them."""
    if is_link(text):
        return next((command for command in visible if command.takes_links), None), text
    if _is_number(text):
        number = int(text.strip().rstrip(_AFTER_NUMBER))
        return (visible[number - 1], "") if 1 <= number <= len(visible) else (None, "")
    tokens = text.split()
    # A word of the user's own language wins over the same word of another.
    by_words = {
        tuple(called.split()): command
        for spellings in (words.anywhere, words.either)
        for command in reversed(visible)
        for called in spellings(command.words)
    }
    for length in range(min(len(tokens), 5), 0, -1):
        called = tuple(folded(token.strip(_QUOTES)) for token in tokens[:length])
        command = by_words.get(called)
        # What acts at once must not do so over a sentence that merely begins with its name.
        if command is not None and (command.inline or length == len(tokens)):
            return command, " ".join(tokens[length:])
    return None, ""


_AFTER_NUMBER: Final = ".)!"


def _is_number(text: str) -> bool:
    """Whether this can be the number of a command."""
    bare = text.strip().rstrip(_AFTER_NUMBER)
    return bare.isdecimal() and len(bare) <= 3


def _says(words: Words, listed: str, text: str) -> bool:
    """Whether a text is one of these words, in whatever language of ours."""
    return folded(text) in words.anywhere(listed)


def _reminder(words: Words, dialog: _Dialog) -> str:
    """A question that is asked again; a yes or no says again what it is about."""
    question = _question(words, dialog.asked)
    if dialog.asked.kind is not Kind.FLAG:
        return question
    about = "\n".join(part for part in (dialog.form.title, dialog.form.text.strip()) if part)
    return f"{about}\n\n{question}"


def _question(words: Words, asked: Field) -> str:
    lines = [asked.label]
    many = asked.kind is Kind.MANY
    for number, option in enumerate(asked.options, start=1):
        mark = ("[x] " if option.value in asked.default else "[ ] ") if many else ""
        lines.append(f"{number}. {mark}{option.label}")
    hint = _hint(words, asked)
    return "\n".join([*lines, hint] if hint else lines)


def _hint(words: Words, asked: Field) -> str:
    default = asked.default[0] if asked.default else None
    match asked.kind:
        case Kind.CHOICE if default is not None:
            values = [option.value for option in asked.options]
            return words.say(
                "Write a number; “ok” means {number}.", number=values.index(default) + 1
            )
        case Kind.CHOICE:
            return words.say("Write a number.")
        case Kind.MANY:
            return words.say(
                "Write numbers, such as “1-4, 7”, or “all but 3, 5”, or “all”; “ok” means those "
                "with an x."
            )
        case Kind.FLAG if default is not None:
            answer = words.say("yes") if default == "1" else words.say("no")
            return words.say("Write “yes” or “no”; “ok” means {answer}.", answer=answer)
        case Kind.FLAG:
            return words.say("Write “yes” or “no”.")
        case _ if default is not None:
            return words.say("“ok” means {default}.", default=default)
        case _ if not asked.required:
            return words.say("“ok” means nothing.")
        case _:
            return ""


def _read(words: Words, asked: Field, text: str) -> list[str]:
    """Raw values, as a form would hold them, out of what somebody wrote."""
    if not text.strip() or _says(words, _OK, text):
        return list(asked.default)
    match asked.kind:
        case Kind.CHOICE:
            return [pick_one(" ".join(text.split()), asked.options, words)]
        case Kind.MANY:
            return pick_many(text, asked.options, words)
        case Kind.FLAG:
            if _says(words, _YES, text):
                return ["1"]
            return ["0"] if _says(words, _NO, text) else [text]
        case _:
            return [text]


def _chunks(text: str) -> list[str]:
    """A text as messages of a bearable length, cut between lines where there are any."""
    parts: list[str] = []
    current = ""
    for line in text.split("\n"):
        if current and len(current) + len(line) >= _CHUNK:
            parts.append(current)
            current = line
        else:
            current = f"{current}\n{line}" if current else line
    return [*parts, current] if current else parts

"""The commands about accounts as files: one that is brought, and one that is made."""

from __future__ import annotations

from typing import Final

from component.account.errors import Why
from component.core.links import MOST_CHARACTERS
from component.engine.files.ports import FileOrders, FileTrouble, Trouble
from component.engine.ports import Clock
from component.ui.talk import things_words
from component.ui.talk.bounds import Pace
from component.ui.talk.commands import Command
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import Answers, BadInput, Done, Field, Form, Kind, Page, Turn, short
from component.ui.talk.running import sure
from component.ui.talk.things import Things

FILES_AN_HOUR = 20
"""Files of one user that are brought or made."""

TROUBLES: Final[dict[Trouble, str]] = {
    Trouble.OFF: N_("Files are switched off here."),
    Trouble.OLD_HOOK: N_("The server does not let me use its file storage. Please ask the admin."),
    Trouble.NO_SERVICE: N_("The server has no storage for files."),
    Trouble.REFUSED: N_("The storage of the server takes no file from you just now."),
    Trouble.NO_LINK: N_("That is no link. Upload the file in this chat, or paste its link."),
    Trouble.ELSEWHERE: N_(
        "I only take files that you have uploaded on your own server. Upload the file in this chat."
    ),
    Trouble.TOO_LARGE: N_("The file is too large."),
    Trouble.NOT_THERE: N_("The file is not to be had under that link. Please upload it again."),
    Trouble.UNREACHABLE: N_("The storage of the server does not answer. Please try again later."),
    Trouble.SLOW: N_("Bringing the file takes too long. Please try again later."),
    Trouble.BAD_FILE: N_("I cannot use that file."),
    Trouble.BUSY: N_("I am at work on a file of yours. Please wait until that is done."),
}
"""Why a file was not brought, nor made."""

FAULTS: Final[dict[Why, str]] = {
    Why.NOT_XML: N_("Send the XML file of an account (XEP-0227), unpacked."),
    Why.MALFORMED: N_("Have it made again by the program that exports accounts."),
    Why.TRUNCATED: N_("Its end is missing: download it again."),
    Why.ENCODING: N_("It has to be in UTF-8."),
    Why.ENTITIES: N_("It has a document type, which is a way to attack readers."),
    Why.INCLUDE: N_("It includes another file. Send that one."),
    Why.ROOT: N_("It is not the file of an account (XEP-0227)."),
    Why.NAMESPACE: N_("Its namespace is not urn:xmpp:pie:0 (XEP-0227, version 1.0 or later)."),
    Why.NO_ADDRESS: N_("An address is missing."),
    Why.BAD_ADDRESS: N_("An address cannot be read."),
    Why.SECOND_HOST: N_("There are several accounts in it. Have a file made of yours alone."),
    Why.SEVERAL_USERS: N_("There are several accounts in it. Have a file made of yours alone."),
    Why.DUPLICATE_USER: N_("An account is in it twice."),
    Why.OTHER_USER: N_("Something in it belongs to somebody else."),
    Why.NO_USER: N_("There is no account in it."),
    Why.DEPTH: N_("Too many elements are inside each other."),
    Why.LENGTH: N_("A text is too long."),
    Why.SIZE: N_("An element is too large; pictures are the usual cause."),
    Why.NAMES: N_("There are too many different names."),
    Why.TOO_MANY: N_("There are too many of these elements."),
}
"""What is wrong with a file."""


class Files:
    """Files of the asker's account, and for it."""

    def __init__(self, files: FileOrders, things: Things, clock: Clock) -> None:
        self._files = files
        self._things = things
        self._clock = clock
        self._pace = Pace(most=FILES_AN_HOUR, seconds=3600.0)

    def commands(self) -> list[Command]:
        """A file that is brought, and one that is made."""
        return [
            Command(
                "file",
                N_("Bring in an account from a file"),
                N_("my file, file"),
                self._file,
                inline=True,
                takes_links=True,
            ),
            Command(
                "export",
                N_("Export your account as a file"),
                N_("export my account, export"),
                self._export,
            ),
        ]

    async def _file(self, turn: Turn) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            self._take(turn)
            try:
                found = await self._files.preview(turn.asker, answers.text("link"))
            except FileTrouble as trouble:
                raise BadInput(said(turn.words, trouble), "link") from trouble
            return self._things.preview(turn, found)

        words = turn.words
        return Form(
            words.say("An account from a file"),
            words.say(
                "You are {asker}. Send the file of your old account (XEP-0227) in this chat, or "
                "its link. I show you first what it would bring into this account.",
                asker=turn.asker,
            ),
            (Field("link", Kind.TEXT, words.say("Link to the file"), limit=MOST_CHARACTERS),),
            then,
        )

    async def _export(self, turn: Turn) -> Page:
        words = turn.words
        text = words.say(
            "I put your contacts, blocked people, profile, rooms and settings into a file, and the "
            "file into the storage of your server. Whoever has its link can read it."
        )
        return sure(turn, words.say("Export"), text, self._exported)

    async def _exported(self, turn: Turn) -> Page:
        words = turn.words
        self._take(turn)
        try:
            made = await self._files.export(turn.asker)
        except FileTrouble as trouble:
            lines = [said(words, trouble)]
            lines.append(
                words.say(
                    "On a computer, this makes the file without the storage: {command}",
                    command=f"xmpp-moved fetch {turn.asker} -o account.xml",
                )
            )
            return Done("\n".join(lines), warning=True)
        lines = [
            words.say("Your account is in this file:"),
            made.link,
            words.say(
                "Whoever has this link can read it. Download the file, and do not pass the link "
                "on. The server deletes it when it deletes other old files."
            ),
            *things_words.unread(words, made.unread),
        ]
        return Done("\n".join(lines))

    def _take(self, turn: Turn) -> None:
        if not self._pace.take(turn.asker, self._clock.tick()):
            raise BadInput(turn.words.say("Those were many files. Please try again in an hour."))


def said(words: Words, trouble: FileTrouble) -> str:
    """Why a file was not brought, nor made, with what is known of it."""
    sentence, facts = words.say(TROUBLES[trouble.trouble]), trouble.facts
    if trouble.trouble is Trouble.BAD_FILE:
        place = words.say(
            "Line {line}, element {element}:",
            line=facts["line"],
            element=short(facts["element"].rpartition("/")[2]) or "?",
        )
        return f"{sentence} {place} {words.say(FAULTS[Why(facts['why'])])}"
    detail = facts.get("status") or facts.get("condition")
    return f"{sentence} ({short(detail)})" if detail else sentence

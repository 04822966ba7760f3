"""The command for what a user wants done, and in which language."""

from __future__ import annotations

from component.core.notices import Follow, Settings
from component.engine.movers.orders import MoverOrders
from component.ui.talk.commands import Command
from component.ui.talk.language import LANGUAGES, N_, Languages, known
from component.ui.talk.pages import Answers, Done, Field, Form, Kind, Option, Page, Turn
from component.ui.talk.phrases import FOLLOWS

_CLIENT = "client"
"""No language chosen: whatever the client says."""


class Choices:
    """A user's settings."""

    def __init__(self, movers: MoverOrders, languages: Languages) -> None:
        self._movers = movers
        self._languages = languages

    def commands(self) -> list[Command]:
        """The only one."""
        return [Command("settings", N_("My settings"), N_("settings"), self._settings, inline=True)]

    async def _settings(self, turn: Turn) -> Page:
        words = turn.words
        now = await self._movers.settings(turn.asker)

        async def then(turn: Turn, answers: Answers) -> Page:
            language = known(answers.text("language"))
            settings = Settings(Follow(answers.text("follow")), language)
            await self._movers.set_settings(turn.asker, settings)
            self._languages.choose(turn.asker, language)
            return Done(self._languages.words(turn.asker, turn.words.language).say("Kept."))

        languages = [Option(_CLIENT, words.say("as my client says"))]
        languages += [Option(tag, name) for tag, name in LANGUAGES.items()]
        return Form(
            words.say("My settings"),
            "",
            (
                Field(
                    "follow",
                    Kind.CHOICE,
                    words.say("What shall I do when a contact of yours moves?"),
                    default=(now.follow.value,),
                    options=tuple(Option(f.value, words.say(t)) for f, t in FOLLOWS.items()),
                ),
                Field(
                    "language",
                    Kind.CHOICE,
                    words.say("Which language shall I speak?"),
                    default=(known(now.language) or _CLIENT,),
                    options=tuple(languages),
                ),
            ),
            then,
            last=True,
        )

"""The command about things that come along: what was brought, and what would be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from component.core.belongings.model import Job, JobState, Result
from component.core.belongings.report import Report
from component.core.journey.model import Journey, JourneyState, Kind, Problem, Refused
from component.engine.belongings.ports import CopyOrders, FromMove
from component.engine.movers.orders import MoverOrders
from component.ui.talk import things_words
from component.ui.talk.commands import Command
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import Answers, Done, Field, Form, Option, Page, Turn, short
from component.ui.talk.pages import Kind as Takes
from component.ui.talk.running import sure

WAIT_SECONDS = 8.0
_SHOWN = 10
"""Copies, and moves, that are offered; newer ones first."""
_OFFERED: Final = frozenset(JourneyState) - {
    JourneyState.DRAFT,
    JourneyState.CANCELLED,
    JourneyState.UNDOING,
    JourneyState.UNDONE,
}
"""Moves whose old account can be looked through once more."""
_PROBLEMS: Final[dict[Problem, str]] = {
    Problem.NO_SUCH_JOURNEY: N_("I have that no longer. Write “my things” to begin anew."),
    Problem.WRONG_STATE: N_("That cannot be done now: it has gone on, or has ended."),
    Problem.BUSY: N_("Other things are being brought into this account. Let that end first."),
    Problem.TOO_LATE: N_("That move was too long ago."),
}
"""Where a sentence about moves would mislead."""
_YES, _REPLACE, _NO = "yes", "replace", "no"
_LEAVE, _UNDO = "leave", "undo"
Step = Callable[[Turn, Answers], Awaitable[Page]]


class Things:
    """Copies into the asker's account; the engine has them, and says whose they are.

    A page that waits for an answer keeps no report: one can be ten thousand lines long.

    :param wait_seconds: how long an answer waits for the work to end; clients give up on a
        command after a while.
    """

    def __init__(
        self, copies: CopyOrders, movers: MoverOrders, *, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._copies = copies
        self._movers = movers
        self._wait_seconds = wait_seconds

    def commands(self) -> list[Command]:
        """What was brought, and is."""
        return [
            Command(
                "things",
                N_("See what was brought into your account"),
                N_("my things, things"),
                self._things,
            )
        ]

    async def _things(self, turn: Turn) -> Page:
        words = turn.words
        jobs = list((await self._copies.copies(turn.asker)).items())[:_SHOWN]
        journeys = await self._movers.journeys(turn.asker)
        fit = [j for j in journeys if j.kind is Kind.BOTH and j.state in _OFFERED]
        options = [
            Option(f"c{job.id}", things_words.one_line(words, job, counts)) for job, counts in jobs
        ]
        moves = {f"m{journey.id}": journey for journey in fit[:_SHOWN]}
        options += [Option(value, _again(words, journey)) for value, journey in moves.items()]
        if not options:
            return Done(words.say("Nothing was brought into your account yet."))
        by_value: dict[str, Job] = {f"c{job.id}": job for job, _ in jobs}

        async def then(turn: Turn, answers: Answers) -> Page:
            value = answers.text("which")
            if value in by_value:
                return await self._one(turn, by_value[value].id)
            source = FromMove(moves[value].id)
            return self.preview(turn, await self._copies.preview(turn.asker, source))

        show = _explained(then)
        default = (options[0].value,)
        if len(options) == 1:
            return await show(turn, Answers({"which": default}))
        label = words.say("Which?")
        field = Field("which", Takes.CHOICE, label, default=default, options=tuple(options))
        return Form(words.say("Your things"), "", (field,), show)

    # One copy -------------------------------------------------------------------------------------

    async def _one(self, turn: Turn, id: int) -> Page:
        """What became of everything, and the way back where there is one."""
        words, found = turn.words, await self._copies.report(turn.asker, id)
        source = found.job.source
        text = things_words.report(words, found)
        written = any(mark.result.written for mark in found.tally)
        if found.job.state is not JobState.DONE or not written:
            return Done(text)

        async def then(turn: Turn, answers: Answers) -> Page:
            if answers.text("do") != _UNDO:
                return Done(turn.words.say("Nothing was changed."))
            return self._sure(turn, id, source)

        options = (
            Option(_LEAVE, words.say("leave it so")),
            Option(_UNDO, words.say("undo").partition(",")[0]),
        )
        label = words.say("What shall I do?")
        field = Field("do", Takes.CHOICE, label, default=(_LEAVE,), options=options)
        return Form(words.say("Your things"), text, (field,), then)

    def _sure(self, turn: Turn, id: int, source: str) -> Form:
        async def undo(turn: Turn) -> Page:
            await self._copies.undo(turn.asker, id)
            return await self._ended(turn, id)

        words = turn.words
        text = words.say(
            "What was brought in is taken away, and what was there before is brought back. What "
            "you have changed since stays. Contacts who follow you already stay too."
        )
        title = words.say("Undo what came from {source}", source=short(source))
        asked = sure(turn, title, text, undo)
        return replace(asked, then=_explained(asked.then))

    # A preview ------------------------------------------------------------------------------------

    def preview(self, turn: Turn, found: Report) -> Page:
        """What would be done, and the question whether it shall be."""
        words, counts, id = turn.words, found.counts, found.job.id
        adds = bool(counts[Result.ADDED] or counts[Result.CHANGED])
        text = things_words.report(words, found)
        if not adds and not counts[Result.KEPT]:
            nothing = words.say("There is nothing to bring into your account.")
            return Done(f"{text}\n\n{nothing}")

        async def then(turn: Turn, answers: Answers) -> Page:
            said = answers.text("do")
            if said == _NO:
                return Done(turn.words.say("Nothing was changed."))
            replaces = said == _REPLACE
            await self._copies.start(turn.asker, id, overwrite=replaces)
            return await self._ended(turn, id)

        options = [Option(_YES, words.say("yes"))] if adds else []
        if counts[Result.KEPT]:
            options.append(Option(_REPLACE, words.say("yes, and replace what is there")))
        options.append(Option(_NO, words.say("no")))
        label = words.say("Shall I bring this into your account? Nothing has been changed yet.")
        field = Field("do", Takes.CHOICE, label, options=tuple(options))
        return Form(words.say("Preview"), text, (field,), _explained(then), last=True)

    async def _ended(self, turn: Turn, id: int) -> Done:
        """What became of it, waited for a little."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._copies.done(id), self._wait_seconds)
        found = await self._copies.report(turn.asker, id)
        text = things_words.report(turn.words, found)
        if found.job.state in (JobState.PLANNING, JobState.RUNNING, JobState.UNDOING):
            going = turn.words.say("I am still at it. Write “my things” to see how far it is.")
            text = f"{text}\n\n{going}"
        return Done(text)


def _explained(then: Step) -> Step:
    """A step that says of a copy what the general sentences say of moves."""

    async def step(turn: Turn, answers: Answers) -> Page:
        try:
            return await then(turn, answers)
        except Refused as refused:
            if refused.problem not in _PROBLEMS:
                raise
            return Done(turn.words.say(_PROBLEMS[refused.problem]), warning=True)

    return step


def _again(words: Words, journey: Journey) -> str:
    return words.say(
        "m{id}: look what {new} lacks of {old}", id=journey.id, old=journey.old, new=journey.new
    )

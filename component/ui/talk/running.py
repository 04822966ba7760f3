"""The commands about moves that have begun, and about contacts who were followed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from component.core.journey.model import Journey, JourneyState, Problem, Progress, Refused
from component.core.records import MoveRecord
from component.core.restore import Undone
from component.engine.movers.orders import MoverOrders
from component.ui.talk import notices, phrases
from component.ui.talk.commands import Command
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import Answers, Done, Field, Form, Kind, Option, Page, Turn, short

_SHOWN = 20
"""Moves, or followed contacts, that are offered; newer ones first."""
_GOING: Final = frozenset(s for s in JourneyState if s.running) - {JourneyState.UNDOING}
_UNDOABLE: Final = _GOING | {JourneyState.PAUSED, JourneyState.DONE, JourneyState.CANCELLED}


class Running:
    """Progress, pause, resume, cancel, and both kinds of undo."""

    def __init__(self, movers: MoverOrders) -> None:
        self._movers = movers

    def commands(self) -> list[Command]:
        """In the order in which they are shown."""
        return [
            Command(
                "progress", N_("See how far a move is"), N_("progress, status"), self._progress
            ),
            Command("pause", N_("Pause a move"), N_("pause"), self._pause),
            Command("resume", N_("Go on with a paused move"), N_("resume, continue"), self._resume),
            Command("cancel", N_("Cancel a move"), N_("cancel move, cancel"), self._cancel),
            Command("undo", N_("Undo a move, or a changed contact"), N_("undo"), self._undo),
            Command(
                "undo-contact", N_("Undo a changed contact"), N_("undo contact"), self._undo_contact
            ),
        ]

    async def _progress(self, turn: Turn) -> Page:
        journeys = await self._movers.journeys(turn.asker)
        going = [j for j in journeys if not j.state.final] or list(journeys[:1])
        if not going:
            return Done(turn.words.say("You have no move under way."))
        found = [await self._movers.progress(turn.asker, j.id) for j in going[:_SHOWN]]
        return Done("\n\n".join(notices.progress_text(turn.words, p) for p in found))

    async def _pause(self, turn: Turn) -> Page:
        async def pause(turn: Turn, journey: Journey) -> Page:
            return _now(turn, await self._movers.pause(turn.asker, journey.id))

        nothing = turn.words.say("You have no move that could be paused.")
        return await self._with(turn, _GOING, pause, nothing)

    async def _resume(self, turn: Turn) -> Page:
        async def resume(turn: Turn, journey: Journey) -> Page:
            return _now(turn, await self._movers.resume(turn.asker, journey.id))

        nothing = turn.words.say("You have no move that is paused.")
        return await self._with(turn, frozenset({JourneyState.PAUSED}), resume, nothing)

    async def _cancel(self, turn: Turn) -> Page:
        async def ask(turn: Turn, journey: Journey) -> Page:
            text = turn.words.say(
                "Your new address is no longer published, and requests without an answer are "
                "taken back. Contacts who have followed already stay; “undo” would bring them "
                "back too."
            )
            return sure(turn, phrases.move(turn.words, journey), text, cancel(journey))

        def cancel(journey: Journey) -> Callable[[Turn], Awaitable[Page]]:
            async def then(turn: Turn) -> Page:
                return _now(turn, await self._movers.cancel(turn.asker, journey.id))

            return then

        nothing = turn.words.say("You have no move that could be cancelled.")
        return await self._with(turn, _GOING | {JourneyState.PAUSED}, ask, nothing)

    async def _with(
        self,
        turn: Turn,
        states: frozenset[JourneyState],
        order: Callable[[Turn, Journey], Awaitable[Page]],
        nothing: str,
    ) -> Page:
        """Go on with the only journey in one of these states, or ask which."""
        fit = [j for j in await self._movers.journeys(turn.asker) if j.state in states]
        if not fit:
            return Done(nothing, warning=True)
        if len(fit) == 1:
            return await order(turn, fit[0])
        by_value = {f"m{j.id}": j for j in fit[:_SHOWN]}

        async def then(turn: Turn, answers: Answers) -> Page:
            return await order(turn, by_value[answers.text("move")])

        options = tuple(Option(v, phrases.move(turn.words, j)) for v, j in by_value.items())
        which = turn.words.say("Which move?")
        return Form(which, "", (Field("move", Kind.CHOICE, which, options=options),), then)

    # Undo ---------------------------------------------------------------------------------------

    async def _undo(self, turn: Turn) -> Page:
        journeys = await self._movers.journeys(turn.asker)
        moves = [j for j in journeys if j.state in _UNDOABLE]
        return await self._undo_one(turn, await self._movers.followed(turn.asker), moves)

    async def _undo_contact(self, turn: Turn) -> Page:
        return await self._undo_one(turn, await self._movers.followed(turn.asker), ())

    async def _undo_one(
        self, turn: Turn, records: Sequence[MoveRecord], journeys: Sequence[Journey]
    ) -> Page:
        """A followed contact is undone at a word, as its notice promises; a move is not."""
        words = turn.words
        moves = {f"m{j.id}": j for j in journeys[:_SHOWN]}
        contacts = {f"c{r.id}": r for r in records[:_SHOWN]}

        async def undo(turn: Turn, value: str) -> Page:
            if value in moves:
                found = await self._movers.progress(turn.asker, moves[value].id)
                if found.old_is_gone:
                    raise Refused(Problem.OLD_IS_GONE, jid=found.journey.old)
                return self._undo_move(turn, found.journey)
            undone = await self._movers.undo_followed(turn.asker, contacts[value].id)
            return Done(restored(turn.words, undone))

        async def then(turn: Turn, answers: Answers) -> Page:
            return await undo(turn, answers.text("what"))

        offered = [(r.at, Option(value, _followed(words, r))) for value, r in contacts.items()]
        offered += [
            (j.started_at or j.created_at, Option(value, phrases.move(words, j)))
            for value, j in moves.items()
        ]
        offered.sort(key=lambda dated: dated[0], reverse=True)
        options = [option for _, option in offered]
        if not options:
            return Done(words.say("There is nothing to undo."), warning=True)
        if len(options) == 1:
            return await undo(turn, options[0].value)
        label = words.say("What is to be undone?")
        # A changed contact is never the default while a move of one's own might be meant.
        default = () if moves else (options[0].value,)
        field = Field("what", Kind.CHOICE, label, default=default, options=tuple(options))
        return Form(label, "", (field,), then)

    def _undo_move(self, turn: Turn, journey: Journey) -> Page:
        async def then(turn: Turn) -> Page:
            return _now(turn, await self._movers.undo(turn.asker, journey.id))

        text = turn.words.say(
            "Both accounts and your contacts are brought back to what they were before the move."
        )
        return sure(turn, phrases.move(turn.words, journey), text, then)


def sure(turn: Turn, title: str, text: str, then: Callable[[Turn], Awaitable[Page]]) -> Form:
    """Ask for a yes before something that cannot simply be taken back."""

    async def answered(turn: Turn, answers: Answers) -> Page:
        if not answers.flag("sure"):
            return Done(turn.words.say("Nothing was changed."))
        return await then(turn)

    field = Field("sure", Kind.FLAG, turn.words.say("Are you sure?"))
    return Form(title, text, (field,), answered, last=True)


def restored(words: Words, undone: Undone) -> str:
    """What was done by undoing a followed contact."""
    record = undone.record
    name = record.old_item.name
    return notices.restored_text(words, name, record.old, record.new, undone.differences)


def _followed(words: Words, record: MoveRecord) -> str:
    name = record.old_item.name
    return words.say(
        "the contact {name}: {old} → {new}",
        name=short(name) if name else record.old,
        old=record.old,
        new=record.new,
    )


def _now(turn: Turn, progress: Progress) -> Done:
    return Done(notices.progress_text(turn.words, progress))

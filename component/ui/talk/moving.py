"""The commands that begin a move: away from the asker's account, or to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from component.core import jids
from component.core.journey.model import (
    Access,
    CheckName,
    JourneyContact,
    Kind,
    Preflight,
    Problem,
    Refused,
)
from component.engine.movers.orders import DraftOrders
from component.ui.talk import lists, phrases
from component.ui.talk import moving_words as words_of
from component.ui.talk.commands import Command
from component.ui.talk.language import N_
from component.ui.talk.pages import (
    Answers,
    BadInput,
    Done,
    Field,
    Form,
    Option,
    Page,
    Turn,
    short,
)
from component.ui.talk.pages import Kind as Takes

MAX_TICKS = 300
"""Contacts that are shown as a list to tick; a longer one is no help, nor fits into a stanza."""
_ABOUT_ADDRESS: Final = frozenset(
    {
        CheckName.DIFFERENT,
        CheckName.ALLOWED,
        CheckName.TARGET,
        CheckName.REACHABLE,
        CheckName.NO_LOOP,
        CheckName.CHAIN,
        CheckName.STATEMENT,
    }
)
"""Checks that another address may pass."""
_ANOTHER: Final = N_("new, resend")
"""Instead of a code: send another one."""


class Moving:
    """Begins moves.  A draft is the engine's; pages hold no more than its number."""

    def __init__(self, drafts: DraftOrders) -> None:
        self._drafts = drafts

    def commands(self) -> list[Command]:
        """Move away, and arrive."""
        return [
            Command(
                "away",
                N_("Move away to another account"),
                N_("move away, away"),
                self._away,
                inline=True,
            ),
            Command(
                "arrive",
                N_("Arrive from another account"),
                N_("arrive, move here"),
                self._arrive,
                inline=True,
            ),
        ]

    # Which accounts -----------------------------------------------------------------------------

    async def _away(self, turn: Turn) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            found = await self._drafts.prepare_away(turn.asker, answers.text("new"))
            _need_address(turn, found, "new")
            return await self._checked(turn, found)

        return Form(
            turn.words.say("Move away"),
            turn.words.say(
                "You are {asker}. Your contacts will be told of your new address. First I check "
                "that all is well; they hear nothing before you say so.",
                asker=turn.asker,
            ),
            (Field("new", Takes.ADDRESS, turn.words.say("Your new address")),),
            then,
        )

    async def _arrive(self, turn: Turn) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            old = answers.text("old")
            try:
                found = await self._drafts.prepare_arrive(turn.asker, old)
            except Refused as refused:
                if refused.problem is not Problem.NO_CONTACTS:
                    raise
                return self._ask_list(turn, old, words_of.lacking(turn.words, refused.facts))
            _need_address(turn, found, "old")
            return await self._checked(turn, found, brought=found.journey.kind is Kind.ARRIVE)

        return Form(
            turn.words.say("Arrive"),
            turn.words.say(
                "You are {asker}. Your contacts from an old account come here. First I check that "
                "all is well; they hear nothing before you say so.",
                asker=turn.asker,
            ),
            (Field("old", Takes.ADDRESS, turn.words.say("Your old address")),),
            then,
        )

    def _ask_list(self, turn: Turn, old: str, why: str) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            try:
                given = lists.parse(answers.text("list"), old)
            except lists.BadList as bad:
                raise BadInput(words_of.bad_list(turn.words, bad, old), "list") from None
            return await self._checked(
                turn, await self._drafts.prepare_arrive(turn.asker, old, given)
            )

        return Form(
            turn.words.say("Your contacts"),
            why
            + turn.words.say(
                "I cannot read the contact list of {old}, so please paste it here: one address on "
                "each line, with a name after it if you like. A whole account in a file "
                "(XEP-0227) will do too. Whoever is on it may see here when you are online, as "
                "before, but for lines with [to]: those you see, and they do not see you.",
                old=old,
            ),
            (
                Field(
                    "list", Takes.LONG, turn.words.say("Your contacts"), limit=lists.MAX_CHARACTERS
                ),
            ),
            then,
        )

    # What was found -----------------------------------------------------------------------------

    async def _checked(self, turn: Turn, found: Preflight, *, brought: bool = False) -> Page:
        """``brought``: the contacts came from the old account, on another server."""
        words = turn.words
        if not found.ok:
            return Done(phrases.failed(words, found), warning=True)
        if found.needs_code is not None:
            await self._drafts.send_code(turn.asker, found.journey.id)
            return self._ask_code(turn, found, found.needs_code)
        text = words_of.summary(words, found)
        if brought:
            text += "\n" + words_of.brought(words, found.journey.old)
        fields: list[Field] = []
        if any(map(words_of.choosable, found.contacts)):
            fields.append(
                Field(
                    "who",
                    Takes.CHOICE,
                    words.say("Who is told?"),
                    default=("everyone",),
                    options=(
                        Option("everyone", words.say("everyone")),
                        Option("choose", words.say("let me choose")),
                    ),
                )
            )
        if found.suggested is not None:
            fields.append(words_of.access_field(words, found.suggested))

        async def then(turn: Turn, answers: Answers) -> Page:
            number = found.journey.id
            after = found
            if found.suggested is not None:
                access = Access.OPEN if answers.text("access") == "open" else None
                after = await self._drafts.access(turn.asker, number, access)
            if answers.text("who") == "choose":
                return self._choose(turn, after)
            return self._confirm(turn, after)

        if not fields:
            return self._last_question(turn, found, text)
        return Form(words.say("Checked"), text, tuple(fields), then)

    # Which contacts -----------------------------------------------------------------------------

    def _choose(self, turn: Turn, found: Preflight) -> Page:
        words = turn.words
        offered = [c for c in found.contacts if words_of.choosable(c)]
        if len(offered) > MAX_TICKS:
            return self._leave_out(turn, found, offered)

        async def then(turn: Turn, answers: Answers) -> Page:
            return await self._chosen(turn, found, set(answers.many("contacts")))

        return Form(
            words.say("Choose contacts"),
            words.say("Those you do not choose are told nothing."),
            (
                Field(
                    "contacts",
                    Takes.MANY,
                    words.say("Who is told?"),
                    default=tuple(c.jid for c in offered if words_of.is_chosen(c)),
                    options=tuple(Option(c.jid, words_of.label(c)) for c in offered),
                    limit=lists.MAX_CHARACTERS,
                ),
            ),
            then,
        )

    def _leave_out(self, turn: Turn, found: Preflight, offered: Sequence[JourneyContact]) -> Page:
        words = turn.words

        async def then(turn: Turn, answers: Answers) -> Page:
            left = answers.text("leave_out").casefold().replace(",", " ").split()
            left = [jids.typed(entry) or entry for entry in left]
            known = {c.jid for c in offered} | {c.jid.partition("@")[2] for c in offered}
            unknown = [entry for entry in left if entry not in known]
            if unknown:
                raise BadInput(
                    turn.words.say(
                        "“{text}” is neither one of your contacts nor the server of any.",
                        text=short(unknown[0]),
                    ),
                    "leave_out",
                )
            chosen = {
                c.jid
                for c in offered
                if words_of.is_chosen(c) and not {c.jid, c.jid.partition("@")[2]} & set(left)
            }
            return await self._chosen(turn, found, chosen)

        return Form(
            words.say("Choose contacts"),
            words.say_n(
                "You have one contact. Name those who are not to be told: addresses, or whole "
                "servers such as server.example.",
                "You have {n} contacts. Name those who are not to be told: addresses, or whole "
                "servers such as server.example.",
                len(offered),
            ),
            (Field("leave_out", Takes.LONG, words.say("Not to be told"), required=False),),
            then,
        )

    async def _chosen(self, turn: Turn, found: Preflight, chosen: set[str]) -> Page:
        if not chosen:
            raise BadInput(turn.words.say("Please choose at least one."))
        after = await self._drafts.choose(turn.asker, found.journey.id, chosen)
        return self._confirm(turn, after)

    # The last word ------------------------------------------------------------------------------

    def _confirm(self, turn: Turn, found: Preflight) -> Page:
        if not found.ok:
            return Done(phrases.failed(turn.words, found), warning=True)
        return self._last_question(turn, found, words_of.figures(turn.words, found))

    def _last_question(self, turn: Turn, found: Preflight, text: str) -> Form:
        """Nothing begins but by this one's yes."""

        async def then(turn: Turn, answers: Answers) -> Page:
            if not answers.flag("sure"):
                return Done(turn.words.say("Nothing was changed."))
            return await self._start(turn, found)

        begin = Field("sure", Takes.FLAG, turn.words.say("Begin now?"), default=("1",))
        return Form(turn.words.say("Ready"), text, (begin,), then, last=True)

    def _ask_code(self, turn: Turn, found: Preflight, other: str) -> Form:
        words = turn.words

        async def then(turn: Turn, answers: Answers) -> Page:
            code = answers.text("code")
            if code.casefold() in turn.words.either(_ANOTHER):
                await self._drafts.send_code(turn.asker, found.journey.id)
                raise BadInput(
                    turn.words.say("Another code is on its way to {other}.", other=other)
                )
            after = await self._drafts.prove(turn.asker, found.journey.id, code)
            return await self._checked(turn, after)

        return Form(
            words.say("Is the other account yours too?"),
            words.say(
                "I have sent a code to {other}. Look for it there, and enter it here. Write “new” "
                "to get another one.",
                other=other,
            ),
            (Field("code", Takes.CODE, words.say("The code"), limit=100),),
            then,
            passed=True,
        )

    async def _start(self, turn: Turn, found: Preflight) -> Page:
        try:
            journey = await self._drafts.start(turn.asker, found.journey.id)
        except Refused as refused:
            if refused.problem is not Problem.CHECKS_FAILED:
                raise
            # What failed is more use than that something did.
            after = await self._drafts.preflight(turn.asker, found.journey.id)
            if after.ok:
                raise
            return Done(phrases.failed(turn.words, after), warning=True)
        text = turn.words.say(
            "Your move from {old} to {new} has begun. I tell you in our chat how far it is.",
            old=journey.old,
            new=journey.new,
        )
        return Done(text)


def _need_address(turn: Turn, found: Preflight, field: str) -> None:
    """Ask for the address again where nothing failed but what another one may pass."""
    failed = {check.name for check in found.checks if not check.ok}
    if failed and failed <= _ABOUT_ADDRESS:
        raise BadInput(phrases.failed(turn.words, found), field)

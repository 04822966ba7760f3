"""The commands of admins."""

from __future__ import annotations

import re
from dataclasses import replace

from component.core import jids
from component.core.journey.model import ContactState, JourneyContact
from component.core.restore import Undone
from component.engine.movers.orders import AdminOrders, RunTime
from component.ui.talk import notices, phrases
from component.ui.talk.commands import Begin, Command
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import (
    Answers,
    BadInput,
    Done,
    Field,
    Form,
    Kind,
    Option,
    Page,
    Turn,
    short,
)

_SHOWN = 50
"""Moves, or contacts, that a list holds."""
_FINE = (ContactState.ACCEPTED, ContactState.MUTUAL, ContactState.SKIPPED, ContactState.RESTORED)
_MAX_PACE = 1000.0
"""Notifications a second: what nobody's server bears is a slip."""


class Admin:
    """What an admin orders.  Who is one is asked anew at each step, where it is taken."""

    def __init__(self, admin: AdminOrders) -> None:
        self._admin = admin

    def commands(self) -> list[Command]:
        """In the order in which they are shown."""

        def command(
            name: str, title: str, words: str, begin: Begin, *, inline: bool = False
        ) -> Command:
            return Command(name, title, words, begin, for_admins=True, inline=inline)

        return [
            command("admin-list", N_("Admin: list moves"), N_("list moves, list"), self._list),
            command(
                "admin-show",
                N_("Admin: show a move"),
                N_("show move, show"),
                self._show,
                inline=True,
            ),
            command("admin-pause-all", N_("Admin: pause all"), N_("pause all"), self._pause),
            command("admin-resume-all", N_("Admin: resume all"), N_("resume all"), self._resume),
            command("admin-undo", N_("Admin: undo anything"), N_("undo any"), self._undo),
            command(
                "admin-domains", N_("Admin: allow or deny a domain"), N_("domains"), self._domains
            ),
            command("admin-settings", N_("Admin: settings"), N_("admin settings"), self._settings),
        ]

    # Looking ------------------------------------------------------------------------------------

    async def _list(self, turn: Turn) -> Page:
        found = await self._admin.all_journeys()
        paused = (await self._admin.run_time()).paused
        lines = [turn.words.say("All moves are paused: nothing is sent to anybody.")] * paused
        if not found:
            return Done("\n".join([*lines, turn.words.say("There are no moves.")]))
        lines += [
            f"{phrases.move(turn.words, p.journey)} ({', '.join(phrases.counts(turn.words, p))})"
            for p in found[:_SHOWN]
        ]
        more = len(found) - _SHOWN
        if more > 0:
            lines.append(turn.words.say_n("and one more", "and {n} more", more))
        return Done("\n".join(lines))

    async def _show(self, turn: Turn) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            _kind, number = _number(turn.words, answers.text("move"), "move")
            progress, contacts = await self._admin.show_any(number)
            lines = [notices.progress_text(turn.words, progress, mine=False)]
            # Those with whom something is amiss say why; the others are in the counts.
            amiss = [c for c in contacts if c.state not in _FINE]
            lines += [_contact(turn.words, c) for c in amiss[:_SHOWN]]
            more = len(amiss) - _SHOWN
            if more > 0:
                lines.append(turn.words.say_n("and one more", "and {n} more", more))
            return Done("\n".join(lines))

        field = Field("move", Kind.TEXT, turn.words.say("Which move? (m7)"), limit=100)
        return Form(turn.words.say("Show a move"), "", (field,), then, last=True)

    # Stopping and undoing -----------------------------------------------------------------------

    async def _pause(self, turn: Turn) -> Page:
        await self._admin.set_run_time(replace(await self._admin.run_time(), paused=True))
        return Done(turn.words.say("All moves are paused: nothing is sent to anybody."))

    async def _resume(self, turn: Turn) -> Page:
        await self._admin.set_run_time(replace(await self._admin.run_time(), paused=False))
        return Done(turn.words.say("Moves go on, but for those that are paused by themselves."))

    async def _undo(self, turn: Turn) -> Page:
        async def then(turn: Turn, answers: Answers) -> Page:
            kind, number = _number(turn.words, answers.text("what"), "what")
            if not answers.flag("sure"):
                return Done(turn.words.say("Nothing was changed."))
            if kind == "m":
                progress = await self._admin.undo_any(number)
                return Done(notices.progress_text(turn.words, progress, mine=False))
            undone = await self._admin.undo_any_followed(number)
            return Done(_restored(turn.words, undone))

        return Form(
            turn.words.say("Undo"),
            turn.words.say("A user's own move is m7, a contact who was followed 7."),
            (
                Field("what", Kind.TEXT, turn.words.say("What is to be undone?"), limit=100),
                Field("sure", Kind.FLAG, turn.words.say("Are you sure?")),
            ),
            then,
            last=True,
        )

    # Settings -----------------------------------------------------------------------------------

    async def _domains(self, turn: Turn) -> Page:
        words = turn.words
        now = await self._admin.run_time()

        async def then(turn: Turn, answers: Answers) -> Page:
            domain = _domain(turn.words, answers.text("domain"))
            before = await self._admin.run_time()
            after = _changed(before, domain, answers.text("do"))
            if before.allow_domains and not after.allow_domains:
                raise BadInput(
                    turn.words.say(
                        "That is the only domain allowed; without it all would be. Allow another "
                        "one first, or change the configuration."
                    ),
                    "domain",
                )
            await self._admin.set_run_time(after)
            return Done(_lists(turn.words, await self._admin.run_time()))

        return Form(
            words.say("Domains"),
            _lists(words, now),
            (
                Field("domain", Kind.TEXT, words.say("Domain"), limit=1000),
                Field(
                    "do",
                    Kind.CHOICE,
                    words.say("What shall be done?"),
                    options=(
                        Option("allow", words.say("allow")),
                        Option("deny", words.say("deny")),
                        Option("forget", words.say("take off both lists")),
                    ),
                ),
            ),
            then,
            last=True,
        )

    async def _settings(self, turn: Turn) -> Page:
        words = turn.words
        now = await self._admin.run_time()
        pace = now.overall_per_second

        async def then(turn: Turn, answers: Answers) -> Page:
            after = replace(
                await self._admin.run_time(),
                overall_per_second=_pace(turn.words, answers.text("per_second")),
                paused=answers.flag("paused"),
            )
            await self._admin.set_run_time(after)
            return Done(turn.words.say("Kept."))

        return Form(
            words.say("Settings"),
            words.say("They hold until you change them, also after a restart."),
            (
                Field(
                    "per_second",
                    Kind.TEXT,
                    words.say("Notifications a second, all moves together (0: as configured)"),
                    default=(f"{pace:g}",) if pace is not None else ("0",),
                    limit=100,
                ),
                Field(
                    "paused",
                    Kind.FLAG,
                    words.say("Pause all moves"),
                    default=("1",) if now.paused else ("0",),
                ),
            ),
            then,
            last=True,
        )


# Reading --------------------------------------------------------------------------------------


def _number(words: Words, text: str, field: str) -> tuple[str, int]:
    found = re.fullmatch(r"([mc]?)([0-9]{1,15})", text.casefold())
    if found is None:
        raise BadInput(words.say("Please give a number such as m7 or 7."), field)
    return found[1], int(found[2])


def _domain(words: Words, text: str) -> str:
    prepared = jids.bare(f"x@{text.lower()}") if "@" not in text and "/" not in text else None
    if prepared is None:
        raise BadInput(
            words.say("“{text}” is not a domain such as server.example.", text=short(text)),
            "domain",
        )
    return jids.domain(jids.key(prepared))


def _pace(words: Words, text: str) -> float | None:
    try:
        pace = float(text.replace(",", "."))
    except ValueError:
        pace = -1.0
    if not 0 <= pace <= _MAX_PACE:
        raise BadInput(
            words.say("Please give a number from 0 to {most}.", most=f"{_MAX_PACE:g}"),
            "per_second",
        )
    return pace or None


def _changed(before: RunTime, domain: str, do: str) -> RunTime:
    """Both lists after a word about a domain.  An empty list of those allowed allows all, so a
    domain that is denied stays on it: deny wins."""
    allow, deny = before.allow_domains or (), before.deny_domains or ()
    without = tuple(d for d in deny if d != domain)
    match do:
        case "allow":
            more = (*allow, domain) if allow and domain not in allow else allow
            return replace(before, allow_domains=more, deny_domains=without)
        case "deny":
            return replace(before, deny_domains=(*without, domain))
        case _:
            left = tuple(d for d in allow if d != domain)
            return replace(before, allow_domains=left, deny_domains=without)


def _lists(words: Words, now: RunTime) -> str:
    allow, deny = now.allow_domains or (), now.deny_domains or ()
    every, none = words.say("all"), words.say("none")
    return "\n".join(
        (
            words.say("Allowed: {domains}", domains=", ".join(allow) or every),
            words.say("Denied: {domains}", domains=", ".join(deny) or none),
        )
    )


def _contact(words: Words, contact: JourneyContact) -> str:
    state = words.say(phrases.CONTACT_STATES[contact.state])
    error = f" ({short(contact.error)})" if contact.error else ""
    return f"• {contact.jid}: {state}{error}"


def _restored(words: Words, undone: Undone) -> str:
    record = undone.record
    facts = {"contact": record.contact, "old": record.old, "new": record.new}
    if not undone.differences:
        return words.say(
            "Undone: the contact list of {contact} is as it was before {old} moved to {new}.",
            **facts,
        )
    text = words.say(
        "Undone: the contact list of {contact} no longer follows {old} to {new}.", **facts
    )
    return f"{text} {phrases.differences(words, undone.differences)}"

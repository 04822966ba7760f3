"""A sentence for each problem, check and state of a move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from component.core.conditions import Condition
from component.core.journey.access import NO_WHITELIST
from component.core.journey.model import (
    Check,
    CheckName,
    ContactState,
    Journey,
    JourneyState,
    Kind,
    Preflight,
    Problem,
    Progress,
    Refused,
)
from component.core.model import Reason
from component.core.notices import Follow
from component.core.restore import Cause, Difference
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import short

PROBLEMS: Final[dict[Problem, str]] = {
    Problem.NOT_YOURS: N_("That is not yours, so it is not for you to change."),
    Problem.NOT_SERVED: N_("I only work for accounts of this server."),
    Problem.BAD_JID: N_(
        "That is not an address I can use. An address looks like name@server.example."
    ),
    Problem.NO_SUCH_JOURNEY: N_("I know of no such move."),
    Problem.NO_SUCH_COPY: N_("I have that no longer. Write “my things” to begin anew."),
    Problem.NO_SUCH_RECORD: N_("I know of no such change to a contact list."),
    Problem.WRONG_STATE: N_("That cannot be done now: the move has gone on, or has ended."),
    Problem.CHECKS_FAILED: N_("The checks found something, so nothing was sent."),
    Problem.CODE_WRONG: N_("That is not the code. Look at the message to the other account."),
    Problem.CODE_EXPIRED: N_("That code is too old. Write “new” to get another one."),
    Problem.TOO_MANY_CODES: N_("Too many codes were sent or tried. Please try again in an hour."),
    Problem.TOO_LATE: N_("The time in which that could be undone is over."),
    Problem.OLD_IS_GONE: N_("The old account is deleted, so nothing can be brought back to it."),
    Problem.NEWER: N_(
        "There is a newer change of the same addresses, {old} → {new}. Undo that one first."
    ),
    Problem.PROOF_MISSING: N_(
        "The new account does not say yet that it moves back. Order the undo there first, then "
        "here."
    ),
    Problem.BUSY: N_("Another move of this account is under way. Let it end, or cancel it first."),
    Problem.UNAVAILABLE: N_("The server does not answer just now. Please try again in a minute."),
    Problem.OTHER_OWNER: N_(
        "The account of that time was deleted, and somebody else has its address now."
    ),
    Problem.NO_CONTACTS: N_("I have no list of contacts for that account."),
    Problem.BAD_RATE: N_("I cannot use that pace. Give a number above zero, or a lower one."),
}
"""Why an order was refused."""


def why(words: Words, detail: str) -> str:
    """Why a move was stopped by itself.

    :param detail: a journey's: what became of the statement, perhaps with the contact who could
        not read it, or the condition of an error.
    """
    if detail == NO_WHITELIST:
        return words.say(
            "The server cannot keep your new address from those whom you left out, so it was not "
            "published. Begin again and tell everyone, or let everyone read it."
        )
    reason, _, reader = detail.partition(" ")
    if reason == Reason.OTHER_JID.value:
        return words.say("Its statement now names another address.")
    if reason == Condition.GONE:
        return words.say("One of the two accounts was deleted.")
    if reason in _REASONS and reader:
        return words.say(
            "{jid} is not allowed to read the statement of the old account. If it stops again, "
            "please ask the admin.",
            jid=short(reader, 200),
        )
    if reason in _REASONS:
        return words.say("The statement of the old account cannot be read just now.")
    return words.say(
        "The server refused to publish the statement ({detail}).", detail=short(detail, 200)
    )


_REASONS = frozenset(reason.value for reason in Reason)

CHECKS: Final[dict[CheckName, tuple[str, str]]] = {
    CheckName.DIFFERENT: (
        N_("Old and new address differ."),
        N_("Old and new address are the same. Give the address of your other account."),
    ),
    CheckName.ACCOUNT: (
        N_("Your account {jid} can be used."),
        N_("Your account {jid} cannot be used. Please try again, or ask the admin."),
    ),
    CheckName.TARGET: (
        N_("The account {jid} exists."),
        N_("The account {jid} was not found. Create it first, or look for a slip."),
    ),
    CheckName.REACHABLE: (
        N_("The server of {jid} answers."),
        N_("The server of {jid} does not answer. Look for a slip, or try again later."),
    ),
    CheckName.NOT_MOVED: (
        N_("{old} has not moved before."),
        N_("{old} says already that it has moved elsewhere. Undo or cancel that move first."),
    ),
    CheckName.NO_LOOP: (
        N_("The move does not lead back in a circle."),
        N_("{new} says itself that it moves to {old}. Cancel that move first."),
    ),
    CheckName.CHAIN: (
        N_("There are not too many moves in a row."),
        N_("Too many moves in a row lead here. Move straight to the last address."),
    ),
    CheckName.PEP: (
        N_("The server can publish your new address."),
        N_("The server cannot publish your new address (PEP). Ask its admin to allow it."),
    ),
    CheckName.STATEMENT: (
        N_("{old} says that it moves to {new}."),
        N_("{old} does not say that it moves to {new}. Order “move away” at the old account."),
    ),
    CheckName.CONTACTS: (
        N_("The list of contacts can be used."),
        N_("There are too many contacts for one move. Ask the admin to allow more."),
    ),
    CheckName.COOLDOWN: (
        N_("The last move was long enough ago."),
        N_("The last move was not long ago. Please wait before you move again."),
    ),
    CheckName.IDLE: (
        N_("No other move is under way."),
        N_("Another move of one of these accounts is under way. Let it end, or cancel it."),
    ),
    CheckName.ALLOWED: (
        N_("The admin allows moves between these servers."),
        N_("The admin does not allow moves between these servers. Ask the admin."),
    ),
}
"""What preflight looked at: found good, and found wanting, with what to do."""

CONTACT_STATES: Final[dict[ContactState, str]] = {
    ContactState.QUEUED: N_("waiting their turn"),
    ContactState.SENDING: N_("being told"),
    ContactState.SENT: N_("told"),
    ContactState.ACCEPTED: N_("you see them"),
    ContactState.MUTUAL: N_("you see each other"),
    ContactState.PENDING: N_("not answered yet"),
    ContactState.REFUSED: N_("declined"),
    ContactState.UNREACHABLE: N_("server not reached, tried again later"),
    ContactState.SKIPPED: N_("left out"),
    ContactState.GIVEN_UP: N_("given up, yours to add by hand"),
    ContactState.RESTORED: N_("as before the move"),
}
"""Where contacts stand; said after a number, as in ``3 told``."""

JOURNEY_STATES: Final[dict[JourneyState, str]] = {
    JourneyState.DRAFT: N_("being prepared"),
    JourneyState.PREFLIGHTED: N_("checked, about to be announced"),
    JourneyState.PUBLISHED: N_("announced, nobody told yet"),
    JourneyState.NOTIFYING: N_("telling contacts"),
    JourneyState.SETTLING: N_("everybody told, waiting for answers"),
    JourneyState.DONE: N_("finished"),
    JourneyState.PAUSED: N_("paused"),
    JourneyState.CANCELLED: N_("cancelled"),
    JourneyState.UNDOING: N_("being undone"),
    JourneyState.UNDONE: N_("undone"),
}
"""Where a move stands; said after a colon."""

FOLLOWS: Final[dict[Follow, str]] = {
    Follow.AUTO: N_("Follow them and tell me"),
    Follow.ASK: N_("Ask me"),
    Follow.NEVER: N_("Do nothing"),
}
"""What is done when a contact moves."""


def problem(words: Words, refused: Refused) -> str:
    """Why an order was refused."""
    return words.say(PROBLEMS[refused.problem], **refused.facts) + _found(words, refused.facts)


def differences(words: Words, found: Sequence[Difference]) -> str:
    """What is not as it was before a move that was undone."""
    sentences = [words.say(_CAUSES[one.cause], jid=one.jid) for one in found]
    return " ".join([words.say("Not all of it is as it was before:"), *sentences])


_CAUSES: Final[dict[Cause, str]] = {
    Cause.CHANGED: N_("{jid} has been changed since, so I left it as it is."),
    Cause.GONE: N_(
        "{jid} does not exist any more: it is on your list again, but whoever gets that name "
        "next is not shown your presence."
    ),
    Cause.ASKED: N_("{jid} has been asked to let itself be seen again, and has not answered yet."),
}


def check(words: Words, journey: Journey, found: Check) -> str:
    """One line of a preflight."""
    good, wanting = CHECKS[found.name]
    owner, other = journey.owner, journey.new if journey.owner == journey.old else journey.old
    sentence = words.say(
        good if found.ok else wanting,
        old=journey.old,
        new=journey.new,
        jid=found.facts.get("jid") or (owner if found.name is CheckName.ACCOUNT else other),
    )
    return sentence if found.ok else sentence + _found(words, found.facts)


def failed(words: Words, preflight: Preflight) -> str:
    """The checks that failed, each on a line."""
    lines = [words.say("This move cannot begin. Nothing was sent.")]
    lines += [f"✗ {check(words, preflight.journey, c)}" for c in preflight.checks if not c.ok]
    return "\n".join(lines)


def move(words: Words, journey: Journey) -> str:
    """One line that tells a move from others."""
    return words.say(
        "m{id}: {old} → {new}, {state}",
        id=journey.id,
        old=journey.old,
        new=journey.new,
        state=words.say(_state(journey)),
    )


def _state(journey: Journey) -> str:
    if journey.kind is Kind.AWAY and journey.state is JourneyState.SETTLING:
        return N_("published, waiting for contacts to follow")
    return JOURNEY_STATES[journey.state]


def counts(words: Words, progress: Progress) -> list[str]:
    """A line for each state that somebody is in."""
    return [
        f"{progress.counts[state]} {words.say(text)}"
        for state, text in CONTACT_STATES.items()
        if progress.counts.get(state)
    ]


def _found(words: Words, facts: Mapping[str, str]) -> str:
    """What else is known: the time from which it is possible, the condition that was met."""
    until = facts.get("until")
    if until:
        try:
            return " " + words.say(
                "Possible again on {date}.", date=words.date(datetime.fromisoformat(until))
            )
        except ValueError:
            pass
    detail = facts.get("condition") or facts.get("detail")
    return f" ({short(detail)})" if detail else ""

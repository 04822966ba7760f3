"""Words for states and reasons of moves in the terminal, for people who read no source.

English only, as the whole command is; what users are told in chat is elsewhere, and translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from component.core.journey.model import ContactState, JourneyState, Kind, Problem
from component.core.model import Reason
from component.core.records import MoveState
from component.core.restore import Cause
from component.ops.control_orders import Fault

STATES: Final[dict[MoveState, str]] = {
    MoveState.DIVERTED: "The server holds the request; nothing is decided yet.",
    MoveState.TAKING: "Verified; the server has not yet said that the roster is changed.",
    MoveState.DONE: "The roster was changed.",
    MoveState.RELEASED: "The request reached the user like any other; we changed nothing.",
    MoveState.HANDED_BACK: "The server had forgotten the request, so it was handed back from the "
    "journal and reached the user like any other.",
}
"""What each state means for the user whose roster it is about."""

REASONS: Final[dict[Reason, str]] = {
    Reason.VERIFIED: "The old account itself names the new address.",
    Reason.NOT_GRANTED: "The old address may not see this user's presence, so it has nothing to "
    "pass on to a new one.",
    Reason.BAD_OLD_JID: "The old address in the request is not the plain address of a user.",
    Reason.AMBIGUOUS: "The request names more than one old address, or none clearly.",
    Reason.SAME_JID: "The old and the new address in the request are the same.",
    Reason.NO_STATEMENT: "The old account says nothing of a move.",
    Reason.BAD_STATEMENT: "What the old account says of its move cannot be understood.",
    Reason.OTHER_JID: "The old account names another new address than the one that asked.",
    Reason.REFUSED: "The old account's server does not let this user read the account's word on "
    "its move.",
    Reason.BAD_GONE: "The old server says that the account is gone, but not clearly where to.",
    Reason.UNREACHABLE: "The old account's server could not be reached.",
    Reason.FETCH_ERROR: "The old account's server answered the question with an error.",
    Reason.DEADLINE: "The old account's server did not answer in time.",
    Reason.ALREADY_MOVED: "The old address was followed to a different new one before.",
    Reason.TOO_MANY_INTO: "Too many old addresses moved to this new one lately "
    "([contacts] max_old_into_new).",
    Reason.RATE_LIMITED: "Too many requests came from the new address's domain "
    "([limits] per_domain_per_minute), or too many of its owner's, or to this user, were open "
    "([limits] max_open_requests).",
    Reason.DENIED: "The domain of the old or the new address is not allowed "
    "([contacts] allow_domains, deny_domains).",
    Reason.TOO_LARGE: "The request was larger than any that a mover's client makes.",
    Reason.BACK_AND_FORTH: "This user was taken from one address to the other, and back, often "
    "enough for a day.",
    Reason.OVERLOADED: "Too many requests were open at once ([limits] max_open_requests).",
    Reason.JOURNAL_FAILED: "The database could not record the decision, so nothing was done.",
    Reason.STOPPING: "xmpp-moved was being stopped.",
    Reason.SERVER: "The server let the request pass without waiting for us any longer.",
    Reason.SEND_REFUSED: "The server refused to change the roster.",
    Reason.SHARED: "The old account itself names the new address, but its entry comes from a "
    "shared group of the server: that is the admin's to change.",
    Reason.OTHER_OWNER: "The old account itself names the new address, but the account that it "
    "means was deleted: somebody else may have the name.",
    Reason.RESTARTED: "xmpp-moved or the server was restarted while the request was open.",
    Reason.NOT_WANTED: "This user has chosen that nobody who moves is followed for them.",
    Reason.ASKED: "The old account itself names the new address, and this user has chosen to "
    "decide in person.",
    Reason.WAY_BACK: "This user had followed the account, which let them see the new address.",
    Reason.UNDONE: "The change was taken back; its lines say what the roster entries became.",
}
"""Why a request was followed or not."""

SHORT_STATES: Final[dict[MoveState, str]] = {
    MoveState.DIVERTED: "open",
    MoveState.TAKING: "being followed",
    MoveState.DONE: "followed",
    MoveState.RELEASED: "let pass",
    MoveState.HANDED_BACK: "handed back",
}
"""The state in a word or two, for tables."""


def reason_words(reason: Reason | None) -> str:
    """The sentence for a reason; for ``None`` (nothing decided yet) a sentence that says so."""
    return REASONS[reason] if reason is not None else "Not decided yet."


KINDS: Final[dict[Kind, str]] = {
    Kind.BOTH: "Both accounts are on hosts served here.",
    Kind.AWAY: "The old account is here, the new one is elsewhere.",
    Kind.ARRIVE: "The new account is here, the old one is elsewhere.",
}
"""Where the two accounts of a user's own move are."""

JOURNEY_STATES: Final[dict[JourneyState, str]] = {
    JourneyState.DRAFT: "Being prepared; nothing has been sent to anybody.",
    JourneyState.PREFLIGHTED: "All checks passed; the statement is being published.",
    JourneyState.PUBLISHED: "The statement stands; no contact has been notified yet.",
    JourneyState.NOTIFYING: "Contacts are being notified.",
    JourneyState.SETTLING: "Every contact was notified once; answers and retries are awaited.",
    JourneyState.DONE: "Ended; whoever could follow has followed.",
    JourneyState.PAUSED: "Nothing is sent until it is resumed.",
    JourneyState.CANCELLED: "Cancelled; contacts who had followed stay as they are.",
    JourneyState.UNDOING: "Rosters are being put back to what they were.",
    JourneyState.UNDONE: "Rosters are what they were before.",
}
"""What each state of a user's own move means."""

CONTACT_STATES: Final[dict[ContactState, str]] = {
    ContactState.QUEUED: "Not notified yet.",
    ContactState.SENDING: "The notification is on its way.",
    ContactState.SENT: "Notified; no answer yet.",
    ContactState.ACCEPTED: "The new account sees this contact.",
    ContactState.MUTUAL: "The new account and this contact see each other.",
    ContactState.PENDING: "Asked, with no answer for a while: a person decides there.",
    ContactState.REFUSED: "The contact said no.",
    ContactState.UNREACHABLE: "Their server could not be reached; to be tried again.",
    ContactState.SKIPPED: "Not chosen, or blocked: gets nothing.",
    ContactState.GIVEN_UP: "All tries are used up: left for the user to do by hand.",
    ContactState.RESTORED: "As it was before.",
}
"""What each state of one of its contacts means."""

SHORT_CONTACT_STATES: Final[dict[ContactState, str]] = {
    ContactState.QUEUED: "waiting",
    ContactState.SENDING: "sending",
    ContactState.SENT: "notified",
    ContactState.ACCEPTED: "accepted",
    ContactState.MUTUAL: "mutual",
    ContactState.PENDING: "undecided",
    ContactState.REFUSED: "refused",
    ContactState.UNREACHABLE: "unreachable",
    ContactState.SKIPPED: "skipped",
    ContactState.GIVEN_UP: "given up",
    ContactState.RESTORED: "restored",
}
"""The same in a word or two, for tables and counts."""

PROBLEMS: Final[dict[Problem, str]] = {
    Problem.NOT_YOURS: "this is not allowed here",
    Problem.NOT_SERVED: "the account's host is not served here",
    Problem.BAD_JID: "this is not the address of a user",
    Problem.NO_SUCH_JOURNEY: "there is no such move",
    Problem.DRAFT_GONE: "a newer attempt replaced it, or it rested too long",
    Problem.NO_SUCH_COPY: "there is no such copy",
    Problem.NO_SUCH_RECORD: "no followed move has that number",
    Problem.WRONG_STATE: "the move is not in a state in which this can be done",
    Problem.CHECKS_FAILED: "the checks found something",
    Problem.CODE_WRONG: "the code is wrong",
    Problem.CODE_EXPIRED: "the code is too old",
    Problem.CODE_TRIES: "there were too many wrong tries",
    Problem.TOO_MANY_CODES: "too many codes were sent",
    Problem.OLD_IS_GONE: "the old account is deleted, so nothing can be brought back to it",
    Problem.TOO_LATE: "the time for an undo is over",
    Problem.NEWER: "a newer move of one of its addresses has to be undone first",
    Problem.PROOF_MISSING: "the new account has to say first that it moves back",
    Problem.BUSY: "another move of this account is running",
    Problem.UNAVAILABLE: "the server, its module or the database does not answer now; "
    "`xmpp-moved check` and the log tell more",
    Problem.OTHER_OWNER: "the account of that time was deleted; its address is somebody else's",
    Problem.NO_CONTACTS: "there are no contacts",
    Problem.BAD_RATE: "the rate is not above zero, or too high",
}
"""Why an order was refused, to follow a colon."""

FAULTS: Final[dict[Fault, str]] = {
    Fault.BAD_REQUEST: "the running component does not understand the order; restart it, so that "
    "it is of the same release as this command",
    Fault.UNKNOWN_ORDER: "the running component does not know the order; restart it, so that it "
    "is of the same release as this command",
    Fault.TOO_LONG: "the order is too long",
    Fault.NOT_PERMITTED: "only root and the user that runs the component may give orders",
}
"""The same where the control socket has something against the order itself."""


def problem_words(problem: str, facts: Mapping[str, str]) -> str:
    """Why an order was refused, with what is known of it.

    :param problem: a value of Problem, or a word of a newer component
    """
    if problem == Problem.NO_SUCH_JOURNEY.value and facts.keys() == {"id"}:
        return f"there is no move m{facts['id']}"
    known = [*PROBLEMS.items(), *FAULTS.items()]
    words = next((words for value, words in known if value.value == problem), problem)
    told = ", ".join(f"{key}: {value}" for key, value in facts.items())
    return f"{words} ({told})" if told else words


CAUSES: Final[dict[Cause, str]] = {
    Cause.CHANGED: "was changed since, and is left so",
    Cause.GONE: "does not exist any more, so nothing is granted to that name",
    Cause.ASKED: "was asked to let itself be seen again, and has not answered",
}
"""Why an entry is not as it was before a move that was undone, to follow its address."""


def difference_words(jid: str, cause: str) -> str:
    """What is not as it was before.

    :param cause: a value of Cause, or a word of a newer component
    """
    known = {cause.value: words for cause, words in CAUSES.items()}
    return f"{jid} {known.get(cause, cause)}"


def journey_name(id: int) -> str:
    """A user's own move as lists show it and commands take it: ``m7``."""
    return f"m{id}"


def counts_words(counts: Mapping[ContactState, int]) -> str:
    """Contacts per state: ``12 mutual, 3 waiting``."""
    told = [
        f"{counts[state]} {word}"
        for state, word in SHORT_CONTACT_STATES.items()
        if counts.get(state)
    ]
    return ", ".join(told) or "no contacts"


def duration_words(seconds: float) -> str:
    """A time to go, as coarse as an estimate deserves."""
    if seconds < 60:
        return "under a minute"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"about {minutes} min"
    return f"about {round(minutes / 60)} h"

"""A sentence for each state and reason of a move, for people who read no source."""

from __future__ import annotations

from typing import Final

from component.core.model import Reason
from component.core.records import MoveState

STATES: Final[dict[MoveState, str]] = {
    MoveState.DIVERTED: "The server holds the request; nothing is decided yet.",
    MoveState.TAKING: "Verified; the server has not yet said that the roster is changed.",
    MoveState.RELEASING: "Decided against; the server has not yet confirmed that it let it pass.",
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
    "([limits] per_domain_per_minute).",
    Reason.DENIED: "The domain of the old or the new address is not allowed "
    "([contacts] allow_domains, deny_domains).",
    Reason.OVERLOADED: "Too many requests were open at once ([limits] max_open_requests).",
    Reason.JOURNAL_FAILED: "The database could not record the decision, so nothing was done.",
    Reason.STOPPING: "xmpp-moved was being stopped.",
    Reason.SERVER: "The server let the request pass without waiting for us any longer.",
    Reason.SEND_REFUSED: "The server refused to change the roster.",
    Reason.RESTARTED: "xmpp-moved or the server was restarted while the request was open.",
}
"""Why a request was followed or not."""

SHORT_STATES: Final[dict[MoveState, str]] = {
    MoveState.DIVERTED: "open",
    MoveState.TAKING: "being followed",
    MoveState.RELEASING: "being let pass",
    MoveState.DONE: "followed",
    MoveState.RELEASED: "let pass",
    MoveState.HANDED_BACK: "handed back",
}
"""The state in a word or two, for tables."""


def reason_words(reason: Reason | None) -> str:
    """The sentence for a reason; for ``None`` (nothing decided yet) a sentence that says so."""
    return REASONS[reason] if reason is not None else "Not decided yet."

"""Values that every layer shares: roster items, claims and the reasons of a release.

JIDs are plain strings in prepared bare form (see :mod:`component.core.jids`);
times are aware UTC datetimes or seconds on the caller's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOBODYS = "-"
"""The token of no account at all."""


def same_account(known: str | None, now: str | None) -> bool:
    """Whether a name still has the owner that it had: names are given to others.

    :param known: the token that the account had (hook protocol, section 13); None: it was noted
        before tokens were kept, and is taken for the same.
    :param now: the token that it has; None: there is no such account.
    """
    return known is None or known == now


class Subscription(StrEnum):
    """The ``subscription`` attribute of a roster item (RFC 6121 section 2.1.2.5)."""

    NONE = "none"
    TO = "to"
    FROM = "from"
    BOTH = "both"

    @property
    def grants(self) -> bool:
        """True where the roster's owner lets this JID see their presence."""
        return self in (Subscription.FROM, Subscription.BOTH)

    @property
    def receives(self) -> bool:
        """True where the roster's owner sees this JID's presence."""
        return self in (Subscription.TO, Subscription.BOTH)


@dataclass(frozen=True, slots=True)
class RosterItem:
    """One roster entry as a server reports it (RFC 6121 section 2.1.2)."""

    jid: str
    subscription: Subscription
    ask: bool = False
    name: str | None = None
    groups: tuple[str, ...] = ()


class PresenceKind(StrEnum):
    """The subscription presences that the hook may send for a user (RFC 6121 section 3)."""

    SUBSCRIBE = "subscribe"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBE = "unsubscribe"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True)
class Step:
    """One presence of a :class:`SendPlan`."""

    kind: PresenceKind
    to: str


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What the hook does in one step for a user: roster metadata, then presences in order."""

    steps: tuple[Step, ...]
    item: RosterItem | None = None
    """Name and groups for the entry of ``item.jid``, set in the same roster save."""


@dataclass(frozen=True, slots=True)
class Divert:
    """A subscription request that the server holds and asks about (hook protocol 4.1)."""

    request_id: str
    instance: str
    contact: str
    old: str
    new: str
    old_item: RosterItem
    new_item: RosterItem | None
    stanza: str
    """The original presence, serialised: what a hand-back must restore."""
    account: str | None = None
    """The token of the contact's account (hook protocol, section 13)."""


class Reason(StrEnum):
    """Why a request was released to normal processing, or what became of it.

    The values are journalled and exported as metric labels: keep them stable.
    """

    VERIFIED = "verified"
    NOT_GRANTED = "old-jid-not-subscribed"
    BAD_OLD_JID = "old-jid-invalid"
    AMBIGUOUS = "ambiguous-moved"
    SAME_JID = "old-jid-is-new-jid"
    NO_STATEMENT = "no-statement"
    BAD_STATEMENT = "statement-invalid"
    OTHER_JID = "statement-names-other-jid"
    REFUSED = "statement-access-refused"
    BAD_GONE = "gone-without-valid-uri"
    UNREACHABLE = "old-server-unreachable"
    FETCH_ERROR = "statement-fetch-error"
    DEADLINE = "deadline"
    ALREADY_MOVED = "old-jid-already-moved-elsewhere"
    TOO_MANY_INTO = "too-many-old-jids-into-new-jid"
    RATE_LIMITED = "rate-limited"
    DENIED = "domain-denied"
    TOO_LARGE = "request-too-large"
    BACK_AND_FORTH = "back-and-forth"
    """The contact was taken between the two addresses often enough for a day."""
    OVERLOADED = "overloaded"
    JOURNAL_FAILED = "journal-failed"
    STOPPING = "component-stopping"
    SERVER = "released-by-server"
    SEND_REFUSED = "send-refused-by-server"
    SHARED = "entry-is-the-admins"
    """Verified, but the old entry comes from a shared group: the admin's, and not to be changed."""
    OTHER_OWNER = "new-jid-has-another-owner"
    """The account that the old one led to is not the one that has the new address now."""
    RESTARTED = "restarted"
    NOT_WANTED = "not-wanted"
    """The contact has chosen that nothing is followed."""
    ASKED = "left-to-user"
    """Verified, but the contact has chosen to decide in person."""
    UNDONE = "undone"
    """The entries were brought back to what they were before a move was followed."""
    WAY_BACK = "way-back-approved"
    """A contact who had followed was let see the new account."""

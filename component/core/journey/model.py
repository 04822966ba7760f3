"""A user's own move as values: the journey, its contacts, and what was found out before it began.

A *journey* is one user's move as the mover's side sees it; a *move record*
(:mod:`component.core.records`) is one contact of ours who was followed.  JIDs are prepared bare
JIDs, times are aware UTC datetimes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from component.core.model import RosterItem, Subscription


class Kind(StrEnum):
    """Which of a journey's two accounts are ours to act for."""

    BOTH = "both"
    """Old and new account are on served hosts: we publish, and we notify."""
    AWAY = "away"
    """Only the old account is here: we publish; the new server, or its user, notifies."""
    ARRIVE = "arrive"
    """Only the new account is here: the old one has published; we notify."""


class JourneyState(StrEnum):
    """Where a journey stands; stored, so keep the values stable."""

    DRAFT = "draft"
    """Being prepared: nothing has been sent to anybody."""
    PREFLIGHTED = "preflighted"
    """Confirmed and all checks passed: the statement is being published."""
    PUBLISHED = "published"
    """The statement stands and was read back; nobody has been notified."""
    NOTIFYING = "notifying"
    SETTLING = "settling"
    """Everybody was notified once; answers and retries are awaited."""
    DONE = "done"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"

    @property
    def final(self) -> bool:
        """True where nothing more happens by itself."""
        return self in (JourneyState.DONE, JourneyState.CANCELLED, JourneyState.UNDONE)

    @property
    def running(self) -> bool:
        """True where the engine works on it."""
        return not self.final and self not in (JourneyState.DRAFT, JourneyState.PAUSED)


class ContactState(StrEnum):
    """Where one contact of a journey stands; stored, so keep the values stable."""

    QUEUED = "queued"
    SENDING = "sending"
    """The notification may have left: written before it leaves."""
    SENT = "sent"
    ACCEPTED = "accepted"
    """The new account sees the contact."""
    MUTUAL = "mutual"
    """Both see each other."""
    PENDING = "pending"
    """Asked, and no answer for a while: a person decides there."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """Their server could not be reached; to be tried again."""
    SKIPPED = "skipped"
    """Not chosen, or blocked: gets no stanza."""
    GIVEN_UP = "given-up"
    """All tries are used up: the mover's to do by hand."""
    RESTORED = "restored"
    """Undone."""


class Access(StrEnum):
    """Who may read the moved statement: PEP access models (XEP-0060 section 4.5)."""

    PRESENCE = "presence"
    WHITELIST = "whitelist"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Journey:
    """One user's move."""

    id: int
    kind: Kind
    old: str
    new: str
    owner: str
    """The account that ordered it, and that is told of it."""
    state: JourneyState
    access: Access | None
    """None until it is chosen, or where the statement is not ours."""
    created_at: datetime
    started_at: datetime | None = None
    """Confirmed by its owner; the 72 hours of an undo begin here."""
    ended_at: datetime | None = None
    resume_to: JourneyState | None = None
    """Where a paused journey goes on."""
    detail: str | None = None
    """Why it was paused or cancelled, if not by its owner's word."""
    progress_id: str | None = None
    """Id of the message that shows progress and is corrected (XEP-0308)."""
    told: str | None = None
    """Name of the last notice that reached the owner, so that a restart does not repeat it."""
    old_account: str | None = None
    """The token of the old account (hook protocol, section 13); None: it is not here, or was drawn
    up before tokens were kept.  :data:`~component.core.model.NOBODYS`: its name has had another
    owner since."""
    new_account: str | None = None
    """The same of the new account."""

    @property
    def accounts(self) -> Mapping[str, str | None]:
        """The tokens of both accounts, by address."""
        return {self.old: self.old_account, self.new: self.new_account}


@dataclass(frozen=True, slots=True)
class JourneyContact:
    """One contact of a journey, with what a snapshot of both rosters said of it before."""

    jid: str
    name: str | None
    groups: tuple[str, ...]
    subscription: Subscription
    """On the old account's roster, before the move."""
    state: ContactState
    attempts: int = 0
    sent_at: datetime | None = None
    due_at: datetime | None = None
    """When a retry, or the next look, is due."""
    error: str | None = None
    """The last error condition (RFC 6120 section 8.3.3), or our own word."""
    before: RosterItem | None = None
    """The new account's roster entry before the move; None: there was none."""
    account: str | None = None
    """The token of the contact's account (hook protocol, section 13), where it is on a served host
    and was asked for.  :data:`~component.core.model.NOBODYS`: that account is gone."""

    @property
    def line(self) -> str:
        """Address, name and direction on one line, as a list to be pasted elsewhere has it.

        What separates or marks entries there is left out of the name.  The direction stands there
        only where it is not both ways.
        """
        marks = str.maketrans(dict.fromkeys("<>,;[]", " "))
        name = " ".join((self.name or "").translate(marks).split())
        one_way = self.subscription in (Subscription.TO, Subscription.FROM)
        mark = f"[{self.subscription.value}]" if one_way else ""
        return " ".join(part for part in (self.jid, name, mark) if part)

    @property
    def goal(self) -> ContactState:
        """What counts as complete: what the old account had."""
        return (
            ContactState.ACCEPTED if self.subscription is Subscription.TO else ContactState.MUTUAL
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a journey is; ``sum(counts.values()) == total`` always."""

    journey: Journey
    counts: Mapping[ContactState, int]
    total: int
    seconds_left: float | None
    """Until everybody was notified, second tries included; None where that cannot be said."""
    by_hand: tuple[str, ...] = ()
    """Contacts that were given up or refused: the mover's to do."""
    again: int = 0
    """Contacts that may not have got it, and are told again."""
    unanswered: tuple[str, ...] = ()
    """Who had been asked before the move and had not answered: the mover may ask them again."""
    taken_back: tuple[str, ...] = ()
    """Who is left out because the mover has removed, blocked or revoked them since it began."""
    waits: bool = False
    """Nobody is told while the old account, elsewhere, cannot be asked."""
    old_is_gone: bool = False
    """The old account was deleted: there is nothing left to delete, nor to bring back."""
    all_paused: bool = False
    """Somebody would be told, had an admin not paused all moves."""


def count(states: Iterable[ContactState]) -> Counter[ContactState]:
    """Contacts per state."""
    return Counter(states)


class CheckName(StrEnum):
    """What preflight looks at; the interfaces have a sentence for each."""

    DIFFERENT = "old-and-new-differ"
    ACCOUNT = "account-exists"
    TARGET = "target-exists"
    REACHABLE = "target-server-answers"
    """The other account is elsewhere, where its existence cannot be learned."""
    NOT_MOVED = "not-already-moved"
    NO_LOOP = "no-loop"
    CHAIN = "chain-depth"
    PEP = "statement-can-be-published"
    STATEMENT = "statement-names-new-account"
    CONTACTS = "contacts"
    COOLDOWN = "cooldown"
    IDLE = "no-other-move-running"
    ALLOWED = "domain-allowed"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a preflight."""

    name: CheckName
    ok: bool
    facts: Mapping[str, str]
    """What was found, for the sentence: e.g. ``{"jid": ..., "condition": ...}``."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found out before anything is sent."""

    journey: Journey
    checks: tuple[Check, ...]
    contacts: tuple[JourneyContact, ...]
    seconds: float
    """How long it will take to notify everybody, as estimated from the pace."""
    needs_code: str | None
    """The other account, where it is ours too and has to confirm with a code; else None."""
    suggested: Access | None
    """The access model that lets every chosen contact read; None where we do not publish."""

    @property
    def ok(self) -> bool:
        """Whether the journey may start."""
        return all(check.ok for check in self.checks)


class Problem(StrEnum):
    """Why an order was refused; the interfaces have a sentence for each."""

    NOT_YOURS = "not-yours"
    """The asker is neither of the journey's accounts here, nor an admin where that is enough."""
    NOT_SERVED = "not-served"
    """The asker's host is not served."""
    BAD_JID = "bad-jid"
    NO_SUCH_JOURNEY = "no-such-journey"
    DRAFT_GONE = "draft-gone"
    """A draft was replaced by a newer one of its owner, or rested for too long."""
    NO_SUCH_COPY = "no-such-copy"
    NO_SUCH_RECORD = "no-such-record"
    """No contact of ours was followed under this number."""
    WRONG_STATE = "wrong-state"
    """The journey is not in a state in which this can be done."""
    CHECKS_FAILED = "checks-failed"
    CODE_WRONG = "code-wrong"
    CODE_EXPIRED = "code-expired"
    CODE_TRIES = "code-tries"
    """A code was guessed at too often: it is void."""
    TOO_MANY_CODES = "too-many-codes"
    TOO_LATE = "too-late"
    """The time for an undo is over."""
    OLD_IS_GONE = "old-account-gone"
    """An undo of a move whose old account is deleted: there is nothing to bring back."""
    NEWER = "newer"
    """A newer move of one of the addresses has to be undone first: ``id``, ``old``, ``new``."""
    PROOF_MISSING = "proof-missing"
    """An undo between servers: the new account has to state first that it moves back."""
    BUSY = "busy"
    """Another journey of this account runs."""
    UNAVAILABLE = "unavailable"
    """The server, the hook or the journal does not answer now; the fact ``why`` says more."""
    OTHER_OWNER = "other-owner"
    """The account is gone that this was done with; its name, ``jid``, is somebody else's."""
    NO_CONTACTS = "no-contacts"
    BAD_RATE = "bad-rate"
    """A rate that was given is not above zero, or too high."""


class Refused(Exception):
    """An order was refused.  ``facts`` go into the sentence."""

    def __init__(self, problem: Problem, **facts: str) -> None:
        super().__init__(f"{problem.value}: {facts}" if facts else problem.value)
        self.problem = problem
        self.facts = facts

"""The contact side as a machine: one diverted request, from the server's question to its end.

Rules (XEP-0283 4.3 and 4.4; hook protocol 4.1):

* a request is looked at only if its old JID is one bare JID, differs from the new one and has an
  approved subscription to the contact;
* it is taken only on the word of the old account: a statement, or ``<gone/>``, naming exactly the
  sender; whatever else comes, or nothing until the deadline, is a release with its reason;
* the contact's choice: ``never`` is a release before anybody is asked, ``ask`` one after the proof;
* a take is durable in the journal before it leaves, a release needs nobody's leave;
* an entry that the admin owns is not changed (the server says so): the contact is told that the
  request is genuine, and decides;
* a mover who returns to the address they left is not followed once more: the entries become what
  they were before they left it;
* what became of a verdict is what the server says became of it, not what we asked for;
* where it says nothing, the roster tells whether the request was taken.  Whoever held it may have
  died: what was taken is sent once more, what was not is handed back; twice is as good as once.

The table at the end has every (phase, event) that means something; an event that a phase does not
list changes nothing (an answer after the deadline, an outcome told twice).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from component.core import jids
from component.core.model import Divert, Reason, RosterItem, SendPlan, Subscription
from component.core.notices import Follow
from component.core.records import Change, MoveRecord, MoveState
from component.core.restore import before, move_back_plan, restore
from component.core.roster import Carry, expect, follow_plan
from component.core.statement import Answer, judge


class Phase(Enum):
    """Where a request stands."""

    NEW = auto()
    VERIFYING = auto()
    """The old account is being asked."""
    COMMITTING = auto()
    """Verified; the verdict is on its way into the journal."""
    TAKING = auto()
    """The verdict left; the server's outcome is awaited."""
    RELEASING = auto()
    """Let go; the server's outcome is awaited."""
    UNCERTAIN = auto()
    """No outcome came: the roster is being read."""
    RESTORING = auto()
    """A return was taken; what presences cannot restore is being put back."""
    SETTLED = auto()


# Events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Diverted:
    """The server asks.  ``objection``: a limit that forbids to look at the request at all."""

    old_jids: tuple[str, ...]
    """The texts of every ``<old-jid/>`` of every ``<moved/>`` in the request."""
    objection: Reason | None = None


@dataclass(frozen=True, slots=True)
class StatementAnswered:
    """The old account's answer.  ``objection``: a limit that forbids to follow it there."""

    answer: Answer
    objection: Reason | None = None
    earlier: MoveRecord | None = None
    """A move of this contact's journal, followed and not undone, that this one takes back."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The hook's own time-out is near: decide now."""


@dataclass(frozen=True, slots=True)
class Journalled:
    """The verdict is durable."""


@dataclass(frozen=True, slots=True)
class JournalFailed:
    """The journal could not be written."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The component is being stopped, or whoever held the request is gone: no more time."""

    reason: Reason = Reason.STOPPING


@dataclass(frozen=True, slots=True)
class OutcomeTold:
    """The server says what became of it (hook protocol 4.1), with the entries as they are now."""

    taken: bool
    why: str | None
    items: tuple[RosterItem, ...]


@dataclass(frozen=True, slots=True)
class OutcomeMissing:
    """The outcome did not come in time."""


@dataclass(frozen=True, slots=True)
class RosterRead:
    """The contact's entries of old and new JID, read instead of an outcome or after PutBack."""

    items: tuple[RosterItem, ...]


Event = (
    Diverted
    | StatementAnswered
    | DeadlinePassed
    | Journalled
    | JournalFailed
    | Stopping
    | OutcomeTold
    | OutcomeMissing
    | RosterRead
)


# Effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchStatement:
    """Ask the old account, as the contact, for its statement."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Make the decision durable; answer with Journalled or JournalFailed."""

    plan: SendPlan
    reason: Reason
    evidence: str


@dataclass(frozen=True, slots=True)
class Take:
    """Tell the server to swallow the request and send these presences."""

    plan: SendPlan


@dataclass(frozen=True, slots=True)
class Release:
    """Tell the server to process the request as if we were not there."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ReadRoster:
    """Read the contact's roster."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send these presences once more: the roster has them, they themselves may not have left."""

    plan: SendPlan


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give the stanza back to the server (hook protocol, section 6)."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """Bring the entries to what they were before this record; answer with RosterRead."""

    earlier: MoveRecord


class Note(Enum):
    """What the contact is told, once, after the record is closed."""

    MOVED = auto()
    ASKS = auto()


@dataclass(frozen=True, slots=True)
class Settle:
    """Close the record: what came of it, why, and how the roster changed.

    That the contact is told is part of closing it: a record is closed once, so they are told at
    most once.
    """

    state: MoveState
    reason: Reason
    changes: tuple[Change, ...] = ()
    detail: str | None = None
    note: Note | None = None
    undoes: MoveRecord | None = None
    """Mark this one as undone, before the record itself is closed."""


Effect = (
    FetchStatement | Journal | Take | Release | ReadRoster | Repeat | HandBack | PutBack | Settle
)


# The machine ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One diverted request and what is known of it."""

    divert: Divert
    phase: Phase = Phase.NEW
    reason: Reason | None = None
    plan: SendPlan | None = None
    carry: Carry = field(default_factory=Carry)
    follow: Follow = Follow.AUTO
    """What the contact has chosen."""
    notify: bool = True
    """Whether contacts are told of what was done for them."""
    earlier: MoveRecord | None = None
    """The move that this one takes back."""


Result = tuple[Case, tuple[Effect, ...]]


def step(case: Case, event: Event) -> Result:
    """The case after an event, and what is to be done.  Unlisted pairs change nothing."""
    action = TABLE.get((case.phase, type(event)))
    return action(case, event) if action is not None else (case, ())


def objection_to_claim(divert: Divert, old_jids: tuple[str, ...]) -> Reason | None:
    """What is wrong with the notification itself (XEP-0283 4.2 and 4.3), or None."""
    if len(old_jids) != 1:
        return Reason.AMBIGUOUS
    if jids.bare(old_jids[0]) != divert.old:
        return Reason.BAD_OLD_JID
    if jids.key(divert.old) == jids.key(divert.new):
        return Reason.SAME_JID
    if not divert.old_item.subscription.grants:
        return Reason.NOT_GRANTED
    return None


def changes(divert: Divert, items: tuple[RosterItem, ...]) -> tuple[Change, ...]:
    """How the entries of old and new JID differ from what rode along with the request."""
    now = {item.jid: item for item in items}
    pairs = ((divert.old, divert.old_item), (divert.new, divert.new_item))
    return tuple(
        Change(jid, before, now.get(jid)) for jid, before in pairs if before != now.get(jid)
    )


def _released(case: Case, reason: Reason) -> Result:
    return replace(case, phase=Phase.RELEASING, reason=reason), (Release(reason),)


def _settled(case: Case, settle: Settle) -> Result:
    return replace(case, phase=Phase.SETTLED), (settle,)


def _on_diverted(case: Case, event: Event) -> Result:
    assert isinstance(event, Diverted)
    objection = objection_to_claim(case.divert, event.old_jids) or event.objection
    if objection is not None:
        return _released(case, objection)
    if case.follow is Follow.NEVER:
        return _released(case, Reason.NOT_WANTED)
    return replace(case, phase=Phase.VERIFYING), (FetchStatement(),)


def _on_answer(case: Case, event: Event) -> Result:
    assert isinstance(event, StatementAnswered)
    reason = judge(event.answer, case.divert.new)
    if reason is not Reason.VERIFIED:
        return _released(case, reason)
    if event.objection is not None:
        return _released(case, event.objection)
    if case.follow is Follow.ASK:
        return _released(case, Reason.ASKED)
    if event.earlier is None:
        plan = follow_plan(case.divert, case.carry)
    else:
        plan = move_back_plan(case.divert, event.earlier)
    committing = replace(
        case, phase=Phase.COMMITTING, reason=reason, plan=plan, earlier=event.earlier
    )
    return committing, (Journal(plan, reason, event.answer.evidence),)


def _on_journalled(case: Case, event: Event) -> Result:
    assert case.plan is not None
    return replace(case, phase=Phase.TAKING), (Take(case.plan),)


def _on_stopping(case: Case, event: Event) -> Result:
    assert isinstance(event, Stopping)
    return _released(case, event.reason)


def _release_for(reason: Reason) -> Callable[[Case, Event], Result]:
    return lambda case, event: _released(case, reason)


def _on_outcome(case: Case, event: Event) -> Result:
    assert isinstance(event, OutcomeTold)
    if event.taken and case.plan is not None:
        return _taken(case, event.items)
    reason = case.reason or Reason.SERVER
    if case.phase is not Phase.RELEASING:
        # Verified or still asking, yet the server let it go: it timed out or could not send.
        reason = _BY_SERVER.get(event.why, Reason.SERVER)
    return _let_go(case, reason, event.why)


_BY_SERVER: Mapping[str | None, Reason] = {
    "send-failed": Reason.SEND_REFUSED,
    "shared": Reason.SHARED,
}
"""Why the server let go by itself, where that is not for us to explain (hook protocol 2)."""


def _let_go(case: Case, reason: Reason, detail: str | None = None) -> Result:
    return _settled(case, _not_followed(case, MoveState.RELEASED, reason, detail))


def _not_followed(
    case: Case, state: MoveState, reason: Reason, detail: str | None = None
) -> Settle:
    item = case.divert.new_item
    asks = reason is Reason.ASKED or (
        # Whoever is approved already is answered by the server: nobody is asked.
        reason is Reason.SHARED and not (item is not None and item.subscription.grants)
    )
    note = Note.ASKS if asks and case.notify else None
    return Settle(state, reason, detail=detail, note=note)


def _taken(case: Case, items: tuple[RosterItem, ...]) -> Result:
    if case.earlier is not None:
        return replace(case, phase=Phase.RESTORING), (PutBack(case.earlier),)
    return _done(case, items)


def _done(case: Case, items: tuple[RosterItem, ...]) -> Result:
    assert case.plan is not None
    wanted: Mapping[str, RosterItem | None] = expect(case.divert, case.plan)
    if case.earlier is not None:
        wanted = restore(before(case.earlier), items).expected
    now = {item.jid: item for item in items}
    odd = [
        jid for jid, item in wanted.items() if _subscription(now.get(jid)) != _subscription(item)
    ]
    detail = f"not as planned: {', '.join(odd)}" if odd else None
    return _settled(case, done(case.divert, items, detail, case.notify, case.earlier))


def done(
    divert: Divert,
    items: tuple[RosterItem, ...],
    detail: str | None,
    notify: bool,
    earlier: MoveRecord | None,
) -> Settle:
    """The end of a request that was taken, with these entries as they are now."""
    note = Note.MOVED if notify else None
    changed = changes(divert, items)
    return Settle(MoveState.DONE, Reason.VERIFIED, changed, detail, note, earlier)


def _subscription(item: RosterItem | None) -> Subscription | None:
    return item.subscription if item is not None else None


def _on_outcome_missing(case: Case, event: Event) -> Result:
    return replace(case, phase=Phase.UNCERTAIN), (ReadRoster(),)


def _on_roster(case: Case, event: Event) -> Result:
    assert isinstance(event, RosterRead)
    if case.plan is not None and carried_out(case.divert, case.plan, event.items):
        later, effects = _taken(case, event.items)
        return later, (Repeat(case.plan), *effects)
    reason = case.reason or Reason.RESTARTED
    if reason is Reason.VERIFIED:
        reason = Reason.RESTARTED
    settle = _not_followed(case, MoveState.HANDED_BACK, reason)
    return replace(case, phase=Phase.SETTLED), (HandBack(), settle)


def _on_put_back(case: Case, event: Event) -> Result:
    assert isinstance(event, RosterRead)
    return _done(case, event.items)


def carried_out(divert: Divert, plan: SendPlan, items: tuple[RosterItem, ...]) -> bool:
    """Whether these entries grant what the plan grants: old and new JID, no more and no less.

    What the contact sees is no evidence: the other side may have answered meanwhile.
    """
    now = {item.jid: item.subscription.grants for item in items}
    wanted = expect(divert, plan)
    return all(now.get(jid, False) == item.subscription.grants for jid, item in wanted.items())


# An outcome may overtake everything: the hook's time-out, or the server stopping.
_OPEN = (Phase.VERIFYING, Phase.COMMITTING, Phase.TAKING, Phase.RELEASING, Phase.UNCERTAIN)

TABLE: Mapping[tuple[Phase, type], Callable[[Case, Event], Result]] = {
    (Phase.NEW, Diverted): _on_diverted,
    (Phase.NEW, JournalFailed): _release_for(Reason.JOURNAL_FAILED),
    (Phase.NEW, Stopping): _on_stopping,
    (Phase.VERIFYING, StatementAnswered): _on_answer,
    (Phase.VERIFYING, DeadlinePassed): _release_for(Reason.DEADLINE),
    (Phase.VERIFYING, JournalFailed): _release_for(Reason.JOURNAL_FAILED),
    (Phase.VERIFYING, Stopping): _on_stopping,
    (Phase.COMMITTING, Journalled): _on_journalled,
    (Phase.COMMITTING, JournalFailed): _release_for(Reason.JOURNAL_FAILED),
    **{(phase, OutcomeTold): _on_outcome for phase in _OPEN},
    (Phase.TAKING, OutcomeMissing): _on_outcome_missing,
    (Phase.RELEASING, OutcomeMissing): _on_outcome_missing,
    (Phase.UNCERTAIN, RosterRead): _on_roster,
    (Phase.RESTORING, RosterRead): _on_put_back,
}

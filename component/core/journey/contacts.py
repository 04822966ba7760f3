"""One contact of a journey as a machine: told once, tried again where they could not be reached.

Rules:

* what is on its way is written down before it leaves (``sending``); after a crash the new
  account's roster says whether it left (RFC 6121 A.2.1: a request that left is ``ask``);
* what stands on the roster counts, not what was heard on the way;
* a contact whose server fails is tried again after 1 h, 6 h, 1 d, 3 d, 7 d (configurable);
* a request that met silence where others of its domain answered may have been dropped without a
  word (ejabberd's mod_pres_counter): it is repeated after some minutes, and counts as the same
  try; so is an approval that may have been dropped (``Approved``);
* who has answered is not asked again because the answer was lost: the first repeat of a request
  that met silence is a bare one, which the contact's server answers by itself then (RFC 6121
  3.1.3).  The next ones have ``unsubscribe`` first, because a second ``subscribe`` while one is
  pending is dropped (Prosody); ``unsubscribed`` then answers the withdrawal (ejabberd) and is no
  refusal;
* one that is pending waits for a person: it is repeated only after the long delays, or once
  after a day where none of the delays is long;
* then it is the mover's to do by hand;
* what the mover takes back by hand stays so: who is removed at the old account before being told is
  not told, and a way back is approved only while the new account's entry is as we left it
  (:func:`may_come_back`).

Events that a state does not list change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from component.core.conditions import Condition
from component.core.journey.model import ContactState, JourneyContact
from component.core.model import NOBODYS, PresenceKind, RosterItem, Subscription

S = ContactState

_LONG_DELAYS = 3
"""Retries before which a request that merely waits for a person is not repeated."""
_A_PERSONS_TIME = timedelta(days=1)
"""Nobody is asked again sooner, where the list of delays is too short to have long ones."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to try again."""

    retries: tuple[timedelta, ...]
    pending_after: timedelta
    """Silence after which a request counts as waiting for a person."""

    @property
    def second_after(self) -> timedelta:
        """Silence after which a request may have been dropped, where others have answered."""
        return self.pending_after * 0.3

    @property
    def pending_retries(self) -> tuple[timedelta, ...]:
        """When a request that waits for a person is repeated; empty: never."""
        if not self.retries:
            return ()
        return self.retries[_LONG_DELAYS:] or (max(self.retries[-1], _A_PERSONS_TIME),)


# Events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaving:
    """The notification is about to leave."""


@dataclass(frozen=True, slots=True)
class NotLeft:
    """The server did not send it.  ``forbidden``: the mover's own block list or rules."""

    condition: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """The server has sent it; the new account's entry as it is now."""

    item: RosterItem | None


@dataclass(frozen=True, slots=True)
class Found:
    """The new account's roster was read; None: no entry."""

    item: RosterItem | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A presence of the contact was processed (hook protocol, ``heard``)."""

    kind: PresenceKind
    item: RosterItem | None


@dataclass(frozen=True, slots=True)
class Bounced:
    """The contact's server, or ours for it, answered with an error."""

    condition: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The clock was looked at.

    ``cut_off``: what the contact has said since it was told may be lost with a server.
    ``dropped``: others of its domain have answered, so what it was told may have been dropped.
    """

    cut_off: bool = False
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Approved:
    """The way back was approved.

    ``again_after``: when it is to be approved again, as that may have been dropped at the
    contact's; None: it cannot have been.
    """

    again_after: timedelta | None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The mover has taken the contact off a list by hand, or lets them see it no more."""


Event = Leaving | NotLeft | Left | Found | Heard | Bounced | TimePassed | Approved | TakenBack

MAYBE_DROPPED = "maybe-dropped"
"""Our own word, as a contact's error: silent where others answered, so told a second time."""

LASTING = frozenset({Condition.GONE, Condition.ITEM_NOT_FOUND, Condition.JID_MALFORMED})
"""Errors (RFC 6120 8.3.3) that say the contact's account is not there: not tried again."""
FORBIDDING = frozenset(
    {
        Condition.FORBIDDEN,
        Condition.NOT_ALLOWED,
        Condition.NOT_AUTHORIZED,
        Condition.POLICY_VIOLATION,
        Condition.REGISTRATION_REQUIRED,
    }
)
"""Errors that say no for the contact."""

OPEN = frozenset({S.QUEUED, S.SENDING, S.SENT, S.PENDING, S.UNREACHABLE})
"""States from which something may still come."""
UNSENT = frozenset({S.QUEUED, S.SENDING})
"""Not notified, or not known to be."""


def step(
    contact: JourneyContact, event: Event, now: datetime, schedule: Schedule
) -> JourneyContact:
    """The contact after an event."""
    action = TABLE.get((contact.state, type(event)))
    gone = contact.account == NOBODYS and contact.state not in OPEN
    if action is None or gone:
        return contact
    after = action(contact, event, now, schedule)
    if contact.state is S.SENDING and after.sent_at is None and after.state not in _NOT_SENT:
        # The contact's answer overtook our own server's word that the request had left.
        after = replace(after, sent_at=now)
    return after


def due(contact: JourneyContact, now: datetime) -> bool:
    """Whether a notification should leave now."""
    if contact.state is S.QUEUED:
        return contact.due_at is None or contact.due_at <= now
    if contact.state in (S.UNREACHABLE, S.PENDING):
        return contact.due_at is not None and contact.due_at <= now
    return False


def repeats(contact: JourneyContact) -> bool:
    """Whether an earlier request may be pending."""
    return contact.sent_at is not None


def maybe_dropped(contact: JourneyContact) -> bool:
    """Whether what it was told may not have got there; it is told, or was told, once more."""
    return contact.error == MAYBE_DROPPED and contact.state in (S.PENDING, S.SENDING, S.SENT)


def owed(contact: JourneyContact) -> bool:
    """Whether an approval of ours is to be given again."""
    return contact.state is S.MUTUAL and contact.due_at is not None


def withdraws(contact: JourneyContact) -> bool:
    """Whether that one has to be withdrawn first, for the person to be shown the next.

    It has not where an answer may just have been lost: a contact who had accepted would be asked
    again, and one who had not is no less shown the first request.
    """
    return contact.state is S.PENDING and contact.attempts > 1


def may_come_back(contact: JourneyContact, item: RosterItem | None) -> bool:
    """Whether a contact who was told, and asks for the way back, may see the new account.

    Only while the entry there is as our orders left it: with our request, or what was granted to
    it.  Otherwise its owner has removed it, or taken something back, by hand.  What was mutual and
    is asked for again was revoked.

    :param item: the new account's entry as it is now.
    """
    if not contact.subscription.grants or contact.state in _NOT_TOLD:
        return False
    if contact.state is S.MUTUAL:
        return item is not None and item.subscription.grants
    if contact.state is S.SENDING:
        return True  # the request is on its way, or one that it replaces was just taken back
    return item is not None and (item.ask or item.subscription.receives)


def was_taken_back(contact: JourneyContact, item: RosterItem | None) -> bool:
    """Whether a contact who is about to be told is one no more, by the old account's list.

    Whoever has been told may have left the old account by themselves.

    :param item: the old account's entry as it is now.
    """
    if item is None:
        return True
    return not repeats(contact) and contact.subscription.grants > item.subscription.grants


def to_follow(contact: JourneyContact) -> bool:
    """Whether a contact may follow yet, if only after the old account is gone.

    By a tombstone, for which their entry of the old account has to be what it was.
    """
    if contact.state is S.GIVEN_UP:
        return contact.error != MOVED_ON and contact.error not in LASTING
    return contact.state in OPEN


UNANSWERED = "unanswered"
"""Why a contact is left out: the mover has asked them, and they have not answered."""
TAKEN_BACK = "taken-back"
"""Why a contact is left out: the mover has removed, blocked or revoked them meanwhile."""
MOVED_ON = "moved-on"
"""Why a contact is left alone: they have moved themselves, and are told at their new address."""


def successor(
    contact: JourneyContact,
    jid: str,
    item: RosterItem | None,
    before: RosterItem | None,
    now: datetime,
    schedule: Schedule,
) -> JourneyContact:
    """A contact who has moved on, at the new address: to be told, unless that has happened.

    They get what they had under the old address, no more.

    :param item: the new account's entry of ``jid`` as it is now.
    :param before: the same before the move.
    """
    new = JourneyContact(
        jid, contact.name, contact.groups, contact.subscription, S.QUEUED, before=before
    )
    if item is not None and item.ask:
        # Our own account has followed them too, and so has asked already.
        new = replace(
            new, state=S.SENT, sent_at=now, attempts=1, due_at=now + schedule.pending_after
        )
    return _by_roster(new, item, new, now, schedule)


def left_behind(contact: JourneyContact) -> JourneyContact:
    """The old address of a contact who has moved on: nobody is awaited there any more.

    An answer that comes all the same still counts.
    """
    if contact.state is S.QUEUED and not repeats(contact):
        return replace(contact, state=S.SKIPPED, due_at=None, error=MOVED_ON)
    if contact.state in OPEN and contact.state is not S.SENDING:
        return replace(contact, state=S.GIVEN_UP, due_at=None, error=MOVED_ON)
    return contact


def departed(contact: JourneyContact) -> JourneyContact:
    """A contact whose account is gone: whoever has the name next is somebody else.

    Who had followed has; nothing more is said to the name, and nothing from it counts.
    """
    if contact.state in OPEN:
        contact = replace(contact, state=S.GIVEN_UP, error=Condition.GONE.value)
    return replace(contact, due_at=None, account=NOBODYS)


def asks_back(contact: JourneyContact) -> bool:
    """Whether a contact that accepted may be about to ask for the way back."""
    return contact.state is S.ACCEPTED and contact.due_at is not None


def _by_roster(
    contact: JourneyContact,
    item: RosterItem | None,
    otherwise: JourneyContact,
    now: datetime,
    schedule: Schedule,
) -> JourneyContact:
    """Where the new account sees the contact it was accepted; else ``otherwise``.

    Who accepts asks back a moment later, or not at all: that is awaited as long as an answer is.
    """
    subscription = item.subscription if item is not None else Subscription.NONE
    if not subscription.receives:
        return otherwise
    state = S.MUTUAL if subscription is Subscription.BOTH else S.ACCEPTED
    if contact.state is state:
        return contact
    await_back = state is S.ACCEPTED and contact.goal is S.MUTUAL
    due_at = now + schedule.pending_after if await_back else None
    return replace(contact, state=state, due_at=due_at, error=None)


def _leaving(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    attempts = c.attempts if maybe_dropped(c) else c.attempts + 1
    return replace(c, state=S.SENDING, attempts=attempts, due_at=None)


def _not_left(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, NotLeft)
    if e.forbidden:
        return replace(c, state=S.SKIPPED, due_at=None, error=e.condition)
    attempts = max(0, c.attempts - 1)
    return replace(c, state=S.QUEUED, attempts=attempts, error=e.condition, due_at=now + _SOON)


_SOON = timedelta(seconds=30)
"""A send that our own server could not do is tried again after this."""


def _left(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Left)
    return _by_roster(c, e.item, _sent(c, now, now, s), now, s)


def _sent(c: JourneyContact, at: datetime, now: datetime, s: Schedule) -> JourneyContact:
    """Told: whether it was dropped is asked once, and sooner than whether a person decides."""
    again = maybe_dropped(c)
    due_at = now + (s.pending_after if again or c.attempts > 1 else s.second_after)
    error = c.error if again else None
    return replace(c, state=S.SENT, sent_at=at, due_at=due_at, error=error)


def _found_sending(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    """After a crash: did it leave?  A request that left is ``ask`` on the roster.

    A repeated one may then be the one before it, whose withdrawal had not left yet; it counts as
    sent all the same: waiting once more is better than a second request at once.
    """
    assert isinstance(e, Found)
    left = e.item is not None and e.item.ask
    if e.item is not None and not left and c.before is None and not repeats(c):
        # The first request made this entry (RFC 6121 3.1.2), and was refused meanwhile.
        return _by_roster(c, e.item, replace(c, state=S.REFUSED, due_at=None), now, s)
    sent = _sent(c, c.sent_at or now, now, s)
    unsent = replace(c, state=S.QUEUED, attempts=max(0, c.attempts - 1), due_at=None)
    return _by_roster(c, e.item, sent if left else unsent, now, s)


def _found_waiting(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Found)
    asked = e.item is not None and e.item.ask
    refused = replace(c, state=S.REFUSED, due_at=None)
    return _by_roster(c, e.item, c if asked else refused, now, s)


def _found(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Found)
    return _by_roster(c, e.item, c, now, s)


def _found_accepted(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    """A killed server forgot the answer that we were told of, and still awaits one.

    ejabberd 24.12 with mnesia writes what it hears within two seconds (seen).  The contact's server
    gives the answer again, as it does where one was lost.
    """
    assert isinstance(e, Found)
    again = c
    if e.item is not None and e.item.ask and repeats(c):
        again = _again(replace(c, state=S.UNREACHABLE), now, s.retries)
    return _by_roster(c, e.item, again, now, s)


def _heard(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Heard)
    refused = c
    withdrawing = c.state is S.SENDING and repeats(c)
    if e.kind is PresenceKind.UNSUBSCRIBED and c.state in _WAITING and not withdrawing:
        refused = replace(c, state=S.REFUSED, due_at=None, error=None)
    return _by_roster(c, e.item, refused, now, s)


def _bounced(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Bounced)
    if e.condition in FORBIDDING:
        return replace(c, state=S.REFUSED, due_at=None, error=e.condition)
    if e.condition in LASTING:
        return replace(c, state=S.GIVEN_UP, due_at=None, error=e.condition)
    return _again(replace(c, state=S.UNREACHABLE, error=e.condition), now, s.retries)


def _again(c: JourneyContact, now: datetime, delays: tuple[timedelta, ...]) -> JourneyContact:
    """Wait for the next try; after the last one it is the mover's to do."""
    if c.attempts > len(delays):
        return replace(c, state=S.GIVEN_UP, due_at=None)
    return replace(c, due_at=now + delays[max(0, c.attempts - 1)])


def _silence(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    """SENT for long: a person decides there, or the request was lost."""
    assert isinstance(e, TimePassed)
    if c.due_at is None or c.due_at > now:
        return c
    if c.attempts <= 1 and e.dropped:
        return replace(c, state=S.PENDING, due_at=now, error=MAYBE_DROPPED)
    patience = (c.sent_at or now) + s.pending_after
    if c.attempts <= 1 and patience > now:
        return replace(c, due_at=patience)
    c = replace(c, error=None) if maybe_dropped(c) else c
    later = s.pending_retries
    repeated = max(0, c.attempts - 1)
    if repeated >= len(later):
        # Repeated often enough; an answer still counts while the journey lasts.
        return replace(c, state=S.GIVEN_UP, due_at=None)
    wait = later[repeated]
    if e.cut_off and not repeated:
        wait = s.retries[0]  # if they have answered, nobody is asked again (``withdraws``)
    return replace(c, state=S.PENDING, due_at=now + wait)


def _no_way_back(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    """ACCEPTED for long: they don't ask back."""
    return replace(c, due_at=None) if c.due_at is not None and c.due_at <= now else c


def _approved(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    assert isinstance(e, Approved)
    return replace(c, due_at=None if e.again_after is None else now + e.again_after)


def _taken_back(c: JourneyContact, e: Event, now: datetime, s: Schedule) -> JourneyContact:
    attempts = max(0, c.attempts - 1) if c.state is S.SENDING else c.attempts
    return replace(c, state=S.SKIPPED, attempts=attempts, due_at=None, error=TAKEN_BACK)


_NOT_TOLD = frozenset({S.QUEUED, S.SKIPPED, S.RESTORED})
_NOT_SENT = frozenset({S.QUEUED, S.SENDING, S.SKIPPED})
_WAITING = frozenset({S.SENDING, S.SENT, S.PENDING, S.UNREACHABLE})
_ACTION = Callable[[JourneyContact, Event, datetime, Schedule], JourneyContact]

TABLE: Mapping[tuple[ContactState, type], _ACTION] = {
    (S.QUEUED, Leaving): _leaving,
    (S.UNREACHABLE, Leaving): _leaving,
    (S.PENDING, Leaving): _leaving,
    (S.SENDING, Left): _left,
    (S.SENDING, NotLeft): _not_left,
    (S.SENDING, Found): _found_sending,
    (S.SENT, Found): _found_waiting,
    (S.PENDING, Found): _found_waiting,
    (S.SENT, TimePassed): _silence,
    (S.ACCEPTED, TimePassed): _no_way_back,
    (S.MUTUAL, Approved): _approved,
    **{
        (state, TakenBack): _taken_back
        for state in (*_WAITING, S.QUEUED, S.ACCEPTED, S.REFUSED, S.GIVEN_UP)
    },
    **{(state, Bounced): _bounced for state in _WAITING},
    **{(state, Found): _found for state in (S.UNREACHABLE, S.REFUSED, S.GIVEN_UP, S.QUEUED)},
    (S.ACCEPTED, Found): _found_accepted,
    **{
        (state, Heard): _heard for state in (*_WAITING, S.ACCEPTED, S.REFUSED, S.GIVEN_UP, S.QUEUED)
    },
}

"""The things of an account as values that can be compared, and what becomes of each.

What a thing *is* stays opaque here: ``text`` is how whoever writes it has put it down.  JIDs in
keys are prepared and in one spelling (:func:`component.core.jids.key`); times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Sort(StrEnum):
    """What sort of thing; stored, so keep the values stable.  They are carried in this order."""

    BLOCKED = "blocked"
    """Somebody who is kept out (XEP-0191): before anybody hears of the new account."""
    CONTACT = "contact"
    """Name and groups of a roster entry, never its subscription (RFC 6121 section 2.1.2)."""
    PROFILE = "profile"
    """vcard-temp (XEP-0054); before PEP, because servers make nodes of it."""
    PRIVATE = "private"
    """One element of private XML (XEP-0049)."""
    NODE = "node"
    """A PEP node with its readers (XEP-0163); before its items, or others would read them."""
    ITEM = "item"


ORDER = tuple(Sort)
_PLACES_EACH = 1 << 28
"""Of a sort: all of them fit the integer of a database, which has 31 bits."""


def place(sort: Sort, number: int) -> int:
    """The number of a thing within its copy: they are carried by it, all of one sort together.

    :param number: of things of this copy, in the order in which they came, from 0.
    """
    return ORDER.index(sort) * _PLACES_EACH + number


class Result(StrEnum):
    """What became, or would become, of one thing; stored, so keep the values stable."""

    ADDED = "added"
    CHANGED = "changed"
    SAME = "same"
    """It was there already."""
    KEPT = "kept"
    """Another is there, which was not overwritten."""
    REFUSED = "refused"
    """It could not be written; ``why`` has the reason."""
    SKIPPED = "skipped"
    """Left out by a rule; ``why`` has it."""
    RESTORED = "restored"
    """It was written, and an undo has brought back what was before."""

    @property
    def written(self) -> bool:
        """True where something is, or would be, written."""
        return self in (Result.ADDED, Result.CHANGED)


class Why(StrEnum):
    """Our own reasons; others are a server's condition (RFC 6120 section 8.3.3)."""

    SELF = "your-own-address"
    LEFT_OUT = "left-out-of-the-move"
    READERS = "others-may-read-there"
    """The node that is there lets more people read than the old one did."""
    NO_NODE = "no-node"
    """Its node could not be made."""
    NO_ROOM = "no-room"
    """One more item would push out another."""
    NOT_KEPT = "not-kept-by-the-server"
    """The server said yes, and does not have it."""
    TOO_LARGE = "too-large"
    CHANGED_SINCE = "changed-since"
    """An undo leaves alone what its owner has changed after the copy."""
    IN_USE = "in-use"
    """An undo leaves alone an entry that has got a subscription."""


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read a PEP node (XEP-0060 section 4.5), and how many items it keeps."""

    access: str
    members: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Of access model ``roster``."""
    room: int | None = None
    """Items that it keeps at most; None: nobody has said."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of an account."""

    sort: Sort
    key: str
    """What makes it this one: an address, a name, a node, or an id on its node."""
    content: str
    """Equal for things that say the same, and only then."""
    text: str
    """How it is written down."""
    node: str = ""
    """Of an item: where it is published."""
    blank: bool = False
    """Nothing in it would be lost: a roster entry with neither name nor groups."""
    bound: bool = False
    """A roster entry with a subscription, or one that is asked for."""
    readers: Readers | None = None
    """Of a node."""

    @property
    def id(self) -> tuple[Sort, str, str]:
        """What tells it from the other things of an account."""
        return self.sort, self.node, self.key


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that comes, and what is to become of it."""

    thing: Thing
    result: Result
    why: str | None = None
    before: tuple[Thing, ...] = ()
    """What is there that this would replace; what an undo brings back."""
    done: bool = False
    """The result stands: nothing is left to be done about it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line as it is stored, by its :func:`place` within its job; ``before`` is opaque there."""

    number: int
    sort: Sort
    text: str
    result: Result
    why: str | None
    before: str
    done: bool


class JobState(StrEnum):
    """Where a copy stands; stored, so keep the values stable."""

    FILLING = "filling"
    """Its things are still being put down; it is of no use to anybody until they are."""
    DRAFT = "draft"
    """Nothing has been written; the lines are a preview."""
    PLANNING = "planning"
    """It is wanted: what becomes of each thing is decided by what is there now."""
    RUNNING = "running"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Job:
    """One copy into one account."""

    id: int
    owner: str
    """The account that things are written to."""
    asker: str
    """The account that ordered it."""
    source: str
    """Where the things come from: the old account's address, or a file's name."""
    state: JobState
    overwrite: bool
    journey: int | None
    """The move that it is a part of."""
    created_at: datetime
    ended_at: datetime | None = None
    owner_account: str | None = None
    """The token of the owner's account (hook protocol, section 13)."""
    asker_account: str | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of the old account that could not be read, with the server's condition."""

    what: str
    condition: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What lines have in common that one figure counts."""

    sort: Sort
    result: Result
    done: bool
    hindered: bool
    """There is a reason to be told."""

    @property
    def telling(self) -> bool:
        """Whether the owner may want to know which ones these are."""
        return self.result in (Result.REFUSED, Result.KEPT) or (
            self.result.written and self.hindered
        )


def mark_of(line: Line) -> Mark:
    """What a line is counted as."""
    return Mark(line.thing.sort, line.result, line.done, line.why is not None)


@dataclass(frozen=True, slots=True)
class Pick:
    """Some of the lines of a copy: those that are as said; None, or nothing: any."""

    sort: Sort | None = None
    results: frozenset[Result] = frozenset()
    done: bool | None = None
    hindered: bool | None = None


WRITTEN = frozenset(result for result in Result if result.written)

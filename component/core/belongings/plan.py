"""What is to become of each thing that comes, by what is there; and the way back.

A table of (how they relate, may it be overwritten) to a result, with three rules around it that
keep harm away: nobody may read more than before, nothing is pushed out of a node, and a node that
holds one item is one thing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from component.core.belongings.model import Line, Readers, Result, Sort, Thing, Why

SINGLE_NODES = frozenset(
    {
        "http://jabber.org/protocol/nick",
        "urn:xmpp:avatar:data",
        "urn:xmpp:avatar:metadata",
        "urn:xmpp:vcard4",
    }
)
"""Nodes whose newest item alone counts, whatever its id (XEP-0172 4.1, XEP-0084 3, XEP-0292 4)."""
MERGED_ROOM = 256
"""Items that a node with ``max_items`` ``max`` keeps at least (mod_pep of Prosody, 0.12)."""


class Relation(Enum):
    """How a thing that comes relates to what is there."""

    ABSENT = auto()
    EQUAL = auto()
    BLANK = auto()
    """What is there says nothing."""
    DIFFERENT = auto()


TABLE: Mapping[tuple[Relation, bool], Result] = {
    (Relation.ABSENT, False): Result.ADDED,
    (Relation.ABSENT, True): Result.ADDED,
    (Relation.EQUAL, False): Result.SAME,
    (Relation.EQUAL, True): Result.SAME,
    (Relation.BLANK, False): Result.CHANGED,
    (Relation.BLANK, True): Result.CHANGED,
    (Relation.DIFFERENT, False): Result.KEPT,
    (Relation.DIFFERENT, True): Result.CHANGED,
}
"""What becomes of a thing, by its relation and by whether it may be overwritten."""

# From nobody to everybody (XEP-0060 section 4.5).  "authorize" asks the owner each time.
_OPENNESS = ("whitelist", "authorize", "roster", "presence", "open")


def relation(coming: Thing, there: Sequence[Thing]) -> Relation:
    """How a thing relates to those that stand in its place."""
    if not there:
        return Relation.ABSENT
    if any(one.content == coming.content for one in there):
        return Relation.EQUAL
    return Relation.BLANK if all(one.blank for one in there) else Relation.DIFFERENT


class Standing:
    """What an account has in some places."""

    def __init__(self, things: Iterable[Thing] = ()) -> None:
        self._by_id: dict[tuple[Sort, str, str], Thing] = {}
        self._items: defaultdict[str, dict[str, Thing]] = defaultdict(dict)
        self._counts: dict[str, int] = {}
        for thing in things:
            self.add(thing)

    def add(self, thing: Thing) -> None:
        """One more thing is there."""
        if thing.sort is Sort.ITEM:
            self._items[thing.node][thing.key] = thing
        else:
            self._by_id[thing.id] = thing

    def holds(self, node: str, count: int) -> None:
        """So many items are published on a node, of which not all need to be known here."""
        self._counts[node] = count

    def get(self, thing: Thing) -> Thing | None:
        """What stands in the very place of a thing."""
        if thing.sort is Sort.ITEM:
            return self._items[thing.node].get(thing.key)
        return self._by_id.get(thing.id)

    def items(self, node: str) -> Sequence[Thing]:
        """What is published on a node, as far as it is known."""
        return tuple(self._items[node].values())

    def room(self, node: str) -> int:
        """How many items are published on a node."""
        return max(self._counts.get(node, 0), len(self._items[node]))

    def remove(self, thing: Thing) -> None:
        """Nothing stands in the place of a thing any more."""
        if thing.sort is not Sort.ITEM:
            self._by_id.pop(thing.id, None)
        elif self._items[thing.node].pop(thing.key, None) is not None:
            self._counts[thing.node] = self._counts.get(thing.node, 0) - 1


def _nothing_skipped(_: Thing) -> Why | None:
    return None


class Planner:
    """Says what is to become of each thing that comes.

    Ask in the order in which they are carried (:func:`component.core.belongings.model.place`):
    what becomes of an item hangs on its node, and on how many were let in before it.

    :param skip: the rule by which a thing is left out, None for one that is not.
    """

    def __init__(
        self,
        *,
        overwrite: bool = False,
        skip: Callable[[Thing], Why | None] = _nothing_skipped,
    ) -> None:
        self._overwrite = overwrite
        self._skip = skip
        self._nodes: dict[str, Line] = {}
        self._room: dict[str, int] = {}

    def line(self, thing: Thing, there: Standing) -> Line:
        """The line of one thing.

        :param there: what the account has, in the place of this thing at least.
        """
        skipped = self._skip(thing)
        if skipped is not None:
            return Line(thing, Result.SKIPPED, skipped, done=True)
        node = self._nodes.get(thing.node)
        single = thing.sort is Sort.ITEM and _single(thing.node, node)
        before = _before(thing, there, single)
        result = TABLE[relation(thing, before), self._overwrite]
        why: Why | None = None
        if thing.sort is Sort.ITEM and result.written:
            why = _hindered(thing, node, self._overwrite)
            if why is None and result is Result.ADDED and not single:
                why = self._crowded(thing.node, node, there.room(thing.node))
        if why is not None:
            result = Result.REFUSED
        line = Line(thing, result, why, before, done=not result.written)
        if thing.sort is Sort.NODE:
            self._nodes[thing.key] = line
        return line

    def _crowded(self, node: str, line: Line | None, standing: int) -> Why | None:
        """Whether one more item would push out another; counts those that are let in."""
        if line is None or not standing:
            return None
        if node not in self._room:
            told = next((one.readers.room for one in line.before if one.readers is not None), None)
            self._room[node] = (told or MERGED_ROOM) - standing
        if self._room[node] <= 0:
            return Why.NO_ROOM
        self._room[node] -= 1
        return None


def _before(coming: Thing, there: Standing, single: bool) -> tuple[Thing, ...]:
    """What stands where this would go."""
    if single:
        return tuple(there.items(coming.node))
    found = there.get(coming)
    return () if found is None else (found,)


def _single(node: str, line: Line | None) -> bool:
    """Whether one more item of a node would replace the one that is there."""
    if node in SINGLE_NODES:
        return True
    return line is not None and any(
        one.readers is not None and one.readers.room == 1 for one in line.before
    )


def _hindered(item: Thing, node: Line | None, overwrite: bool) -> Why | None:
    """Why an item may not go onto the node as it will be."""
    if node is None:
        return Why.NO_NODE
    if node.result is not Result.KEPT or overwrite:
        return None
    wanted = node.thing.readers
    if wanted is None or any(not _as_private(one.readers, wanted) for one in node.before):
        return Why.READERS
    return None


def _as_private(there: Readers | None, wanted: Readers) -> bool:
    """Whether nobody may read a node that was not to read the old one."""
    if there is None or there.access not in _OPENNESS or wanted.access not in _OPENNESS:
        return False
    if there.access == wanted.access == "whitelist":
        return set(there.members) <= set(wanted.members)
    if there.access == wanted.access == "roster":
        return set(there.groups) <= set(wanted.groups)
    if there.access == "whitelist" and there.members:
        return wanted.access == "open"
    return _OPENNESS.index(there.access) < _OPENNESS.index(wanted.access)


# Afterwards -------------------------------------------------------------------------------------


def stands(line: Line, there: Standing) -> bool:
    """Whether the account has a thing as the copy writes it."""
    found = there.get(line.thing)
    return found is not None and found.content == line.thing.content


def verified(line: Line, there: Standing) -> Line:
    """A line by what is there now, after everything was written.

    What the server does not have was refused, whatever it said; what it has was written, also
    where its answer was lost.
    """
    if line.result.written and not stands(line, there):
        return replace(line, result=Result.REFUSED, why=Why.NOT_KEPT, done=True)
    return line


class Back(Enum):
    """What an undo does about one line."""

    RESTORE = auto()
    """Bring back what was before, or take the thing away where nothing was."""
    NOTHING = auto()
    """It is as it was before."""
    LEAVE = auto()
    """Its owner has changed it since, or has come to need it."""


def way_back(line: Line, there: Standing) -> tuple[Back, Why | None]:
    """What an undo does about a line that was written."""
    now = there.get(line.thing)
    earlier = next((one for one in line.before if one.id == line.thing.id), None)
    if now is None:
        # Taken away since; what it had replaced is brought back all the same where it is missing.
        missing = any(there.get(one) is None for one in line.before)
        return (Back.RESTORE, None) if missing else (Back.NOTHING, None)
    if earlier is not None and earlier.content == now.content:
        return Back.NOTHING, None
    if now.content != line.thing.content:
        return Back.LEAVE, Why.CHANGED_SINCE
    if earlier is None and now.bound:
        return Back.LEAVE, Why.IN_USE
    return Back.RESTORE, None

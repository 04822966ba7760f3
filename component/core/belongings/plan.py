"""What is to become of each thing that comes, by what is there; and the way back.

A table of (how they relate, may it be overwritten) to a result, with three rules around it that
keep harm away: nobody may read more than before, nothing is pushed out of a node, and a node that
holds one item is one thing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from component.core.belongings.model import ORDER, Line, Readers, Result, Sort, Thing, Why

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


def decide(
    coming: Iterable[Thing],
    there: Iterable[Thing],
    *,
    overwrite: bool = False,
    skip: Mapping[tuple[Sort, str, str], Why] | None = None,
) -> list[Line]:
    """A line for each thing that comes, in the order in which they are carried.

    :param skip: things that a rule leaves out, by :attr:`Thing.id`.
    """
    place = _Places(there)
    left_out = skip or {}
    lines: list[Line] = []
    nodes: dict[str, Line] = {}
    room: dict[str, int | None] = {}
    ordered = sorted(coming, key=lambda thing: ORDER.index(thing.sort))
    for thing in ordered:
        if thing.id in left_out:
            lines.append(Line(thing, Result.SKIPPED, left_out[thing.id], done=True))
            continue
        single = thing.sort is Sort.ITEM and _single(thing.node, nodes.get(thing.node))
        before = place.of(thing, single)
        result = TABLE[relation(thing, before), overwrite]
        why: Why | None = None
        if thing.sort is Sort.ITEM and result.written:
            why = _hindered(thing, nodes.get(thing.node), overwrite)
            if why is None and result is Result.ADDED and not single:
                why = _crowded(thing.node, nodes.get(thing.node), place, room)
        if why is not None:
            result = Result.REFUSED
        line = Line(thing, result, why, before, done=not result.written)
        if thing.sort is Sort.NODE:
            nodes[thing.key] = line
        lines.append(line)
    return lines


class _Places:
    """What is there, by where it stands."""

    def __init__(self, there: Iterable[Thing]) -> None:
        self._by_id: dict[tuple[Sort, str, str], Thing] = {}
        self.items: defaultdict[str, list[Thing]] = defaultdict(list)
        for thing in there:
            self._by_id[thing.id] = thing
            if thing.sort is Sort.ITEM:
                self.items[thing.node].append(thing)

    def of(self, coming: Thing, single: bool) -> tuple[Thing, ...]:
        """What stands where this would go."""
        if single:
            return tuple(self.items[coming.node])
        found = self._by_id.get(coming.id)
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


def _crowded(
    node: str, line: Line | None, place: _Places, room: dict[str, int | None]
) -> Why | None:
    """Whether one more item would push out another; counts those that are let in."""
    if line is None or not place.items[node]:
        return None
    if node not in room:
        told = next((one.readers.room for one in line.before if one.readers is not None), None)
        room[node] = (told or MERGED_ROOM) - len(place.items[node])
    left = room[node]
    if left is not None and left <= 0:
        return Why.NO_ROOM
    room[node] = None if left is None else left - 1
    return None


# Afterwards -------------------------------------------------------------------------------------


def verified(lines: Iterable[Line], there: Iterable[Thing]) -> list[Line]:
    """The lines that turned out otherwise than was noted, by what is there now.

    What the server does not have was refused, whatever it said; what it has was written, also
    where its answer was lost.
    """
    now = {thing.id: thing for thing in there}
    turned: list[Line] = []
    for line in lines:
        found = now.get(line.thing.id)
        stands = found is not None and found.content == line.thing.content
        if line.result.written and not stands:
            turned.append(replace(line, result=Result.REFUSED, why=Why.NOT_KEPT, done=True))
    return turned


def outstanding(lines: Iterable[Line], there: Iterable[Thing]) -> list[Line]:
    """Of a copy that was cut off: what is still to be written, in order."""
    now = {thing.id: thing for thing in there}
    return [
        line
        for line in lines
        if not line.done
        and ((found := now.get(line.thing.id)) is None or found.content != line.thing.content)
    ]


class Back(Enum):
    """What an undo does about one line."""

    RESTORE = auto()
    """Bring back what was before, or take the thing away where nothing was."""
    NOTHING = auto()
    """It is as it was before."""
    LEAVE = auto()
    """Its owner has changed it since, or has come to need it."""


def way_back(line: Line, there: Mapping[tuple[Sort, str, str], Thing]) -> tuple[Back, Why | None]:
    """What an undo does about a line that was written."""
    now = there.get(line.thing.id)
    earlier = next((one for one in line.before if one.id == line.thing.id), None)
    if now is None:
        # Taken away since; what it had replaced is brought back all the same where it is missing.
        missing = any(one.id not in there for one in line.before)
        return (Back.RESTORE, None) if missing else (Back.NOTHING, None)
    if earlier is not None and earlier.content == now.content:
        return Back.NOTHING, None
    if now.content != line.thing.content:
        return Back.LEAVE, Why.CHANGED_SINCE
    if earlier is None and now.bound:
        return Back.LEAVE, Why.IN_USE
    return Back.RESTORE, None

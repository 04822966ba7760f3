"""The words for things that are brought into an account, and for what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from component.account.model import NS_BOOKMARKS
from component.core.belongings.model import (
    Job,
    JobState,
    Line,
    Mark,
    Result,
    Sort,
    Thing,
    Unread,
    Why,
    mark_of,
)
from component.core.belongings.plan import SINGLE_NODES
from component.core.belongings.report import NAMED, Report
from component.ui.talk.language import N_, Words
from component.ui.talk.pages import short

MOST_NAMES = NAMED
"""Things that are named; of the others it is said how many there are."""

SORTS: Final[dict[Sort, str]] = {
    Sort.BLOCKED: N_("Blocked people"),
    Sort.CONTACT: N_("Contacts"),
    Sort.PROFILE: N_("Profile"),
    Sort.PRIVATE: N_("Private settings"),
    Sort.NODE: N_("Published collections"),
    Sort.ITEM: N_("Published entries"),
}
"""Before a colon and numbers."""


class Fate(StrEnum):
    """What became, or is to become, of a thing, as far as its owner is concerned."""

    WAITING = "waiting"
    TO_ADD = "to-add"
    ADDED = "added"
    TO_CHANGE = "to-change"
    CHANGED = "changed"
    SAME = "same"
    KEPT = "kept"
    SKIPPED = "skipped"
    REFUSED = "refused"
    TO_RESTORE = "to-restore"
    RESTORED = "restored"
    STAYED = "stayed"
    """An undo left it as the copy, or its owner since, has made it."""


FATES: Final[dict[Fate, str]] = {
    Fate.WAITING: N_("still waiting"),
    Fate.TO_ADD: N_("would be added"),
    Fate.ADDED: N_("added"),
    Fate.TO_CHANGE: N_("would be changed"),
    Fate.CHANGED: N_("changed"),
    Fate.SAME: N_("there already"),
    Fate.KEPT: N_("left alone"),
    Fate.SKIPPED: N_("left out"),
    Fate.REFUSED: N_("not possible"),
    Fate.TO_RESTORE: N_("still to be taken back"),
    Fate.RESTORED: N_("as before"),
    Fate.STAYED: N_("not taken back"),
}
"""Said after a number, as in ``3 added``."""

STATES: Final[dict[JobState, str]] = {
    JobState.FILLING: N_("not ready yet"),
    JobState.DRAFT: N_("a preview"),
    JobState.PLANNING: N_("about to begin"),
    JobState.RUNNING: N_("under way"),
    JobState.DONE: N_("finished"),
    JobState.UNDOING: N_("being undone"),
    JobState.UNDONE: N_("undone"),
}
"""Said after a comma."""

WHYS: Final[dict[Why, str]] = {
    Why.SELF: N_("that is you"),
    Why.LEFT_OUT: N_("you have left them out of the move"),
    Why.READERS: N_("more people could read it than before"),
    Why.NO_NODE: N_("there is no place for it"),
    Why.NO_ROOM: N_("it would push out another"),
    Why.NOT_KEPT: N_("the server has not kept it"),
    Why.TOO_LARGE: N_("it is too large"),
    Why.CHANGED_SINCE: N_("you have changed it since"),
    Why.IN_USE: N_("you use it by now"),
}
"""Reasons of our own, said in brackets; others are the server's."""

_NODES: Final[dict[str, str]] = {
    "http://jabber.org/protocol/nick": N_("nickname"),
    "urn:xmpp:avatar:data": N_("picture"),
    "urn:xmpp:avatar:metadata": N_("kind and size of the picture"),
    "urn:xmpp:vcard4": N_("profile (vCard4)"),
    NS_BOOKMARKS: N_("bookmarked rooms"),
}


def fate(job: Job, mark: Mark) -> Fate:
    """What became of things of a copy."""
    if mark.result.written:
        if job.state is JobState.DRAFT:
            return Fate.TO_ADD if mark.result is Result.ADDED else Fate.TO_CHANGE
        if not mark.done:
            return Fate.WAITING
        if job.state in (JobState.UNDOING, JobState.UNDONE):
            return Fate.STAYED if mark.hindered else Fate.TO_RESTORE
    return Fate(mark.result.value)


def name(words: Words, thing: Thing) -> str:
    """What a thing is called, on one line."""
    match thing.sort:
        case Sort.BLOCKED | Sort.CONTACT:
            return short(thing.key, 100)
        case Sort.PROFILE:
            return words.say(SORTS[Sort.PROFILE])
        case Sort.NODE if thing.key in _NODES:
            return words.say(_NODES[thing.key])
        case Sort.ITEM if thing.node in SINGLE_NODES:
            return words.say(_NODES[thing.node])
        case Sort.ITEM if thing.node == NS_BOOKMARKS:
            return words.say("room {room}", room=short(thing.key, 100))
        case Sort.ITEM:
            return f"{short(thing.node)}: {short(thing.key)}"
    return short(thing.key, 100)


def one_line(words: Words, job: Job, counts: Mapping[Result, int]) -> str:
    """What tells a copy from others: source, day, state, and figures."""
    figures = [f"{counts[r]} {words.say(FATES[Fate(r.value)])}" for r in Result if counts.get(r)]
    shown = words.say(
        "c{id}: from {source}, {date}, {state}",
        id=job.id,
        source=short(job.source),
        date=words.date(job.created_at),
        state=words.say(STATES[job.state]),
    )
    # While it is at work, results are what they are to become.
    ended = job.state in (JobState.DONE, JobState.UNDONE)
    return f"{shown} ({', '.join(figures)})" if figures and ended else shown


def report(words: Words, found: Report) -> str:
    """What became of everything: figures by sort, and by name what needs a look."""
    job = found.job
    lines = [f"{short(job.source)} → {job.owner}, {words.say(STATES[job.state])}"]
    lines += _figures(words, found)
    fates = {Fate.REFUSED: N_("Not possible:"), Fate.STAYED: N_("Not taken back:")}
    if job.state not in (JobState.UNDOING, JobState.UNDONE):
        fates[Fate.KEPT] = N_("Left alone, because something else is there:")
    for one, heading in fates.items():
        total = sum(number for mark, number in found.tally.items() if fate(job, mark) is one)
        if total:
            these = [line for line in found.named if fate(job, mark_of(line)) is one]
            texts = [_with_reason(words, line) for line in these[:MOST_NAMES]]
            lines += ["", words.say(heading), *_bounded(words, texts, total)]
    return "\n".join([*lines, *unread(words, found.unread)])


def unread(words: Words, parts: Sequence[Unread]) -> list[str]:
    """What of an account could not be read, in lines; none where all could."""
    if not parts:
        return []
    texts = [f"{short(part.what)} ({short(part.condition)})" for part in parts[:MOST_NAMES]]
    heading = words.say("The server did not let me read:")
    return ["", heading, *_bounded(words, texts, len(parts))]


def _figures(words: Words, found: Report) -> list[str]:
    counts: dict[Sort, Counter[Fate]] = {}
    for mark, number in found.tally.items():
        counts.setdefault(mark.sort, Counter())[fate(found.job, mark)] += number
    if not counts:
        return [words.say("There is nothing in it that could come along.")]
    told = []
    for sort, label in SORTS.items():
        if sort in counts:
            found_here = counts[sort]
            figures = [f"{found_here[f]} {words.say(t)}" for f, t in FATES.items() if found_here[f]]
            told.append(f"• {words.say(label)}: {', '.join(figures)}")
    return told


def _with_reason(words: Words, line: Line) -> str:
    if not line.why:
        return name(words, line.thing)
    ours = line.why in set(Why)
    why = words.say(WHYS[Why(line.why)]) if ours else short(line.why)
    return f"{name(words, line.thing)} ({why})"


def _bounded(words: Words, texts: Sequence[str], total: int) -> list[str]:
    """Each text on a line, and of how many the first they are."""
    lines = [f"- {text}" for text in texts]
    if total > len(texts):
        more = total - len(texts)
        lines.append(words.say_n("and one more", "and {n} more", more))
    return lines

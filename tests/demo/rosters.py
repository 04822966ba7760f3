"""What every roster has to hold in the end, and tables of it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tests.demo.person import Entry, Person
from tests.demo.stage import BEFORE, NEW, NURSE, OLD, ROMEO, TYBALT, Stage

MOVED: Mapping[str, Entry | None] = {
    OLD: Entry("to", name="Juliet", groups=("Capulets",)),
    NEW: Entry("both", name="Juliet", groups=("Capulets",)),
}
"""Romeo's entries after the move, before he changes his mind."""

AFTER: Mapping[str, Mapping[str, Entry | None]] = {
    ROMEO: {OLD: BEFORE[ROMEO][OLD], NEW: None},
    NURSE: {OLD: Entry("to", name="My lamb"), NEW: Entry("both", name="My lamb")},
    TYBALT: {OLD: Entry("both", name="Cousin"), NEW: Entry("both")},
    NEW: {
        ROMEO: Entry("none", name="Romeo"),
        NURSE: Entry("both", name="Nurse", groups=("Home",)),
        TYBALT: Entry("both", name="Tybalt"),
    },
    OLD: {
        ROMEO: Entry("both", name="Romeo"),
        NURSE: Entry("from", name="Nurse", groups=("Home",)),
        TYBALT: Entry("both", name="Tybalt"),
    },
}
"""Every roster at the end: Romeo has undone the change, the others stay."""


def show_before(stage: Stage, rosters: Mapping[str, Person]) -> None:
    """The rosters as the devices that are online have them."""
    table = _table("Before")
    for owner, person in rosters.items():
        for jid, entry in sorted(person.entries.items()):
            table.add_row(owner, jid, str(entry))
            owner = ""
    stage.console.print(table)
    for owner, person in rosters.items():
        stage.check(person.entries == BEFORE[owner], f"{owner}'s roster is not as arranged")


def show_after(stage: Stage, rosters: Mapping[str, Person]) -> None:
    """The same in the end, with a tick at what is right."""
    table = _table("After")
    for owner, wanted in AFTER.items():
        found: dict[str, Entry | None] = dict.fromkeys(wanted)
        found.update(rosters[owner].entries)
        shown_owner = owner
        for jid, entry in found.items():
            should = wrong_entry(stage, owner, jid, entry, wanted)
            shown = "not there" if entry is None else str(entry)
            table.add_row(shown_owner, jid, tick(shown, should))
            shown_owner = ""
    stage.console.print(table)


def wrong_entry(
    stage: Stage, owner: str, jid: str, found: Entry | None, wanted: Mapping[str, Entry | None]
) -> str | None:
    """What an entry has to be, if it is not; notes that as a problem."""
    right = wanted.get(jid)
    if found == right:
        return None
    should = "not be there" if right is None else f"be {right}"
    stage.wrong.append(f"{owner}: the entry {jid} is {found or 'not there'}; it has to {should}")
    return should


def tick(shown: str, should: str | None) -> Text:
    """A state, and whether it is right."""
    if should is None:
        return Text.assemble(shown, (" ✓", "green"))
    return Text.assemble(shown, (f" ✗ has to {should}", "red"))


def _table(title: str) -> Table:
    return Table(
        "roster of",
        "entry",
        "state",
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )

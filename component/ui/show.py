"""Moves as tables and stories for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from component.core.model import RosterItem
from component.core.records import AuditRecord, CheckLine, MoveRecord, MoveState
from component.ui.terminal import marks, printable, utc
from component.ui.words import SHORT_STATES, STATES, reason_words

_COLOURS = {
    MoveState.DONE: "green",
    MoveState.RELEASED: "yellow",
    MoveState.HANDED_BACK: "yellow",
}


def _state(move: MoveRecord) -> str:
    return "undone" if move.undone_at is not None else SHORT_STATES[move.state]


def print_moves(console: Console, moves: Sequence[MoveRecord]) -> None:
    """Contacts who were followed, as ``moves`` lists them: one row each, newest first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "When", "Contact", "Old → new", "State", "Reason"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "ID" else "left")
    for move in moves:
        table.add_row(
            str(move.id),
            utc(move.at),
            safe(move.contact),
            safe(f"{move.old} → {move.new}"),
            Text(_state(move), style=_COLOURS.get(move.state, "")),
            Text(reason_words(move.reason)),
        )
    console.print(table)


def print_story(console: Console, move: MoveRecord, audit: Sequence[AuditRecord]) -> None:
    """The story of ``show ID``: what was asked, when, why it ended so, and the roster."""
    console.print(safe(f"Move {move.id}: {move.old} → {move.new}", "bold"))
    console.print(facts_table(_facts(move)))
    console.print()
    if audit:
        console.print(_roster_table("Before", "After", _changes(audit)))
    else:
        console.print("The roster was not changed by us. When the request came:")
        console.print(_roster_table("Entry", None, _as_it_was(move)))


def print_check(console: Console, line: CheckLine) -> None:
    """One line of ``check``, with what to do beneath it where it failed, or might be better."""
    good, remark, bad = marks(console.file)
    mark, style = (good, "green") if line.ok else (bad, "bold red")
    if line.ok and line.remedy:
        mark, style = remark, "bold yellow"
    text = Text(mark, style=style)
    text.append(f" {printable(line.name)}: {printable(line.found)}", style="not bold default")
    console.print(text)
    if line.remedy:
        indent = " " * (len(good) + 1)
        for part in line.remedy.splitlines():
            console.print(Text(f"{indent}{printable(part)}"))


def facts_table(facts: Sequence[tuple[str, str]]) -> Table:
    """Labels and what belongs to them, in two columns."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in facts:
        table.add_row(label, safe(value))
    return table


def roster_words(item: RosterItem | None) -> str:
    """A roster entry in a line: subscription, name and groups."""
    if item is None:
        return "not on the roster"
    parts = [item.subscription.value + (" (asked)" if item.ask else "")]
    if item.name:
        parts.append(f'"{item.name}"')
    if item.groups:
        parts.append(f"in {', '.join(item.groups)}")
    return ", ".join(parts)


def _facts(move: MoveRecord) -> list[tuple[str, str]]:
    facts = [
        ("On the roster of", move.contact),
        ("Request came", utc(move.at)),
    ]
    if move.decided_at:
        facts.append(("Decided", _later(move.at, move.decided_at)))
    if move.settled_at:
        facts.append(("Ended", _later(move.at, move.settled_at)))
    if move.noticed_at:
        facts.append(("User told", utc(move.noticed_at)))
    if move.undone_at:
        facts.append(("Undone", utc(move.undone_at)))
    facts.append(("State", f"{SHORT_STATES[move.state]}. {STATES[move.state]}"))
    facts.append(("Reason", reason_words(move.reason)))
    if move.evidence:
        facts.append(("Evidence", move.evidence))
    if move.detail:
        facts.append(("Detail", move.detail))
    return facts


def _later(first: datetime, then: datetime) -> str:
    return f"{utc(then)} ({(then - first).total_seconds():.2f} s later)"


def _changes(audit: Sequence[AuditRecord]) -> list[tuple[str, str, str]]:
    return [(row.jid, roster_words(row.before), roster_words(row.after)) for row in audit]


def _as_it_was(move: MoveRecord) -> list[tuple[str, str, str]]:
    old, new = roster_words(move.old_item), roster_words(move.new_item)
    return [(move.old, old, ""), (move.new, new, "")]


def _roster_table(before: str, after: str | None, rows: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ["Address", before] + ([after] if after else [])
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(safe(cell) for cell in row[: len(headings)]))
    return table


def safe(text: str, style: str = "") -> Text:
    """Text that strangers may have chosen, fit for a terminal."""
    return Text(printable(text), style=style)

"""Users' own moves as tables and stories for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from component.core.journey.model import (
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    count,
)
from component.core.records import MoveRecord
from component.ui.show import facts_table, print_moves, safe
from component.ui.terminal import utc
from component.ui.words import (
    CONTACT_STATES,
    JOURNEY_STATES,
    KINDS,
    SHORT_CONTACT_STATES,
    counts_words,
    journey_name,
)

ALL_PAUSED: Final = "All moves of users are paused; `xmpp-moved resume` goes on."

COLOURS: Final[Mapping[JourneyState, str]] = {
    JourneyState.DONE: "green",
    JourneyState.PAUSED: "yellow",
    JourneyState.CANCELLED: "yellow",
    JourneyState.UNDOING: "yellow",
    JourneyState.UNDONE: "yellow",
}

Counted = tuple[Journey, Mapping[ContactState, int]]
"""A user's own move, and how many of its contacts are in each state."""


def print_all_moves(
    console: Console, journeys: Sequence[Counted], followed: Sequence[MoveRecord], *, paused: bool
) -> None:
    """What ``moves`` prints: users' own moves, if any, above contacts who were followed.

    :param paused: whether an admin has paused all of users' own
    """
    if paused:
        console.print(Text(ALL_PAUSED, style="yellow"))
    if not journeys and not followed:
        console.print("No moves.")
        return
    if journeys:
        console.print(Text("Users of this server who move", style="bold"))
        print_journeys(console, journeys)
    if journeys and followed:
        console.print()
        console.print(Text("Contacts who moved", style="bold"))
    if followed:
        print_moves(console, followed)


def print_journeys(console: Console, journeys: Sequence[Counted]) -> None:
    """One row each, newest first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "When", "Old → new", "State", "Contacts"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "ID" else "left")
    for journey, counts in journeys:
        table.add_row(
            journey_name(journey.id),
            utc(journey.started_at or journey.created_at),
            safe(f"{journey.old} → {journey.new}"),
            Text(journey.state.value, style=COLOURS.get(journey.state, "")),
            Text(counts_words(counts)),
        )
    console.print(table)


def print_journey(console: Console, journey: Journey, contacts: Sequence[JourneyContact]) -> None:
    """The story of ``show mID``: the move, and where each contact stands."""
    title = f"Move {journey_name(journey.id)}: {journey.old} → {journey.new}"
    console.print(safe(title, "bold"))
    console.print(facts_table(_facts(journey, contacts)))
    if not contacts:
        return
    console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Contact", "On the old roster", "State", "Tries", "Sent", "Due", "Error"):
        right = heading == "Tries"
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    for contact in contacts:
        table.add_row(
            safe(contact.jid),
            safe(_entry_words(contact)),
            SHORT_CONTACT_STATES[contact.state],
            str(contact.attempts),
            utc(contact.sent_at) if contact.sent_at else "",
            utc(contact.due_at) if contact.due_at else "",
            safe(contact.error or ""),
        )
    console.print(table)
    console.print()
    seen = {contact.state for contact in contacts}
    meanings = [
        (SHORT_CONTACT_STATES[state], words)
        for state, words in CONTACT_STATES.items()
        if state in seen
    ]
    console.print(facts_table(meanings))


def _facts(journey: Journey, contacts: Sequence[JourneyContact]) -> list[tuple[str, str]]:
    facts = [
        ("Accounts", KINDS[journey.kind]),
        ("Ordered by", journey.owner),
        ("Prepared", utc(journey.created_at)),
    ]
    if journey.started_at:
        facts.append(("Started", utc(journey.started_at)))
    if journey.ended_at:
        facts.append(("Ended", utc(journey.ended_at)))
    facts.append(("State", f"{journey.state.value}. {JOURNEY_STATES[journey.state]}"))
    if journey.detail:
        facts.append(("Because of", journey.detail))
    if journey.access:
        facts.append(("Statement read by", journey.access.value))
    facts.append(("Contacts", counts_words(count(contact.state for contact in contacts))))
    return facts


def _entry_words(contact: JourneyContact) -> str:
    parts = [contact.subscription.value]
    if contact.name:
        parts.append(f'"{contact.name}"')
    if contact.groups:
        parts.append(f"in {', '.join(contact.groups)}")
    return ", ".join(parts)

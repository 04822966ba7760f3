"""What is known of moves from outside: the control socket, and the command line beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tests.live.movers.control import PATIENCE, Watch
from tests.live.movers.people import Person
from tests.live.movers.world import House

FINAL = ("done", "cancelled", "undone")


def is_of(old: Person, new: Person) -> Callable[[dict[str, Any]], bool]:
    """Picks the progress of the move between these two."""

    def picks(progress: dict[str, Any]) -> bool:
        journey = progress["journey"]
        return bool(journey["old"] == old.jid and journey["new"] == new.jid)

    return picks


async def progress_of(house: House, old: Person, new: Person) -> dict[str, Any]:
    """The newest move between these two, as its component has it."""
    listed = await house.orders.order("list")
    return next(progress for progress in listed if is_of(old, new)(progress))


async def states_of(house: House, old: Person, new: Person) -> dict[str, str]:
    """State of each contact of the move between these two."""
    progress = await progress_of(house, old, new)
    shown = await house.orders.order("show", id=progress["journey"]["id"])
    return {contact["jid"]: contact["state"] for contact in shown["contacts"]}


async def until(
    watch: Watch,
    old: Person,
    new: Person,
    states: Collection[str],
    *,
    counts: Mapping[str, int] | None = None,
    timeout: float = PATIENCE,
) -> dict[str, Any]:
    """Wait until the move is in one of these states, and its contacts are so many in each."""
    picks = is_of(old, new)

    def holds(progress: dict[str, Any]) -> bool:
        fits = picks(progress) and progress["journey"]["state"] in states
        return fits and (counts is None or progress["counts"] == dict(counts))

    what = f"{old.jid} -> {new.jid} {'/'.join(states)} {dict(counts or {})}"
    return await watch.until(holds, what, timeout)


async def check_views(
    house: House, old: Person, new: Person, wanted: Mapping[str, str], state: str
) -> None:
    """See that every view of a move agrees: the socket's, ``moves --json``, ``show m<ID> --json``.

    ``wanted`` holds the state of each contact.
    """
    progress = await progress_of(house, old, new)
    number = progress["journey"]["id"]
    found = await states_of(house, old, new)
    differing = {jid: state for jid, state in found.items() if state != wanted.get(jid)}
    assert found == wanted, f"among {len(found)}: {differing}"
    assert progress["journey"]["state"] == state
    assert progress["counts"] == dict(Counter(wanted.values()))
    assert progress["total"] == len(wanted)

    code, text = await house.running_daemon.run_command("moves", "--json")
    assert code == 0, text
    listed = json.loads(text)["journeys"]
    listed_as = next(entry for entry in listed if _journey(entry)["id"] in (number, f"m{number}"))
    assert (_journey(listed_as)["state"], listed_as["counts"]) == (state, progress["counts"])

    code, text = await house.running_daemon.run_command("show", f"m{number}", "--json")
    assert code == 0, text
    shown = json.loads(text)
    assert {entry["jid"]: entry["state"] for entry in shown["contacts"]} == wanted


def _journey(entry: dict[str, Any]) -> dict[str, Any]:
    inner = entry.get("journey", entry)
    assert isinstance(inner, dict)
    return inner

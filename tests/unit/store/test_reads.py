"""What is read for a request, or every few seconds, is found by an index, in any journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from component.store import Store
from tests.unit.store.support import NOON, url_of

Read = Callable[[Store], Awaitable[Any]]
READS: dict[str, tuple[Read, str]] = {
    "an earlier move": (
        lambda store: store.latest_done("c@x", "o@x", "n@x"),
        "ix_moves_contact_old_new_settled_at (contact=? AND old=? AND new=?)",
    ),
    "a later move": (
        lambda store: store.has_later("c@x", 7, ("o@x", "n@x")),
        "COVERING INDEX ix_moves_contact_old_new_settled_at (contact=?",
    ),
    "a contact's moves": (
        lambda store: store.list_moves(contact="c@x"),
        "ix_moves_contact_old_new_settled_at (contact=?)",
    ),
    "whom an account has followed": (
        lambda store: store.followed_by("c@x", NOON),
        "ix_moves_contact_old_new_settled_at (contact=?",
    ),
    "what is open": (lambda store: store.unsettled(), "ix_moves_state_settled_at (state=?)"),
    "where somebody went": (
        lambda store: store.journeys.successor("o@x"),
        "ix_journeys_old (old=?)",
    ),
    "one contact of a move": (
        lambda store: store.journeys.contact(7, "c@x"),
        "sqlite_autoindex_journey_contacts_1 (journey_id=? AND jid=?)",
    ),
    "what is watched": (
        lambda store: store.journeys.watched(NOON),
        "ix_journeys_state (state=?)",
    ),
    "what has had its time": (
        lambda store: store.journeys.had_time(NOON),
        "ix_journeys_state (state=?)",
    ),
    "open hand-overs": (lambda store: store.handovers.open(), "ix_handovers_state (state=?)"),
}


@pytest.mark.parametrize("what", READS)
async def test_an_index_finds_it(what: str, tmp_path: Path) -> None:
    """SQLite guesses which index is best, without having counted: it has guessed wrong."""
    read, index = READS[what]
    asked: list[tuple[str, Any]] = []

    def note(*given: Any) -> None:
        asked.append((given[2], given[3]))

    async with await Store.open(url_of(tmp_path / "m.db")) as store:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await read(store)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    statement, values = asked[-1]
    with closing(sqlite3.connect(tmp_path / "m.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    steps = " ".join(step[3] for step in plan)
    assert index in steps
    assert "SCAN" not in steps

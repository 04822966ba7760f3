"""What changed in a PostgreSQL database since a moment, exact to the transaction.

Triggers note what changed in the table ``changes``, with the number of their transaction (migration
0003).  A time, or a rising number, of the row would not do to read on from: a transaction that
began earlier can commit later, and a reader that has gone on misses it.  Therefore the cursor is a
snapshot of the database.  What a later snapshot sees and this one did not are the transactions that
began after it, and those that were in progress (PostgreSQL manual, "Transaction ID and Snapshot
Information Functions"): neither can be missed, none is told twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Row, delete, exists, func, or_, select, text

from component.core.model import Reason
from component.core.records import Accepted, MoveState
from component.store.models import Audit, ChangedRow, Move, RunTimeRow, SettingsRow, table
from component.store.settings import settings_of, value_of
from component.store.shared import CHANGES_KEPT_SECONDS, Changes, Cursor

_moves = table(Move)
_audit = table(Audit)
_changes = table(ChangedRow)
_settings = table(SettingsRow)
_run_time = table(RunTimeRow)

T = TypeVar("T")
Rows: TypeAlias = list[Row[Any]]

_CHUNK = 1000
_PRUNED = 1000
"""Rows forgotten at once: more than are noted in a second."""
_KEPT = timedelta(seconds=CHANGES_KEPT_SECONDS)
_NOW = text("SELECT pg_current_snapshot()::text AS snapshot, now() AS at")


def read(connection: Connection, since: Cursor | None, holder: str) -> tuple[Cursor, Changes]:
    """The changes of others than ``holder``; needs a transaction that has executed nothing yet."""
    # One snapshot for all the statements below.
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    now = connection.execute(_NOW).one()
    cursor = Cursor(now.snapshot, now.at)
    if since is None:
        return cursor, Changes()
    if cursor.at - since.at > _KEPT or _xmax(cursor) < _xmax(since):
        # Forgotten meanwhile; or the database is a restored one, with a history of its own.
        return cursor, Changes(everything=True)
    return cursor, _between(connection, since, holder)


def prune(connection: Connection) -> None:
    """Forget some changes that are too old to be told."""
    old = (
        select(_changes.c.id)
        .where(_changes.c.at < func.now() - _KEPT)
        .limit(_PRUNED)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    connection.execute(delete(_changes).where(_changes.c.id.in_(select(old.c.id))))


def _between(connection: Connection, since: Cursor, holder: str) -> Changes:
    unseen = or_(_changes.c.xact >= _xmax(since), _changes.c.xact.in_(_in_progress(since)))
    refs: dict[str, set[str]] = {}
    for what, ref in connection.execute(select(_changes.c.what, _changes.c.ref).where(unseen)):
        refs.setdefault(what, set()).add(ref)
    moves = _moves_of_others(connection, sorted(map(int, refs.get("moves", ()))), holder)
    verified = [row for row in moves if row.reason == Reason.VERIFIED.value]
    undone = [row for row in moves if row.undone_at is not None]
    chosen = {}
    for jids in _chunks(sorted(refs.get("settings", ()))):
        found = connection.execute(select(_settings).where(_settings.c.jid.in_(jids)))
        chosen.update({row.jid: settings_of(row) for row in found})
    run_time = None
    if "run_time" in refs:
        run_time = {row.key: value_of(row) for row in connection.execute(select(_run_time))}
    return Changes(
        tuple(Accepted(m.old, m.new, m.settled_at) for m in verified if m.undone_at is None),
        tuple(Accepted(m.old, m.new, m.undone_at) for m in undone),
        tuple((m.contact, m.old, m.new) for m in undone if m.declined),
        chosen,
        run_time,
    )


def _moves_of_others(connection: Connection, ids: Sequence[int], holder: str) -> Rows:
    declined = exists().where(
        _audit.c.move_id == _moves.c.id, _audit.c.reason == Reason.UNDONE.value
    )
    found: Rows = []
    for some in _chunks(ids):
        wanted = (
            select(*_WANTED, declined.label("declined"))
            .where(
                _moves.c.id.in_(some),
                _moves.c.state == MoveState.DONE.value,
                _moves.c.holder.is_distinct_from(holder),
            )
            .order_by(_moves.c.settled_at, _moves.c.id)
        )
        found.extend(connection.execute(wanted))
    return found


_WANTED = tuple(
    _moves.c[name] for name in ("contact", "old", "new", "reason", "settled_at", "undone_at")
)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _xmax(cursor: Cursor) -> int:
    """The first transaction that had not begun yet."""
    return int(cursor.snapshot.split(":")[1])


def _in_progress(cursor: Cursor) -> list[int]:
    numbers = cursor.snapshot.split(":")[2]
    return [int(number) for number in numbers.split(",") if number]

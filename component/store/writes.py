"""The three writes of the hot path, executed for many callers with few statements; and undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from component.core.records import MoveState
from component.store.holder import ALONE, Holder
from component.store.models import Audit, Move, table
from component.store.upsert import insert_into

_moves = table(Move)
_audit = table(Audit)

Key: TypeAlias = tuple[str, str, str]
Changes: TypeAlias = tuple[tuple[str, str | None, str | None], ...]
"""(JID, JSON before, JSON after) of each."""


@dataclass(frozen=True, slots=True)
class AddRow:
    """Insert a move; the result has its id, or that of the row with the same ``key``.

    With a ``verdict`` the row is decided as by a :class:`DecideRow` that follows, and the result
    also says what that one's would.
    """

    key: Key
    values: dict[str, Any]
    verdict: dict[str, Any] | None = None
    """By columns."""


@dataclass(frozen=True, slots=True)
class DecideRow:
    """Decide an undecided move; the result says whether it was one."""

    id: int
    verdict: dict[str, Any]
    """By columns."""


@dataclass(frozen=True, slots=True)
class SettleRow:
    """End a move and explain the changes; the result is False if it had ended before."""

    id: int
    at: datetime
    reason: str
    values: dict[str, Any]
    changes: Changes


Write: TypeAlias = AddRow | DecideRow | SettleRow
Added: TypeAlias = tuple[int, bool]
"""What comes of an :class:`AddRow`: the row's id, and whether its verdict holds."""
Result: TypeAlias = Added | bool

FINAL = tuple(state.value for state in MoveState if state.final)
OPEN = tuple(state.value for state in MoveState if not state.final)


def may_decide(state: str) -> bool:
    """A verdict needs a row that nothing was decided about.

    A second verdict changes nothing: the first may have left, and what the server made of it is
    for :class:`SettleRow` to record.
    """
    return state == MoveState.DIVERTED


def may_settle(state: str) -> bool:
    """Any row that has not ended may end."""
    return state in OPEN


_ON_CONFLICT = ("request_id", "instance", "contact")
_RETURNED = (_moves.c.id, *(_moves.c[name] for name in _ON_CONFLICT))
_NEWEST = select(func.max(_moves.c.id))


@cache
def _add_statement(dialect: str) -> Executable:
    new = insert_into(_moves, dialect)
    # A conflicting row is "updated" to what it was, so that RETURNING gives its id.
    changes: dict[str, ColumnElement[Any]] = {"request_id": new.excluded.request_id}
    inserted: ColumnElement[Any] = null()
    if dialect == "postgresql":
        # A row version that nothing has locked or replaced: PostgreSQL manual, "System Columns".
        inserted = literal_column("xmax = 0")
        # Diverted again, to us: the server knows best which instance it can reach.  Without
        # parameters of its own, which would keep many rows from being one statement.
        held = case((_moves.c.settled_at.is_(None), new.excluded.holder), else_=_moves.c.holder)
        changes = {"holder": held}
    return new.on_conflict_do_update(index_elements=_ON_CONFLICT, set_=changes).returning(
        inserted, *_RETURNED
    )


_FOUND = (
    select(_moves.c.id, _moves.c.state, _moves.c.contact, _moves.c.evidence, _moves.c.holder)
    .where(_moves.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_moves.c.id)
    .with_for_update()
)
_DECIDE = (
    update(_moves)
    .where(_moves.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        reason=bindparam("b_reason"),
        evidence=bindparam("b_evidence"),
        plan=bindparam("b_plan"),
        decided_at=bindparam("b_decided_at"),
        old_account=bindparam("b_old_account"),
        new_account=bindparam("b_new_account"),
    )
)
_SETTLE = (
    update(_moves)
    .where(_moves.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        reason=bindparam("b_reason"),
        detail=bindparam("b_detail"),
        settled_at=bindparam("b_at"),
        noticed_at=bindparam("b_noticed_at"),
        stanza="",  # whoever sent it chose its length; only what is open may be handed back
    )
)
_EXPLAIN = insert(_audit)
_UNDOABLE = (
    select(_moves.c.contact, _moves.c.evidence)
    .where(
        _moves.c.id == bindparam("b_id"),
        _moves.c.state == MoveState.DONE.value,
        _moves.c.undone_at.is_(None),
    )
    .with_for_update()
)
_EVIDENCE = select(_moves.c.evidence).where(_moves.c.id == bindparam("b_id"))
_UNDO = (
    update(_moves)
    .where(_moves.c.id == bindparam("b_id"))
    .values(undone_at=bindparam("b_at"), holder=bindparam("b_holder"))
)


def apply(connection: Connection, writes: Sequence[Write], holder: Holder = ALONE) -> list[Result]:
    """Execute ``writes`` in the caller's transaction; the results have the same order.

    The outcome is that of executing them one after the other; verdicts and settlements of what
    ``holder`` may not change are False.  Errors of the driver are passed on: the caller rolls
    back.
    """
    adds = [write for write in writes if isinstance(write, AddRow)]
    added = _add(connection, adds, holder.name) if adds else {}
    later: list[DecideRow | SettleRow] = []
    for write in writes:
        if not isinstance(write, AddRow):
            later.append(write)
        elif write.verdict is not None and added[write.key].by is not write:
            later.append(DecideRow(added[write.key].id, write.verdict))
    changed = iter(_change(connection, later, holder))
    results: list[Result] = []
    for write in writes:
        if not isinstance(write, AddRow):
            results.append(next(changed))
            continue
        row = added[write.key]
        decided = write.verdict is not None and (row.by is write or next(changed))
        results.append((row.id, decided))
    return results


@dataclass(frozen=True, slots=True)
class _Added:
    id: int
    by: AddRow | None
    """Whose values the row has; None: it was there before."""


def _add(connection: Connection, adds: list[AddRow], holder: str | None) -> dict[Key, _Added]:
    firsts = {write.key: write for write in reversed(adds)}  # of equals the first counts
    ordered = [_added_values(firsts[key], holder) for key in dict.fromkeys(w.key for w in adds)]
    dialect = connection.dialect.name
    # SQLite does not say which rows are new, but has one writer, and counts upwards.
    newest = (connection.scalar(_NEWEST) or 0) if dialect == "sqlite" else 0
    found: dict[Key, _Added] = {}
    for inserted, id_, *key in connection.execute(_add_statement(dialect), ordered):
        write = firsts[key[0], key[1], key[2]]
        is_new = id_ > newest if dialect == "sqlite" else inserted
        found[write.key] = _Added(id_, write if is_new else None)
    return found


def _added_values(write: AddRow, holder: str | None) -> dict[str, Any]:
    return {**write.values, **(write.verdict or _UNDECIDED), "holder": holder}


_UNDECIDED = dict.fromkeys(
    ("reason", "evidence", "plan", "decided_at", "old_account", "new_account")
)


@dataclass(slots=True)
class _Row:
    state: str
    contact: str
    evidence: str | None


def _change(
    connection: Connection, writes: list[DecideRow | SettleRow], holder: Holder
) -> list[bool]:
    if not writes:
        return []
    found = connection.execute(_FOUND, {"ids": sorted({write.id for write in writes})})
    rows = {
        row.id: _Row(row.state, row.contact, row.evidence)
        for row in found
        if holder.may_change(row.holder)
    }
    results: list[bool] = []
    decided: list[dict[str, Any]] = []
    settled: list[dict[str, Any]] = []
    explained: list[dict[str, Any]] = []
    for write in writes:  # in order of arrival: each sees what the ones before it did
        row = rows.get(write.id)
        if isinstance(write, DecideRow):
            allowed = row is not None and may_decide(row.state)
        else:
            allowed = row is not None and may_settle(row.state)
        results.append(allowed)
        if row is None or not allowed:
            continue
        if isinstance(write, DecideRow):
            row.state, row.evidence = write.verdict["state"], write.verdict["evidence"]
            values = {f"b_{column}": value for column, value in write.verdict.items()}
            decided.append({"b_id": write.id, **values})
        else:
            row.state = write.values["b_state"]
            settled.append(write.values)
            explained.extend(_explain(write, row))
    # An allowed verdict always comes before the settlement of its row, hence this order.
    if decided:
        connection.execute(_DECIDE, decided)
    if settled:
        connection.execute(_SETTLE, settled)
    if explained:
        connection.execute(_EXPLAIN, explained)
    return results


def undo(
    connection: Connection,
    id_: int,
    at: datetime,
    reason: str,
    changes: Changes,
    holder: Holder = ALONE,
    reopens: int | None = None,
) -> bool:
    """Mark a move that is DONE as taken back and explain how; False where it is not, or was.

    Nobody works on it any more, so anybody may; of several one does.

    :param reopens: one that is taken back no longer.
    """
    found = connection.execute(_UNDOABLE, {"b_id": id_}).first()
    if found is None:
        return False
    connection.execute(_UNDO, {"b_id": id_, "b_at": at, "b_holder": holder.name})
    if reopens is not None:
        connection.execute(_UNDO, {"b_id": reopens, "b_at": None, "b_holder": holder.name})
    if changes:
        row = _Row(MoveState.DONE, found.contact, found.evidence)
        connection.execute(_EXPLAIN, _audit_rows(id_, at, reason, changes, row))
    return True


def explain(
    connection: Connection, id_: int, at: datetime, user: str, reason: str, changes: Changes
) -> bool:
    """Explain changes of another user's list by a move; False where there is none."""
    found = connection.execute(_EVIDENCE, {"b_id": id_}).first()
    if found is None:
        return False
    row = _Row(MoveState.DONE, user, found.evidence)
    connection.execute(_EXPLAIN, _audit_rows(id_, at, reason, changes, row))
    return True


def _explain(write: SettleRow, row: _Row) -> list[dict[str, Any]]:
    return _audit_rows(write.id, write.at, write.reason, write.changes, row)


def _audit_rows(
    id_: int, at: datetime, reason: str, changes: Changes, row: _Row
) -> list[dict[str, Any]]:
    return [
        {
            "move_id": id_,
            "at": at,
            "contact": row.contact,
            "jid": jid,
            "reason": reason,
            "evidence": row.evidence,
            "before": before,
            "after": after,
        }
        for jid, before, after in changes
    ]

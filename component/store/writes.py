"""The three writes of the hot path, executed for many callers with few statements; and undo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, bindparam, case, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from component.core.records import MoveState
from component.store.holder import ALONE, Holder
from component.store.models import Audit, Move, table

_moves = table(Move)
_audit = table(Audit)

Key: TypeAlias = tuple[str, str, str]
Changes: TypeAlias = tuple[tuple[str, str | None, str | None], ...]
"""(JID, JSON before, JSON after) of each."""


@dataclass(frozen=True, slots=True)
class AddRow:
    """Insert a move; the result is its id, or that of the row with the same ``key``."""

    key: Key
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DecideRow:
    """Put an undecided move into ``values['b_state']``; the result says whether it was one."""

    id: int
    evidence: str | None
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SettleRow:
    """End a move and explain the changes; the result is False if it had ended before."""

    id: int
    at: datetime
    reason: str
    values: dict[str, Any]
    changes: Changes


Write: TypeAlias = AddRow | DecideRow | SettleRow
Result: TypeAlias = int | bool

FINAL = tuple(state.value for state in MoveState if state.final)
OPEN = tuple(state.value for state in MoveState if not state.final)


def may_decide(state: str) -> bool:
    """A verdict needs a row that nothing was decided about.

    TAKING does not go back to RELEASING: the verdict may have left, and what the server
    made of it is for :class:`SettleRow` to record.
    """
    return state == MoveState.DIVERTED


def may_settle(state: str) -> bool:
    """Any row that has not ended may end."""
    return state in OPEN


_ON_CONFLICT = ("request_id", "instance", "contact")
_RETURNED = (_moves.c.id, _moves.c.request_id, _moves.c.instance, _moves.c.contact)
# A conflicting row is "updated" to what it was, so that RETURNING gives its id.
_lite = sqlite.insert(_moves)
_post = postgresql.insert(_moves)
_ADD = {
    "sqlite": _lite.on_conflict_do_update(
        index_elements=_ON_CONFLICT, set_={"request_id": _lite.excluded.request_id}
    ).returning(*_RETURNED),
    "postgresql": _post.on_conflict_do_update(
        index_elements=_ON_CONFLICT,
        set_={
            # Diverted again, to us: the server knows best which instance it can reach.  Without
            # parameters of its own, which would keep many rows from being one statement.
            "holder": case(
                (_moves.c.settled_at.is_(None), _post.excluded.holder), else_=_moves.c.holder
            )
        },
    ).returning(*_RETURNED),
}
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
        decided_at=bindparam("b_at"),
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
    ids = _add(connection, adds, holder.name) if adds else {}
    later = _change(connection, [w for w in writes if not isinstance(w, AddRow)], holder)
    changed = iter(later)
    return [ids[write.key] if isinstance(write, AddRow) else next(changed) for write in writes]


def _add(connection: Connection, adds: list[AddRow], holder: str | None) -> dict[Key, int]:
    rows = {write.key: write.values for write in reversed(adds)}  # of equals the first counts
    keys = dict.fromkeys(write.key for write in adds)
    ordered = [{**rows[key], "holder": holder} for key in keys]
    result = connection.execute(_ADD[connection.dialect.name], ordered)
    return {(request, instance, contact): id_ for id_, request, instance, contact in result}


@dataclass(slots=True)
class _Row:
    state: str
    contact: str
    evidence: str | None


def _change(
    connection: Connection, writes: list[DecideRow | SettleRow], holder: Holder
) -> list[Result]:
    if not writes:
        return []
    found = connection.execute(_FOUND, {"ids": sorted({write.id for write in writes})})
    rows = {
        row.id: _Row(row.state, row.contact, row.evidence)
        for row in found
        if holder.may_change(row.holder)
    }
    results: list[Result] = []
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
        row.state = write.values["b_state"]
        if isinstance(write, DecideRow):
            row.evidence = write.evidence
            decided.append(write.values)
        else:
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
) -> bool:
    """Mark a move that is DONE as taken back and explain how; False where it is not, or was.

    Nobody works on it any more, so anybody may; of several one does.
    """
    found = connection.execute(_UNDOABLE, {"b_id": id_}).first()
    if found is None:
        return False
    connection.execute(_UNDO, {"b_id": id_, "b_at": at, "b_holder": holder.name})
    if changes:
        row = _Row(MoveState.DONE, found.contact, found.evidence)
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

"""Between the records of the core and the rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from component.core.model import Reason
from component.core.records import (
    AuditRecord,
    Change,
    MoveRecord,
    MoveState,
    NewRecord,
    Settlement,
    VerdictRecord,
)
from component.store.errors import RowDamaged
from component.store.jsonio import item_from_json, item_to_json, optional_item_from_json
from component.store.models import Audit, Move, as_utc
from component.store.writes import AddRow, Changes, DecideRow, SettleRow


def add_row(record: NewRecord, verdict: VerdictRecord | None = None) -> AddRow:
    """The row of a new move, decided at once with a verdict; ValueError for a time without zone."""
    divert = record.divert
    return AddRow(
        (divert.request_id, divert.instance, divert.contact),
        {
            "at": as_utc(record.at),
            "state": MoveState.DIVERTED.value,
            "request_id": divert.request_id,
            "instance": divert.instance,
            "contact": divert.contact,
            "old": divert.old,
            "new": divert.new,
            "old_item": item_to_json(divert.old_item),
            "new_item": item_to_json(divert.new_item),
            "stanza": divert.stanza,
            "account": divert.account,
        },
        None if verdict is None else _decision(verdict),
    )


def decide_row(id_: int, record: VerdictRecord) -> DecideRow:
    """The update of a verdict; ValueError for a time without zone."""
    return DecideRow(id_, _decision(record))


def _decision(record: VerdictRecord) -> dict[str, Any]:
    return {
        "state": MoveState.TAKING.value,
        "reason": record.reason.value,
        "evidence": record.evidence,
        "plan": record.plan,
        "decided_at": as_utc(record.at),
        "old_account": record.old_account,
        "new_account": record.new_account,
    }


def settle_row(id_: int, record: Settlement) -> SettleRow:
    """The update of a settlement.  ValueError for a state that is not final."""
    if not record.state.final:
        raise ValueError(f"{record.state} ends nothing; give done, released or handed-back")
    at = as_utc(record.at)
    return SettleRow(
        id_,
        at,
        record.reason.value,
        {
            "b_id": id_,
            "b_state": record.state.value,
            "b_reason": record.reason.value,
            "b_detail": record.detail,
            "b_at": at,
            "b_noticed_at": at if record.notice else None,
        },
        change_texts(record.changes),
    )


def change_texts(changes: Iterable[Change]) -> Changes:
    """Changes as (JID, JSON before, JSON after)."""
    return tuple(
        (change.jid, item_to_json(change.before), item_to_json(change.after)) for change in changes
    )


def move_record(row: Move) -> MoveRecord:
    """A stored move; RowDamaged where a column holds what no release ever wrote."""
    try:
        return MoveRecord(
            id=row.id,
            at=row.at,
            state=MoveState(row.state),
            reason=None if row.reason is None else Reason(row.reason),
            detail=row.detail,
            evidence=row.evidence,
            plan=row.plan,
            decided_at=row.decided_at,
            settled_at=row.settled_at,
            request_id=row.request_id,
            instance=row.instance,
            contact=row.contact,
            old=row.old,
            new=row.new,
            old_item=item_from_json(row.old_item),
            new_item=optional_item_from_json(row.new_item),
            stanza=row.stanza,
            noticed_at=row.noticed_at,
            undone_at=row.undone_at,
            account=row.account,
            old_account=row.old_account,
        )
    except ValueError as error:
        raise RowDamaged(f"move {row.id} is damaged ({error}); restore a backup") from error


def audit_record(row: Audit) -> AuditRecord:
    """A stored change; RowDamaged as for :func:`move_record`."""
    try:
        return AuditRecord(
            id=row.id,
            move_id=row.move_id,
            at=row.at,
            contact=row.contact,
            jid=row.jid,
            reason=Reason(row.reason),
            evidence=row.evidence,
            before=optional_item_from_json(row.before),
            after=optional_item_from_json(row.after),
        )
    except ValueError as error:
        raise RowDamaged(
            f"audit row {row.id} of move {row.move_id} is damaged ({error}); restore a backup"
        ) from error

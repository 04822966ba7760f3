"""The journal of diverted requests and the audit of roster changes, on SQL.

The only names the rest of the component uses are those exported here.
"""

from __future__ import annotations

from component.store.errors import (
    LeaseLost,
    RowDamaged,
    RowRefused,
    SchemaTooNew,
    SchemaTooOld,
    StoreBusy,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreMissing,
    StoreReadOnly,
)
from component.store.schema import upgrade
from component.store.store import Store

__all__ = [
    "LeaseLost",
    "RowDamaged",
    "RowRefused",
    "SchemaTooNew",
    "SchemaTooOld",
    "Store",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreMissing",
    "StoreReadOnly",
    "upgrade",
]

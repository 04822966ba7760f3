"""What can go wrong with the database, each as one sentence that names the remedy.

Every exception of this package derives from :class:`StoreError`; its text is meant
for an administrator and needs no traceback beside it.
"""

from __future__ import annotations

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import DataError as SADataError
from sqlalchemy.exc import InterfaceError as SAInterfaceError
from sqlalchemy.exc import ProgrammingError as SAProgrammingError
from sqlalchemy.exc import StatementError as SAStatementError


class StoreError(Exception):
    """The store cannot do what was asked; the text says why and what to do."""


class StoreMissing(StoreError):
    """The database does not exist and this caller may not create it."""


class StoreLocked(StoreError):
    """Another process writes to the same SQLite file."""


class SchemaTooNew(StoreError):
    """The database was written by a newer release than this code."""


class SchemaTooOld(StoreError):
    """The database needs ``xmpp-moved db upgrade`` before this code may use it."""


class StoreBusy(StoreError):
    """More writes wait than the queue may hold; this one was not queued."""


class StoreClosed(StoreError):
    """The store was closed, or opened for reading only."""


class StoreFull(StoreError):
    """No space is left on the device; nothing of the transaction was kept."""


class StoreReadOnly(StoreError):
    """The file, its folder or its file system does not allow writing."""


class LeaseLost(StoreError):
    """Another instance holds this now; nothing was written."""


class RowRefused(StoreError):
    """The database refused this one row; other rows are not affected."""


class RowDamaged(StoreError):
    """A stored row cannot be understood."""


_TOLD_ALREADY = (LeaseLost, RowDamaged, RowRefused)
_ROW_FAULTS = (IntegrityError, SADataError, SAInterfaceError, SAProgrammingError)
_PLAIN_FAULTS = (TypeError, ValueError, OverflowError)


def is_row_fault(error: BaseException) -> bool:
    """True where one row's content is to blame, so that its neighbours may still succeed."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return False
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(state, str) and state[:2] in ("22", "23"):
            return True  # SQL standard classes: data exception, integrity constraint violation
        return isinstance(error, _ROW_FAULTS)
    return isinstance(error, (SAStatementError, *_TOLD_ALREADY, *_PLAIN_FAULTS))


def was_rolled_back(error: DBAPIError) -> bool:
    """True where PostgreSQL undid a transaction that may succeed when it is tried again.

    ``serialization_failure`` and ``deadlock_detected`` (its manual, appendix "Error Codes").
    """
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")


def translate(error: BaseException, where: str) -> StoreError:
    """The :class:`StoreError` for a failure of the driver.

    ``where`` names the database (a path, or a URL without its password).  Always a new
    object, so that several callers can be told of one failure.
    """
    if isinstance(error, StoreError):
        return type(error)(*error.args)
    cause = error.orig if isinstance(error, SAStatementError) and error.orig else error
    code = getattr(cause, "sqlite_errorname", "") or ""
    found = _from_sqlite(code, where, str(cause))
    if found is None:
        found = _from_postgresql(getattr(cause, "sqlstate", "") or "", where, _short(cause))
    if found is None and is_row_fault(error):
        found = RowRefused(f"{where} refused this row: {_short(cause)}; report this as a bug")
    if found is None and isinstance(error, (OperationalError, DatabaseError, DBAPIError)):
        found = StoreError(f"{where} failed: {_short(cause)}; check the database and its log")
    if found is None and isinstance(error, OSError):
        found = StoreError(
            f"{where} cannot be reached: {_short(error)}; check that the database server runs "
            f"and that [database] url is right"
        )
    return found or StoreError(f"{where} failed: {_short(cause)}")


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _from_sqlite(code: str, where: str, text: str) -> StoreError | None:
    """Meaning of an SQLite result code (https://www.sqlite.org/rescode.html)."""
    if code.startswith("SQLITE_FULL"):
        return StoreFull(f"{where}: the disk is full; free space and writes work again")
    if code.startswith("SQLITE_READONLY"):
        return StoreReadOnly(
            f"{where} is read-only for this user ({text}); give the user that runs xmpp-moved "
            f"write access to the file and its folder, or run the command as that user"
        )
    if code.startswith("SQLITE_CANTOPEN"):
        return StoreError(
            f"{where} cannot be opened ({text}); give the user that runs xmpp-moved access to "
            f"the file and its folder"
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"{where} is damaged or no SQLite database ({text}); restore it from a backup, or "
            f"move it away and a new one will be created"
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            f"{where} is locked by another program ({text}); find it with `fuser {where}` and "
            f"end it"
        )
    if code.startswith("SQLITE_IOERR"):
        return StoreError(
            f"{where}: the disk reports an error ({text}, {code}); check its space, quota and "
            f"the kernel log"
        )
    return None


def _from_postgresql(state: str, where: str, text: str) -> StoreError | None:
    """Meaning of an SQLSTATE (PostgreSQL manual, appendix "Error Codes")."""
    if state in ("53100", "53200"):
        return StoreFull(f"{where}: no disk space or memory is left ({text}); free some")
    if state == "25006":
        return StoreReadOnly(
            f"{where} takes no writes ({text}); set [database] url to the primary server"
        )
    if state in ("55P03", "57014"):
        return StoreError(
            f"{where}: something else holds its tables, or it is overloaded ({text}); see "
            f"pg_stat_activity, and try again"
        )
    if state[:2] in ("28", "3D") or state == "42501":
        return StoreError(
            f"{where} does not let us in ({text}); check the user, the password and the name in "
            f"[database] url, and the rights of that user"
        )
    return None


__all__ = [
    "LeaseLost",
    "RowDamaged",
    "RowRefused",
    "SchemaTooNew",
    "SchemaTooOld",
    "StoreBusy",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreMissing",
    "StoreReadOnly",
    "is_row_fault",
    "translate",
    "was_rolled_back",
]

"""The store as the rest of the component sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from component.core.journey.model import JourneyState
from component.core.model import Reason
from component.core.records import (
    Accepted,
    AuditRecord,
    Change,
    FollowedBy,
    MoveRecord,
    MoveState,
    NewRecord,
    Settlement,
    VerdictRecord,
)
from component.store import rows
from component.store.alone import Alone
from component.store.belongings import Belongings
from component.store.connect import (
    Location,
    check_folder,
    locate,
    prepare_file,
    reader_engine,
    server_engine,
)
from component.store.database import Database
from component.store.errors import StoreMissing, translate
from component.store.handovers import Handovers
from component.store.holder import Holder
from component.store.journal import Journal
from component.store.journeys import Journeys
from component.store.jsonio import optional_item_from_json
from component.store.lock import FileLock
from component.store.models import Audit, JourneyRow, Meta, Move, as_utc, table
from component.store.schema import migrate, require_current
from component.store.settings import UserSettings
from component.store.shared import LEASE_SECONDS, Shared
from component.store.states import by_state
from component.store.writer import ServerWriter, Writer, open_writer
from component.store.writes import FINAL, OPEN, explain, undo

if TYPE_CHECKING:
    from component.store.leases import Leases

PRUNE_CHUNK = 500
"""Moves deleted in one transaction, so that other writes need not wait long."""


class Store:
    """Journal and audit.  Open with :meth:`open`, end with :meth:`close`."""

    def __init__(
        self,
        location: Location,
        reader: AsyncEngine,
        writer: Writer | None,
        lock: FileLock | None,
        name: str | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = lock
        server = location.path is None
        self._holder = Holder(name if server else None, fenced=server)
        self._journal = Journal(writer, location.name, holder=self._holder) if writer else None
        self._database = Database(location.name, reader, self._journal)
        self.journeys = Journeys(self._database)
        """Users' own moves."""
        self.belongings = Belongings(self._database)
        """Copies of accounts' things."""
        self.handovers = Handovers(self._database)
        """Hand-overs between two servers."""
        self.user_settings = UserSettings(self._database)
        """What users and admins have chosen."""
        self._leases: Leases | None = None
        self.shared: Shared
        """The other instances that use a PostgreSQL database."""
        if server:
            from component.store.leases import Leases  # and PostgreSQL's part of SQLAlchemy

            own = None
            if writer and name:
                # In time for another try before the lease is over.
                own = ServerWriter(
                    server_engine(location, connections=2, seconds=LEASE_SECONDS / 3)
                )
            self._leases = self.shared = Leases(
                self._database, location.name, name, own, self.unsettled, self.journeys
            )
        else:
            self.shared = Alone(self._database, name, self.unsettled, self.journeys)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        holder: str | None = None,
        writer: bool = True,
        create: bool = True,
    ) -> Store:
        """Open the database at ``url``.

        A writer locks an SQLite file against a second one, and with ``create`` makes a
        missing database; an existing one is never migrated.  With ``writer=False`` nothing
        can be written and no database is made; it works beside an active writer.

        :param holder: the name of this instance (:mod:`component.store.shared`), which on
            PostgreSQL holds what it adds, may change only what it holds, and has to beat from now
            on; None: a tool, which there may change what no instance holds

        Raises StoreMissing, StoreLocked, SchemaTooOld, SchemaTooNew or StoreError; nothing
        stays open then.
        """
        location = locate(url)
        create = create and writer
        lock: FileLock | None = None
        opened: Writer | None = None
        reader: AsyncEngine | None = None
        store: Store | None = None
        try:
            if location.path is not None:
                if create:
                    check_folder(location.path)
                else:
                    prepare_file(location.path, create=False)
                if writer:
                    lock = FileLock.acquire(location.path)
                    prepare_file(location.path, create=create)
            reader = reader_engine(location)

            def ready(connection: Connection) -> None:
                _make_ready(connection, location.name, create=create)

            if writer:
                opened = open_writer(location)
                await opened.transact(ready)
            else:
                async with reader.begin() as connection:
                    await connection.run_sync(ready)
            store = cls(location, reader, opened, lock, holder)
            if writer and holder is not None:
                await store.shared.beat()  # nobody may hold a row without having beaten
            return store
        except BaseException as error:
            try:
                if store is not None:
                    await store.close()
                if opened is not None:
                    await opened.close()
                if reader is not None:
                    await reader.dispose()
            finally:
                if lock is not None:
                    lock.release()
            if isinstance(error, Exception):
                raise translate(error, location.name) from error
            raise

    async def close(self) -> None:
        """Finish queued writes, end the driver's threads, give the lock back; idempotent."""
        if self._database.closed:
            return
        self._database.closed = True
        try:
            if self._journal is not None:
                await self._journal.close()
        finally:
            try:
                if self._writer is not None:
                    await self._writer.close()
                if self._leases is not None:
                    await self._leases.close()
                await self._reader.dispose()
            finally:
                if self._lock is not None:
                    self._lock.release()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- writing ---------------------------------------------------------------------------

    async def add(self, d: NewRecord) -> int:
        """Journal a diverted request; durable on return.

        The same (request_id, instance, contact) again returns the id of the first row and
        changes nothing but, on PostgreSQL, the holder of an open one: a server that diverts it
        again does so to an instance that it reaches.  Raises StoreError; StoreBusy if too much is
        waiting.
        """
        return (await self._database.writing().submit(rows.add_row(d)))[0]

    async def add_decided(self, d: NewRecord, v: VerdictRecord) -> tuple[int, bool]:
        """:meth:`add` and :meth:`verdict` in one, for a request that is decided as it comes.

        Returns the results of both.  Raises as they do.
        """
        return await self._database.writing().submit(rows.add_row(d, v))

    async def verdict(self, id: int, v: VerdictRecord) -> bool:
        """Journal a decision to follow (TAKING); durable on return.

        False, and nothing changes, unless the row is DIVERTED and held.  Raises StoreError.
        """
        return await self._database.writing().submit(rows.decide_row(id, v))

    async def settle(self, id: int, s: Settlement, *, patience: float = 0.0) -> bool:
        """End a row and journal its roster changes; durable on return.

        :param patience: seconds for which it may wait for a write that cannot wait, to share its
            transaction.

        False, and nothing changes, if it ended before, is held by another instance, or does not
        exist.  Raises StoreError, or ValueError for a state that is not final.
        """
        return await self._database.writing().submit(rows.settle_row(id, s), patience=patience)

    async def undone(
        self,
        id: int,
        at: datetime,
        changes: tuple[Change, ...],
        reason: Reason,
        *,
        reopens: int | None = None,
    ) -> bool:
        """Journal that a move which is DONE was taken back, and how; durable on return.

        :param reopens: another one that this one had taken back, and that stands again.

        False, and nothing changes, unless it is DONE and was not taken back before.  Raises
        StoreError, or ValueError for a time without zone.
        """
        moment, texts = as_utc(at), rows.change_texts(changes)
        journal = self._database.writing()

        def job(connection: Connection) -> int:
            return undo(connection, id, moment, reason.value, texts, self._holder, reopens)

        return bool(await journal.run(job))

    async def explain(
        self, id: int, at: datetime, user: str, changes: tuple[Change, ...], reason: Reason
    ) -> bool:
        """Add to the audit of a move what was done to the list of another user because of it.

        False where there is no such move.  Raises StoreError, or ValueError for a time without
        zone.
        """
        moment, texts = as_utc(at), rows.change_texts(changes)
        journal = self._database.writing()

        def job(connection: Connection) -> int:
            return explain(connection, id, moment, user, reason.value, texts)

        return bool(await journal.run(job))

    async def prune(self, before: datetime) -> int:
        """Delete rows that ended before this time, with their audit; how many rows.

        Those that were taken back stay: :meth:`declined` needs them for ever.  Raises
        StoreError; what was deleted until then stays deleted.
        """
        limit = as_utc(before)
        journal = self._database.writing()
        total = 0
        while count := await journal.run(lambda connection: _prune_some(connection, limit)):
            total += count
        return total

    async def ping(self) -> None:
        """Prove that writing works: a durable update.  Raises StoreError."""
        await self._database.writing().run(_ping)

    def watch_commits(self, told: Callable[[int, float], None]) -> None:
        """Have ``told(writes, seconds)`` called after each transaction that succeeded."""
        if self._journal is not None:
            self._journal.on_commit = told

    @property
    def several(self) -> bool:
        """Whether other instances may use the same database."""
        return self._leases is not None

    @property
    def trouble(self) -> str | None:
        """Why the last write failed; None while writing works."""
        return self._journal.trouble if self._journal else None

    @property
    def waiting(self) -> int:
        """Writes queued now, for metrics."""
        return self._journal.waiting if self._journal else 0

    # -- reading ---------------------------------------------------------------------------

    async def get(self, id: int) -> tuple[MoveRecord, list[AuditRecord]] | None:
        """One row with its audit in order, or ``None``."""
        async with self._database.reading() as session:
            move = await session.get(Move, id)
            if move is None:
                return None
            wanted = select(Audit).where(Audit.move_id == id).order_by(Audit.id)
            audit = (await session.scalars(wanted)).all()
            return rows.move_record(move), [rows.audit_record(row) for row in audit]

    async def unsettled(self) -> list[MoveRecord]:
        """Rows that have not ended, oldest first: what a start has to look after.

        On PostgreSQL those that this instance holds; all where the store has no holder.
        """
        wanted = select(Move).where(Move.state.in_(OPEN)).order_by(Move.id)
        if self._holder.name is not None:
            wanted = wanted.where(Move.holder == self._holder.name)
        async with self._database.reading() as session:
            return [rows.move_record(row) for row in await session.scalars(wanted)]

    async def list_moves(
        self,
        *,
        limit: int = 50,
        contact: str | None = None,
        old: str | None = None,
        new: str | None = None,
        state: str | None = None,
    ) -> list[MoveRecord]:
        """The newest rows that match all that is given (prepared bare JIDs), newest first."""
        given = ((Move.contact, contact), (Move.old, old), (Move.new, new), (Move.state, state))
        wanted = select(Move).order_by(Move.id.desc()).limit(max(0, limit))
        wanted = wanted.where(*(column == value for column, value in given if value is not None))
        async with self._database.reading() as session:
            return [rows.move_record(row) for row in await session.scalars(wanted)]

    async def has_later(self, contact: str, after: int, jids: Collection[str]) -> bool:
        """Whether a record of this contact newer than ``after`` has one of these as old or new JID.

        All JIDs prepared and bare.
        """
        named = or_(Move.old.in_(jids), Move.new.in_(jids))
        wanted = select(Move.id).where(Move.contact == contact, Move.id > after, named).limit(1)
        async with self._database.reading() as session:
            return await session.scalar(wanted) is not None

    async def latest_done(self, contact: str, old: str, new: str) -> MoveRecord | None:
        """The move of these prepared bare JIDs that was DONE last and is not undone, if any.

        Those that are to be settled by now count too.
        """
        if self._journal is not None:
            await self._journal.flush()
        wanted = (
            select(Move)
            .where(
                Move.contact == contact,
                Move.old == old,
                Move.new == new,
                Move.state == MoveState.DONE.value,
                Move.undone_at.is_(None),
            )
            .order_by(Move.settled_at.desc(), Move.id.desc())
            .limit(1)
        )
        async with self._database.reading() as session:
            found = (await session.scalars(wanted)).first()
            return None if found is None else rows.move_record(found)

    async def followed_by(self, contact: str, since: datetime) -> list[FollowedBy]:
        """Whom a contact has followed since then, and not taken back, or may follow; by id.

        All JIDs prepared and bare.
        """
        done = and_(
            Move.state == MoveState.DONE.value,
            Move.undone_at.is_(None),
            Move.settled_at >= as_utc(since),
        )
        # Without the stanzas, which may be large.
        wanted = (
            select(
                Move.id,
                Move.old,
                Move.new,
                Move.new_item,
                Move.settled_at,
                Move.at,
            )
            .where(Move.contact == contact, or_(done, Move.state.in_(OPEN)))
            .order_by(Move.id)
        )
        async with self._database.reading() as session:
            return [
                FollowedBy(
                    id=row.id,
                    contact=contact,
                    old=row.old,
                    new=row.new,
                    new_item=optional_item_from_json(row.new_item),
                    at=row.settled_at or row.at,
                    open=row.settled_at is None,
                )
                for row in await session.execute(wanted)
            ]

    async def related(
        self, contact: str, jids: Collection[str]
    ) -> list[tuple[MoveRecord, list[AuditRecord]]]:
        """Moves of this contact that are TAKING or DONE with one of these as old or new JID.

        Oldest first, each with its audit in order; all JIDs prepared and bare.  Those that are to
        be settled by now count as such.
        """
        if self._journal is not None:
            await self._journal.flush()
        states = (MoveState.TAKING.value, MoveState.DONE.value)
        named = or_(Move.old.in_(jids), Move.new.in_(jids))
        wanted = select(Move).where(Move.contact == contact, Move.state.in_(states), named)
        async with self._database.reading() as session:
            moves = (await session.scalars(wanted.order_by(Move.id))).all()
            lines = select(Audit).where(Audit.move_id.in_([move.id for move in moves]))
            audit: dict[int, list[AuditRecord]] = {move.id: [] for move in moves}
            for line in await session.scalars(lines.order_by(Audit.id)):
                audit[line.move_id].append(rows.audit_record(line))
            return [(rows.move_record(move), audit[move.id]) for move in moves]

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        """Moves verified, followed and not undone, by when they were settled, oldest first."""
        wanted = (
            select(Move.old, Move.new, Move.settled_at, Move.old_account, Move.new_account)
            .where(
                Move.state == MoveState.DONE.value,
                Move.settled_at >= as_utc(since),
                Move.reason == Reason.VERIFIED.value,
                Move.undone_at.is_(None),
            )
            .order_by(Move.settled_at, Move.id)
        )
        async with self._database.reading() as session:
            return _accepted(await session.execute(wanted))

    async def led_to(self, old: str, new: str, old_account: str | None) -> str | None:
        """The token of the account that ``old`` was last known to lead to; None: not known.

        A move that was confirmed here knows it, and else contacts who have followed, or are about
        to.  What an earlier owner of ``old`` did counts for nothing.  All JIDs prepared and bare.
        """
        if self._journal is not None:
            await self._journal.flush()
        confirmed = select(JourneyRow.new_account).where(
            JourneyRow.old == old,
            JourneyRow.new == new,
            JourneyRow.old_account.is_not_distinct_from(old_account),
            JourneyRow.new_account.is_not(None),
            JourneyRow.started_at.is_not(None),
            # What was taken back leads nowhere; its client may make the move anew.
            JourneyRow.state.not_in((JourneyState.UNDONE.value, JourneyState.CANCELLED.value)),
        )
        followed = select(Move.new_account).where(
            Move.old == old,
            Move.new == new,
            Move.old_account.is_not_distinct_from(old_account),
            Move.new_account.is_not(None),
            Move.state.in_((MoveState.TAKING.value, MoveState.DONE.value)),
            Move.undone_at.is_(None),
        )
        async with self._database.reading() as session:
            for wanted in (
                confirmed.order_by(JourneyRow.id.desc()).limit(1),
                followed.order_by(Move.id.desc()).limit(1),
            ):
                found = await session.scalar(wanted)
                if found is not None:
                    return found
        return None

    async def newest_to(self, old: str, new: str, account: str | None) -> int | None:
        """The newest record of a follow from ``old`` to the account of ``new`` with this token."""
        wanted = (
            select(Move.id)
            .where(
                Move.old == old,
                Move.new == new,
                Move.new_account.is_not_distinct_from(account),
                Move.state.in_((MoveState.TAKING.value, MoveState.DONE.value)),
            )
            .order_by(Move.id.desc())
            .limit(1)
        )
        async with self._database.reading() as session:
            found: int | None = await session.scalar(wanted)
            return found

    async def leading_to(self, new: str) -> list[Accepted]:
        """Moves to this prepared bare JID that were followed, once for each pair of accounts."""
        wanted = (
            select(
                Move.old, Move.new, func.max(Move.settled_at), Move.old_account, Move.new_account
            )
            .where(Move.new == new, Move.state == MoveState.DONE.value)
            .group_by(Move.old, Move.new, Move.old_account, Move.new_account)
        )
        async with self._database.reading() as session:
            return _accepted(await session.execute(wanted))

    async def explained(
        self, old: str, new: str, account: str | None, jid: str, reason: Reason
    ) -> bool:
        """Whether :meth:`explain` has noted this for the new account's entry of ``jid``.

        :param account: the token that the new account had then.
        """
        wanted = (
            select(Audit.id)
            .join(Move, Move.id == Audit.move_id)
            .where(
                Move.old == old,
                Move.new == new,
                Move.new_account.is_not_distinct_from(account),
                Audit.contact == new,
                Audit.jid == jid,
                Audit.reason == reason.value,
            )
            .limit(1)
        )
        async with self._database.reading() as session:
            return (await session.execute(wanted)).first() is not None

    async def declined(self) -> list[tuple[str, str, str]]:
        """(contact, old, new) of every change that the contact, or an admin, took back."""
        by_order = select(Audit.move_id).where(Audit.reason == Reason.UNDONE.value)
        wanted = (
            select(Move.contact, Move.old, Move.new)
            .where(Move.undone_at.is_not(None), Move.id.in_(by_order))
            .distinct()
        )
        async with self._database.reading() as session:
            return [(contact, old, new) for contact, old, new in await session.execute(wanted)]

    async def counts(self) -> dict[str, int]:
        """How many rows are in each state; every state is a key."""
        found = await by_state(self._database, table(Move).c.state, MoveState)
        return {state.value: number for state, number in found.items()}


def _make_ready(connection: Connection, where: str, *, create: bool) -> None:
    if require_current(connection, where):
        return
    if not create:
        raise StoreMissing(f"{where} is empty; run `xmpp-moved db upgrade`")
    migrate(connection, where)


def _accepted(found: Iterable[Any]) -> list[Accepted]:
    """Rows of old address, new one, time, and both tokens."""
    return [Accepted(*row) for row in found if row[2] is not None]


def _prune_some(connection: Connection, limit: datetime) -> int:
    chosen = select(Move.id).where(
        Move.state.in_(FINAL), Move.settled_at < limit, Move.undone_at.is_(None)
    )
    # The audit rows go with their move: ON DELETE CASCADE.
    doomed = delete(Move).where(Move.id.in_(chosen.limit(PRUNE_CHUNK)))
    return connection.execute(doomed).rowcount


def _ping(connection: Connection) -> int:
    counted = update(Meta).where(Meta.key == "pings").values(value=Meta.value + 1)
    return connection.execute(counted).rowcount

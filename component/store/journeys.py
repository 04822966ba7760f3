"""Users' own moves in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from component.core.journey import contacts as machine
from component.core.journey import told
from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.model import NOBODYS
from component.store import journey_rows as rows
from component.store.database import Database
from component.store.models import ContactRow, JourneyRow, as_utc, table
from component.store.states import by_state

# Under other names, because a method below is called ``list``.
Found: TypeAlias = list[Journey]
Contacts: TypeAlias = list[JourneyContact]
Ids: TypeAlias = list[int]

STARTED_LIMIT = 20
"""Journeys that :meth:`Journeys.last_started` looks at."""
_COUNT_CHUNK = 1000
_READ_CHUNK = 500
_PUBLISHED = (
    JourneyState.PUBLISHED.value,
    JourneyState.NOTIFYING.value,
    JourneyState.SETTLING.value,
    JourneyState.DONE.value,
)
_LED_AWAY = and_(
    JourneyRow.kind.in_((Kind.AWAY.value, Kind.BOTH.value)),
    or_(
        JourneyRow.state.in_(_PUBLISHED),
        # Paused by its owner, who leaves the statement where it is.
        and_(
            JourneyRow.state == JourneyState.PAUSED.value,
            JourneyRow.resume_to.in_(_PUBLISHED),
            JourneyRow.detail.is_(None),
        ),
    ),
    JourneyRow.old_account.is_distinct_from(NOBODYS),
    JourneyRow.new_account.is_distinct_from(NOBODYS),
)


class Journeys:
    """Journeys and their contacts; JIDs are compared as they are, so give prepared bare ones.

    Every method raises StoreError, writing ones StoreBusy too; a write is durable on return.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- writing ---------------------------------------------------------------------------

    async def create(self, journey: Journey, contacts: Sequence[JourneyContact]) -> Journey:
        """Keep a new journey; ``journey.id`` is ignored, the result has the real one.

        Older drafts of the same owner are deleted in the same transaction.
        """
        some = tuple(contacts)
        journal = self._database.writing()
        id_ = await journal.run(lambda c: rows.create(c, journey, some, journal.holder))
        return replace(journey, id=id_)

    async def save(
        self,
        journey: Journey | None = None,
        contacts: Sequence[JourneyContact] = (),
        *,
        id: int | None = None,
        expect: Collection[JourneyState] = (),
    ) -> bool:
        """Update a journey and any of its contacts (new ones are added) in one transaction.

        :param journey: all its columns are written; None: only contacts are
        :param id: of the journey, where ``journey`` is None
        :param expect: only if the stored journey is in one of these states
        :returns: False, and nothing changes, if it is in none of them or does not exist, or if a
            draft is to start while another journey of its accounts is in the way
            (:func:`component.core.journey.stages.in_the_way`)
        :raises LeaseLost: another instance holds it
        :raises ValueError: neither ``journey`` nor ``id`` is given, or they contradict each other
        """
        number = _number(journey, id)
        some, states = tuple(contacts), frozenset(state.value for state in expect)

        journal = self._database.writing()

        def job(connection: Connection) -> int:
            return rows.save(connection, number, journey, some, states, journal.holder)

        return bool(await journal.run(job))

    async def replace_contacts(self, id: int, contacts: Sequence[JourneyContact]) -> None:
        """Make these a draft's contacts, and no others.

        Raises RowRefused where there is no journey, LeaseLost where another instance holds it.
        """
        some = tuple(contacts)
        journal = self._database.writing()

        def job(connection: Connection) -> int:
            rows.replace_contacts(connection, id, some, journal.holder)
            return len(some)

        await journal.run(job)

    async def drop_drafts(self, before: datetime) -> int:
        """Delete drafts made before this time; how many."""
        limit = as_utc(before)
        return await self._database.writing().run(lambda c: rows.drop_drafts(c, limit))

    async def may_answer(self, old: str, sender: str, at: datetime, every: timedelta) -> bool:
        """True, and noted, if the last answer to ``sender`` was ``every`` ago or longer.

        Of several that ask at once one is told True.
        """
        moment = as_utc(at)
        limit = moment - every
        journal = self._database.writing()
        noted = await journal.run(lambda c: rows.note_answer(c, old, sender, moment, limit))
        return bool(noted)

    async def prune(self, before: datetime) -> int:
        """Delete journeys that ended, and answers given, before this time; how many in all.

        Those that led away from an account here and were not taken back stay: tombstones,
        answers to senders and :meth:`successor` need them for ever.

        What was deleted until an error stays deleted.
        """
        limit = as_utc(before)
        journal = self._database.writing()
        total = 0
        while count := await journal.run(lambda c: rows.prune_journeys(c, limit)):
            total += count
        while count := await journal.run(lambda c: rows.prune_answers(c, limit)):
            total += count
        return total

    async def disown(self, jid: str, *, left: str | None, led: str | None) -> None:
        """See :class:`~component.engine.movers.ports.JourneyStore`."""
        await self._database.writing().run(lambda c: rows.disown(c, jid, left, led))

    # -- reading ---------------------------------------------------------------------------

    async def get(self, id: int) -> Journey | None:
        """One journey, or None."""
        async with self._database.reading() as session:
            row = await session.get(JourneyRow, id)
            return None if row is None else rows.journey_of(row)

    async def contacts(self, id: int) -> Contacts:
        """The contacts of a journey in the order of their JIDs (by code point)."""
        wanted = select(table(ContactRow)).where(ContactRow.journey_id == id)
        found: Contacts = []
        async with self._database.reading() as session:
            # In parts, so that ten thousand do not hold up the event loop.
            async for part in (await session.stream(wanted)).partitions(_READ_CHUNK):
                found.extend(rows.contact_of(row) for row in part)
        # Sorted here: the order of a PostgreSQL database depends on its collation.
        return sorted(found, key=lambda contact: contact.jid)

    async def unfollowed(self, id: int) -> Contacts:
        """Contacts of a journey who may follow yet (:func:`machine.to_follow`)."""
        contacts = table(ContactRow)
        wanted = select(contacts).where(
            contacts.c.journey_id == id, contacts.c.state.in_(rows.UNFOLLOWED)
        )
        async with self._database.reading() as session:
            found = map(rows.contact_of, await session.execute(wanted))
            return [contact for contact in found if machine.to_follow(contact)]

    async def contact(self, id: int, jid: str) -> JourneyContact | None:
        """One contact of a journey, or None."""
        contacts = table(ContactRow)
        wanted = select(contacts).where(contacts.c.journey_id == id, contacts.c.jid == jid)
        async with self._database.reading() as session:
            row = (await session.execute(wanted)).first()
            return None if row is None else rows.contact_of(row)

    async def watched(self, since: datetime) -> Found:
        """Journeys under way or paused, and those away that are done and began after ``since``."""
        lately = and_(
            JourneyRow.state == JourneyState.DONE.value,
            JourneyRow.kind != Kind.ARRIVE.value,
            JourneyRow.started_at > as_utc(since),
        )
        return await self._found(or_(JourneyRow.state.in_(rows.UNENDED), lately))

    async def had_time(self, until: datetime) -> Found:
        """Journeys away that are done, whose owner knows it, and that began until then.

        Those of which ``told`` says that the statement is withdrawn are left out.
        """
        return await self._found(
            and_(
                JourneyRow.state == JourneyState.DONE.value,
                JourneyRow.told == told.ENDED,
                JourneyRow.kind != Kind.ARRIVE.value,
                JourneyRow.started_at <= as_utc(until),
            )
        )

    async def _found(self, where: ColumnElement[bool]) -> Found:
        async with self._database.reading() as session:
            found = await session.scalars(select(JourneyRow).where(where).order_by(JourneyRow.id))
            return [rows.journey_of(row) for row in found]

    async def list(
        self, *, account: str | None = None, running: bool = False, limit: int = 200
    ) -> Found:
        """Journeys without drafts, newest first.

        :param account: only those whose old or new account, or owner, this is
        :param running: only those that have not ended, paused ones included
        """
        wanted = select(JourneyRow).where(JourneyRow.state != JourneyState.DRAFT.value)
        if account is not None:
            wanted = wanted.where(
                or_(
                    JourneyRow.old == account,
                    JourneyRow.new == account,
                    JourneyRow.owner == account,
                )
            )
        if running:
            wanted = wanted.where(JourneyRow.state.in_(rows.UNENDED))
        wanted = wanted.order_by(JourneyRow.id.desc()).limit(max(0, limit))
        async with self._database.reading() as session:
            return [rows.journey_of(row) for row in await session.scalars(wanted)]

    async def counts(self, ids: Sequence[int]) -> dict[int, Counter[ContactState]]:
        """Contacts per state of each of these journeys; each is a key, even without contacts."""
        result: dict[int, Counter[ContactState]] = {id_: Counter() for id_ in ids}
        keys = [*result]
        async with self._database.reading() as session:
            for start in range(0, len(keys), _COUNT_CHUNK):
                some = keys[start : start + _COUNT_CHUNK]
                counted = (
                    select(ContactRow.journey_id, ContactRow.state, func.count())
                    .where(ContactRow.journey_id.in_(some))
                    .group_by(ContactRow.journey_id, ContactRow.state)
                )
                for id_, state, number in await session.execute(counted):
                    result[id_][rows.contact_state(id_, state)] = number
        return result

    async def with_work(self, holder: str | None = None) -> Ids:
        """Ids of those that a start takes up (of one holder only, if given), the oldest first."""
        journeys = table(JourneyRow)
        wanted = select(journeys.c.id).where(rows.has_work(journeys)).order_by(journeys.c.id)
        if holder is not None:
            wanted = wanted.where(journeys.c.holder == holder)
        async with self._database.reading() as session:
            return [*await session.scalars(wanted)]

    async def states(self) -> dict[JourneyState, int]:
        """How many journeys are in each state; every state is a key."""
        return await by_state(self._database, table(JourneyRow).c.state, JourneyState)

    async def successor(self, old: str) -> Journey | None:
        """The newest journey away from ``old`` that has published its statement, if any."""
        wanted = (
            select(JourneyRow)
            .where(JourneyRow.old == old, _LED_AWAY)
            .order_by(JourneyRow.id.desc())
            .limit(1)
        )
        async with self._database.reading() as session:
            row = (await session.scalars(wanted)).first()
            return None if row is None else rows.journey_of(row)

    async def read_by(self, contact: str) -> Found:
        """Journeys whose statement stands, on a whitelist that this contact is on."""
        contacts = table(ContactRow)
        reader = exists().where(
            contacts.c.journey_id == JourneyRow.id,
            contacts.c.jid == contact,
            contacts.c.state != ContactState.SKIPPED.value,
        )
        return await self._found(
            and_(JourneyRow.access == Access.WHITELIST.value, _LED_AWAY, reader)
        )

    async def left(self) -> frozenset[str]:
        """The accounts that have a :meth:`successor`."""
        found: set[str] = set()
        async with self._database.reading() as session:
            stream = await session.stream_scalars(
                select(JourneyRow.old).where(_LED_AWAY).distinct()
            )
            async for part in stream.partitions(_READ_CHUNK):
                found.update(part)
        return frozenset(found)

    async def last_started(self, old_or_new: str) -> Found:
        """Journeys of this account (old or new) that were started, the last started first."""
        wanted = (
            select(JourneyRow)
            .where(
                JourneyRow.started_at.is_not(None),
                or_(JourneyRow.old == old_or_new, JourneyRow.new == old_or_new),
            )
            .order_by(JourneyRow.started_at.desc(), JourneyRow.id.desc())
            .limit(STARTED_LIMIT)
        )
        async with self._database.reading() as session:
            return [rows.journey_of(row) for row in await session.scalars(wanted)]


def _number(journey: Journey | None, id_: int | None) -> int:
    if journey is not None and id_ in (None, journey.id):
        return journey.id
    if journey is None and id_ is not None:
        return id_
    raise ValueError("give a journey, or the id of one")

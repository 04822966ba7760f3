"""The tables.  A change here needs a migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows by itself only in a column that is exactly INTEGER."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time.

    PostgreSQL keeps it as ``timestamptz``; SQLite as text of fixed width without zone,
    which sorts as the times do.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times (ValueError), bring the others to UTC."""
        if value is None:
            return None
        utc = as_utc(value)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def as_utc(value: datetime) -> datetime:
    """The same moment in UTC; ValueError for a time without zone."""
    if value.tzinfo is None:
        raise ValueError(f"the time {value.isoformat()} has no zone; give an aware datetime")
    return value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common parent of the tables: naming of constraints, types of columns."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[object, object]] = {str: Text(), datetime: UtcDateTime()}


class Move(Base):
    """One diverted request, from arrival to its end."""

    __tablename__ = "moves"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    state: Mapped[str]
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    evidence: Mapped[str | None]
    plan: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    request_id: Mapped[str]
    instance: Mapped[str]
    contact: Mapped[str]
    old: Mapped[str]
    new: Mapped[str]
    old_item: Mapped[str]
    new_item: Mapped[str | None]
    stanza: Mapped[str]
    noticed_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
    holder: Mapped[str | None]
    account: Mapped[str | None]
    old_account: Mapped[str | None]
    new_account: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("request_id", "instance", "contact"),
        # Serves the counts, what is unsettled, what was accepted, what may be pruned.
        Index(None, "state", "settled_at"),
        # Serves a contact's list, and each request of somebody who is on the roster already.
        Index(None, "contact", "old", "new", "settled_at"),
        Index(None, "old"),
        Index(None, "new"),
        {"sqlite_autoincrement": True},  # a pruned id is never given to another row
    )


class Audit(Base):
    """One roster entry that changed, with the evidence that justified it."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    move_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("moves.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime]
    contact: Mapped[str]
    jid: Mapped[str]
    reason: Mapped[str]
    evidence: Mapped[str | None]
    before: Mapped[str | None]
    after: Mapped[str | None]

    __table_args__ = ({"sqlite_autoincrement": True},)


class Meta(Base):
    """Small counters by name; ``pings`` is what the health check writes."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class JourneyRow(Base):
    """One user's own move."""

    __tablename__ = "journeys"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    old: Mapped[str] = mapped_column(index=True)
    new: Mapped[str] = mapped_column(index=True)
    owner: Mapped[str] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(index=True)
    access: Mapped[str | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    resume_to: Mapped[str | None]
    detail: Mapped[str | None]
    progress_id: Mapped[str | None]
    told: Mapped[str | None]
    holder: Mapped[str | None]
    wanted_by: Mapped[str | None] = mapped_column(index=True)
    old_account: Mapped[str | None]
    new_account: Mapped[str | None]

    __table_args__ = ({"sqlite_autoincrement": True},)  # users are shown the ids


class ContactRow(Base):
    """One contact of a journey; ``groups`` and ``before`` are JSON."""

    __tablename__ = "journey_contacts"

    journey_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("journeys.id", ondelete="CASCADE"), primary_key=True
    )
    jid: Mapped[str] = mapped_column(primary_key=True, index=True)
    name: Mapped[str | None]
    groups: Mapped[str]
    subscription: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    sent_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    error: Mapped[str | None]
    before: Mapped[str | None]
    account: Mapped[str | None]


class CopyRow(Base):
    """One copy of an account's things into another account."""

    __tablename__ = "copies"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    asker: Mapped[str] = mapped_column(index=True)
    source: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    overwrite: Mapped[bool]
    journey: Mapped[int | None] = mapped_column(BigId, index=True)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    holder: Mapped[str | None]
    owner_account: Mapped[str | None]
    asker_account: Mapped[str | None]

    __table_args__ = ({"sqlite_autoincrement": True},)  # users are shown the ids


class CopyThingRow(Base):
    """One thing of a copy; ``text`` and ``before`` are JSON."""

    __tablename__ = "copy_things"

    copy_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("copies.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    sort: Mapped[str]
    text: Mapped[str]
    result: Mapped[str]
    why: Mapped[str | None]
    before: Mapped[str]
    done: Mapped[bool]


class HandoverRow(Base):
    """How far the hand-over of a journey is; ``parcel`` is the SHA-256 of its file."""

    __tablename__ = "handovers"

    journey_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("journeys.id", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[str] = mapped_column(index=True)
    until: Mapped[datetime]
    parcel: Mapped[str | None]


class SettingsRow(Base):
    """What a user has chosen."""

    __tablename__ = "settings"

    jid: Mapped[str] = mapped_column(primary_key=True)
    follow: Mapped[str]
    language: Mapped[str | None]
    account: Mapped[str | None]


class RunTimeRow(Base):
    """What an admin has set while the component ran; ``value`` is JSON."""

    __tablename__ = "run_time"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class AnsweredRow(Base):
    """When a sender last got the new address of an old account."""

    __tablename__ = "answered"

    old: Mapped[str] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)


class InstanceRow(Base):
    """A component that shares this database; times are of the database's clock.

    No ``beat_at``: one of schema 0002, which holds every row without a holder.
    """

    __tablename__ = "instances"

    name: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    beat_at: Mapped[datetime | None]
    run: Mapped[str | None]


class ChangedRow(Base):
    """Something that other instances have to learn; PostgreSQL's triggers write it (0003)."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    xact: Mapped[int] = mapped_column(BigInteger, index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    what: Mapped[str]
    ref: Mapped[str]


def table(model: type[Base]) -> Table:
    """The Core table of a model, for statements on the hot path."""
    found = inspect(model).local_table
    assert isinstance(found, Table)
    return found

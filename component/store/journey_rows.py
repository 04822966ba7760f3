"""Between a user's move as the core sees it and its rows; and the statements that write them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    tuple_,
    update,
)

from component.core.journey import contacts as machine
from component.core.journey import stages, told
from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.model import NOBODYS, Subscription
from component.store.errors import RowDamaged
from component.store.holder import Holder
from component.store.jsonio import (
    groups_from_json,
    groups_to_json,
    item_to_json,
    optional_item_from_json,
)
from component.store.models import AnsweredRow, ContactRow, JourneyRow, table
from component.store.upsert import insert_into

_journeys = table(JourneyRow)
_contacts = table(ContactRow)
_answered = table(AnsweredRow)

PRUNE_JOURNEYS = 10
"""Journeys deleted in one transaction: each takes thousands of contacts with it."""
PRUNE_ANSWERS = 1000
"""Answers forgotten in one transaction."""
_START_LOCK = 0x6D6F7665
"""Of PostgreSQL's advisory locks; starts are few, so one for all of them."""
_PUT_CHUNK = 1000  # a slow server has its time (STATEMENT_SECONDS) for each of these
FINAL = tuple(state.value for state in JourneyState if state.final)
UNENDED = tuple(s.value for s in JourneyState if s.running or s is JourneyState.PAUSED)
UNFOLLOWED = (*sorted(state.value for state in machine.OPEN), ContactState.GIVEN_UP.value)
_UNANSWERED = tuple(state.value for state in machine.OPEN)

_STATE = (
    select(_journeys.c.state, _journeys.c.holder)
    .where(_journeys.c.id == bindparam("b_id"))
    .with_for_update()
)
_DROP_OLDER = delete(_journeys).where(
    _journeys.c.owner == bindparam("b_owner"), _journeys.c.state == JourneyState.DRAFT.value
)
_CREATE = insert(_journeys).returning(_journeys.c.id)
_UPDATE = update(_journeys).where(_journeys.c.id == bindparam("b_id"))
_CLEAR = delete(_contacts).where(_contacts.c.journey_id == bindparam("b_id"))
_CHANGING = [column.name for column in _contacts.c if not column.primary_key]


@cache
def _put_contact(dialect: str) -> Executable:
    new = insert_into(_contacts, dialect)
    changes = {name: new.excluded[name] for name in _CHANGING}
    return new.on_conflict_do_update(index_elements=["journey_id", "jid"], set_=changes)


@cache
def _answer(dialect: str) -> Executable:
    """One statement, so that of two askers one gets the row and the other none."""
    new = insert_into(_answered, dialect)
    return new.on_conflict_do_update(
        index_elements=["old", "sender"],
        set_={"at": new.excluded.at},
        where=_answered.c.at <= bindparam("b_limit", type_=_answered.c.at.type),
    ).returning(_answered.c.old)


def has_work(journeys: Table) -> ColumnElement[bool]:
    """Whether a journey is one to be taken up at a start.

    It is under way, or to be withdrawn still, or its owner has to hear of its end.
    """
    unanswered = exists().where(
        _contacts.c.journey_id == journeys.c.id, _contacts.c.state.in_(_UNANSWERED)
    )
    return or_(
        journeys.c.state.in_(UNENDED),
        and_(journeys.c.state == JourneyState.CANCELLED.value, unanswered),
        and_(journeys.c.started_at.is_not(None), _owes_end(journeys)),
    )


def _owes_end(journeys: Table) -> ColumnElement[bool]:
    """As :func:`component.core.journey.told.owes_end`, for those that ended; a test compares."""
    heard = func.coalesce(journeys.c.told, "")
    return case(
        (journeys.c.state == JourneyState.DONE.value, heard.not_in((told.ENDED, told.RETIRED))),
        (journeys.c.state == JourneyState.UNDONE.value, heard != told.UNDONE),
        (
            journeys.c.state == JourneyState.CANCELLED.value,
            not_(heard.startswith(told.STOPPED)),
        ),
        else_=false(),
    )


def create(
    connection: Connection,
    journey: Journey,
    contacts: Sequence[JourneyContact],
    holder: Holder,
) -> int:
    """Insert a journey with its contacts, dropping older drafts of its owner; its id."""
    connection.execute(_DROP_OLDER, {"b_owner": journey.owner})
    id_ = connection.execute(_CREATE, {**_values(journey), "holder": holder.name}).scalar_one()
    put_contacts(connection, id_, contacts)
    return int(id_)


def save(
    connection: Connection,
    id_: int,
    journey: Journey | None,
    contacts: Sequence[JourneyContact],
    expect: Collection[str],
    holder: Holder,
) -> bool:
    """Update a journey and contacts; False where it is absent or in none of these states.

    False, too, where a draft is to start and another journey of its accounts is in the way.
    LeaseLost where it is not the holder's.
    """
    found = connection.execute(_STATE, {"b_id": id_}).first()
    if found is None:
        return False
    holder.require(id_, found.holder)
    if expect and found.state not in expect:
        return False
    if journey is not None:
        starts = found.state == JourneyState.DRAFT.value and journey.started_at is not None
        if starts and _meets_another(connection, id_, journey):
            return False
        connection.execute(_UPDATE.values(_values(journey)), {"b_id": id_})
    put_contacts(connection, id_, contacts)
    return True


def _meets_another(connection: Connection, id_: int, journey: Journey) -> bool:
    """Whether another journey of these accounts is in the way; until the commit none begins."""
    if connection.dialect.name == "postgresql":
        # Of two instances that start at once, the second sees what the first has written.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _START_LOCK})
    pair = (journey.old, journey.new)
    wanted = select(_journeys).where(
        _journeys.c.id != id_,
        _journeys.c.state.in_(UNENDED),
        or_(_journeys.c.old.in_(pair), _journeys.c.new.in_(pair)),
    )
    others = map(journey_of, connection.execute(wanted))
    return any(stages.in_the_way(other, journey) for other in others)


def replace_contacts(
    connection: Connection, id_: int, contacts: Sequence[JourneyContact], holder: Holder
) -> None:
    """Make these the journey's contacts, and no others; LeaseLost where it is not the holder's."""
    found = connection.execute(_STATE, {"b_id": id_}).first()
    if found is not None:
        holder.require(id_, found.holder)
    connection.execute(_CLEAR, {"b_id": id_})
    put_contacts(connection, id_, contacts)


def put_contacts(connection: Connection, id_: int, contacts: Sequence[JourneyContact]) -> None:
    """Insert or update contacts of a journey."""
    for start in range(0, len(contacts), _PUT_CHUNK):
        rows = [_contact_values(id_, one) for one in contacts[start : start + _PUT_CHUNK]]
        connection.execute(_put_contact(connection.dialect.name), rows)


def drop_drafts(connection: Connection, limit: datetime) -> int:
    """Delete drafts made before a time; how many."""
    doomed = delete(_journeys).where(
        _journeys.c.state == JourneyState.DRAFT.value, _journeys.c.created_at < limit
    )
    return connection.execute(doomed).rowcount


def note_answer(
    connection: Connection, old: str, sender: str, at: datetime, limit: datetime
) -> bool:
    """Note an answer unless there was one after ``limit``; whether it was noted."""
    values = {"old": old, "sender": sender, "at": at, "b_limit": limit}
    return connection.execute(_answer(connection.dialect.name), values).first() is not None


def disown(connection: Connection, jid: str, left: str | None, led: str | None) -> int:
    """Mark the journeys of a name whose owner was not this account; how many there were.

    So are the contacts of that name: one that has no token was its last owner's.
    """
    marked = 0
    for address, account, keep in (
        (_journeys.c.old, _journeys.c.old_account, left),
        (_journeys.c.new, _journeys.c.new_account, led),
    ):
        others = and_(address == jid, account.is_not(None), account.is_distinct_from(keep))
        marking = update(_journeys).where(others).values({account: NOBODYS})
        marked += connection.execute(marking).rowcount
    # `IS DISTINCT FROM NULL` alone would pass over those without a token.
    others_than_led = _contacts.c.account.is_(None) | _contacts.c.account.is_distinct_from(led)
    known = and_(_contacts.c.jid == jid, others_than_led)
    connection.execute(update(_contacts).where(known).values(account=NOBODYS))
    return marked


def prune_journeys(connection: Connection, limit: datetime) -> int:
    """Delete some journeys that ended before a time; their contacts go by ON DELETE CASCADE.

    Not those that say where an account of ours went.
    """
    went = (_journeys.c.state == JourneyState.DONE.value) & (_journeys.c.kind != Kind.ARRIVE.value)
    chosen = select(_journeys.c.id).where(
        _journeys.c.state.in_(FINAL), _journeys.c.ended_at < limit, ~went
    )
    doomed = delete(_journeys).where(_journeys.c.id.in_(chosen.limit(PRUNE_JOURNEYS)))
    return connection.execute(doomed).rowcount


def prune_answers(connection: Connection, limit: datetime) -> int:
    """Forget some answers given before a time."""
    key = tuple_(_answered.c.old, _answered.c.sender)
    chosen = select(_answered.c.old, _answered.c.sender).where(_answered.c.at < limit)
    doomed = delete(_answered).where(key.in_(chosen.limit(PRUNE_ANSWERS)))
    return connection.execute(doomed).rowcount


def journey_of(row: JourneyRow | Row[Any]) -> Journey:
    """A stored journey; RowDamaged where a column holds what no release ever wrote."""
    try:
        return Journey(
            id=row.id,
            kind=Kind(row.kind),
            old=row.old,
            new=row.new,
            owner=row.owner,
            state=JourneyState(row.state),
            access=None if row.access is None else Access(row.access),
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            resume_to=None if row.resume_to is None else JourneyState(row.resume_to),
            detail=row.detail,
            progress_id=row.progress_id,
            told=row.told,
            old_account=row.old_account,
            new_account=row.new_account,
        )
    except ValueError as error:
        raise RowDamaged(f"journey {row.id} is damaged ({error}); restore a backup") from error


def contact_of(row: Row[Any]) -> JourneyContact:
    """A stored contact; RowDamaged as for :func:`journey_of`."""
    try:
        return JourneyContact(
            jid=row.jid,
            name=row.name,
            groups=groups_from_json(row.groups),
            subscription=Subscription(row.subscription),
            state=ContactState(row.state),
            attempts=row.attempts,
            sent_at=row.sent_at,
            due_at=row.due_at,
            error=row.error,
            before=optional_item_from_json(row.before),
            account=row.account,
        )
    except ValueError as error:
        raise RowDamaged(
            f"contact {row.jid} of journey {row.journey_id} is damaged ({error}); restore a backup"
        ) from error


def contact_state(id_: int, state: str) -> ContactState:
    """A contact's stored state; RowDamaged as for :func:`journey_of`."""
    try:
        return ContactState(state)
    except ValueError as error:
        raise RowDamaged(
            f"a contact of journey {id_} is damaged ({error}); restore a backup"
        ) from error


def _values(journey: Journey) -> dict[str, Any]:
    """All columns but the id."""
    return {
        "kind": journey.kind.value,
        "old": journey.old,
        "new": journey.new,
        "owner": journey.owner,
        "state": journey.state.value,
        "access": None if journey.access is None else journey.access.value,
        "created_at": journey.created_at,
        "started_at": journey.started_at,
        "ended_at": journey.ended_at,
        "resume_to": None if journey.resume_to is None else journey.resume_to.value,
        "detail": journey.detail,
        "progress_id": journey.progress_id,
        "told": journey.told,
        "old_account": journey.old_account,
        "new_account": journey.new_account,
    }


def _contact_values(id_: int, contact: JourneyContact) -> dict[str, Any]:
    return {
        "journey_id": id_,
        "jid": contact.jid,
        "name": contact.name,
        "groups": groups_to_json(contact.groups),
        "subscription": contact.subscription.value,
        "state": contact.state.value,
        "attempts": contact.attempts,
        "sent_at": contact.sent_at,
        "due_at": contact.due_at,
        "error": contact.error,
        "before": item_to_json(contact.before),
        "account": contact.account,
    }

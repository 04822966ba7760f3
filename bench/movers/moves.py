"""One user's move and its contacts, as the engine has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bench.movers.town import NEW_HOST, OLD_HOST
from component.core.journey import model
from component.core.model import Subscription


def move(
    number: int, name: str, contacts: Iterable[str], state: model.JourneyState, at: datetime
) -> tuple[model.Journey, list[model.JourneyContact]]:
    """From the old host to the new one; all contacts (bare JIDs) are mutual and to be told."""
    old, new = f"{name}@{OLD_HOST}", f"{name}@{NEW_HOST}"
    presence = model.Access.PRESENCE
    journey = model.Journey(number, model.Kind.BOTH, old, new, old, state, presence, at)
    queued = model.ContactState.QUEUED
    return journey, [
        model.JourneyContact(jid, "Contact", (), Subscription.BOTH, queued) for jid in contacts
    ]

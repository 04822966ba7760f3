"""Roster items as JSON text: one stable form, so that equal items are equal strings."""

from __future__ import annotations

import json
from collections.abc import Sequence

from component.core.model import RosterItem, Subscription

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def item_to_json(item: RosterItem | None) -> str | None:
    """The stored form of a roster item; absence stays ``None`` (SQL NULL)."""
    if item is None:
        return None
    # Put together by hand in half the time: most writes hold two items.
    name = "null" if item.name is None else _encode(item.name)
    ask = "true" if item.ask else "false"
    return (
        f'{{"jid":{_encode(item.jid)},"subscription":"{item.subscription.value}",'
        f'"ask":{ask},"name":{name},"groups":[{",".join(map(_encode, item.groups))}]}}'
    )


def item_from_json(text: str) -> RosterItem:
    """Read what :func:`item_to_json` wrote.

    Raises ValueError where the text is anything else.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("a roster item must be a JSON object")
    try:
        jid, ask, name, groups = data["jid"], data["ask"], data["name"], data["groups"]
        subscription = Subscription(data["subscription"])
    except KeyError as error:
        raise ValueError(f"a roster item lacks {error}") from None
    if not (
        isinstance(jid, str)
        and isinstance(ask, bool)
        and (name is None or isinstance(name, str))
        and isinstance(groups, list)
        and all(isinstance(group, str) for group in groups)
    ):
        raise ValueError("a roster item has a field of the wrong type")
    return RosterItem(jid, subscription, ask, name, tuple(groups))


def optional_item_from_json(text: str | None) -> RosterItem | None:
    """As :func:`item_from_json`, with SQL NULL for absence."""
    return None if text is None else item_from_json(text)


def groups_to_json(groups: Sequence[str]) -> str:
    """The stored form of roster groups."""
    return _encode(list(groups))


def groups_from_json(text: str) -> tuple[str, ...]:
    """Read what :func:`groups_to_json` wrote; ValueError where the text is anything else."""
    data = json.loads(text)
    if not isinstance(data, list) or not all(isinstance(group, str) for group in data):
        raise ValueError("roster groups must be a JSON list of strings")
    return tuple(data)


def value_to_json(value: object) -> str:
    """The stored form of a plain value: texts, numbers, truth values, None, lists of these.

    Raises TypeError or ValueError for anything that JSON cannot hold.
    """
    return _encode(value)


def value_from_json(text: str) -> object:
    """Read what :func:`value_to_json` wrote; ValueError where the text is no JSON."""
    found: object = json.loads(text)
    return found

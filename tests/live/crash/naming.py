"""What a commit writes and what a stanza does, as the names of points."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

_DML = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)
_ROWS = {
    "meta": "pulse",
    "settings": "settings",
    "run_time": "run-time settings",
    "answered": "answered",
    "journey_contacts": "contacts",
}


def commit_kind(statement: str, parameters: Sequence[dict[str, Any]]) -> str | None:
    """What a statement contributes to its transaction; None where it writes nothing of its own.

    :param statement: SQL.
    :param parameters: of each execution, by name.
    """
    found = _DML.match(statement)
    if found is None:
        return None
    verb, table = found[1].split()[0].upper(), found[2]
    given = parameters[0] if parameters else {}
    if table == "moves":
        return _move(verb, statement, given)
    if table == "journeys":
        if verb == "INSERT":
            return "journey created"
        return "journeys removed" if verb == "DELETE" else f"journey {given['state']}"
    if table == "handovers" and verb == "INSERT":
        return f"handover {given['state']}"
    if table == "audit":
        return None  # beside the record that it explains
    if table == "answered" and verb == "DELETE":
        return "answers removed"
    return _ROWS.get(table, table)


def _move(verb: str, statement: str, given: dict[str, Any]) -> str:
    if verb == "INSERT":
        return "request"
    if verb == "DELETE":
        return "requests removed"
    if "undone_at" in statement.partition("SET")[2].partition("WHERE")[0]:
        return "request undone"
    return f"request {given['b_state']}"


def effect_kind(text: str, said: str | None) -> str:
    """What a stanza on its way out is.

    :param said: the kind of notice that it belongs to, if it does to one.
    """
    stanza = ET.fromstring(text)
    kind = stanza.get("type", "")
    payload = next(iter(stanza), None)
    if stanza.tag == "message":
        return f"notice {said}" if said else "reply"
    if stanza.tag == "presence":
        return f"presence {kind or 'available'}"
    if payload is None:
        return f"{kind} nothing"
    name = _local(payload)
    if kind in ("get", "set"):
        return f"ask {_question(name, payload)}"
    if kind == "error":
        return "error"
    return f"answer {name}"


def _question(name: str, payload: ET.Element) -> str:
    if name == "send":
        presences = [child for child in payload if _local(child) == "presence"]
        told = any(_local(part) == "moved" for presence in presences for part in presence)
        if told:
            return "send notification"
        kinds = {presence.get("type") for presence in presences}
        return "send withdrawal" if kinds == {"unsubscribe"} else "send plan"
    if name == "release":
        return "hand back"
    if name != "query":
        return name
    (inner,) = payload
    (asked,) = inner
    return f"query {inner.get('type')} {_inner(asked)}"


def _inner(asked: ET.Element) -> str:
    namespace, name = asked.tag[1:].split("}")
    if name == "vCard":
        return "vcard"
    if name == "pubsub":
        verb = asked[0]
        return f"{_node(verb.get('node', ''))} {_local(verb)}"
    if namespace == "jabber:iq:roster":
        removes = any(item.get("subscription") == "remove" for item in asked)
        return f"roster{' remove' if removes else ''}"
    return {"query": "disco"}.get(name, name)


def _node(name: str) -> str:
    if "nick" in name:
        return "nick"
    return "handover" if name.startswith("urn:xmpp-moved:") else "statement"


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]

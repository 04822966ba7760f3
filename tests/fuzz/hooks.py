"""What the server's module says: every codec that reads one of its stanzas, or an answer of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

from component.core import jids
from component.xmpp import codecs, mover_codecs
from component.xmpp.errors import LinkError, RemoteError, StanzaError
from component.xmpp.guard import read_element
from component.xmpp.names import IQ, MESSAGE, NS_CLIENT, NS_FORWARD, NS_HOOK
from component.xmpp.wire import serialise
from tests.fuzz.mutate import HOSTS
from tests.fuzz.wires import stanzas

_OF_THE_SERVER = re.compile(rf"[^@/\s]+@({'|'.join(map(re.escape, HOSTS))})")
"""A bare JID of a served host: nobody but its server may send from one."""
_PRESENCE = (
    f"{{{NS_HOOK}}}divert/{{{NS_FORWARD}}}forwarded/{{{NS_CLIENT}}}presence[@type='subscribe']"
)

_WITH_HOSTS: dict[str, Callable[[ET.Element, Any], Any]] = {
    "divert": codecs.read_divert,
    "outcome": codecs.read_outcome,
    "way back": mover_codecs.read_way_back,
    "heard": mover_codecs.read_heard,
    "wrote": mover_codecs.read_wrote,
}
_PLAIN: dict[str, Callable[[ET.Element], Any]] = {
    "hello": codecs.read_hello,
    "items": codecs.read_items,
    "watched": mover_codecs.is_watched,
    "pending": mover_codecs.read_pending,
    "blocked": mover_codecs.read_blocklist,
    "nick": mover_codecs.read_nick,
    "vcard": mover_codecs.read_vcard_name,
    "access": mover_codecs.read_access,
    "features": mover_codecs.read_features,
    "statement": codecs.read_statement,
}


def hook(data: bytes) -> None:
    """Refusals are StanzaErrors; what is believed comes from the server of a served host."""
    for stanza in stanzas(data):
        first = list(_readings(stanza))
        # None of them may change what the others read.
        assert first == list(_readings(stanza))
        error = RemoteError.from_element(stanza)
        assert error.condition
        assert jids.from_uri(error.gone_uri) is None or error.condition == "gone"


def _readings(stanza: ET.Element) -> Iterator[tuple[str, object]]:
    for name, read in _WITH_HOSTS.items():
        try:
            value = read(stanza, HOSTS)
        except StanzaError as refused:
            yield name, (refused.condition, refused.text)
            continue
        yield name, value
        _check(name, value, stanza)
    try:
        missing = mover_codecs.read_tombstone(stanza, HOSTS)
    except StanzaError as refused:
        yield "tombstone", (refused.condition, refused.text)
    else:
        yield "tombstone", missing
        assert stanza.get("from") in HOSTS
        assert missing.account.endswith(f"@{stanza.get('from')}")
    inner = codecs.inner_iq(stanza)
    for part in (stanza, inner, *stanza):
        for name, reading in _PLAIN.items():
            yield name, None if part is None else reading(part)
        if part is not None:
            for item in codecs.roster_entries(part, ("romeo@old.example",)):
                assert item.jid == "romeo@old.example"


def _check(name: str, value: Any, stanza: ET.Element) -> None:
    sender = stanza.get("from", "")
    assert _OF_THE_SERVER.fullmatch(sender), (name, sender)
    if stanza.tag not in (IQ, MESSAGE):
        return  # the router hands no other over
    presence = stanza.find(_PRESENCE)
    match name:
        case "divert":
            divert = value.divert
            assert presence is not None
            assert divert.contact == sender == jids.bare_of(presence.get("to"))
            assert divert.new == jids.bare_of(presence.get("from"))
            assert divert.old_item.jid == divert.old == jids.bare(value.old_jids[0])
            assert divert.new_item is None or divert.new_item.jid == divert.new
            _hand_back(divert.stanza, presence)
        case "way back":
            assert presence is not None
            assert value.user == sender == jids.bare_of(presence.get("to"))
            assert value.item is None or value.item.jid == value.sender
        case "outcome":
            assert value.contact == sender
        case _:
            assert value.user == sender
            assert jids.bare(value.sender) == value.sender


def _hand_back(kept: str, presence: ET.Element) -> None:
    """What is journalled can be given back, and is what came."""
    try:
        text = serialise(codecs.write_hand_back(kept))
    except LinkError as error:
        raise AssertionError(f"cannot be handed back: {error}") from error
    (forwarded,) = read_element(text)
    again = ET.tostring(forwarded[0])
    was = copy(presence)
    was.tail = None
    assert again == ET.tostring(was), (again, ET.tostring(was))

"""What becomes of a question for a statement that cannot be put, or is not answered."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Literal

import pytest

from component.core.model import RosterItem, Subscription
from component.core.statement import ErrorRead
from component.engine.hook import Hook, HookMissing
from component.xmpp.errors import (
    BadStanza,
    LinkBusy,
    LinkError,
    LinkLost,
    RemoteError,
    RequestTimeout,
)


class FailingWire:
    """A stream on which every request fails in one way."""

    def __init__(self, error: LinkError) -> None:
        self._error = error

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        raise self._error


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (RequestTimeout("slow"), "remote-server-timeout"),
        (LinkBusy("full"), "resource-constraint"),
        (BadStanza("U+0000"), "undefined-condition"),
        (RemoteError("not-allowed"), "not-allowed"),
        (RemoteError("item-not-found"), "item-not-found"),
    ],
)
async def test_a_failure_is_an_answer(error: LinkError, condition: str) -> None:
    hook = Hook(FailingWire(error))
    answer = await hook.statement("romeo@a.example", "juliet@b.example", timeout=1)
    # That there is no such user is about the contact: the old account was not asked.
    assert answer == ErrorRead(condition, local=condition == "item-not-found")


async def test_a_lost_stream_is_none() -> None:
    with pytest.raises(LinkLost):
        await Hook(FailingWire(LinkLost("gone"))).statement("r@a.example", "j@b.example", timeout=1)


class AnsweringWire:
    """A stream on which every request gets one answer."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self.sent: list[ET.Element] = []

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        self.sent.append(payload)
        return ET.fromstring(f"<iq xmlns='jabber:component:accept'>{self._answer}</iq>")


def answered(inner: str) -> AnsweringWire:
    return AnsweringWire(
        f"<query xmlns='urn:xmpp-moved:hook:0'><iq xmlns='jabber:client' {inner}</iq></query>"
    )


REFUSED = (
    "type='error'><error type='cancel'><{0} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


async def test_a_roster_set_is_an_iq_of_the_user() -> None:
    wire = answered("type='result'>")
    item = RosterItem("j@b.example", Subscription.BOTH, False, "J", ("A",))
    await Hook(wire).set_entry("romeo@a.example", item)
    inner = wire.sent[0][0]
    assert (inner.get("type"), inner.get("to")) == ("set", None)
    (element,) = inner[0]
    assert element.attrib == {"jid": "j@b.example", "name": "J"}
    assert [group.text for group in element] == ["A"]
    await Hook(wire).remove_entry("romeo@a.example", "j@b.example")
    assert wire.sent[1][0][0][0].attrib == {"jid": "j@b.example", "subscription": "remove"}


async def test_what_is_not_there_needs_no_removal() -> None:
    wire = answered(REFUSED.format("item-not-found"))
    await Hook(wire).remove_entry("romeo@a.example", "j@b.example")
    with pytest.raises(RemoteError, match="not-allowed"):
        await Hook(answered(REFUSED.format("not-allowed"))).remove_entry("r@a.example", "j@b.x")


async def test_a_refused_roster_set_is_an_error() -> None:
    item = RosterItem("j@b.example", Subscription.NONE)
    with pytest.raises(RemoteError, match="item-not-found"):
        await Hook(answered(REFUSED.format("item-not-found"))).set_entry("r@a.example", item)
    with pytest.raises(HookMissing):
        await Hook(AnsweringWire("")).set_entry("r@a.example", item)


async def test_an_answer_without_entries_is_none() -> None:
    with pytest.raises(HookMissing, match="entries"):
        await Hook(AnsweringWire("")).chosen("romeo@a.example", ["juliet@b.example"])

"""The stanza plugin, used as an application of slixmpp would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.plugins.xep_0060.stanza import Item
from slixmpp.stanza import Iq, Presence

from contrib.xep_0283 import XEP_0283, Moved

NS = "urn:xmpp:moved:1"


@pytest.fixture
async def plugin() -> Any:
    xmpp = ClientXMPP("new@b.example/r", "secret")
    xmpp.register_plugin("xep_0283")
    yield xmpp.plugin.get("xep_0283", None)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


class Sent:
    """Takes the place of the stream below the send queue."""

    def __init__(self, xmpp: Any) -> None:
        self.queue = xmpp.waiting_queue
        xmpp._always_send_everything = True

    def xml(self) -> ET.Element:
        stanza, _ = self.queue.get_nowait()
        xml: ET.Element = stanza.xml
        return xml


def test_both_addresses() -> None:
    moved = Moved()
    assert (moved["old_jid"], moved["new_jid"]) == ("", "")
    moved["new_jid"] = "new@b.example"
    moved["old_jid"] = "old@a.example"
    assert moved.xml.tag == f"{{{NS}}}moved"
    assert [(sub.tag, sub.text) for sub in moved.xml] == [
        (f"{{{NS}}}new-jid", "new@b.example"),
        (f"{{{NS}}}old-jid", "old@a.example"),
    ]
    moved["new_jid"] = "newer@b.example"
    assert moved["new_jids"] == ["newer@b.example"]
    del moved["old_jid"]
    assert moved["old_jids"] == []


def test_shows_ambiguity() -> None:
    moved = Moved(
        xml=ET.fromstring(
            f"<moved xmlns='{NS}'><new-jid> a@x </new-jid><new-jid xml:lang='de'>b@x</new-jid>"
            "<new-jid xmlns='urn:other'>c@x</new-jid><old-jid/></moved>"
        )
    )
    assert moved["new_jid"] == "a@x"
    assert moved["new_jids"] == ["a@x", "b@x"]
    assert moved["old_jids"] == [""]


async def test_on_a_presence_and_in_an_item(plugin: XEP_0283) -> None:
    presence = Presence()
    assert not presence.get_plugin("moved", check=True)
    presence["moved"]["old_jid"] = "old@a.example"
    assert presence.xml.find(f"{{{NS}}}moved/{{{NS}}}old-jid") is not None

    two = Presence(
        xml=ET.fromstring(
            f"<presence xmlns='jabber:client'><moved xmlns='{NS}'/><moved xmlns='{NS}'/></presence>"
        )
    )
    assert len(two["moveds"]) == 2

    moved = Moved()
    moved["new_jid"] = "new@b.example"
    item = Item()
    item["payload"] = moved.xml
    assert Item(xml=item.xml)["moved"]["new_jid"] == "new@b.example"


@pytest.mark.parametrize("access_model", ["presence", "open", None])
async def test_publish(plugin: Any, access_model: str | None) -> None:
    sent = Sent(plugin.xmpp)
    plugin.publish_moved("new@b.example/resource", access_model=access_model)
    xml = sent.xml()
    pubsub = "{http://jabber.org/protocol/pubsub}"
    item = xml.find(f"{pubsub}pubsub/{pubsub}publish[@node='{NS}']/{pubsub}item[@id='current']")
    assert item is not None
    assert item.findtext(f"{{{NS}}}moved/{{{NS}}}new-jid") == "new@b.example"
    fields = {
        field.get("var"): field.findtext("{jabber:x:data}value")
        for field in xml.iter("{jabber:x:data}field")
    }
    if access_model is None:
        assert fields == {}
    else:
        assert fields == {
            "FORM_TYPE": "http://jabber.org/protocol/pubsub#publish-options",
            "pubsub#access_model": access_model,
            "pubsub#persist_items": "1",
            "pubsub#max_items": "1",
        }


async def test_get_retract_and_read(plugin: Any) -> None:
    sent = Sent(plugin.xmpp)
    plugin.get_moved("old@a.example/r")
    xml = sent.xml()
    assert (xml.get("to"), xml.get("type")) == ("old@a.example", "get")
    assert xml.find(f".//*[@node='{NS}']/*[@id='current']") is not None
    plugin.retract_moved()
    assert sent.xml().find(f".//*[@node='{NS}']/*[@id='current']") is not None

    def answer(inner: str) -> Iq:
        xml = ET.fromstring(
            "<iq xmlns='jabber:client' type='result'><pubsub xmlns="
            f"'http://jabber.org/protocol/pubsub'><items node='{NS}'>{inner}</items></pubsub></iq>"
        )
        return Iq(xml=xml)  # type: ignore[no-untyped-call]

    statement = f"<item id='current'><moved xmlns='{NS}'><new-jid>n@b</new-jid></moved></item>"
    assert [m["new_jids"] for m in plugin.statements(answer(statement))] == [["n@b"]]
    assert plugin.statements(answer("")) == []
    assert len(plugin.statements(answer(statement * 2))) == 2


async def test_notify(plugin: Any) -> None:
    sent = Sent(plugin.xmpp)
    plugin.send_moved("juliet@c.example/r", "old@a.example/r", pstatus="I moved")
    xml = sent.xml()
    assert (xml.get("type"), xml.get("to")) == ("subscribe", "juliet@c.example")
    assert xml.findtext(f"{{{NS}}}moved/{{{NS}}}old-jid") == "old@a.example"
    assert xml.findtext("{jabber:client}status") == "I moved"


async def test_for_components_too() -> None:
    xmpp = ComponentXMPP("moved.example", "x", "127.0.0.1", 1)  # type: ignore[no-untyped-call]
    xmpp.register_plugin("xep_0283")
    sent = Sent(xmpp)
    xmpp.plugin["xep_0283"].send_moved(  # type: ignore[typeddict-item]
        "a@b", "c@d", pfrom="e@moved.example"
    )
    assert sent.xml().get("from") == "e@moved.example"


def test_needs_nothing_but_slixmpp() -> None:
    code = (
        "import sys, contrib.xep_0283\n"
        "print(sorted(m for m in sys.modules if m.startswith(('component', 'contrib'))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    allowed = ("", ".xep_0283", ".xep_0283.moved", ".xep_0283.stanza")
    assert found.strip() == str([f"contrib{name}" for name in allowed])

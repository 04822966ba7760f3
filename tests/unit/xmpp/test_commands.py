"""Ad-hoc commands, forms and chat messages on the wire, and who gets them."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import pytest

from component.xmpp.adhoc import (
    Action,
    CommandError,
    read_command,
    write_cancelled,
    write_completed,
    write_executing,
)
from component.xmpp.chat import read_chat, write_chat
from component.xmpp.disco import SelfDescription
from component.xmpp.errors import RemoteError, StanzaError
from component.xmpp.forms import FormField, read_submit, write_form
from component.xmpp.names import IQ, MESSAGE, NS_COMMANDS, NS_COMPONENT, NS_DISCO_INFO, NS_FORMS
from component.xmpp.router import Router
from component.xmpp.wire import serialise

ME, YOU = "moved.example", "user@server.example/phone"
NODE = "urn:node#one"


def iq(inner: str, kind: str = "set") -> ET.Element:
    """A request with a payload."""
    return ET.fromstring(
        f"<iq xmlns='{NS_COMPONENT}' type='{kind}' id='1' from='{YOU}' to='{ME}'>{inner}</iq>"
    )


def command(attributes: str, inner: str = "") -> ET.Element:
    """A request for a command."""
    return iq(f"<command xmlns='{NS_COMMANDS}' {attributes}>{inner}</command>")


FORM = f"<x xmlns='{NS_FORMS}' type='submit'><field var='a'><value>1</value><value/></field></x>"


def test_a_request() -> None:
    first = read_command(command(f"node='{NODE}'"))
    assert (first.node, first.action, first.session, first.values) == (
        NODE,
        Action.EXECUTE,
        None,
        None,
    )
    later = read_command(command(f"node='{NODE}' sessionid='s' action='complete'", FORM))
    assert (later.action, later.session, later.values) == (
        Action.COMPLETE,
        "s",
        {"a": ("1", "")},
    )


def test_a_cancelled_form_cancels() -> None:
    """XEP-0004 section 3.1."""
    form = f"<x xmlns='{NS_FORMS}' type='cancel'/>"
    assert read_command(command(f"node='{NODE}' sessionid='s'", form)).action is Action.CANCEL


@pytest.mark.parametrize(
    ("attributes", "inner", "specific"),
    [
        ("", "", "bad-payload"),
        (f"node='{NODE}' action='dance'", "", "malformed-action"),
        (f"node='{NODE}'", FORM + FORM, "bad-payload"),
        (f"node='{'n' * 300}'", "", "bad-payload"),
    ],
)
def test_requests_that_cannot_be_read(attributes: str, inner: str, specific: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_command(command(attributes, inner))
    error = caught.value.element()
    assert error.find(f"{{{NS_COMMANDS}}}{specific}") is not None
    stanza = ET.Element(IQ)
    stanza.append(error)
    assert RemoteError.from_element(stanza).condition == "bad-request"


@pytest.mark.parametrize(
    "form",
    [
        "<x xmlns='jabber:x:data' type='form'/>",
        "<x xmlns='jabber:x:data'/>",
        "<x xmlns='urn:other' type='submit'/>",
        "<x xmlns='jabber:x:data' type='submit'><field/></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='a'/></x>",
    ],
)
def test_forms_that_cannot_be_read(form: str) -> None:
    with pytest.raises(StanzaError) as caught:
        read_submit(ET.fromstring(form))
    assert caught.value.condition == "bad-request"


def test_fixed_fields_are_passed_over() -> None:
    form = "<x xmlns='jabber:x:data' type='submit'><field type='fixed'><value>T</value></field></x>"
    assert read_submit(ET.fromstring(form)) == {}


def test_answers() -> None:
    form = write_form(
        "Title",
        "One.\n\nTwo <&>.",
        [
            FormField("a", "list-single", "A", True, ("x",), (("x", "X"), ("y", "Y"))),
            FormField("b", "boolean", "B", description="why"),
        ],
    )
    first = write_executing(NODE, "s", form, last=False, back=False, note=None)
    assert serialise(first, NS_COMPONENT) == (
        f'<command xmlns="{NS_COMMANDS}" node="{NODE}" sessionid="s" status="executing">'
        '<actions execute="next"><next/></actions>'
        f'<x xmlns="{NS_FORMS}" type="form"><title>Title</title>'
        "<instructions>One.</instructions><instructions>Two &lt;&amp;&gt;.</instructions>"
        '<field var="a" type="list-single" label="A"><required/><value>x</value>'
        '<option label="X"><value>x</value></option><option label="Y"><value>y</value></option>'
        '</field><field var="b" type="boolean" label="B"><desc>why</desc></field></x></command>'
    )
    again = write_executing(NODE, "s", form, last=True, back=True, note="No.")
    assert [child.tag.rpartition("}")[2] for child in again] == ["actions", "note", "x"]
    assert [child.tag.rpartition("}")[2] for child in again[0]] == ["prev", "complete"]
    assert write_completed(NODE, "s", "Done.", "warn")[0].get("type") == "warn"
    assert write_cancelled(NODE, "s").get("status") == "canceled"


# Chat -----------------------------------------------------------------------------------------


def message(inner: str, attributes: str = f"from='{YOU}' to='{ME}' type='chat'") -> ET.Element:
    """A message."""
    return ET.fromstring(f"<message xmlns='{NS_COMPONENT}' {attributes}>{inner}</message>")


def test_reading() -> None:
    read = read_chat(
        message(
            "<body>hello</body><thread>t</thread><replace xmlns='urn:xmpp:message-correct:0' "
            "id='m0'/>",
            f"from='{YOU}' to='{ME}' id='m1' xml:lang='de'",
        )
    )
    assert read is not None
    assert (read.sender, read.id, read.lang, read.body) == (YOU, "m1", "de", "hello")
    assert (read.thread, read.corrects, read.encrypted) == ("t", "m0", False)


def test_reading_a_file_that_is_shared() -> None:
    shared = "<x xmlns='jabber:x:oob'><url>https://u.example/a</url><desc>d</desc></x>"
    read = read_chat(message(f"<body>look</body>{shared}"))
    assert read is not None
    assert (read.body, read.link) == ("look", "https://u.example/a")
    read = read_chat(message("<body>look</body><x xmlns='jabber:x:oob'/>"))
    assert read is not None
    assert read.link is None


def test_reading_one_of_several_languages() -> None:
    bodies = "<body xml:lang='fr'>salut</body><body xml:lang='de'>hallo</body>"
    read = read_chat(message(bodies, f"from='{YOU}' xml:lang='de'"))
    assert read is not None
    assert (read.lang, read.body) == ("de", "hallo")
    read = read_chat(message(bodies))
    assert read is not None
    assert (read.lang, read.body) == ("fr", "salut")


def test_nothing_to_read() -> None:
    assert read_chat(message("<subject>x</subject>")) is None
    assert read_chat(message("<body>x</body>", "")) is None
    read = read_chat(message("<body>x</body>", f"from='{YOU}' xml:lang='{'x' * 99}'"))
    assert read is not None
    assert read.lang is None


def test_writing() -> None:
    written = write_chat(YOU, "a\nb", id="m2", lang="de", replaces="m1", thread="t")
    assert serialise(written) == (
        f'<message type="chat" to="{YOU}" id="m2" xml:lang="de"><body>a\nb</body>'
        '<thread>t</thread><replace xmlns="urn:xmpp:message-correct:0" id="m1"/></message>'
    )


@pytest.mark.parametrize(
    ("stanza", "heard"),
    [
        (message("<body>x</body>"), True),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}'"), True),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}' type='normal'"), True),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}' type='error'"), False),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}' type='groupchat'"), False),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}' type='headline'"), False),
        (message("<body>x</body>", f"from='{YOU}' to='{ME}/x' type='chat'"), False),
        (message("<body>x</body>", f"from='{YOU}' to='x@{ME}' type='chat'"), False),
        (message("<body xmlns='urn:other'>x</body>"), False),
        (message("<subject>x</subject>"), False),
        (message("<body>x</body><p xmlns='urn:p'/>"), False),
    ],
)
async def test_what_is_chat(stanza: ET.Element, heard: bool) -> None:
    router = Router(ME, max_handlers=2)
    chat: list[ET.Element] = []
    payloads: list[ET.Element] = []

    async def on_chat(m: ET.Element) -> None:
        chat.append(m)

    async def on_payload(m: ET.Element) -> None:
        payloads.append(m)

    router.message(stanza)
    router.route_chat(on_chat)
    router.route_message("urn:p", "p", on_payload)
    router.message(stanza)
    await router.drain(1.0)
    assert bool(chat) is heard
    assert len(chat) + len(payloads) <= 1


async def test_chat_is_bounded() -> None:
    router = Router(ME, max_handlers=2)
    go = asyncio.Event()
    begun: list[str] = []

    async def on_chat(m: ET.Element) -> None:
        begun.append("x")
        await go.wait()

    router.route_chat(on_chat)
    for _ in range(5):
        router.message(message("<body>x</body>"))
    assert router.running == 2
    go.set()
    await router.drain(1.0)
    assert len(begun) == 2
    assert message("<body/>").tag == MESSAGE


# Discovery ------------------------------------------------------------------------------------


class Commands:
    """Shows one command to one user."""

    def commands(self, asker: str, lang: str | None) -> Mapping[str, str]:
        return {NODE: "Eins" if lang == "de" else "One"} if asker == YOU else {}


async def ask(about: SelfDescription, what: str, node: str, lang: str = "en") -> ET.Element:
    """Ask about a node; returns the answer, whatever it is."""
    router = Router(ME, max_handlers=2)
    about.register(router)
    answers: list[ET.Element] = []
    stanza = iq(f"<query xmlns='http://jabber.org/protocol/disco#{what}' node='{node}'/>", "get")
    stanza.set("{http://www.w3.org/XML/1998/namespace}lang", lang)
    router.iq(stanza, answers.append)
    await router.drain(1.0)
    return answers[0]


async def test_discovery_of_commands() -> None:
    about = SelfDescription("0")
    for what in ("info", "items"):
        refused = await ask(about, what, NS_COMMANDS)
        assert RemoteError.from_element(refused).condition == "item-not-found"
    about.list_commands(Commands())
    items = (await ask(about, "items", NS_COMMANDS, "de"))[0]
    assert [dict(item.items()) for item in items] == [{"jid": ME, "node": NODE, "name": "Eins"}]
    info = (await ask(about, "info", NODE))[0]
    assert dict(info[0].items()) == {
        "category": "automation",
        "type": "command-node",
        "name": "One",
    }
    features = [f.get("var") for f in info.findall(f"{{{NS_DISCO_INFO}}}feature")]
    assert features == [NS_COMMANDS, NS_FORMS]
    assert (await ask(about, "info", NS_COMMANDS))[0][0].get("type") == "command-list"
    root = (await ask(about, "info", ""))[0]
    assert NS_COMMANDS in [f.get("var") for f in root]
    for what, node in (("info", "urn:other"), ("items", "urn:other"), ("items", NODE)):
        refused = await ask(about, what, node)
        assert RemoteError.from_element(refused).condition == "item-not-found"

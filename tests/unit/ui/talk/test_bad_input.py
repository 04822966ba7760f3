"""Malformed and forged input to every command: a sentence, no traceback, nothing changed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from component.ui.talk.commands import NODE
from component.xmpp.errors import StanzaError
from component.xmpp.names import NS_COMMANDS, NS_FORMS
from tests.unit.cases import cases
from tests.unit.ui.talk.drive import FIELD, VALUE, Client, Person, Values, X, command_iq
from tests.unit.ui.talk.fake import ADMIN, AFAR, CODE, JULIET, ROMEO, World, journey, record

BAD = {
    "blank": " \t ",
    "nothing": "",
    "too long": "x" * 10_001,
    "long digits": "9" * 5_000,
    "nul-like": "\u2400\u0085",
    "right to left": "\u202egnp.m7",
    "format string": "{0.__class__.__mro__}",
    "percent": "%(secret)s%n",
    "sql": "'; DROP TABLE journeys; --",
    "xml": "<x/>",
    "entity": "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "path": "../../etc/passwd",
    "negative": "-1",
    "zero": "0 0",
    "float": "1e309",
    "nobody's move": "m99999",
    "someone else's move": "m3",
    "someone else's contact": "c4",
    "two at signs": "a@b@c",
    "no address": "juliet@capulet..example",
    "no local part": "@capulet.example",
    "emoji": "👩‍👩‍👧‍👦",
    "roman digits": "ⅳ",
    "maybe": "maybe",
    "json": '{"sure": true}',
}

Stage = tuple[str, str, str, Sequence[Values]]
STAGES: dict[str, Stage] = {
    "away: new": (ROMEO, "away", "away", []),
    "away: code": (ROMEO, "away", "away", [{"new": JULIET}]),
    "away: who": (ROMEO, "away", "away", [{"new": JULIET}, {"code": CODE}]),
    "away: contacts": (
        ROMEO,
        "away",
        "away",
        [{"new": AFAR}, {"who": "choose", "access": "suggested"}],
    ),
    "arrive: old": (ROMEO, "arrive", "arrive", []),
    "arrive: list": (ROMEO, "arrive", "arrive", [{"old": AFAR}]),
    "pause": (ROMEO, "pause", "pause", []),
    "cancel": (ROMEO, "cancel", "cancel", [{"move": "m7"}]),
    "undo: what": (ROMEO, "undo", "undo", []),
    "undo: sure": (ROMEO, "undo", "undo", [{"what": "m7"}]),
    "undo contact": (ROMEO, "undo-contact", "undo contact", []),
    "settings": (ROMEO, "settings", "settings", []),
    "admin-show": (ADMIN, "admin-show", "show", []),
    "admin-undo": (ADMIN, "admin-undo", "undo any", []),
    "admin-domains": (ADMIN, "admin-domains", "domains", []),
    "admin-settings": (ADMIN, "admin-settings", "admin settings", []),
}
TAKES_SUGGESTIONS = ("away", "settings", "undo", "undo-contact", "admin-settings")
"""Commands with questions to which an empty message in the chat is an answer."""


def full_world() -> World:
    """Romeo has two moves and two contacts to undo, Tybalt one of each."""
    world = World()
    world.move(7)
    world.move(8)
    other = journey(3)
    world.orders.started[3] = type(other)(
        3, other.kind, "t@capulet.example", "t@montague.example", "t@capulet.example",
        other.state, None, other.created_at,
    )  # fmt: skip
    world.orders.records = [record(12), record(11), record(4, contact="t@capulet.example")]
    return world


def unharmed(world: World, logs: Sequence[object]) -> None:
    """Nothing was ordered and nothing went wrong inside."""
    assert world.orders.ordered == []
    assert not [entry for entry in logs if "failed" in str(entry)]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
async def test_values_in_forms(stage: Stage) -> None:
    with cases() as case:
        for what, bad in BAD.items():
            with case(what):
                asker, name, _words, pages = stage
                world = full_world()
                client = Client(world, f"{asker}/phone")
                await client.execute(name)
                for values in pages:
                    await client.step(values)
                assert client.status == "executing"
                with capture_logs() as logs:
                    await client.step(dict.fromkeys(client.fields, bad))
                assert client.note
                assert "Traceback" not in client.note
                unharmed(world, logs)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
async def test_words_in_the_chat(stage: Stage) -> None:
    with cases() as case:
        for what, bad in BAD.items():
            if not bad.strip() and stage[1] in TAKES_SUGGESTIONS:
                continue
            with case(what):
                asker, _name, words, pages = stage
                world = full_world()
                person = Person(world, f"{asker}/phone")
                await person.write(words)
                for values in pages:
                    for value in values.values():
                        await person.write(value if isinstance(value, str) else ", ".join(value))
                assert person.in_dialog
                with capture_logs() as logs:
                    text = await person.write(bad)
                assert text
                assert "Traceback" not in text
                unharmed(world, logs)


# Stanzas that no client should make -----------------------------------------------------------


def iq(node: str, **attributes: str) -> ET.Element:
    """A command with odd attributes."""
    stanza = command_iq(f"{ROMEO}/phone", node)
    for key, value in attributes.items():
        stanza[0].set(key, value)
    return stanza


def with_form(node: str, kind: str | None, *fields: tuple[str | None, str]) -> ET.Element:
    """A command with a session that is not there, and a form."""
    stanza = iq(node, sessionid="x")
    x = ET.SubElement(stanza[0], X, {"type": kind} if kind else {})
    for var, value in fields:
        field = ET.SubElement(x, FIELD, {"var": var} if var is not None else {})
        ET.SubElement(field, VALUE).text = value
    return stanza


def two_forms(node: str) -> ET.Element:
    """Which one counts?"""
    stanza = with_form(node, "submit", ("sure", "1"))
    ET.SubElement(stanza[0], X, {"type": "submit"})
    return stanza


STANZAS: dict[str, Callable[[str], ET.Element]] = {
    "no node": lambda node: iq("", action="execute"),
    "another namespace's node": lambda node: iq("urn:other#" + node),
    "the bare name": lambda node: iq(node.removeprefix(NODE)),
    "upper case": lambda node: iq(node.upper()),
    "a long node": lambda node: iq(node + "x" * 300),
    "a node and a blank": lambda node: iq(node + " "),
    "an unknown action": lambda node: iq(node, action="sudo"),
    "an empty action": lambda node: iq(node, action=""),
    "next of nothing": lambda node: iq(node, action="next"),
    "complete of nothing": lambda node: iq(node, action="complete"),
    "prev of nothing": lambda node: iq(node, action="prev"),
    "cancel of nothing": lambda node: iq(node, action="cancel"),
    "a guessed session": lambda node: iq(node, sessionid="AAAA", action="complete"),
    "a long session": lambda node: iq(node, sessionid="A" * 300),
    "cancel of a guess": lambda node: iq(node, sessionid="AAAA", action="cancel"),
    "a form of type form": lambda node: with_form(node, "form", ("sure", "1")),
    "a form of type result": lambda node: with_form(node, "result", ("sure", "1")),
    "a form of no type": lambda node: with_form(node, None, ("sure", "1")),
    "a field without name": lambda node: with_form(node, "submit", (None, "1")),
    "a field twice": lambda node: with_form(node, "submit", ("sure", "0"), ("sure", "1")),
    "too many fields": lambda node: with_form(
        node, "submit", *((f"f{n}", "1") for n in range(101))
    ),
    "two forms": two_forms,
}
NAMES = (
    *("away", "arrive", "progress", "pause", "resume", "cancel", "undo", "undo-contact"),
    *("settings", "admin-list", "admin-show", "admin-pause-all", "admin-resume-all"),
    *("admin-undo", "admin-domains", "admin-settings"),
)


@pytest.mark.parametrize("name", NAMES)
async def test_stanzas(name: str) -> None:
    with cases() as case:
        for what, stanza in STANZAS.items():
            with case(what):
                world = full_world()
                with pytest.raises(StanzaError) as caught:
                    await world.talk.adhoc.handle(stanza(NODE + name))
                element = caught.value.element()
                assert element.get("type") in ("cancel", "modify", "auth", "wait")
                assert world.orders.ordered == []
                assert world.talk.adhoc.sessions == 0


@pytest.mark.parametrize("sender", ["tybalt@far.example/x", "montague.example", "", "@", "a@/x"])
async def test_strangers(sender: str) -> None:
    with cases() as case:
        for name in NAMES:
            with case(name):
                world = full_world()
                with pytest.raises(StanzaError) as caught:
                    await world.talk.adhoc.handle(command_iq(sender, NODE + name))
                assert caught.value.condition == "forbidden"
                assert world.talk.commands(sender, None) == {}
                assert await Person(world, sender).write("help") == ""
                assert world.orders.ordered == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("admin-")])
async def test_users_give_no_orders_of_admins(name: str) -> None:
    world = full_world()
    with pytest.raises(StanzaError) as caught:
        await Client(world, f"{ROMEO}/phone").execute(name)
    assert caught.value.condition == "item-not-found"
    assert not any("admin" in node for node in world.talk.commands(ROMEO, None))
    for words in ("pause all", "list moves", "show m7", "undo any", "domains", "admin settings"):
        text = await Person(world, f"{ROMEO}/phone").write(words)
        assert "did not understand" in text


async def test_an_admin_no_more_takes_no_further_step() -> None:
    for renderer in (Client, Person):
        world = full_world()
        asker = renderer(world, f"{ADMIN}/phone")
        if isinstance(asker, Client):
            await asker.execute("admin-undo")
            world.orders.admins.clear()
            await asker.step({"what": "m7", "sure": "1"})
            text = asker.note
        else:
            await asker.write("undo any")
            await asker.write("m7")
            world.orders.admins.clear()
            text = await asker.write("yes")
        assert "not yours" in text
        assert world.orders.ordered == []


async def test_a_fault_is_logged_and_told_in_a_sentence() -> None:
    for renderer in (Client, Person):
        world = full_world()
        world.orders.fault = RuntimeError("/var/lib/secret is gone")
        with capture_logs() as logs:
            asker = renderer(world, f"{ROMEO}/phone")
            pages = [{"follow": "ask", "language": "en"}]
            text = await asker.run("settings", pages)
        assert "went wrong" in text
        assert "secret" not in text
        assert [entry["event"] for entry in logs] == ["a command failed"]


def test_the_namespaces() -> None:
    assert (NS_COMMANDS, NS_FORMS) == ("http://jabber.org/protocol/commands", "jabber:x:data")

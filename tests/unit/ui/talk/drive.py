"""Drives commands through either renderer, as a client or a person does."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from component.ui.talk.commands import NODE
from component.xmpp.chat import LANG
from component.xmpp.names import IQ, MESSAGE, NS_COMMANDS, NS_COMPONENT, NS_FORMS, NS_OOB
from tests.unit.ui.talk.fake import ME, World

Values = Mapping[str, str | Sequence[str]]
X, FIELD, VALUE = (f"{{{NS_FORMS}}}{name}" for name in ("x", "field", "value"))
INSTRUCTIONS, OPTION = f"{{{NS_FORMS}}}instructions", f"{{{NS_FORMS}}}option"
NOTE = f"{{{NS_COMMANDS}}}note"


def command_iq(
    sender: str,
    node: str | None,
    action: str | None = None,
    session: str | None = None,
    values: Values | None = None,
    lang: str | None = None,
) -> ET.Element:
    """A step as a client asks for it."""
    iq = ET.Element(IQ, {"type": "set", "id": "1", "from": sender, "to": ME})
    if lang:
        iq.set(LANG, lang)
    command = ET.SubElement(iq, f"{{{NS_COMMANDS}}}command")
    for key, value in (("node", node), ("action", action), ("sessionid", session)):
        if value is not None:
            command.set(key, value)
    if values is not None:
        x = ET.SubElement(command, X, {"type": "submit"})
        for var, given in values.items():
            element = ET.SubElement(x, FIELD, {"var": var})
            for text in [given] if isinstance(given, str) else given:
                for line in text.split("\n"):
                    ET.SubElement(element, VALUE).text = line
    return iq


def message(
    sender: str, body: str | None, *, lang: str | None = None, link: str = "", **more: str
) -> ET.Element:
    """A chat message to the component, with a link to a file if there is one (XEP-0066)."""
    stanza = ET.Element(MESSAGE, {"type": "chat", "from": sender, "to": ME, **more})
    if lang:
        stanza.set(LANG, lang)
    if body is not None:
        ET.SubElement(stanza, f"{{{NS_COMPONENT}}}body").text = body
    if link:
        shared = ET.SubElement(stanza, f"{{{NS_OOB}}}x")
        ET.SubElement(shared, f"{{{NS_OOB}}}url").text = link
    return stanza


@dataclass
class Client:
    """Somebody's client that runs ad-hoc commands."""

    world: World
    jid: str
    lang: str | None = None
    node: str = ""
    session: str | None = None
    answer: ET.Element = field(default_factory=lambda: ET.Element("none"))

    async def execute(self, name: str) -> ET.Element:
        """Begin a command."""
        self.node, self.session = NODE + name, None
        return await self.step()

    async def step(self, values: Values | None = None, action: str | None = None) -> ET.Element:
        """Take a step of it."""
        iq = command_iq(self.jid, self.node, action, self.session, values, self.lang)
        self.answer = await self.world.talk.adhoc.handle(iq)
        self.session = self.answer.get("sessionid")
        return self.answer

    @property
    def status(self) -> str | None:
        """Executing, completed or canceled."""
        return self.answer.get("status")

    @property
    def note(self) -> str:
        """The note's text."""
        return self.answer.findtext(NOTE) or ""

    @property
    def fields(self) -> list[str]:
        """Names of the form's fields."""
        return [f.get("var", "") for f in self.answer.iter(FIELD)]

    @property
    def text(self) -> str:
        """What the page says: its instructions, or the note at the end."""
        lines = [line.text or "" for line in self.answer.iter(INSTRUCTIONS)]
        return "\n".join(lines) if lines else self.note

    @property
    def options(self) -> list[str]:
        """Values that can be chosen."""
        return [option.findtext(VALUE) or "" for option in self.answer.iter(OPTION)]

    @property
    def actions(self) -> list[str]:
        """What is offered."""
        actions = self.answer.find(f"{{{NS_COMMANDS}}}actions")
        return [a.tag.rpartition("}")[2] for a in actions] if actions is not None else []

    async def run(self, name: str, pages: Sequence[Values]) -> str:
        """The whole of a command; returns the last page's text."""
        await self.execute(name)
        return await self.finish(*pages)

    async def finish(self, *pages: Values) -> str:
        """The rest of a command; returns the last page's text."""
        for values in pages:
            assert self.status == "executing", self.note
            assert set(values) == set(self.fields), (self.fields, self.note)
            await self.step(values, self.actions[-1])
        assert self.status == "completed", (self.fields, self.note)
        return self.note


@dataclass
class Person:
    """Somebody who writes to the component."""

    world: World
    jid: str
    lang: str | None = None

    async def write(self, body: str, **more: str) -> str:
        """Write something; returns what comes back."""
        before = len(self.world.link.sent)
        await self.world.talk.chat.handle(message(self.jid, body, lang=self.lang, **more))
        parts = self.world.link.sent[before:]
        assert all(p.get("to") == self.jid for p in parts)
        return "\n".join(p.findtext(f"{{{NS_COMPONENT}}}body") or "" for p in parts)

    @property
    def in_dialog(self) -> bool:
        """Whether a question of theirs is open."""
        return self.world.talk.chat.dialogs > 0

    async def run(self, words: str, pages: Sequence[Values]) -> str:
        """The whole of a command; returns the last answer."""
        text = await self.write(words)
        for values in pages:
            for name, given in values.items():
                assert self.in_dialog, (name, text)
                if name in ("sure", "paused"):
                    given = "yes" if given == "1" else "no"
                text = await self.write(given if isinstance(given, str) else ", ".join(given))
        assert not self.in_dialog, text
        return text

"""Ad-hoc commands (XEP-0050) with forms (XEP-0004), as a client's command window drives them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from tests.live.client import Stream

NS_COMMANDS = "http://jabber.org/protocol/commands"
COMMAND = f"{{{NS_COMMANDS}}}"
FORM = "{jabber:x:data}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
NODES = "urn:xmpp-moved:cmd:0#"

Values = Mapping[str, str | Sequence[str]]


class CommandRefused(AssertionError):
    """A command was answered by a stanza error; ``condition`` is its name."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition}: {text}")
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    var: str
    kind: str
    label: str
    values: tuple[str, ...]
    options: tuple[str, ...]


class Page:
    """One answer of a command: what it shows, and what can be done next."""

    def __init__(self, command: ET.Element) -> None:
        self.node = command.get("node", "")
        self.session = command.get("sessionid", "")
        self.status = command.get("status", "")
        actions = command.find(f"{COMMAND}actions")
        self.actions = [] if actions is None else [a.tag.removeprefix(COMMAND) for a in actions]
        self.notes = [(n.get("type", "info"), n.text or "") for n in command.iter(f"{COMMAND}note")]
        form = command.find(f"{FORM}x")
        self.fields = (
            {} if form is None else {f.var: f for f in map(_field, form.iter(f"{FORM}field"))}
        )
        self.text = "\n".join(part.strip() for part in command.itertext() if part.strip())

    @property
    def errors(self) -> list[str]:
        """Texts of the notes of type error."""
        return [text for kind, text in self.notes if kind == "error"]

    @property
    def done(self) -> bool:
        """Whether the command is over."""
        return self.status in ("completed", "canceled")

    def __str__(self) -> str:
        return f"[{self.node} {self.status} {self.actions} {list(self.fields)}] {self.text}"


class Commands:
    """The command window of one device for one component."""

    def __init__(self, device: Stream, component: str) -> None:
        self._device = device
        self.component = component

    async def listed(self) -> list[str]:
        """Names of the commands that are offered (XEP-0050 section 2.2)."""
        answer = await self._device.request(
            f"<query xmlns='http://jabber.org/protocol/disco#items' node='{NS_COMMANDS}'/>",
            to=self.component,
        )
        nodes = (item.get("node", "") for item in answer.iter() if item.tag.endswith("}item"))
        return [node.removeprefix(NODES) for node in nodes]

    async def execute(self, name: str) -> Page:
        """Begin a command; raises CommandRefused."""
        return await self.send(NODES + name, action="execute")

    async def next(self, page: Page, **values: str | Sequence[str]) -> Page:
        """Submit a page: ``next`` where that is offered, else ``complete``."""
        action = "next" if "next" in page.actions else "complete"
        return await self.send(page.node, session=page.session, action=action, values=values)

    async def cancel(self, page: Page) -> Page:
        """Leave the command."""
        return await self.send(page.node, session=page.session, action="cancel")

    async def send(
        self, node: str, *, session: str = "", action: str = "", values: Values | None = None
    ) -> Page:
        """Any request of a command, sensible or not; raises CommandRefused."""
        return await self.raw(request(node, session, action, values))

    async def raw(self, payload: str) -> Page:
        """A payload as it is; raises CommandRefused."""
        answer = await self._device.request(payload, kind="set", to=self.component)
        if answer.get("type") == "error":
            raise CommandRefused(*_error(answer))
        command = answer.find(f"{COMMAND}command")
        assert command is not None, ET.tostring(answer, "unicode")
        return Page(command)


def request(node: str, session: str = "", action: str = "", values: Values | None = None) -> str:
    """A ``<command/>`` with, where there are values, a submitted form."""
    attributes = f" node={quoteattr(node)}"
    if session:
        attributes += f" sessionid={quoteattr(session)}"
    if action:
        attributes += f" action={quoteattr(action)}"
    form = "" if values is None else f"<x xmlns='jabber:x:data' type='submit'>{_fields(values)}</x>"
    return f"<command xmlns='{NS_COMMANDS}'{attributes}>{form}</command>"


def _fields(values: Values) -> str:
    parts = []
    for var, given in values.items():
        listed = [given] if isinstance(given, str) else given
        inner = "".join(f"<value>{escape(value)}</value>" for value in listed)
        parts.append(f"<field var={quoteattr(var)}>{inner}</field>")
    return "".join(parts)


def _field(element: ET.Element) -> Field:
    return Field(
        element.get("var", ""),
        element.get("type", "text-single"),
        element.get("label", ""),
        tuple(value.text or "" for value in element.findall(f"{FORM}value")),
        tuple(option.findtext(f"{FORM}value") or "" for option in element.findall(f"{FORM}option")),
    )


def _error(answer: ET.Element) -> tuple[str, str]:
    for child in answer.iter():
        if child.tag.startswith(STANZAS) and not child.tag.endswith("}text"):
            text = next((t.text or "" for t in answer.iter(f"{STANZAS}text")), "")
            return child.tag.removeprefix(STANZAS), text
    return "undefined-condition", ET.tostring(answer, "unicode")

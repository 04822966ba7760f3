"""Ad-hoc commands (XEP-0050) between elements and values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from component.core.conditions import Condition
from component.xmpp.errors import StanzaError
from component.xmpp.forms import read_submit
from component.xmpp.names import NS_COMMANDS, NS_COMPONENT, NS_FORMS

_COMMAND = f"{{{NS_COMMANDS}}}command"
_X = f"{{{NS_FORMS}}}x"
_MAX_NAME = 256
"""Characters of a node or a session id."""


class Action(StrEnum):
    """What a requester wants done (section 3.4)."""

    EXECUTE = "execute"
    NEXT = "next"
    PREV = "prev"
    COMPLETE = "complete"
    CANCEL = "cancel"


class CommandError(StanzaError):
    """An error with a condition of XEP-0050 section 4.4 besides the general one.

    :param specific: ``bad-action``, ``bad-sessionid``, ``session-expired`` and so on.
    """

    def __init__(self, condition: str, type: str, specific: str, text: str | None = None) -> None:
        super().__init__(condition, type, text)
        self.specific = specific

    def element(self, namespace: str = NS_COMPONENT) -> ET.Element:
        """``<error/>`` as the child of a stanza in ``namespace``."""
        error = super().element(namespace)
        ET.SubElement(error, f"{{{NS_COMMANDS}}}{self.specific}")
        return error


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A step of a command, as asked for."""

    node: str
    action: Action
    session: str | None
    values: Mapping[str, tuple[str, ...]] | None
    """Of the submitted form; None where there is none."""


def read_command(iq: ET.Element) -> CommandRequest:
    """Read a request.

    :param iq: of type set, with ``<command/>`` as its payload.
    :raises StanzaError: a part cannot be read.
    """
    command = iq[0]
    node, session = command.get("node", ""), command.get("sessionid")
    if not node or len(node) > _MAX_NAME or len(session or "") > _MAX_NAME:
        raise CommandError(
            Condition.BAD_REQUEST, "modify", "bad-payload", "the command has no node"
        )
    try:
        action = Action(command.get("action", "execute"))
    except ValueError:
        raise CommandError(
            Condition.BAD_REQUEST, "modify", "malformed-action", "the action is none of XEP-0050"
        ) from None
    forms = command.findall(_X)
    if len(forms) > 1:
        raise CommandError(Condition.BAD_REQUEST, "modify", "bad-payload", "more than one form")
    values = None
    # A form of type cancel says what action='cancel' says (XEP-0004 section 3.1).
    if forms and action not in (Action.CANCEL, Action.PREV):
        if forms[0].get("type") == "cancel":
            action = Action.CANCEL
        else:
            values = read_submit(forms[0])
    return CommandRequest(node, action, session or None, values)


def write_executing(
    node: str, session: str, form: ET.Element, *, last: bool, back: bool, note: str | None
) -> ET.Element:
    """The answer that asks for more.

    :param last: the form is the last one, as far as is known: offer ``complete``, else ``next``.
    :param back: there is a page before.
    :param note: why the form comes again.
    """
    command = ET.Element(_COMMAND, {"node": node, "sessionid": session, "status": "executing"})
    forward = "complete" if last else "next"
    actions = ET.SubElement(command, f"{{{NS_COMMANDS}}}actions", {"execute": forward})
    if back:
        ET.SubElement(actions, f"{{{NS_COMMANDS}}}prev")
    ET.SubElement(actions, f"{{{NS_COMMANDS}}}{forward}")
    if note:
        _note(command, "error", note)
    command.append(form)
    return command


def write_completed(
    node: str, session: str, note: str, severity: Literal["info", "warn", "error"]
) -> ET.Element:
    """The answer that ends a command with a text."""
    command = ET.Element(_COMMAND, {"node": node, "sessionid": session, "status": "completed"})
    _note(command, severity, note)
    return command


def write_cancelled(node: str, session: str) -> ET.Element:
    """The answer to ``cancel``; the XEP spells it with one l."""
    return ET.Element(_COMMAND, {"node": node, "sessionid": session, "status": "canceled"})


def _note(command: ET.Element, kind: str, text: str) -> None:
    ET.SubElement(command, f"{{{NS_COMMANDS}}}note", {"type": kind}).text = text

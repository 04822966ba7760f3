"""Ad-hoc commands and chat, behind the router: who may order what, whatever is written."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from copy import deepcopy

from structlog.testing import capture_logs

from component.core import jids
from component.xmpp.disco import SelfDescription
from component.xmpp.errors import LinkError
from component.xmpp.names import IQ, MESSAGE, NS_COMMANDS
from component.xmpp.router import Router
from component.xmpp.wire import serialise
from tests.fuzz.loop import LOOP
from tests.fuzz.wires import stanzas
from tests.unit.ui.talk.fake import ADMIN, CONTACTS, HOSTS, ME, World
from tests.unit.ui.talk.test_bad_input import full_world

_COMMAND = f"{{{NS_COMMANDS}}}command"
_SESSION = "$"
"""Stands for the session that was begun last; ``$1`` for the first one, and so on."""
_MOST = 24
"""Stanzas of one input."""
_STEPS = 3
"""Of the event loop, for one stanza."""


def talk(data: bytes) -> None:
    """Every request has one answer and no fault; what is ordered, its sender may order."""
    given = [s for s in stanzas(data) if s.tag in (IQ, MESSAGE)][:_MOST]
    first, second = (LOOP.run_until_complete(_Talk().run(given)) for _ in range(2))
    assert first == second, (first, second)


class _Talk:
    def __init__(self) -> None:
        self.world: World = full_world()
        self.router = Router(ME, max_handlers=100)
        link = self.world.link
        about = SelfDescription("0")
        about.register(self.router)
        about.list_commands(self.world.talk)
        for (kind, namespace, name), handler in link.iqs.items():
            assert kind in ("get", "set")
            self.router.route_iq("get" if kind == "get" else "set", namespace, name, handler)
        assert link.chat is not None
        self.router.route_chat(link.chat)
        self.answers: list[ET.Element] = []
        self.owners: dict[str, str] = {}
        """Who got which session, oldest first."""

    async def run(self, given: list[ET.Element]) -> list[str]:
        """Put the stanzas through; returns what came of it."""
        said: list[str] = []
        askers: set[str | None] = set()
        for original in given:
            stanza = deepcopy(original)
            askers.add(jids.bare_of(stanza.get("from")))
            said += await self._one(stanza)
        assert self.world.talk.adhoc.sessions <= 3 * len(askers)
        assert self.world.talk.chat.dialogs <= len(askers)
        return said

    async def _one(self, stanza: ET.Element) -> list[str]:
        sender = stanza.get("from", "")
        session = self._name_session(stanza)
        orders, sent = len(self.world.orders.ordered), len(self.world.link.sent)
        self.answers.clear()
        with capture_logs() as logs:
            if stanza.tag == IQ:
                if stanza.get("type") not in ("get", "set"):
                    return []  # an answer, which the link looks at
                self.router.iq(stanza, self.answers.append)
            else:
                self.router.message(stanza)
            for _ in range(_STEPS):
                await asyncio.sleep(0)
            assert not self.router.running, "nothing in this world waits for anything"
        assert not [entry for entry in logs if entry["log_level"] == "error"], logs
        self._may(sender, self.world.orders.ordered[orders:])
        answerable = stanza.tag == IQ and 0 < len(stanza.get("id", "")) <= 4096 and bool(sender)
        assert len(self.answers) == int(answerable)
        out = [*self.answers, *self.world.link.sent[sent:]]
        for answer in out:
            assert answer.get("to") == sender
            error = answer.get("type") == "error"
            condition = answer.find(".//{urn:ietf:params:xml:ns:xmpp-stanzas}internal-server-error")
            assert condition is None
            if not error and session is not None:
                assert self.owners[session] == sender, "somebody else's session"
            self._note_session(answer, sender)
        return [self._plain(answer) for answer in out]

    def _may(self, sender: str, ordered: list[tuple[object, ...]]) -> None:
        bare = jids.bare_of(sender)
        for order in ordered:
            if str(order[1]) == bare:
                assert jids.domain(bare) in HOSTS
            else:
                assert bare == ADMIN, order
            # Only accounts of the orders' world: nobody is told who was not chosen.
            told = order[5] if order[0] == "start" else ()
            assert isinstance(told, tuple)
            if told and str(order[2]).partition("@")[2] in HOSTS:
                assert set(told) <= set(CONTACTS), told

    def _name_session(self, stanza: ET.Element) -> str | None:
        command = stanza.find(_COMMAND)
        given = command.get("sessionid") if command is not None else None
        if command is None or given is None or not given.startswith(_SESSION):
            return None
        known, number = list(self.owners), given[1:]
        if not known:
            return None
        at = int(number) - 1 if number.isdecimal() and number.isascii() and len(number) < 4 else -1
        session = known[min(at, len(known) - 1)]
        command.set("sessionid", session)
        return session

    def _note_session(self, answer: ET.Element, sender: str) -> None:
        command = answer.find(_COMMAND)
        if command is not None and command.get("status") == "executing":
            self.owners.setdefault(command.get("sessionid", ""), sender)

    def _plain(self, answer: ET.Element) -> str:
        """Without what is drawn by lot; and fit to be sent."""
        try:
            text = serialise(answer)
        except LinkError as error:
            raise AssertionError(f"the answer cannot be sent: {error}") from error
        command = answer.find(_COMMAND)
        if command is not None:
            text = text.replace(command.get("sessionid", "") or "\0", _SESSION)
        return text if answer.tag == IQ else "".join(answer.itertext())

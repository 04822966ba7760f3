"""What ``{names}``, roster lines and ``push`` lines in a scenario stand for."""

from __future__ import annotations

import re
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from tests.live.scenario import Account, Scenario
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, RosterEntry

_NAME = re.compile(r"\{([a-z][a-z0-9-]*)(/[^}.]+)?(?:\.(\w+))?\}")
_WORD = re.compile(r"%([a-z][a-z0-9 -]*)%")
_ENTRY = re.compile(
    r"(?P<who>[a-z][a-z0-9-]*)\s+(?P<state>none|to|from|both)"
    r'(?:\s+"(?P<name>[^"]*)")?(?:\s+\[(?P<groups>[^\]]*)\])?'
    r"(?P<ask>\s+ask)?(?P<pending>\s+pending)?"
)
_MIRROR = {"none": "none", "to": "from", "from": "to", "both": "both"}


class WordError(Exception):
    """A name or line that means nothing."""


class Vocabulary:
    """The names of one run of one scenario: every run has accounts of its own."""

    def __init__(self, scenario: Scenario, words: Mapping[str, str]) -> None:
        token = secrets.token_hex(3)
        self._accounts = scenario.accounts
        self._users = {alias: f"{alias}-{token}" for alias in scenario.accounts}
        self._words = words

    def jid(self, alias: str) -> str:
        """Bare JID of an account; raises WordError."""
        account = self.account(alias)
        return f"{self._users[alias]}@{account.host}"

    def account(self, alias: str) -> Account:
        """The declaration; raises WordError."""
        if alias not in self._accounts:
            raise WordError(f"no account {alias!r} is declared")
        return self._accounts[alias]

    def fill(self, text: str) -> str:
        """Replace ``{romeo}``, ``{romeo/phone}``, ``{romeo.host}`` and ``%words%``."""
        return _NAME.sub(self._name, _WORD.sub(self._word, text))

    def _word(self, found: re.Match[str]) -> str:
        if found[1] not in self._words:
            raise WordError(f"differences.py has no word {found[0]} for this server")
        return self._words[found[1]]

    def _name(self, found: re.Match[str]) -> str:
        alias, resource, form = found[1], found[2] or "", found[3]
        if alias == "any":
            return found[0]
        fixed = {"component": COMPONENT_HOST, "stranger": STRANGER_HOST}
        if alias in fixed:
            return fixed[alias]
        jid = self.jid(alias)
        user, _, host = jid.partition("@")
        forms = {
            None: jid,
            "user": user,
            "host": host,
            "upper": f"{user.upper()}@{host.upper()}",
            "ace": f"{user}@{host.encode('idna').decode()}",
        }
        if form not in forms:
            raise WordError(f"unknown form in {found[0]}")
        return forms[form] + resource

    def entry(self, line: str) -> RosterEntry:
        """Read ``romeo both "Name" [Group, Group] ask pending``; raises WordError."""
        found = _ENTRY.fullmatch(line.strip())
        if not found:
            raise WordError(f"no roster entry: {line!r}")
        groups = (found["groups"] or "").split(",")
        return RosterEntry(
            jid=self.jid(found["who"]),
            subscription=found["state"],
            name=found["name"],
            groups=tuple(sorted(group.strip() for group in groups if group.strip())),
            ask=found["ask"] is not None,
            pending=found["pending"] is not None,
        )

    def stanzas(self, body: str) -> list[ET.Element]:
        """Parse expected stanzas: XML in the client's namespace, and ``push`` lines.

        A line that begins with ``#``, perhaps from a word of the server, expects nothing.
        """
        lines = [line.strip() for line in _WORD.sub(self._word, body).splitlines()]
        parts = [self._push(line) for line in lines if not line.startswith("#")]
        text = self.fill("\n".join(parts))
        try:
            return list(ET.fromstring(f"<x xmlns='jabber:client'>{text}</x>"))
        except ET.ParseError as error:
            raise WordError(f"not well-formed ({error}):\n{text}") from error

    def _push(self, line: str) -> str:
        words = line.strip()
        if words.startswith("push-removed "):
            jid = self.jid(words.split()[1])
            inner = f"<item jid={quoteattr(jid)} subscription='remove'/>"
        elif words.startswith("push "):
            inner = _item(self.entry(words[5:]))
        else:
            return line
        return f"<iq type='set'><query xmlns='jabber:iq:roster'>{inner}</query></iq>"


def mirror(owner: str, entry: RosterEntry) -> RosterEntry:
    """The entry that the other side has when both rosters agree."""
    return RosterEntry(owner, _MIRROR[entry.subscription])


def parse_roster(query: ET.Element) -> dict[str, RosterEntry]:
    """Read the answer of a roster get."""
    roster: dict[str, RosterEntry] = {}
    for item in query.iterfind("{jabber:iq:roster}item"):
        groups = (group.text or "" for group in item.iterfind("{jabber:iq:roster}group"))
        jid = item.get("jid", "")
        roster[jid] = RosterEntry(
            jid,
            item.get("subscription", "none"),
            item.get("name"),
            tuple(sorted(groups)),
            item.get("ask") == "subscribe",
        )
    return roster


def _item(entry: RosterEntry) -> str:
    name = f" name={quoteattr(entry.name)}" if entry.name is not None else ""
    ask = " ask='subscribe'" if entry.ask else ""
    groups = "".join(f"<group>{escape(group)}</group>" for group in entry.groups)
    return (
        f"<item jid={quoteattr(entry.jid)} subscription='{entry.subscription}'{name}{ask}>"
        f"{groups}</item>"
    )

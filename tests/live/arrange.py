"""Creates what a scenario declares: accounts, rosters, statements, faults."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from tests.live.client import Client, ClientError
from tests.live.scenario import Scenario
from tests.live.servers.base import Fault, RosterEntry
from tests.live.topology import Topology
from tests.live.vocabulary import Vocabulary, mirror

NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_MOVED = "urn:xmpp:moved:1"
_STATEMENT = re.compile(
    r"([\w-]+)(?:\s+\((presence|open|whitelist)(?::\s*([^)]*))?\))?\s*:\s*(\S+)"
)
_ROSTER = re.compile(r"([\w-]+)\s*(:|<=>)\s*(.+)")
_FAULT = re.compile(r"([\w-]+)\s*:\s*(silent|error|result)")


async def prepare(
    scenario: Scenario, topology: Topology, words: Vocabulary
) -> dict[str, list[RosterEntry]]:
    """Create everything; return the arranged rosters by bare JID.

    Raises ScenarioError for a declaration that cannot be read and ClientError when a server
    refuses a statement.
    """
    rosters = _rosters(scenario, words)
    for alias, account in scenario.accounts.items():
        server = topology.server_of(account.host)
        if server is None or not account.exists:
            continue
        server.add_user(words.jid(alias))
        server.set_roster(words.jid(alias), rosters.get(words.jid(alias), []))
    for line in scenario.sections["statements"]:
        found = _STATEMENT.fullmatch(line.text)
        if not found:
            raise scenario.error(line.number, "a statement is 'romeo (open): {romeo-new}'")
        members = [words.jid(name.strip()) for name in (found[3] or "").split(",") if name.strip()]
        server = topology.server_of(words.account(found[1]).host)
        if server is None:
            raise scenario.error(line.number, "nobody serves this account")
        owner = Client(found[1], f"{words.jid(found[1])}/statement", server.spec.address)
        await owner.open()
        try:
            await publish(owner, words.fill(found[4]), found[2] or "presence", members)
        finally:
            await owner.close()
    for line in scenario.sections["faults"]:
        found = _FAULT.fullmatch(line.text)
        if not found:
            raise scenario.error(line.number, "a fault is 'romeo: silent', 'error' or 'result'")
        server = topology.server_of(words.account(found[1]).host)
        if server is None:
            raise scenario.error(line.number, "nobody serves this account")
        server.set_fault(words.jid(found[1]), read_fault(found[2], line.body, words))
    return rosters


def read_fault(kind: str, body: str, words: Vocabulary) -> Fault | None:
    """The fault that a line and its body describe; None for ``none``."""
    return None if kind == "none" else Fault(kind, words.fill(body.strip()))


async def publish(owner: Client, new: str, access: str, members: list[str]) -> None:
    """Publish a moved statement (XEP-0283 4.1) as the owner's device.

    Args:
        new: content of ``<new-jid/>``.
        access: access model of the node.
        members: who is on the whitelist.
    """
    fields = "".join(
        f"<field var='pubsub#{key}'><value>{value}</value></field>"
        for key, value in (("access_model", access), ("persist_items", "true"))
    )
    await _must(
        owner,
        f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{NS_MOVED}'><item id='current'>"
        f"<moved xmlns='{NS_MOVED}'><new-jid>{escape(new)}</new-jid></moved></item></publish>"
        "<publish-options><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE' type='hidden'>"
        f"<value>{NS_PUBSUB}#publish-options</value></field>{fields}</x></publish-options></pubsub>",
    )
    if members:
        listed = "".join(
            f"<affiliation jid={quoteattr(jid)} affiliation='member'/>" for jid in members
        )
        await _must(
            owner,
            f"<pubsub xmlns='{NS_PUBSUB}#owner'><affiliations node='{NS_MOVED}'>{listed}"
            "</affiliations></pubsub>",
        )


async def _must(owner: Client, payload: str) -> None:
    answer = await owner.request(payload, kind="set")
    if answer.get("type") != "result":
        raise ClientError(f"{owner.name} may not publish: {payload}")


def _rosters(scenario: Scenario, words: Vocabulary) -> dict[str, list[RosterEntry]]:
    rosters: dict[str, list[RosterEntry]] = {}
    for line in scenario.sections["rosters"]:
        found = _ROSTER.fullmatch(line.text)
        if not found:
            raise scenario.error(line.number, "a roster line is 'juliet: romeo both' or with <=>")
        owner, entry = words.jid(found[1]), words.entry(found[3])
        rosters.setdefault(owner, []).append(entry)
        if found[2] == "<=>":
            rosters.setdefault(entry.jid, []).append(mirror(owner, entry))
    return rosters

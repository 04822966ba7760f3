"""A session that has less than its user's own role moves nothing (XEP-0283 section 6.1).

Prosody 13 has roles; there a device may log in with a token that gives it a part of the account.
The test gives that role to a device by its name. Elsewhere every session is the user.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.live.arrange import NS_MOVED, NS_PUBSUB
from tests.live.client import Client
from tests.live.hooked import CLIENT, STANZAS, Stage
from tests.live.movers.readings import STATEMENT_GET, read_statement
from tests.live.servers.base import COMPONENT_HOST
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(group="hook")

NEW = "juliet@verona.example"
PUBLISH = (
    f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{NS_MOVED}'><item id='current'>"
    f"<moved xmlns='{NS_MOVED}'><new-jid>{NEW}</new-jid></moved></item></publish></pubsub>"
)
DELETE = f"<pubsub xmlns='{NS_PUBSUB}#owner'><delete node='{NS_MOVED}'/></pubsub>"
ORDER = "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp-moved:cmd:0#away'/>"


async def does(device: Client, payload: str, to: str | None = None) -> bool:
    """Whether a request of a device is let through; else it must be forbidden."""
    answer = await device.request(payload, kind="set", to=to)
    if answer.get("type") == "result":
        return True
    error = answer.find(f"{CLIENT}error")
    assert error is not None
    assert error.find(f"{STANZAS}forbidden") is not None, ET.tostring(answer, "unicode")
    return False


async def test_a_restricted_session_changes_no_statement(stage: Stage) -> None:
    has_roles = stage.topology.kind.name == NEWER_PROSODY
    user = stage.account("juliet")
    phone, bot = await stage.device(user), await stage.device(user, "restricted-bot")
    assert await does(bot, PUBLISH) is not has_roles
    stands, _ = read_statement(await phone.request(STATEMENT_GET, to=user))
    assert stands == (None if has_roles else NEW)
    assert await does(phone, PUBLISH), "the user's own session may"
    for payload in (PUBLISH.replace(NEW, user), DELETE):
        assert await does(bot, payload) is not has_roles
    stands, _ = read_statement(await phone.request(STATEMENT_GET, to=user))
    assert stands == (NEW if has_roles else None)
    # What else such a session may is not ours to say.
    assert await does(bot, PUBLISH.replace(NS_MOVED, "urn:example:other"))


async def test_a_restricted_session_orders_nothing(stage: Stage) -> None:
    has_roles = stage.topology.kind.name == NEWER_PROSODY
    user = stage.account("juliet")
    phone, bot = await stage.device(user), await stage.device(user, "restricted-bot")
    component = stage.component
    component.inbox.clear()
    for device in (bot, phone):
        device.send(f"<message type='chat' to='{COMPONENT_HOST}'><body>move away</body></message>")
        await stage.quiet(device)
    said = [
        received.element.get("from", "").partition("/")[2]
        for received in component.inbox
        if received.element.tag.endswith("message")
    ]
    assert said == (["phone"] if has_roles else ["restricted-bot", "phone"])
    if has_roles:
        assert not await does(bot, ORDER, COMPONENT_HOST)

"""Where a deleted account went: the hook asks the component and the server answers ``<gone/>``."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import pytest

from tests.live.client import Client, Stream
from tests.live.hooked import (
    ACCEPT,
    CAPULET,
    CLIENT,
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    Stage,
    answer,
    notification,
    on_stage,
    outcome,
    take,
)
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd
from tests.live.shared import kinds
from tests.live.topology import Arrangement, Topology

pytestmark = kinds(group="hook")

URI = "xmpp:juliet@new.example"
FOUND = f"<tombstone xmlns='{NS_HOOK}'>{URI}</tombstone>"
Running = dict[tuple[str, Arrangement], Topology]


@pytest.fixture
async def stage(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """The component not yet connected."""
    async with on_stage(kind, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        yield stage


@pytest.fixture
async def hasty(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """The same where the hook waits one second."""
    async with on_stage(kind, HookOptions(timeout=1), shared_topologies, tmp_path_factory) as stage:
        yield stage


def statement(node: str = "urn:xmpp:moved:1") -> str:
    """The request for a moved statement."""
    return (
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        f"<items node='{node}'><item id='current'/></items></pubsub>"
    )


async def tell_left(
    stage: Stage, *left: str, removed: tuple[str, ...] = (), edges: str = "begin='true' end='true'"
) -> None:
    """The component says who left: all of them by default."""
    accounts = "".join(f"<account jid='{jid}'/>" for jid in left)
    accounts += "".join(f"<account jid='{jid}' state='removed'/>" for jid in removed)
    told = await stage.component.request(
        f"<tombstones xmlns='{NS_HOOK}' {edges}>{accounts}</tombstones>", kind="set", to=HOST
    )
    assert told.get("type") == "result", ET.tostring(told, "unicode")


def nothing_was_told(stage: Stage) -> None:
    """As when the module is new: on ejabberd, whose servers all tests share, others have told."""
    server = stage.topology.servers["montague"]
    if isinstance(server, Ejabberd):
        server.evaluate(f'mnesia:dirty_delete(moved_left, {{<<>>, <<"{HOST}">>}}).')


class Request:
    """A request for a statement that is on its way."""

    def __init__(self, stream: Stream, to: str, node: str = "urn:xmpp:moved:1") -> None:
        self._stream = stream
        sender = "" if isinstance(stream, Client) else f" from='{stream.jid}'"
        stream.inbox.clear()
        stream.send(f"<iq type='get' id='S' to='{to}'{sender}>{statement(node)}</iq>")

    async def answered(self) -> ET.Element:
        """The answer."""
        while True:
            iq = await take(self._stream, ".")
            if iq.get("id") == "S":
                return iq


def error_of(iq: ET.Element) -> tuple[str | None, str, str | None]:
    """Type, condition and text of an error."""
    assert iq.get("type") == "error", ET.tostring(iq, "unicode")
    error = next(child for child in iq if child.tag.endswith("}error"))
    condition = next(child for child in error if child.tag.startswith(STANZAS))
    return error.get("type"), condition.tag.removeprefix(STANZAS), condition.text


GONE = ("cancel", "gone", URI)


async def question(stage: Stage) -> ET.Element:
    """What the hook asks."""
    iq = await take(stage.component, f"{HOOK}tombstone")
    assert (iq.tag, iq.get("type"), iq.get("from")) == (f"{ACCEPT}iq", "get", HOST)
    assert iq.get("to") == COMPONENT_HOST
    return iq


@pytest.mark.parametrize("host", [HOST, "verona.example", CAPULET])
async def test_who_asks_for_a_deleted_account_is_told(stage: Stage, host: str) -> None:
    old, contact = stage.account("juliet"), stage.account("romeo", host)
    device = await stage.device(old)
    published = await device.request(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:moved:1'>"
        f"<item id='current'><moved xmlns='urn:xmpp:moved:1'><new-jid>{URI[5:]}</new-jid></moved>"
        "</item></publish></pubsub>",
        kind="set",
    )
    assert published.get("type") == "result"
    asking = await stage.device(contact)
    await stage.connect()
    await tell_left(stage, old)

    # While the account exists its server answers for it.
    error_of(await Request(asking, old).answered())
    await device.close()
    error_of(await Request(asking, old).answered())
    await stage.quiet()
    assert not stage.component.inbox

    stage.remove(old)
    request = Request(asking, old)
    asked = await question(stage)
    assert asked[0].attrib == {"jid": old, "asker": contact}
    answer(stage.component, asked, FOUND)
    told = await request.answered()
    assert (told.get("from"), told.get("to")) == (old, asking.jid)
    assert error_of(told) == GONE


async def test_a_component_and_the_user_of_the_hook_are_told_too(stage: Stage) -> None:
    await stage.connect()
    await tell_left(stage, f"never@{HOST}")
    stranger = await stage.connect(STRANGER_HOST)
    request = Request(stranger, f"never@{HOST}")
    asked = await question(stage)
    assert asked[0].get("asker") == STRANGER_HOST
    answer(stage.component, asked, FOUND)
    assert error_of(await request.answered()) == GONE

    user = stage.account("romeo")
    iq = f"<iq xmlns='jabber:client' type='get' to='never@{HOST}'>{statement()}</iq>"
    query = f"<query xmlns='{NS_HOOK}'>{iq}</query>"
    stage.component.send(f"<iq type='set' id='Q' from='{COMPONENT_HOST}' to='{user}'>{query}</iq>")
    asked = await question(stage)
    assert asked[0].get("asker") == user
    answer(stage.component, asked, FOUND)
    result = await take(stage.component, f"{HOOK}query")
    inner = result.find(f"{HOOK}query/{CLIENT}iq")
    assert inner is not None
    assert (result.get("id"), inner.get("from")) == ("Q", f"never@{HOST}")
    assert error_of(inner) == GONE


@pytest.mark.parametrize("host", [HOST, CAPULET])
async def test_without_an_answer_it_is_as_without_the_hook(stage: Stage, host: str) -> None:
    asking, never = await stage.device(stage.account("romeo", host)), f"never@{HOST}"
    stock = error_of(await Request(asking, never).answered())  # no component is connected
    await stage.connect()
    await tell_left(stage, never)
    empty, no_uri = FOUND.replace(URI, ""), FOUND.replace("xmpp:", "")
    for payload in ("", empty, no_uri, FOUND.replace(NS_HOOK, "urn:x")):
        request = Request(asking, never)
        answer(stage.component, await question(stage), payload)
        assert error_of(await request.answered()) == stock
    request = Request(asking, never)
    asked = await question(stage)
    stage.component.send(
        f"<iq type='error' id='{asked.get('id')}' from='{COMPONENT_HOST}' to='{HOST}'>"
        "<error type='cancel'/></iq>"
    )
    assert error_of(await request.answered()) == stock
    request = Request(asking, never)
    await question(stage)
    await stage.component.close()
    assert error_of(await request.answered()) == stock


async def test_a_silent_component_holds_nobody_up(hasty: Stage) -> None:
    asking, never = await hasty.device(hasty.account("romeo")), f"never@{HOST}"
    stock = error_of(await Request(asking, never).answered())
    await hasty.connect()
    nothing_was_told(hasty)
    request = Request(asking, never)
    asked = await question(hasty)
    assert error_of(await request.answered()) == stock
    answer(hasty.component, asked, FOUND)  # too late
    await hasty.quiet(asking)
    assert not asking.inbox


async def test_there_is_a_limit_to_what_is_held(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hook = HookOptions(max_held=1)
    async with on_stage(kind, hook, shared_topologies, tmp_path_factory) as stage:
        asking, other = [await stage.device(stage.account(name)) for name in ("romeo", "nurse")]
        stock = error_of(await Request(asking, f"never@{HOST}").answered())
        await stage.connect()
        nothing_was_told(stage)
        request = Request(asking, f"never@{HOST}")
        asked = await question(stage)
        assert error_of(await Request(other, f"never@{HOST}").answered()) == stock
        assert not stage.component.inbox
        answer(stage.component, asked, FOUND)
        assert error_of(await request.answered()) == GONE
        request = Request(other, f"never@{HOST}")
        answer(stage.component, await question(stage), FOUND)
        assert error_of(await request.answered()) == GONE

        # Of another kind there is as much room as ever, and the other way round.
        user, mover = stage.account("benvolio"), await stage.device(stage.account("juliet"))
        old = f"old@{HOST}"
        stage.roster(user, RosterEntry(old, "both"))
        request = Request(asking, f"never@{HOST}")
        asked = await question(stage)
        mover.send(notification(user, old))
        diverted = await take(stage.component, f"{HOOK}divert")
        answer(stage.component, asked, FOUND)
        assert error_of(await request.answered()) == GONE
        request = Request(asking, f"never@{HOST}")
        answer(stage.component, await question(stage), FOUND)
        assert error_of(await request.answered()) == GONE
        answer(stage.component, diverted, f"<release xmlns='{NS_HOOK}'/>")
        assert await outcome(stage.component) == ("released", "verdict")


async def test_one_owner_of_domains_leaves_room_for_others(
    kind: Kind, shared_topologies: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hook = HookOptions(max_held=10)
    async with on_stage(kind, hook, shared_topologies, tmp_path_factory) as stage:
        far = await stage.device(stage.account("romeo", CAPULET))
        near, never = await stage.device(stage.account("romeo")), f"never@{HOST}"
        stock = error_of(await Request(far, never).answered())
        await stage.connect()
        nothing_was_told(stage)
        held = []
        for number in range(2):
            held.append(Request(far, f"n{number}@{HOST}"))
            answer_to = await question(stage)
        assert error_of(await Request(far, never).answered()) == stock
        assert not stage.component.inbox
        request = Request(near, never)
        answer(stage.component, await question(stage), FOUND)
        assert error_of(await request.answered()) == GONE
        answer(stage.component, answer_to, FOUND)
        assert error_of(await held[1].answered()) == GONE
        request = Request(far, never)
        answer(stage.component, await question(stage), FOUND)
        assert error_of(await request.answered()) == GONE


async def test_nobody_else_is_asked_about(stage: Stage) -> None:
    """The component says who left; what anybody may send about others costs it nothing."""
    asking = await stage.device(stage.account("romeo"))
    await stage.connect()

    async def is_asked(name: str) -> bool:
        request = Request(asking, f"{name}@{HOST}")
        await stage.quiet(asking)
        if found := bool(stage.component.inbox):
            answer(stage.component, await question(stage), FOUND)
        assert error_of(await request.answered())[1] == "gone" or not found
        return found

    names = ("one", "two", "three")
    jids = {name: f"{name}@{HOST}" for name in names}

    async def asked_about() -> list[str]:
        return [name for name in names if await is_asked(name)]

    await tell_left(stage, jids["one"])
    assert await asked_about() == ["one"]
    # One who leaves, and one who comes back.
    await tell_left(stage, jids["two"], removed=(jids["one"],), edges="")
    assert await asked_about() == ["two"]
    # A list in pieces: until it is complete what was known holds, and who leaves meanwhile.
    await tell_left(stage, edges="begin='true'")
    await tell_left(stage, jids["one"], edges="")
    assert await asked_about() == ["one", "two"]
    await tell_left(stage, jids["three"], edges="")
    await tell_left(stage, edges="end='true'")
    assert await asked_about() == ["one", "three"]
    # The stream is lost: who comes back need not have told again.
    await stage.component.close()
    await stage.connect()
    assert await asked_about() == ["one", "three"]
    await tell_left(stage)
    assert await asked_about() == []
    for bad in ("a@other.example", HOST, f"a@{HOST}/x", "", "@"):
        refused = await stage.component.request(
            f"<tombstones xmlns='{NS_HOOK}'><account jid='{jids['one']}'/>"
            f"<account jid='{bad}'/></tombstones>",
            kind="set",
            to=HOST,
        )
        assert refused.find(f".//{STANZAS}bad-request") is not None, bad
    assert await asked_about() == []


async def test_other_requests_are_not_asked_about(stage: Stage) -> None:
    asking, never = await stage.device(stage.account("romeo")), f"never@{HOST}"
    await stage.connect()
    await tell_left(stage, never)
    error_of(await Request(asking, never, "urn:xmpp:avatar:metadata").answered())
    await asking.request("<vCard xmlns='vcard-temp'/>", to=never)
    published = await asking.request(statement().replace("items", "publish"), kind="set", to=never)
    assert published.get("type") == "error"
    await stage.quiet(asking)
    assert not stage.component.inbox


async def test_nobody_else_can_tell(stage: Stage) -> None:
    device = await stage.device(stage.account("tybalt"))
    asking = await stage.device(stage.account("romeo"))
    await stage.connect()
    await tell_left(stage, f"never@{HOST}")
    stranger = await stage.connect(STRANGER_HOST)
    for other in (device, stranger):
        sender = "" if other is device else f" from='{STRANGER_HOST}'"
        forged = f"<tombstones xmlns='{NS_HOOK}' begin='true' end='true'/>"
        other.send(f"<iq type='set' id='N' to='{HOST}'{sender}>{forged}</iq>")
    await stage.quiet(device, stranger)
    request = Request(asking, f"never@{HOST}")
    asked = await question(stage)
    forged = FOUND.replace("juliet", "forged")
    result = f"<iq type='result' id='{asked.get('id')}' to='{HOST}'"
    device.send(f"{result}>{forged}</iq>")
    stranger.send(f"{result} from='{STRANGER_HOST}'>{forged}</iq>")
    await stage.quiet(device, stranger)
    assert not asking.inbox
    answer(stage.component, asked, FOUND)
    assert error_of(await request.answered()) == GONE

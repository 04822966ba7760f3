"""An account that has moved is deleted: contacts whom the component named are not cut off."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.live.client import Client, ClientError
from tests.live.hooked import CAPULET, HOST, NS_HOOK, STANZAS, TIMEOUT, Stage, on_stage
from tests.live.servers.base import HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.shared import kinds
from tests.live.topology import Arrangement, Topology
from tests.live.vocabulary import parse_roster

pytestmark = kinds(group="hook")

REMOVE = "<query xmlns='jabber:iq:register'><remove/></query>"


@pytest.fixture
async def stage(
    kind: Kind,
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """With the component."""
    async with on_stage(kind, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        await stage.connect()
        yield stage


def keep(jids: Iterable[str], drop: Iterable[str] = (), *, more: bool = False) -> str:
    """The order of section 14."""
    items = [f"<item xmlns='jabber:iq:roster' jid='{jid}'/>" for jid in jids]
    items += [f"<item xmlns='jabber:iq:roster' jid='{jid}' subscription='remove'/>" for jid in drop]
    extra = " more='true'" if more else ""
    return f"<keep xmlns='{NS_HOOK}'{extra}>{''.join(items)}</keep>"


async def order(stage: Stage, user: str, payload: str) -> str | None:
    """Give an order; the condition of its refusal."""
    answer = await stage.component.request(payload, kind="set", to=user)
    return next(
        (e.tag.removeprefix(STANZAS) for e in answer.iter() if e.tag.startswith(STANZAS)), None
    )


async def subscription(device: Client, jid: str) -> str | None:
    """What the owner of a device has with somebody now."""
    entry = parse_roster(await device.roster()).get(jid)
    return entry.subscription if entry is not None else None


async def until_gets(device: Client, kind: str, sender: str) -> None:
    """Wait for a presence of a bare JID."""
    while True:
        for received in device.inbox:
            element = received.element
            if element.get("type") == kind and element.get("from", "").startswith(sender):
                return
        assert await device.wait_for_inbox(len(device.inbox) + 1, TIMEOUT), (
            f"{device.jid} got no {kind}"
        )


async def test_who_is_kept(stage: Stage) -> None:
    user = stage.account("juliet")
    names = ("first", "more", "dropped", "unnamed", "oneway")
    contacts = {name: stage.account(name) for name in names}
    contacts["far"] = stage.account("far", CAPULET)
    mirror = {"both": "both", "from": "to"}
    for name, jid in contacts.items():
        have = "from" if name == "oneway" else "both"
        stage.roster(jid, RosterEntry(user, mirror[have]))
    stage.roster(
        user,
        *(RosterEntry(jid, "from" if n == "oneway" else "both") for n, jid in contacts.items()),
    )
    devices = {name: await stage.device(jid) for name, jid in contacts.items()}
    owner = await stage.device(user)
    named = [contacts[name] for name in ("first", "dropped", "oneway", "far")]
    assert await order(stage, user, keep([contacts["unnamed"]])) is None
    assert await order(stage, user, keep(named)) is None, "instead of what was kept before"
    more = keep([contacts["more"]], [contacts["dropped"]], more=True)
    assert await order(stage, user, more) is None
    with contextlib.suppress(ClientError):  # the stream may end before the answer
        assert (await owner.request(REMOVE, kind="set")).get("type") == "result"
    await owner.close()
    for name, device in devices.items():
        cut_off = name in ("dropped", "unnamed", "oneway")
        await until_gets(device, "unsubscribed" if cut_off else "unavailable", user)
    await stage.quiet(*devices.values())
    found = {name: await subscription(devices[name], user) for name in devices}
    assert found == {
        "first": "both",
        "more": "both",
        "far": "both",
        "dropped": "none",
        "unnamed": "none",
        "oneway": "none",
    }


async def test_an_ordinary_removal_ends_both_ways(stage: Stage) -> None:
    user, contact = stage.account("juliet"), stage.account("romeo")
    stage.roster(user, RosterEntry(contact, "both"))
    stage.roster(contact, RosterEntry(user, "both"))
    owner, device = await stage.device(user), await stage.device(contact)
    assert await order(stage, user, keep([contact])) is None
    await owner.request(
        f"<query xmlns='jabber:iq:roster'><item jid='{contact}' subscription='remove'/></query>",
        kind="set",
    )
    await until_gets(device, "unsubscribed", user)
    assert await subscription(device, user) == "none"


async def test_what_is_refused(stage: Stage) -> None:
    user = stage.account("juliet")
    many = [f"c{n}@{HOST}" for n in range(501)]
    assert await order(stage, user, keep(many)) == "bad-request"
    assert await order(stage, user, keep([f"romeo@{HOST}/phone"])) == "bad-request"
    assert await order(stage, user, f"<keep xmlns='{NS_HOOK}'><x/></keep>") == "bad-request"
    assert await order(stage, f"nobody@{HOST}", keep(many[:1])) == "item-not-found"
    assert "keep" in {feature.text for feature in await stage.hello()}


async def test_a_list_is_not_the_next_owners(stage: Stage) -> None:
    """An account that goes without a word to the server (prosodyctl of 0.12) leaves it behind."""
    user, contact = stage.account("juliet"), stage.account("romeo")
    assert await order(stage, user, keep([contact])) is None
    server = stage.topology.servers["montague"]
    server.remove_user(user)
    server.add_user(user)
    stage.roster(user, RosterEntry(contact, "both"))
    stage.roster(contact, RosterEntry(user, "both"))
    owner, device = await stage.device(user), await stage.device(contact)
    with contextlib.suppress(ClientError):  # the stream may end before the answer
        assert (await owner.request(REMOVE, kind="set")).get("type") == "result"
    await owner.close()
    await until_gets(device, "unsubscribed", user)
    assert await subscription(device, user) == "none"


@pytest.mark.parametrize("seen_by", ["login", "question"])
async def test_who_was_kept_is_not_the_next_owners(stage: Stage, seen_by: str) -> None:
    """Before the name's next owner can do anything, they are told what nobody told them then."""
    user = stage.account("juliet")
    contacts = {name: stage.account(name) for name in ("near", "oneway")}
    contacts["far"] = stage.account("far", CAPULET)
    theirs = {"near": "both", "oneway": "from", "far": "both"}
    ours = {"both": "both", "from": "to"}
    for name, jid in contacts.items():
        stage.roster(jid, RosterEntry(user, theirs[name], "Juliet"))
    stage.roster(user, *(RosterEntry(jid, ours[theirs[name]]) for name, jid in contacts.items()))
    devices = {name: await stage.device(jid) for name, jid in contacts.items()}
    owner = await stage.device(user)
    assert await order(stage, user, keep(contacts.values())) is None
    with contextlib.suppress(ClientError):  # the stream may end before the answer
        assert (await owner.request(REMOVE, kind="set")).get("type") == "result"
    await owner.close()
    for name in ("near", "far"):
        await until_gets(devices[name], "unavailable", user)
    await stage.quiet(*devices.values())
    found = {name: await subscription(devices[name], user) for name in devices}
    assert found == theirs, "kept"
    stage.topology.servers["montague"].add_user(user)
    if seen_by == "login":
        other = await stage.device(user)
        assert await subscription(devices["near"], user) == "none", "here before the session is"
        other.send("<presence/>")
    else:
        answer = await stage.component.request(f"<account xmlns='{NS_HOOK}'/>", to=user)
        assert answer.get("type") == "result"
        assert await subscription(devices["near"], user) == "none", "here before it has a token"
    await until_gets(devices["far"], "unsubscribed", user)
    await stage.quiet(*devices.values())
    found = {name: await subscription(devices[name], user) for name in devices}
    assert found == dict.fromkeys(theirs, "none")
    # Once: whoever is their contact from now on stays it.
    if seen_by == "question":
        other = await stage.device(user)
    assert parse_roster(await other.roster()) == {}
    devices["near"].send(f"<presence type='subscribe' to='{user}'/>")
    await until_gets(other, "subscribe", contacts["near"])
    other.send(f"<presence type='subscribed' to='{contacts['near']}'/>")
    await until_gets(devices["near"], "subscribed", user)
    await other.close()
    await stage.device(user)
    assert await subscription(devices["near"], user) == "to"

"""Requests that ejabberd's hook holds: what else their sender says meanwhile, what the user changes
meanwhile, and whom the user has blocked.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from component.engine.movers.watches import SEND_MAX
from tests.live.client import Client, RawComponent
from tests.live.hooked import (
    CAPULET,
    CLIENT,
    FORWARDED,
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    TIMEOUT,
    Stage,
    answer,
    entries,
    on_stage,
    presence,
    send,
    take,
    take_presence,
)
from tests.live.servers.base import STRANGER_HOST, HookOptions, RosterEntry
from tests.live.servers.differences import KINDS
from tests.live.servers.ejabberd import Ejabberd
from tests.live.topology import Arrangement, Topology

KIND = KINDS["ejabberd-24.12"]
pytestmark = [
    pytest.mark.skipif(not KIND.available, reason=KIND.missing),
    pytest.mark.xdist_group(f"hook {KIND.name}"),
]
MOVED = "{urn:xmpp:moved:1}moved"
COUNTER = {"modules.mod_pres_counter": '{"count": 5, "interval": 60}'}
SQL = {
    "sql_type": '"sqlite"',
    "modules.mod_roster.db_type": '"sql"',
    "modules.mod_privacy.db_type": '"sql"',
}
STORAGES: Mapping[str, Mapping[str, str]] = {"mnesia": {}, "SQL": SQL}
EVERY_STORAGE = pytest.mark.parametrize("stage", STORAGES.values(), ids=STORAGES, indirect=True)
ONLINE = pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
BLOCKED = pytest.mark.parametrize("entry", ["{jid}", "{domain}"], ids=["address", "domain"])


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest,
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stage]:
    """The component connected; the server has other options where a test says so."""
    async with on_stage(KIND, HookOptions(), shared_topologies, tmp_path_factory) as stage:
        extra = dict(getattr(request, "param", {}))
        if extra:
            server = stage.topology.servers["montague"]
            assert isinstance(server, Ejabberd)
            if "sql_type" in extra:
                path = tmp_path_factory.mktemp("sql") / "sqlite.db"
                extra["sql_database"] = f'"{path}"'
            stage.stack.callback(server.reload, {})
            server.reload(extra)
        await stage.connect()
        yield stage


def notification(user: str, old: str = "", sender: str = "") -> str:
    """A request, with a moved notification where an old address is given."""
    moved = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{old}</old-jid></moved>" if old else ""
    origin = f" from='{sender}'" if sender else ""
    return f"<presence type='subscribe' to='{user}'{origin}>{moved}</presence>"


async def block(device: Client, entry: str, jid: str) -> None:
    """Block an address, or its whole domain."""
    item = entry.format(jid=jid, domain=jid.partition("@")[2])
    done = await device.request(
        f"<block xmlns='urn:xmpp:blocking'><item jid='{item}'/></block>", kind="set"
    )
    assert done.get("type") == "result"


def requests(device: Client) -> list[ET.Element]:
    """Subscription requests that lie in the inbox."""
    found = [r.element for r in device.inbox]
    return [e for e in found if e.tag == f"{CLIENT}presence" and e.get("type") == "subscribe"]


async def divert(stage: Stage) -> ET.Element:
    """The next request that the component is asked about."""
    return await take(stage.component, f"{HOOK}divert")


async def outcome(stage: Stage, asked: ET.Element) -> tuple[str | None, str | None]:
    """State and reason of the next outcome, which has to be that of this request."""
    told = (await take(stage.component, f"{HOOK}outcome"))[0]
    assert told.get("id") == asked.get("id")
    return told.get("state"), told.get("reason")


def follow(stage: Stage, asked: ET.Element, old: str, new: str) -> None:
    """The verdict of a move that was verified."""
    sent = send(presence("subscribed", new), presence("unsubscribed", old))
    answer(stage.component, asked, f"<take xmlns='{NS_HOOK}'>{sent}</take>")


@dataclass
class Move:
    """Juliet has moved, and Romeo has her old address on his roster."""

    stage: Stage
    user: str
    old: str
    new: str
    phone: Client
    mover: Client

    async def quiet(self) -> None:
        """What Juliet sent has been processed, from whatever server it came."""
        await self.mover.ping(to=HOST)
        await self.stage.quiet(self.mover, self.phone)


async def moved(stage: Stage, new_host: str = HOST) -> Move:
    """Both online."""
    user, old, new = stage.account("romeo"), stage.account("juliet"), stage.account("j2", new_host)
    stage.roster(user, RosterEntry(old, "both", "Juliet"))
    stage.roster(old, RosterEntry(user, "both"))
    return Move(stage, user, old, new, await stage.device(user), await stage.device(new))


# What somebody repeats ----------------------------------------------------------------------


@pytest.mark.parametrize("contact_host", [HOST, CAPULET])
async def test_a_repeated_request_is_held_with_the_first(stage: Stage, contact_host: str) -> None:
    """A server repeats it when its user comes online, without <moved/>."""
    move = await moved(stage, contact_host)
    joined = int((await stage.hello()).get("joined", ""))
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    for repeated in ("", "", move.old):
        move.mover.send(notification(move.user, repeated))
    await move.quiet()
    assert not requests(move.phone)
    assert not stage.component.inbox
    assert (await stage.hello()).get("joined") == str(joined + 3)
    answer(stage.component, asked, f"<release xmlns='{NS_HOOK}'/>")
    assert await outcome(stage, asked) == ("released", "verdict")
    assert (await take_presence(move.phone, "subscribe", move.new)).find(MOVED) is not None
    # From then on the server knows it, and what is repeated is no news.
    move.mover.send(notification(move.user))
    await move.quiet()
    assert not requests(move.phone)
    assert not stage.component.inbox


async def test_what_was_repeated_is_taken_with_the_first(stage: Stage) -> None:
    move = await moved(stage, CAPULET)
    move.mover.send(notification(move.user, move.old) + notification(move.user))
    asked = await divert(stage)
    await move.quiet()
    follow(stage, asked, move.old, move.new)
    assert await outcome(stage, asked) == ("taken", None)
    await move.quiet()
    assert not requests(move.phone)
    shown = entries(await move.phone.roster())
    assert shown == {move.old: ("to", None), move.new: ("from", None)}


async def test_a_watched_request_is_held_once(stage: Stage) -> None:
    """A notification is more than an ordinary request, and is asked about beside it."""
    move = await moved(stage)
    await stage.watch(move.user, "requests")
    move.mover.send(notification(move.user) * 3)
    ordinary = await divert(stage)
    assert ordinary[0].get("watched") == "true"
    await move.quiet()
    assert not stage.component.inbox
    move.mover.send(notification(move.user, move.old))
    moving = await divert(stage)
    assert moving[0].get("watched") is None
    answer(stage.component, ordinary, f"<take xmlns='{NS_HOOK}'/>")
    assert await outcome(stage, ordinary) == ("taken", None)
    follow(stage, moving, move.old, move.new)
    assert await outcome(stage, moving) == ("taken", None)
    await move.quiet()
    assert not requests(move.phone)


async def test_two_old_addresses_of_one_sender_are_two_requests(stage: Stage) -> None:
    user, new = stage.account("romeo"), stage.account("juliet-new")
    olds = [stage.account("juliet"), stage.account("capulet")]
    stage.roster(user, *(RosterEntry(old, "both") for old in olds))
    mover = await stage.device(new)
    for old in olds:
        mover.send(notification(user, old))
    asked = [await divert(stage) for _ in olds]
    mover.send(notification(user) + "".join(notification(user, old) for old in olds))
    await stage.quiet(mover)
    assert not stage.component.inbox
    for old, one in zip(olds, asked, strict=True):
        assert entries(one[0]) == {old: ("both", None)}
        follow(stage, one, old, new)
        assert await outcome(stage, one) == ("taken", None)


async def test_many_at_once_are_one_request(stage: Stage) -> None:
    move = await moved(stage)
    devices = [await stage.device(move.new, f"d{number}") for number in range(8)]
    for device in devices:
        device.send(notification(move.user, move.old))
    asked = await divert(stage)
    await stage.quiet(*devices)
    assert not stage.component.inbox
    answer(stage.component, asked, f"<release xmlns='{NS_HOOK}'/>")
    assert await outcome(stage, asked) == ("released", "verdict")
    await stage.quiet(move.phone)
    assert len(requests(move.phone)) == 1


@pytest.mark.parametrize("resource", ["", "/phone"], ids=["bare", "full"])
async def test_a_repeated_request_to_a_device_is_held_as_well(stage: Stage, resource: str) -> None:
    """No client can address one, but a server that does not obey RFC 6121 can."""
    user, old = stage.account("romeo"), stage.account("juliet")
    stage.roster(user, RosterEntry(old, "both"))
    phone, stranger = await stage.device(user), await stage.connect(STRANGER_HOST)
    new = f"juliet@{STRANGER_HOST}"
    stranger.send(notification(user, old, f"{new}/x"))
    await divert(stage)
    stranger.send(notification(user + resource, sender=f"{new}/y"))
    await quiet_stranger(stage, stranger)
    assert not requests(phone)
    stranger.send(f"<presence type='unsubscribe' to='{user}{resource}' from='{new}'/>")
    told = (await take(stage.component, f"{HOOK}outcome"))[0]
    assert (told.get("state"), told.get("reason")) == ("released", "withdrawn")
    await quiet_stranger(stage, stranger)
    assert not requests(phone)


async def quiet_stranger(stage: Stage, stranger: RawComponent) -> None:
    """What a component sent, and what it made for a device, is there."""
    await stranger.ping(to=HOST)
    await stage.quiet()


async def test_a_request_taken_back_while_it_is_held_is_gone(stage: Stage) -> None:
    move = await moved(stage, CAPULET)
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    move.mover.send(f"<presence type='unsubscribe' to='{move.user}'/>")
    assert await outcome(stage, asked) == ("released", "withdrawn")
    follow(stage, asked, move.old, move.new)  # too late
    await move.quiet()
    assert not requests(move.phone)
    assert entries(await move.phone.roster()) == {move.old: ("both", None)}
    # The next one is new.
    move.mover.send(notification(move.user, move.old))
    again = await divert(stage)
    assert again.get("id") != asked.get("id")


# What the user changes meanwhile --------------------------------------------------------------


async def _remove(move: Move) -> None:
    item = f"<item jid='{move.old}' subscription='remove'/>"
    await move.phone.request(f"<query xmlns='jabber:iq:roster'>{item}</query>", kind="set")


async def _revoke(move: Move) -> None:
    move.phone.send(f"<presence type='unsubscribed' to='{move.old}'/>")
    await move.phone.ping()


async def _block_old(move: Move) -> None:
    await block(move.phone, "{jid}", move.old)


async def _block_new(move: Move) -> None:
    await block(move.phone, "{jid}", move.new)


async def _block_new_domain(move: Move) -> None:
    await block(move.phone, "{domain}", move.new)


@EVERY_STORAGE
@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (_remove, True),
        (_revoke, True),
        (_block_old, True),
        (_block_new, False),
        (_block_new_domain, False),
    ],
    ids=["removed", "revoked", "old blocked", "new blocked", "domain of the new blocked"],
)
@pytest.mark.parametrize("sends", [True, False], ids=["followed", "swallowed"])
async def test_a_verdict_about_what_has_changed_is_not_carried_out(
    stage: Stage, change: Callable[[Move], Awaitable[None]], seen: bool, sends: bool
) -> None:
    move = await moved(stage, CAPULET)
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    await change(move)
    before = entries(await move.phone.roster())
    if sends:
        follow(stage, asked, move.old, move.new)
    else:
        answer(stage.component, asked, f"<take xmlns='{NS_HOOK}'/>")
    assert await outcome(stage, asked) == ("released", "changed")
    assert entries(await move.phone.roster()) == before
    if seen:
        request = await take_presence(move.phone, "subscribe", move.new)
        assert request.find(MOVED) is not None
    await move.quiet()
    assert not requests(move.phone)
    assert not [r for r in move.mover.inbox if r.element.get("type") == "subscribed"]


async def test_what_another_transaction_is_changing_is_waited_for(
    postgres_url: str, stage: Stage
) -> None:
    """PostgreSQL shows what was there before, and lets it be overwritten afterwards."""
    where = urlsplit(postgres_url)
    server = stage.topology.servers["montague"]
    assert isinstance(server, Ejabberd)
    stage.stack.callback(server.reload, {})
    server.reload(
        {
            "sql_type": '"pgsql"',
            "sql_server": f'"{where.hostname}"',
            "sql_port": str(where.port),
            "sql_username": f'"{where.username}"',
            "sql_database": f'"{where.path[1:]}"',
            "sql_pool_size": "2",
            "modules.mod_roster.db_type": '"sql"',
        }
    )
    move = await moved(stage, CAPULET)
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    engine = create_async_engine(postgres_url)
    try:
        async with engine.begin() as other, engine.connect() as watching:
            # As mod_roster has it, at whatever node: she may see the user no longer.
            change = "UPDATE rosterusers SET subscription = 'T' WHERE jid = :old"
            await other.execute(text(change), {"old": move.old})
            follow(stage, asked, move.old, move.new)
            async with asyncio.timeout(TIMEOUT):
                while True:
                    waits = await watching.execute(text("SELECT * FROM pg_locks WHERE NOT granted"))
                    if waits.all():
                        break
                    await asyncio.sleep(0.01)
        assert await outcome(stage, asked) == ("released", "changed")
        async with engine.connect() as reading:
            found = await reading.execute(text("SELECT jid, subscription FROM rosterusers"))
            assert (move.old, "T") in [tuple(row) for row in found]
    finally:
        await engine.dispose()
    await take_presence(move.phone, "subscribe", move.new)


@EVERY_STORAGE
@pytest.mark.parametrize("reborn", [False, True], ids=["gone", "somebody else's"])
@pytest.mark.parametrize("watched", [False, True], ids=["moved", "watched"])
async def test_a_verdict_for_an_account_that_is_gone_is_not_carried_out(
    stage: Stage, reborn: bool, watched: bool
) -> None:
    move = await moved(stage, CAPULET)
    await stage.watch(move.user, "requests")
    move.mover.send(notification(move.user, "" if watched else move.old))
    asked = await divert(stage)
    stage.remove(move.user)
    if reborn:
        stage.topology.servers["montague"].add_user(move.user)
    follow(stage, asked, move.old, move.new)
    assert await outcome(stage, asked) == ("released", "changed")
    await move.mover.ping(to=HOST)
    await stage.quiet(move.mover)
    assert not [r for r in move.mover.inbox if r.element.get("type") == "subscribed"]
    if reborn:
        other = await stage.device_as_it_comes(move.user, "other")
        await other.ping()
        assert not requests(other)
        assert entries(await other.roster()) == {}


@pytest.mark.parametrize(
    "stage", [COUNTER, {**COUNTER, **SQL}], ids=["mnesia", "SQL"], indirect=True
)
async def test_looking_again_is_not_counted(stage: Stage) -> None:
    """mod_pres_counter lets a process pass five requests in a minute: what we ask is none."""
    old, busy = stage.account("juliet"), await stage.device(stage.account("juliet-new"))
    users = [stage.account("romeo") for _ in range(6)]
    for user in users:
        stage.roster(user, RosterEntry(old, "both"))
    for user in users[:5]:
        busy.send(notification(user, old))
        answer(stage.component, asked := await divert(stage), f"<take xmlns='{NS_HOOK}'/>")
        assert await outcome(stage, asked) == ("taken", None)
    for user in users:
        mover = await stage.device(stage.account("juliet-new"))
        mover.send(notification(user, old))
        follow(stage, asked := await divert(stage), old, mover.bare)
        assert await outcome(stage, asked) == ("taken", None)


@pytest.mark.parametrize("stage", [COUNTER], ids=["mnesia"], indirect=True)
async def test_as_many_approvals_as_we_send_at_once_pass(stage: Stage) -> None:
    """Ways back that came while nobody watched are approved in parts: one more refuses them all."""
    counter = (await stage.hello()).find(f"{HOOK}counter")
    assert counter is not None
    assert counter.attrib == {"count": "5", "seconds": "60"}
    user = stage.account("romeo")
    askers = [stage.account("juliet", CAPULET) for _ in range(SEND_MAX + 1)]
    for part, passes in ((askers, False), (askers[:SEND_MAX], True), (askers[SEND_MAX:], True)):
        approvals = send(*(presence("subscribed", asker) for asker in part))
        said = await stage.component.request(approvals, kind="set", to=user)
        assert (said.get("type") == "result") is passes, ET.tostring(said, "unicode")


# Whom the user has blocked ----------------------------------------------------------------------


@EVERY_STORAGE
@ONLINE
@BLOCKED
async def test_who_is_blocked_does_not_come_back_under_another_address(
    stage: Stage, entry: str, online: bool
) -> None:
    user, new = stage.account("romeo"), stage.account("juliet-new")
    old = stage.account("juliet", CAPULET)
    stage.roster(user, RosterEntry(old, "both"))
    phone, mover = await stage.device(user), await stage.device(new)
    await block(phone, entry, old)
    await stage.watch(user, "requests")
    if not online:
        await phone.close()
    mover.send(notification(user, old))
    await stage.quiet(mover)
    assert not stage.component.inbox
    if not online:
        phone = await stage.device_as_it_comes(user)
    request = await take_presence(phone, "subscribe", new)
    assert not online or request.find(MOVED) is not None  # SQL does not store what is in it
    assert entries(await phone.roster()) == {old: ("both", None)}


async def privacy(device: Client, item: str, sort: str) -> None:
    """Make a list of XEP-0016 with one item, and have it for the account or this session."""
    item = f"<item {item} action='deny' order='1'><message/></item>"
    for change in (f"<list name='some'>{item}</list>", f"<{sort} name='some'/>"):
        query = f"<query xmlns='jabber:iq:privacy'>{change}</query>"
        done = await device.request(query, kind="set")
        assert done.get("type") == "result"


LISTS = pytest.mark.parametrize("sort", ["default", "active"])


@LISTS
async def test_who_may_not_write_is_blocked(stage: Stage, sort: str) -> None:
    """By a list of XEP-0016, which can name kinds of stanzas: older clients block so."""
    move = await moved(stage)
    await privacy(move.phone, f"type='jid' value='{move.old}'", sort)
    move.mover.send(notification(move.user, move.old))
    await take_presence(move.phone, "subscribe", move.new)
    await move.quiet()
    assert not stage.component.inbox


async def test_the_list_of_a_session_counts_while_that_has_it(stage: Stage) -> None:
    move = await moved(stage)
    tablet = await stage.device(move.user, "tablet")
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    await privacy(tablet, f"type='jid' value='{move.old}'", "active")
    follow(stage, asked, move.old, move.new)
    assert await outcome(stage, asked) == ("released", "changed")
    await take_presence(move.phone, "subscribe", move.new)
    # Neither what the user asks nor what anybody is sent passes it, as none of hers does.
    everything = f"<item type='jid' value='{move.old}' action='deny' order='1'/>"
    change = f"<query xmlns='jabber:iq:privacy'><list name='some'>{everything}</list></query>"
    assert (await tablet.request(change, kind="set")).get("type") == "result"
    sent = send(presence("subscribe", move.old))
    refused = await stage.component.request(sent, kind="set", to=move.user)
    assert refused.find(f".//{STANZAS}not-acceptable") is not None
    # She declines it, and it is nobody's any more.
    none = "<query xmlns='jabber:iq:privacy'><active/></query>"
    assert (await tablet.request(none, kind="set")).get("type") == "result"
    other = await stage.device(stage.account("j3"))
    other.send(notification(move.user, move.old))
    assert (await divert(stage)).find(f".//{FORWARDED}/*[@from='{other.bare}']") is not None


async def test_the_list_of_a_session_counts_when_that_is_resumed(stage: Stage) -> None:
    """The connection may be another one (XEP-0198)."""
    move = await moved(stage)
    tablet = await stage.device(move.user, "tablet")
    come_back = await tablet.resumable()
    await privacy(tablet, f"type='jid' value='{move.old}'", "active")
    await come_back()
    move.mover.send(notification(move.user, move.old))
    await take_presence(tablet, "subscribe", move.new)
    await move.quiet()
    assert not stage.component.inbox


@LISTS
async def test_a_request_is_taken_where_only_friends_may_write(stage: Stage, sort: str) -> None:
    """The new address is nobody's friend yet."""
    move = await moved(stage)
    await privacy(move.phone, "type='subscription' value='none'", sort)
    move.mover.send(notification(move.user, move.old))
    asked = await divert(stage)
    follow(stage, asked, move.old, move.new)
    assert await outcome(stage, asked) == ("taken", None)


@EVERY_STORAGE
@ONLINE
@BLOCKED
async def test_nothing_that_is_sent_passes_a_block(stage: Stage, entry: str, online: bool) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    friend = stage.account("nurse")
    stage.roster(user, RosterEntry(contact, "both"), RosterEntry(friend, "to"))
    stage.roster(contact, RosterEntry(user, "both"))
    stage.roster(friend, RosterEntry(user, "from"))
    device, phone = await stage.device(contact), await stage.device(user)
    await stage.watch(user, "requests", "messages")
    device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
    wrote = await take(stage.component, f"{HOOK}wrote")
    (await stage.device(friend)).send(notification(user))
    asked = await divert(stage)
    before = entries(await phone.roster())
    await block(phone, entry, contact)
    if not online:
        await phone.close()
    await device.ping()
    device.inbox.clear()

    told = "<moved xmlns='urn:xmpp:moved:1'><old-jid>" + user + "</old-jid></moved>"
    for sort in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
        for payload in ("", told):
            one = presence(sort, contact, payload)
            for sent in (send(one), send(presence("subscribe", friend), one)):
                refused = await stage.component.request(sent, kind="set", to=user)
                assert refused.find(f".//{STANZAS}not-acceptable") is not None
    answer(stage.component, wrote, f"<answer xmlns='{NS_HOOK}'>I have moved</answer>")
    sent = send(presence("subscribed", friend), presence("subscribe", contact))
    answer(stage.component, asked, f"<take xmlns='{NS_HOOK}'>{sent}</take>")
    assert await outcome(stage, asked) == ("released", "send-failed")
    query = (
        f"<query xmlns='{NS_HOOK}'><iq xmlns='jabber:client' type='get' to='{contact}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq></query>"
    )
    result = await stage.component.request(query, kind="set", to=user)
    assert result.find(f".//{STANZAS}not-acceptable") is not None
    await stage.quiet(device)
    # Who came online and went may be told late over s2s.
    assert {r.element.get("type") for r in device.inbox} <= {None, "unavailable"}
    if not online:
        phone = await stage.device(user, "late")
    assert entries(await phone.roster()) == before

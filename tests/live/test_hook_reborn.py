"""On Prosody: who takes the name of a deleted account gets nothing of its roster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import pytest

from tests.live.client import Client, RawComponent
from tests.live.hooked import (
    HOOK,
    HOST,
    NS_HOOK,
    answer,
    entries,
    notification,
    outcome,
    presence,
    send,
    take,
)
from tests.live.servers.addresses import free_address
from tests.live.servers.base import COMPONENT_HOST, HookOptions, RosterEntry, Server, ServerSpec
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.prosody import MODULES, lua_value
from tests.live.shared import kept, kinds

pytestmark = kinds(among=[kind for kind in KINDS.values() if kind.name.startswith("prosody")])

ADMIN = f"admin@{HOST}"
NS_COMMANDS = "http://jabber.org/protocol/commands"
DELETE = "http://jabber.org/protocol/admin#delete-user"
_numbers = count(1)


@dataclass
class Stage:
    """A server whose users may delete themselves, and the admin all of them."""

    server: Server
    stack: AsyncExitStack

    async def log_in(self, jid: str, resource: str = "phone") -> Client:
        """An available device."""
        client = Client(jid, f"{jid}/{resource}", self.server.spec.address)
        await client.open()
        self.stack.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        await client.ping()
        return client

    def couple(self) -> tuple[str, str]:
        """Romeo and Juliet, who have each other on their rosters."""
        number = next(_numbers)
        romeo, juliet = f"romeo{number}@{HOST}", f"juliet{number}@{HOST}"
        for jid, other in ((romeo, juliet), (juliet, romeo)):
            self.server.add_user(jid)
            self.server.set_roster(jid, [RosterEntry(other, "both", "Dear")])
        return romeo, juliet

    async def ask(self, jid: str) -> None:
        """Have a stranger send a subscription request, and go."""
        tybalt = f"tybalt{next(_numbers)}@{HOST}"
        self.server.add_user(tybalt)
        device = await self.log_in(tybalt)
        device.send(f"<presence type='subscribe' to='{jid}'/>")
        await device.ping()
        await device.close()

    async def delete(self, jid: str) -> None:
        """As the admin, by ad-hoc command."""
        admin = await self.log_in(ADMIN)
        node = f"xmlns='{NS_COMMANDS}' node='{DELETE}'"
        form = await admin.request(f"<command {node} action='execute'/>", kind="set", to=HOST)
        session = form[0].get("sessionid")
        done = await admin.request(
            f"<command {node} sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>"
            "<field var='FORM_TYPE'><value>http://jabber.org/protocol/admin</value></field>"
            f"<field var='accountjids'><value>{jid}</value></field></x></command>",
            kind="set",
            to=HOST,
        )
        note = done.findtext(f".//{{{NS_COMMANDS}}}note") or ""
        assert "successfully deleted" in note, note
        await admin.close()

    async def reborn(self, jid: str) -> Client:
        """The device of somebody else, who takes the name; nothing of the account is left."""
        self.server.add_user(jid)
        client = Client(jid, f"{jid}/new", self.server.spec.address)
        await client.open()
        self.stack.push_async_callback(client.close)
        return client


@pytest.fixture(scope="module")
def server(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of this file."""
    address = free_address()
    modules = (*MODULES, "adhoc", "admin_adhoc")
    spec = ServerSpec(
        "montague",
        address,
        (HOST,),
        {HOST: address},
        (COMPONENT_HOST,),
        HookOptions(),
        {"modules_enabled": lua_value(modules), "admins": lua_value([ADMIN])},
    )
    folder = tmp_path_factory.mktemp("reborn") / "montague"
    folder.mkdir()
    with kept(kind.build(spec, folder)) as server:
        server.add_user(ADMIN)
        yield server


@pytest.fixture
async def stage(server: Server) -> AsyncIterator[Stage]:
    """The shared server."""
    async with AsyncExitStack() as stack:
        yield Stage(server, stack)


@pytest.mark.parametrize("seen", [False, True], ids=["", "seen"])
@pytest.mark.parametrize("how", ["offline", "online", "elsewhere"])
async def test_the_next_owner_of_a_name_has_a_roster_of_their_own(
    stage: Stage, how: str, seen: bool
) -> None:
    """Deleted by the admin while offline or online, or by another process; the server may have read
    the roster before, for a request to Romeo while he was offline."""
    romeo, _ = stage.couple()
    if seen:
        await stage.ask(romeo)
    device = await stage.log_in(romeo) if how == "online" else None
    if how == "elsewhere":
        stage.server.remove_user(romeo)
    else:
        await stage.delete(romeo)
    if device is not None:
        await device.close()
    reborn = await stage.reborn(romeo)
    assert entries(await reborn.roster()) == {}


async def test_a_request_to_a_name_that_nobody_had_is_not_for_its_owner(stage: Stage) -> None:
    nobody = f"nobody{next(_numbers)}@{HOST}"
    await stage.ask(nobody)
    reborn = await stage.reborn(nobody)
    reborn.send("<presence/>")
    await reborn.ping()
    assert not [r for r in reborn.inbox if r.element.get("type") == "subscribe"]


@pytest.mark.parametrize("by", ["admin", "owner"])
async def test_the_next_owner_of_a_name_follows_nobody_of_the_last(stage: Stage, by: str) -> None:
    """Deleted while a request is held; the next owner, at once, has the same people."""
    component = RawComponent(COMPONENT_HOST, COMPONENT_HOST, stage.server.spec.address)
    await component.open()
    stage.stack.push_async_callback(component.close)
    romeo, juliet = stage.couple()
    new = f"new-{juliet}"
    stage.server.add_user(new)
    mover = await stage.log_in(new)
    mover.send(notification(romeo, juliet))
    divert = await take(component, f"{HOOK}divert")
    if by == "admin":
        await stage.delete(romeo)
    else:
        phone = await stage.log_in(romeo)
        await phone.request("<query xmlns='jabber:iq:register'><remove/></query>", kind="set")
        await phone.close()
    gone = (await take(component, f"{HOOK}deleted"))[0]
    account = divert[0].get("account")
    assert (gone.get("jid"), gone.get("account")) == (romeo, account)
    reborn = await stage.reborn(romeo)
    stage.server.set_roster(romeo, [RosterEntry(juliet, "both")])
    follow = send(presence("subscribed", new), presence("unsubscribed", juliet))
    answer(component, divert, f"<take xmlns='{NS_HOOK}'>{follow}</take>")
    assert await outcome(component) == ("released", "changed")
    await mover.ping()
    assert not [r for r in mover.inbox if r.element.get("type") == "subscribed"]
    assert set(entries(await reborn.roster())) <= {juliet}

"""Entries that the admin has put on a roster, by a shared group, stay the admin's.

On Prosody mod_groups, on ejabberd mod_shared_roster.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.live.client import Client, RawComponent
from tests.live.hooked import (
    CLIENT,
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
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd
from tests.live.servers.prosody import MODULES, lua_value
from tests.live.shared import kept, kinds

pytestmark = kinds()

HOUSEHOLDS = 12
Home = tuple[Server, Iterator[int]]


def member(name: str, number: int) -> str:
    return f"{name}{number}@{HOST}"


@pytest.fixture(scope="module")
def home(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A server for all tests of this file, with a group for each household, and their numbers."""
    address = free_address()
    folder = tmp_path_factory.mktemp("shared") / "montague"
    folder.mkdir()
    spec = ServerSpec(
        "montague", address, (HOST,), {HOST: address}, (COMPONENT_HOST,), HookOptions()
    )
    if kind.name.startswith("prosody"):
        lines = []
        for number in range(1, HOUSEHOLDS + 1):
            lines += [f"[House {number}]", member("romeo", number)]
            lines += [f"{member('juliet', number)}=Juliet C."]
        (folder / "groups").write_text("\n".join(lines))
        spec.extra["modules_enabled"] = lua_value((*MODULES, "groups"))
        spec.extra["groups_file"] = lua_value(str(folder / "groups"))
    with kept(kind.build(spec, folder)) as server:
        if isinstance(server, Ejabberd):
            for number in range(1, HOUSEHOLDS + 1):
                server.evaluate(_group(number))
        yield server, count(1)


def _group(number: int) -> str:
    """Erlang that makes the group of a household."""
    name, host = f'<<"house{number}">>', f'<<"{HOST}">>'
    adds = "".join(
        f', mod_shared_roster:add_user_to_group({host}, {{<<"{who}{number}">>, {host}}}, {name})'
        for who in ("romeo", "juliet")
    )
    options = f"[{{label, {name}}}, {{displayed_groups, [{name}]}}]"
    return f"mod_shared_roster:create_group({host}, {name}, {options}){adds}."


class Household:
    """Romeo, who has Juliet by the group and his nurse by himself; Juliet's other account."""

    def __init__(self, home: Home, stack: AsyncExitStack) -> None:
        self.server, self.stack = home[0], stack
        number = next(home[1])
        assert number <= HOUSEHOLDS
        self.romeo, self.juliet = member("romeo", number), member("juliet", number)
        self.nurse, self.new = member("nurse", number), member("new", number)
        for jid in (self.romeo, self.juliet, self.nurse, self.new):
            self.server.add_user(jid)

    async def begin(self, *more: RosterEntry) -> Household:
        self.server.set_roster(self.romeo, [RosterEntry(self.nurse, "both", "Nurse"), *more])
        self.server.set_roster(self.nurse, [RosterEntry(self.romeo, "both")])
        self.component = RawComponent(COMPONENT_HOST, COMPONENT_HOST, self.server.spec.address)
        await self.component.open()
        self.stack.push_async_callback(self.component.close)
        return self

    async def device(self, jid: str) -> Client:
        client = Client(jid, f"{jid}/phone", self.server.spec.address)
        await client.open()
        self.stack.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        await client.ping()
        client.inbox.clear()
        return client

    async def roster(self) -> dict[str, tuple[str | None, str | None]]:
        client = Client(self.romeo, f"{self.romeo}/reader", self.server.spec.address)
        await client.open()
        try:
            return entries(await client.roster())
        finally:
            await client.close()

    def stored(self) -> str:
        """Romeo's roster as it lies on the disk."""
        user = self.romeo.partition("@")[0]
        if isinstance(self.server, Ejabberd):
            database = f'(gen_mod:db_mod(<<"{HOST}">>, mod_roster))'
            return self.server.evaluate(f'{database}:get_roster(<<"{user}">>, <<"{HOST}">>).')
        (file,) = (self.server.folder / "data").glob(f"*/roster/{user}.dat")
        return Path(file).read_text()

    def has_stored(self, jid: str) -> bool:
        if isinstance(self.server, Ejabberd):
            user, _, host = jid.partition("@")
            return f'{{<<"{user}">>,<<"{host}">>,<<>>}}' in "".join(self.stored().split())
        return f'["{jid}"] = {{' in self.stored()

    async def asks(self, payload: str, kind: str = "set") -> str | None:
        """An order of the component; the condition of its error, if it gets one."""
        found = await self.component.request(payload, kind=kind, to=self.romeo)
        error = found.find("{jabber:component:accept}error")
        return None if error is None else error[0].tag.partition("}")[2]


@pytest.fixture
async def house(home: Home) -> AsyncIterator[Household]:
    async with AsyncExitStack() as stack:
        yield Household(home, stack)


def follow(old: str, new: str) -> str:
    steps = (("subscribed", new), ("unsubscribed", old), ("subscribe", new))
    return f"<take xmlns='{NS_HOOK}'>{send(*(presence(*step) for step in steps))}</take>"


@pytest.mark.parametrize("payload", ["send", "nothing"])
async def test_an_entry_of_a_group_is_not_followed(house: Household, payload: str) -> None:
    await house.begin()
    phone, mover = await house.device(house.romeo), await house.device(house.new)
    mover.send(notification(house.romeo, house.juliet))
    divert = await take(house.component, f"{HOOK}divert")
    assert entries(divert[0]) == {house.juliet: ("both", None)}
    given = follow(house.juliet, house.new) if payload == "send" else f"<take xmlns='{NS_HOOK}'/>"
    answer(house.component, divert, given)
    assert await outcome(house.component) == ("released", "shared")
    await take(phone, "{urn:xmpp:moved:1}moved")
    found = await house.roster()
    assert found == {house.juliet: ("both", None), house.nurse: ("both", None)}
    assert not house.has_stored(house.juliet)


async def test_an_address_of_a_group_may_be_the_new_one(house: Household) -> None:
    """Its entry is not changed; the user's own, of the old address, is."""
    await house.begin()
    await house.device(house.romeo)
    mover = await house.device(house.juliet)
    mover.send(notification(house.romeo, house.nurse))
    divert = await take(house.component, f"{HOOK}divert")
    answer(house.component, divert, follow(house.nurse, house.juliet))
    assert await outcome(house.component) == ("taken", None)
    found = await house.roster()
    assert found == {house.juliet: ("both", None), house.nurse: ("to", None)}
    assert not house.has_stored(house.juliet)
    assert house.has_stored(house.nurse)


@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
async def test_no_order_changes_it_nor_stores_it(house: Household, online: bool) -> None:
    await house.begin()
    hers = await house.device(house.juliet)
    if online:
        await house.device(house.romeo)
    steps = [presence(kind, house.juliet) for kind in ("unsubscribed", "unsubscribe")]
    assert await house.asks(send(*steps, presence("unsubscribed", house.nurse))) is None
    item = f"<item xmlns='jabber:iq:roster' jid='{house.juliet}' name='J.'/>"
    assert await house.asks(f"<entries xmlns='{NS_HOOK}'>{item}</entries>") is None
    for change in ("name='J.'", "subscription='remove'"):
        inner = (
            "<iq xmlns='jabber:client' type='set'><query xmlns='jabber:iq:roster'>"
            f"<item jid='{house.juliet}' {change}/></query></iq>"
        )
        assert await house.asks(f"<query xmlns='{NS_HOOK}'>{inner}</query>") == "not-allowed"
    await hers.ping()
    kinds = [r.element.get("type") for r in hers.inbox if r.element.tag == f"{CLIENT}presence"]
    assert not {"unsubscribed", "unsubscribe"} & set(kinds)
    found = await house.roster()
    assert found == {house.juliet: ("both", None), house.nurse: ("to", None)}
    assert not house.has_stored(house.juliet)
    assert house.has_stored(house.nurse)


async def test_what_the_user_has_beneath_stays_stored(house: Household) -> None:
    """Romeo had Juliet before there was a group, and will have her after it."""
    await house.begin(RosterEntry(house.juliet, "from", "Mine"))
    assert await house.asks(send(presence("unsubscribed", house.nurse))) is None
    stored = house.stored()
    assert "Mine" in stored, json.dumps(stored)
    assert (await house.roster())[house.nurse] == ("to", None)

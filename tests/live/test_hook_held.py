"""While a request is held: what the user and the sender do meanwhile counts."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest

from tests.live.client import Client
from tests.live.hooked import (
    CAPULET,
    CLIENT,
    HOOK,
    HOST,
    NS_HOOK,
    ROSTER,
    TIMEOUT,
    Stage,
    answer,
    block,
    entries,
    held,
    notification,
    on_stage,
    outcome,
    presence,
    send,
    take,
    take_presence,
)
from tests.live.servers.base import HookOptions, RosterEntry
from tests.live.servers.differences import Kind
from tests.live.shared import kinds
from tests.live.topology import Arrangement, Topology

pytestmark = kinds(group="hook")

MOVED = "{urn:xmpp:moved:1}moved"
WHERE = pytest.mark.parametrize("new_host", [HOST, CAPULET])


class Case:
    """Romeo, online, who has Juliet's old address; Juliet's new one, online."""

    def __init__(self, stage: Stage, new_host: str) -> None:
        self.stage = stage
        self.user, self.old = stage.account("romeo"), stage.account("juliet")
        self.new = stage.account("juliet-new", new_host)
        stage.roster(self.user, RosterEntry(self.old, "both", "Juliet"))
        stage.roster(self.old, RosterEntry(self.user, "both"))
        self.follow = (
            f"<take xmlns='{NS_HOOK}'>"
            + send(
                presence("subscribed", self.new),
                presence("unsubscribed", self.old),
                presence("subscribe", self.new),
            )
            + "</take>"
        )

    async def begin(self) -> Case:
        self.phone = await self.stage.device(self.user)
        self.mover = await self.stage.device(self.new)
        return self

    def ask(self, plain: int = 0) -> None:
        """Send the notification, and so many requests without one."""
        self.mover.send(notification(self.user, self.old))
        self.mover.send(f"<presence type='subscribe' to='{self.user}'/>" * plain)

    async def quiet(self) -> None:
        await self.stage.quiet(self.phone, self.mover)

    def requests(self, client: Client | None = None) -> list[bool]:
        """The requests that a device has got: whether each has ``<moved/>``."""
        found = [r.element for r in (client or self.phone).inbox]
        return [
            e.find(MOVED) is not None
            for e in found
            if e.tag == f"{CLIENT}presence" and e.get("type") == "subscribe"
        ]


async def remove(case: Case) -> None:
    item = f"<item jid='{case.old}' subscription='remove'/>"
    await case.phone.request(f"<query xmlns='jabber:iq:roster'>{item}</query>", kind="set")


async def revoke(case: Case) -> None:
    case.phone.send(f"<presence type='unsubscribed' to='{case.old}'/>")
    await case.phone.ping()


async def block_old(case: Case) -> None:
    await block(case.phone, case.old)


async def block_new(case: Case) -> None:
    await block(case.phone, case.new)


CHANGES = {
    "removed": (remove, None),
    "revoked": (revoke, ("to", None)),
    "old blocked": (block_old, ("both", None)),
    "new blocked": (block_new, ("both", None)),
}


@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
@pytest.mark.parametrize("change", list(CHANGES))
@WHERE
async def test_who_changed_it_meanwhile_does_not_follow(
    stage: Stage, new_host: str, change: str, online: bool
) -> None:
    case = await Case(stage, new_host).begin()
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    do, left = CHANGES[change]
    if change == "revoked" and "stock-unsubscribed" in stage.topology.kind.excused:
        left = ("none", None)
    await do(case)
    if not online:
        await case.phone.close()
    case.mover.inbox.clear()
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("released", "changed")
    await stage.quiet(case.mover)
    if not online:
        case.phone = await stage.device_as_it_comes(case.user, "tablet")
        await case.phone.ping()
    # A request like any other, which the user may see unless its sender is blocked.
    await case.quiet()
    assert case.requests() == ([] if change == "new blocked" else [True])
    assert not [r for r in case.mover.inbox if r.element.get("type") in ("subscribed", "subscribe")]
    now = entries(await case.phone.roster())
    assert now == ({} if left is None else {case.old: left})


@pytest.mark.parametrize("change", list(CHANGES))
async def test_nor_is_the_request_swallowed(stage: Stage, change: str) -> None:
    """A take that sends nothing."""
    case = await Case(stage, HOST).begin()
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    await CHANGES[change][0](case)
    answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'/>")
    assert await outcome(stage.component) == ("released", "changed")


async def test_who_changed_it_back_follows(stage: Stage) -> None:
    case = await Case(stage, HOST).begin()
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    await block(case.phone, case.old, case.new)
    await case.phone.request("<unblock xmlns='urn:xmpp:blocking'/>", kind="set")
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("taken", None)


@WHERE
async def test_who_is_gone_does_not_follow(stage: Stage, new_host: str) -> None:
    case = await Case(stage, new_host).begin()
    await case.phone.close()
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    stage.remove(case.user)
    case.mover.inbox.clear()
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("released", "changed")
    await stage.quiet(case.mover)
    assert not [r for r in case.mover.inbox if r.element.get("type") in ("subscribed", "subscribe")]


@WHERE
async def test_a_request_is_held_once(stage: Stage, new_host: str) -> None:
    case = await Case(stage, new_host).begin()
    joined = int((await stage.hello()).get("joined", "0"))
    case.ask(plain=3)
    divert = await take(stage.component, f"{HOOK}divert")
    await case.quiet()
    assert not held(stage.component, f"{HOOK}divert")
    assert not case.requests()
    assert int((await stage.hello()).get("joined", "0")) == joined + 3
    answer(stage.component, divert, f"<release xmlns='{NS_HOOK}'/>")
    assert await outcome(stage.component) == ("released", "verdict")
    await case.quiet()
    assert case.requests() == [True]
    # Nothing of it stays: what comes now goes its ordinary way.
    case.mover.send(f"<presence type='subscribe' to='{case.user}'/>")
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("taken", None)


@WHERE
async def test_what_a_server_repeats_is_held_too(stage: Stage, new_host: str) -> None:
    """The mover's device comes online while the request is held, and the contact then follows."""
    case = await Case(stage, new_host).begin()
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    await case.mover.close()
    case.mover = await stage.device(case.new, "laptop")
    await case.quiet()
    assert not case.requests()
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("taken", None)
    await case.quiet()
    assert not case.requests()
    assert entries(await case.phone.roster())[case.new][0] == "from"


async def test_what_is_held_comes_after_the_time_out(hasty: Stage) -> None:
    case = await Case(hasty, HOST).begin()
    case.ask(plain=2)
    assert await outcome(hasty.component) == ("released", "timeout")
    await case.quiet()
    assert case.requests() == [True]


@WHERE
async def test_a_request_that_is_withdrawn(stage: Stage, new_host: str) -> None:
    case = await Case(stage, new_host).begin()
    case.ask(plain=1)
    divert = await take(stage.component, f"{HOOK}divert")
    case.mover.send(f"<presence type='unsubscribe' to='{case.user}'/>")
    assert await outcome(stage.component) == ("released", "withdrawn")
    answer(stage.component, divert, case.follow)
    await case.quiet()
    assert not case.requests()
    assert not stage.component.inbox
    assert entries(await case.phone.roster()) == {case.old: ("both", None)}
    assert (await stage.hello()).get("held") == "0"
    # And asked for again.
    case.ask()
    divert = await take(stage.component, f"{HOOK}divert")
    answer(stage.component, divert, case.follow)
    assert await outcome(stage.component) == ("taken", None)


async def test_two_old_addresses_are_two_questions(stage: Stage) -> None:
    user, new = stage.account("romeo"), stage.account("juliet-new")
    olds = [stage.account("juliet"), stage.account("capulet")]
    stage.roster(user, *(RosterEntry(old, "both") for old in olds))
    mover = await stage.device(new)
    for old in olds:
        mover.send(notification(user, old))
    diverts = [await take(stage.component, f"{HOOK}divert") for _ in olds]
    assert [sorted(entries(divert[0])) for divert in diverts] == [[old] for old in olds]
    for divert, old in zip(diverts, olds, strict=True):
        follow = send(presence("subscribed", new), presence("unsubscribed", old))
        answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'>{follow}</take>")
        assert await outcome(stage.component) == ("taken", None)
    assert (await stage.hello()).get("held") == "0"


async def test_a_watched_request_is_held_once(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet")
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, "requests")
    device.send(f"<presence type='subscribe' to='{user}'/>" * 3)
    divert = await take(stage.component, f"{HOOK}divert")
    await stage.quiet(device)
    assert not stage.component.inbox
    answer(
        stage.component,
        divert,
        f"<take xmlns='{NS_HOOK}'>{send(presence('subscribed', contact))}</take>",
    )
    assert await outcome(stage.component) == ("taken", None)
    await take(phone, f"{ROSTER}query")
    await stage.quiet(device, phone)
    assert not [r for r in phone.inbox if r.element.get("type") == "subscribe"]


async def test_one_owner_of_domains_and_one_user_leave_room_for_others(
    kind: Kind,
    shared_topologies: dict[tuple[str, Arrangement], Topology],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each of them has a fifth of what may be held; what is beyond goes its ordinary way."""
    hook = HookOptions(max_held=10)
    async with on_stage(kind, hook, shared_topologies, tmp_path_factory) as stage:
        old = stage.account("juliet")
        romeo, nurse, benvolio = (stage.account(n) for n in ("romeo", "nurse", "benvolio"))
        phones = {}
        for user in (romeo, nurse, benvolio):
            stage.roster(user, RosterEntry(old, "both"))
            phones[user] = await stage.device(user)
        far = [await stage.device(stage.account(f"new{n}", CAPULET)) for n in range(3)]
        near = [await stage.device(stage.account(f"near{n}")) for n in range(3)]
        await stage.connect()

        async def held_of(mover: Client, user: str) -> ET.Element | None:
            """None: it reaches the user as any other."""
            mover.send(notification(user, old))
            streams = stage.component, phones[user]
            waits = [asyncio.create_task(s.wait_for_inbox(1, TIMEOUT)) for s in streams]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if stage.component.inbox:
                return await take(stage.component, f"{HOOK}divert")
            assert (await take(phones[user], MOVED)).get("from") == mover.bare
            phones[user].inbox.clear()
            return None

        async def let_go(divert: ET.Element | None) -> None:
            assert divert is not None
            answer(stage.component, divert, f"<release xmlns='{NS_HOOK}'/>")
            assert await outcome(stage.component) == ("released", "verdict")
            phone = phones[divert.get("from", "")]
            await take(phone, MOVED)
            phone.inbox.clear()

        first = await held_of(far[0], romeo)
        assert await held_of(far[1], nurse) is not None
        assert await held_of(far[2], benvolio) is None
        await let_go(await held_of(near[0], benvolio))
        assert await held_of(near[0], romeo) is not None
        assert await held_of(near[1], romeo) is None
        assert await held_of(near[1], nurse) is not None
        # What has its end makes room.
        await let_go(first)
        assert await held_of(far[2], romeo) is not None


@WHERE
async def test_what_is_too_large_is_not_held(stage: Stage, new_host: str) -> None:
    """The component would only let go of it; until then it would lie here, whatever its size."""
    case = await Case(stage, new_host).begin()
    before = int((await stage.hello()).get("limited", ""))
    status = "<status>{}</status>"
    case.mover.send(notification(case.user, case.old, status.format("x" * 8192)))
    shown = await take_presence(case.phone, "subscribe", case.new)
    assert shown.find(MOVED) is not None
    await case.quiet()
    assert not held(stage.component, f"{HOOK}divert")
    assert int((await stage.hello()).get("limited", "")) == before + 1
    other = await Case(stage, new_host).begin()
    other.mover.send(notification(other.user, other.old, status.format("x" * 7000)))
    answer(stage.component, await take(stage.component, f"{HOOK}divert"), other.follow)
    assert await outcome(stage.component) == ("taken", None)

"""The hook in a cluster of ejabberd: two nodes, and whatever comes in, stands and dies at either.

All tests share the cluster.  ``first`` and ``second`` are the stage at either node: the accounts
are the same, devices and components connect where they are asked for.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from operator import eq, lt
from pathlib import Path

import pytest

from component.core.model import Reason
from component.core.records import MoveState
from tests.live.client import Client, RawComponent
from tests.live.daemon import Daemon
from tests.live.hooked import (
    CLIENT,
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    TIMEOUT,
    Stage,
    answer,
    entries,
    held,
    notification,
    presence,
    send,
    take,
    take_presence,
)
from tests.live.servers.addresses import free_address
from tests.live.servers.base import COMPONENT_HOST, Fault, HookOptions, RosterEntry, ServerSpec
from tests.live.servers.differences import KINDS
from tests.live.servers.ejabberd import Ejabberd, Installation
from tests.live.shared import kept
from tests.live.topology import MONTAGUE_HOSTS, Topology, component_settings

KIND = KINDS["ejabberd-24.12"]
pytestmark = pytest.mark.skipif(not KIND.available, reason=KIND.missing)
ENTRY = "<item xmlns='jabber:iq:roster' jid='nurse@capulet.example' name='Nurse'/>"
TOMBSTONE = f"<tombstone xmlns='{NS_HOOK}'>xmpp:juliet@new.example</tombstone>"
STATEMENT = (
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:moved:1'/></pubsub>"
)


class Cluster:
    """Two nodes that serve the same hosts; the network knows the first."""

    def __init__(self, folder: Path) -> None:
        address = free_address()
        zone = dict.fromkeys(MONTAGUE_HOSTS, address)
        spec = ServerSpec("first", address, MONTAGUE_HOSTS, zone, (COMPONENT_HOST,), HookOptions())
        there = replace(spec, name="second", address=free_address(), extra={})
        kind = Installation(KIND.name, KIND.program)
        self.first = Ejabberd(kind, spec, folder / "first")
        self.second = Ejabberd(kind, there, folder / "second", cookie=self.first.cookie)

    async def start(self) -> None:
        """Start what does not run; the first time, the second joins the first."""
        fresh = not self.second.log_path.exists()
        down = [node for node in (self.first, self.second) if not node.running]
        await asyncio.gather(*(node.start() for node in down))
        if fresh:
            await self.second.join(self.first)

    async def stop(self) -> None:
        """Stop both."""
        await asyncio.gather(self.first.stop(), self.second.stop())


class Node(Topology):
    """A node as all the servers there are."""

    def __init__(self, node: Ejabberd) -> None:
        self.kind = KIND
        self.servers = {"montague": node}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests."""
    with kept(Cluster(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
async def nodes(cluster: Cluster) -> AsyncIterator[tuple[Stage, Stage]]:
    """The stage at either node, no component connected; a node that died comes back."""
    await cluster.start()
    async with AsyncExitStack() as stack:
        yield Stage(Node(cluster.first), stack), Stage(Node(cluster.second), stack)


@pytest.fixture(params=["the same", "the other"])
async def apart(request: pytest.FixtureRequest, nodes: tuple[Stage, Stage]) -> tuple[Stage, Stage]:
    """The component's node, and the node where the others are."""
    here, there = nodes if request.param == "the other" else (nodes[1], nodes[1])
    await here.connect()
    there.component = here.component
    return here, there


def server_of(stage: Stage) -> Ejabberd:
    """The node of a stage."""
    server = stage.topology.servers["montague"]
    assert isinstance(server, Ejabberd)
    return server


def evaluate(stage: Stage, code: str) -> str:
    """See :meth:`Ejabberd.evaluate`."""
    return server_of(stage).evaluate(code)


async def quiet(nodes: Sequence[Stage], *devices: Client) -> None:
    """What these sent has been processed, and what that made for the component is there.

    What goes from a node to another keeps its order, whatever the process.
    """
    for device in devices:
        await device.ping()
    for stage in nodes:
        others = "ejabberd_cluster:get_nodes()"
        evaluate(stage, f"[rpc:call(N, erlang, node, []) || N <- {others}].")
    await nodes[0].component.ping(to=HOST)


def befriend(stage: Stage, user: str, contact: str) -> None:
    """Each sees the other."""
    stage.roster(user, RosterEntry(contact, "both"))
    stage.roster(contact, RosterEntry(user, "both"))


def accounts(stage: Stage, *names: str) -> list[str]:
    """New ones."""
    return [stage.account(name) for name in names]


async def outcome(component: RawComponent) -> tuple[str | None, ...]:
    """Id, state and reason of the next outcome."""
    found = (await take(component, f"{HOOK}outcome")).find(f"{HOOK}outcome")
    assert found is not None
    return tuple(found.get(name) for name in ("id", "state", "reason"))


def follow(component: RawComponent, asked: ET.Element, old: str, new: str) -> None:
    """The verdict of a move that was verified."""
    sent = send(presence("subscribed", new), presence("unsubscribed", old))
    answer(component, asked, f"<take xmlns='{NS_HOOK}'>{sent}</take>")


# Who is where ---------------------------------------------------------------------------------


async def test_a_request_is_held_and_followed_wherever_it_comes_in(
    apart: tuple[Stage, Stage],
) -> None:
    here, there = apart
    user, old, new = accounts(there, "romeo", "juliet", "juliet-new")
    befriend(there, user, old)
    phone, tablet = await here.device(user), await there.device(user, "tablet")
    mover = await there.device(new)
    mover.send(notification(user, old))
    asked = await take(here.component, f"{HOOK}divert")
    follow(here.component, asked, old, new)
    assert await outcome(here.component) == (asked.get("id"), "taken", None)
    await take_presence(mover, "subscribed", user)
    for device in (phone, tablet):
        await take(device, "{jabber:iq:roster}query")
        assert entries(await device.roster()) == {old: ("to", None), new: ("from", None)}


async def test_the_hook_tells_of_every_instance(nodes: tuple[Stage, Stage]) -> None:
    listed = []
    for stage in nodes:
        await stage.connect()
        hello = await stage.hello()
        found = [element.text for element in hello.findall(f"{HOOK}instance")]
        assert found[0] == hello.get("instance")
        listed.append(found)
    assert listed[0] == listed[1][::-1]
    assert len(set(listed[0])) == 2


async def test_an_account_is_the_same_at_every_node(apart: tuple[Stage, Stage]) -> None:
    """Until it is deleted, at whichever node."""
    here, there = apart
    user = there.account("romeo")
    order = f"<entries xmlns='{NS_HOOK}' account='{await token(here, user)}'>{ENTRY}</entries>"
    done = await here.component.request(order, kind="set", to=user)
    assert done.get("type") == "result"
    there.remove(user)
    deleted = (await take(here.component, f"{HOOK}deleted"))[0]
    assert deleted.get("jid") == user
    server_of(there).add_user(user)
    refused = await here.component.request(order, kind="set", to=user)
    assert refused.find(f".//{STANZAS}item-not-found") is not None
    assert await token(here, user) != deleted.get("account")


async def token(stage: Stage, user: str) -> str | None:
    """What tells the account of now from any other of this name."""
    told = await stage.component.request(f"<account xmlns='{NS_HOOK}'/>", to=user)
    account = told.find(f"{HOOK}account")
    assert account is not None
    return account.get("token")


async def test_taken_back_or_repeated_at_another_node(nodes: tuple[Stage, Stage]) -> None:
    first, second = nodes
    component = await first.connect()
    user, old, new = accounts(first, "romeo", "juliet", "juliet-new")
    first.roster(user, RosterEntry(old, "both"))
    here, there = await first.device(new), await second.device(new, "tablet")
    here.send(notification(user, old))
    asked = await take(component, f"{HOOK}divert")
    there.send(notification(user, old) + f"<presence type='subscribe' to='{user}'/>")
    await quiet(nodes, there)
    assert not component.inbox
    there.send(f"<presence type='unsubscribe' to='{user}'/>")
    assert await outcome(component) == (asked.get("id"), "released", "withdrawn")
    there.send(notification(user, old))
    again = await take(component, f"{HOOK}divert")
    first.remove(user)
    assert await outcome(component) == (again.get("id"), "released", "changed")


async def test_what_comes_at_two_nodes_at_one_moment_is_held_once(
    nodes: tuple[Stage, Stage],
) -> None:
    """Both nodes have found nothing held, and begin to hold; neither hears of the other yet."""
    first, second = nodes
    component = await first.connect()
    user, old, new = accounts(first, "romeo", "juliet", "juliet-new")
    first.roster(user, RosterEntry(old, "both"))
    devices = await first.device(new), await second.device(new, "tablet")
    before = sum(joined(stage) for stage in nodes)
    children = [int(evaluate(stage, CHILDREN)) for stage in nodes]
    with suspended(first, HOLDER), suspended(second, HOLDER):
        for device in devices:
            device.send(notification(user, old))
        for stage in nodes:
            await until(stage, MESSAGES, partial(lt, 0))
        stack = ExitStack()
        for stage in nodes:
            stack.enter_context(suspended(stage, "mnesia_tm"))
    with stack:
        for stage, had in zip(nodes, children, strict=True):
            await until(stage, CHILDREN, partial(lt, had))
    await quiet(nodes, *devices)
    (asked,) = [r.element for r in component.inbox if r.element.find(f"{HOOK}divert") is not None]
    assert sum(joined(stage) for stage in nodes) - before == 1
    answer(component, asked, f"<release xmlns='{NS_HOOK}'/>")
    assert await outcome(component) == (asked.get("id"), "released", "verdict")
    phone = await second.device_as_it_comes(user)
    await take_presence(phone, "subscribe", new)
    await phone.ping()
    assert not [r for r in phone.inbox if r.element.get("type") == "subscribe"]


HOLDER = f"'mod_moved_hook_{HOST}'"
"""The supervisor that starts whatever holds something."""


@contextmanager
def suspended(stage: Stage, process: str) -> Iterator[None]:
    """A process of a node does nothing meanwhile."""
    evaluate(stage, f"sys:suspend({process}).")
    try:
        yield
    finally:
        evaluate(stage, f"sys:resume({process}).")


MESSAGES = f"element(2, process_info(whereis({HOLDER}), message_queue_len))."
CHILDREN = f"length(element(2, process_info(whereis({HOLDER}), links)))."


async def until(stage: Stage, code: str, holds: Callable[[int], bool]) -> None:
    """Return when the number that this code gives at a node is such a one."""
    deadline = asyncio.get_running_loop().time() + TIMEOUT
    while not holds(found := int(evaluate(stage, code))):
        assert asyncio.get_running_loop().time() < deadline, f"{code} {found}"
        await asyncio.sleep(0.01)


def joined(stage: Stage) -> int:
    """How many requests were held with another, at this node."""
    table = f'mod_moved_hook:lookup(<<"{HOST}">>, joined)'
    return int(evaluate(stage, f"lists:sum([N || {{_, N}} <- {table}])."))


async def test_whom_the_component_watches_is_watched_at_every_node(
    apart: tuple[Stage, Stage],
) -> None:
    here, there = apart
    user, contact, other = accounts(there, "romeo", "juliet", "nurse")
    befriend(there, user, contact)
    await here.watch(user, "requests", "answers", "messages")
    device, asking = await there.device(contact), await there.device(other)
    asking.send(f"<presence type='subscribe' to='{user}'/>")
    asked = await take(here.component, f"{HOOK}divert")
    sent = send(presence("subscribed", other))
    answer(here.component, asked, f"<take xmlns='{NS_HOOK}'>{sent}</take>")
    await take_presence(asking, "subscribed", user)
    device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
    asked = await take(here.component, f"{HOOK}wrote")
    answer(here.component, asked, f"<answer xmlns='{NS_HOOK}'>Moved</answer>")
    body = f"{CLIENT}body"
    assert (await take(device, body)).findtext(body) == "Moved"
    device.send(f"<presence type='unsubscribe' to='{user}'/>")
    heard = (await take(here.component, f"{HOOK}heard"))[0]
    assert (heard.get("type"), heard.get("jid")) == ("unsubscribe", contact)
    # The watch ends with the stream, everywhere.
    await here.component.close()
    late = await there.connect()
    assert (await there.hello()).get("watched") == "0"
    device.send(f"<presence type='subscribe' to='{user}'/>")
    await device.ping()
    await late.ping(to=HOST)
    assert not late.inbox


async def test_whoever_asks_at_any_node_learns_where_somebody_went(
    apart: tuple[Stage, Stage],
) -> None:
    here, there = apart
    asking = await there.device(there.account("juliet"))
    asking.send(f"<iq type='get' id='S' to='never@{HOST}'>{STATEMENT}</iq>")
    asked = await take(here.component, f"{HOOK}tombstone")
    answer(here.component, asked, TOMBSTONE)
    told = await take(asking, f"{CLIENT}error/{STANZAS}gone")
    assert told.findtext(f"{CLIENT}error/{STANZAS}gone") == "xmpp:juliet@new.example"


# The component's stream ------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
async def test_the_newest_stream_replaces_those_at_other_nodes(
    nodes: tuple[Stage, Stage], dead: bool
) -> None:
    """A dead one would keep all that comes in at its node."""
    first, second = nodes
    earlier = await first.connect()
    await first.hello()
    if dead:
        evaluate(first, f"[sys:suspend(P) || P <- {STREAMS}].")
    newest = await second.connect()
    await second.hello()
    if not dead:
        async with asyncio.timeout(TIMEOUT):
            await ended(earlier)
    await connected(nodes, 1)
    for stage in nodes:
        user, old, new = accounts(stage, "romeo", "juliet", "juliet-new")
        stage.roster(user, RosterEntry(old, "both"))
        (await stage.device(new)).send(notification(user, old))
        await take(newest, f"{HOOK}divert")


STREAMS = f'mod_moved_hook:streams(<<"{COMPONENT_HOST}">>)'


async def connected(nodes: Sequence[Stage], number: int) -> None:
    """Return when each node knows of so many: one hears a moment later of another's."""
    for stage in nodes:
        await until(stage, f"length({STREAMS}).", partial(eq, number))


async def ended(component: RawComponent) -> None:
    """Return when the server has ended this stream."""
    while component.connected:
        await component.wait_for_inbox(len(component.inbox) + 1, TIMEOUT)


async def test_of_streams_that_greet_at_one_moment_one_is_left(
    nodes: tuple[Stage, Stage],
) -> None:
    components = [await ungreeted(stage) for stage in nodes for _ in range(2)]
    await connected(nodes, 4)
    for component in components:
        component.send(
            f"<iq type='get' id='H' to='{HOST}' from='{component.jid}'>"
            f"<hello xmlns='{NS_HOOK}'/></iq>"
        )
    waiting = {asyncio.create_task(ended(component)) for component in components}
    async with asyncio.timeout(TIMEOUT):
        while len(waiting) > 1:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    waiting.pop().cancel()
    await connected(nodes, 1)
    (left,) = [component for component in components if component.connected]
    await take(left, f"{HOOK}hello")


async def ungreeted(stage: Stage) -> RawComponent:
    """The component connected, which has not said hello."""
    component = RawComponent("component", COMPONENT_HOST, server_of(stage).spec.address)
    await component.open()
    stage.stack.push_async_callback(component.close)
    return component


# A node that dies ------------------------------------------------------------------------------


async def test_a_component_that_comes_back_at_another_node_hands_nothing_back(
    nodes: tuple[Stage, Stage], tmp_path: Path
) -> None:
    """Both nodes live, and have released what they held when its stream ended."""
    first, second = nodes
    user, old, new = await silent_move(nodes, first)
    daemon = Daemon(tmp_path / "component", settings_of(first))
    first.stack.push_async_callback(daemon.stop)
    await daemon.start()
    phone = await second.device(user)
    (await first.device(new)).send(notification(user, old))
    await daemon.journal_says(user, lambda found: len(found) == 1, "asked")
    await daemon.kill()
    await take_presence(phone, "subscribe", new)
    daemon.configure(settings_of(second))
    await daemon.start()
    await ends(daemon, user, MoveState.RELEASED, Reason.SERVER)


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(True, id="another node"),
        pytest.param(False, id="the component's node", marks=pytest.mark.full),
    ],
)
async def test_a_killed_node_loses_nothing_and_the_journal_says_so(
    nodes: tuple[Stage, Stage], tmp_path: Path, elsewhere: bool
) -> None:
    """The second dies with a request; the first holds another one."""
    first, second = nodes
    moves = [await silent_move(nodes, stage) for stage in nodes]
    daemon = Daemon(tmp_path / "component", settings_of(first if elsewhere else second))
    first.stack.push_async_callback(daemon.stop)
    await daemon.start()
    for user, old, new in moves:
        mover = await (second if user == moves[1][0] else first).device(new)
        mover.send(notification(user, old))
        await daemon.journal_says(user, lambda found: len(found) == 1, "asked")
    phones = [await first.device(user) for user, _, _ in moves]
    await server_of(second).kill()
    if not elsewhere:
        await daemon.kill()
        daemon.configure(settings_of(first))
        await daemon.start()
    handed_back = (MoveState.HANDED_BACK, Reason.RESTARTED)
    released = (MoveState.RELEASED, Reason.SERVER)
    await take_presence(phones[1], "subscribe", moves[1][2])
    await ends(daemon, moves[1][0], *handed_back)
    if not elsewhere:
        await take_presence(phones[0], "subscribe", moves[0][2])
        await ends(daemon, moves[0][0], *released)
        return
    # The stream stands: what the other node holds is not touched.
    (record,) = await daemon.moves(moves[0][0])
    assert record.state is MoveState.DIVERTED
    assert not held(phones[0], "{urn:xmpp:moved:1}moved")


@pytest.mark.full
async def test_a_node_that_hangs_loses_nothing_and_the_journal_says_so(
    nodes: tuple[Stage, Stage], tmp_path: Path
) -> None:
    """As one whose machine or network is gone: nobody is told, and mnesia waits for it at first."""
    first, second = nodes
    user, old, new = await silent_move(nodes, second)
    daemon = Daemon(tmp_path / "component", settings_of(first))
    first.stack.push_async_callback(daemon.stop)
    await daemon.start()
    phone = await first.device(user)
    (await second.device(new)).send(notification(user, old))
    await daemon.journal_says(user, lambda found: len(found) == 1, "asked")
    for stage in nodes:  # a minute would be long
        evaluate(stage, "net_kernel:set_net_ticktime(8, 0).")
    server_of(second).freeze()
    try:
        await ends(daemon, user, MoveState.HANDED_BACK, Reason.RESTARTED)
        await take_presence(phone, "subscribe", new)
    finally:
        await server_of(second).kill()
        evaluate(first, "net_kernel:set_net_ticktime(60, 0).")


async def ends(daemon: Daemon, user: str, state: MoveState, reason: Reason) -> None:
    """The user's only record ends so."""
    (record,) = await daemon.journal_says(
        user, lambda found: all(record.state.final for record in found), "settled"
    )
    assert (record.state, record.reason) == (state, reason)


async def silent_move(nodes: Sequence[Stage], stage: Stage) -> tuple[str, str, str]:
    """A user, and the old and new account of a contact whose statement nobody gets to see."""
    user, old, new = accounts(stage, "romeo", "juliet", "juliet-new")
    stage.roster(user, RosterEntry(old, "both"))
    for other in nodes:
        server_of(other).set_fault(old, Fault("silent"))
    return user, old, new


def settings_of(stage: Stage) -> dict[str, dict[str, object]]:
    """Of a component at this node."""
    settings = component_settings(server_of(stage).spec.address, ())
    return {section: dict(options) for section, options in settings.items()}

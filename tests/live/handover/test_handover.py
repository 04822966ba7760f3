"""An account's things go from one server to another, to one account and no other, exactly once."""

from __future__ import annotations

import asyncio
import random
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

import pytest

from component.account.canonical import canonical
from component.account.handover import LIFETIME, BadParcel, Fault
from component.account.model import Contact, PepItem, Piece, Xml
from component.account.parcels import (
    MANIFEST_ID,
    NODE,
    RECEIPT_NODE,
    chunk_id,
    read_chunk,
    write_chunk,
)
from component.core.journey.model import Access
from component.core.model import Reason
from component.engine.belongings import asks
from component.engine.belongings.read import look
from component.engine.clock import SystemClock
from component.engine.handover.give import Ended, Giver, NotNamed
from component.engine.handover.take import NothingOffered, Taker
from component.xmpp.errors import LinkLost
from tests.full import FULL
from tests.live.account.furniture import EVERYTHING, NEVER, node
from tests.live.account.owner import furnish, must
from tests.live.client import Client
from tests.live.linked import Side, linked
from tests.live.movers.world import World
from tests.live.servers.base import RosterEntry
from tests.live.servers.differences import Kind
from tests.live.servers.prosody import Prosody
from tests.live.shared import kept

PICTURES: tuple[Piece, ...] = (
    node("urn:example:pictures", "open"),
    *(
        PepItem("urn:example:pictures", str(seed), Xml(f'<x xmlns="urn:x">{noise}</x>'))
        for seed in range(3)
        if (noise := b64encode(random.Random(seed).randbytes(60_000)).decode())
    ),
)
"""What cannot be compressed, so that there are several chunks."""
_numbers = count(1)


@dataclass
class Clock(SystemClock):
    """A clock that can be put forward."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """The time of day there."""
        return super().now() + self.ahead


@dataclass
class Stage:
    """The old account's side and the new one's, each with its own server and link."""

    world: World
    here: Side
    there: Side
    stack: AsyncExitStack
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.old = self._account("jülïet", "montague.example")
        self.new = self._account("ジュリエット", "capulet.example")
        self.thief = self._account("paris", "capulet.example")
        self.giver = Giver(self.here.accounts, self.clock)
        self.taker = self.taker_of(self.new)

    def _account(self, name: str, host: str) -> str:
        jid = f"{name}{next(_numbers)}@{host}"
        self.world.house_of(jid).server.add_user(jid)
        return jid

    def taker_of(self, new: str) -> Taker:
        """Who fetches for an account over there."""
        return Taker(self.there.accounts, self.clock, self.old, new)

    async def client(self, jid: str) -> Client:
        """A device of an account."""
        address = self.world.house_of(jid).server.spec.address
        client = Client(jid, f"{jid}/{next(_numbers)}", address)
        await client.open()
        self.stack.push_async_callback(client.close)
        return client

    async def refused(self, jid: str, owner: str, node: str, id: str) -> bool:
        """Whether an account's client may not read an item of another's."""
        client = await self.client(jid)
        answer = await client.request(ET.tostring(asks.items_get(node, id), "unicode"), to=owner)
        return answer.get("type") == "error"


class Servers(World):
    """A world whose components do not run."""

    async def start(self, names: Iterable[str] = (), *, components: bool = False) -> None:
        """Start the servers."""
        await super().start(names, components=components)


@pytest.fixture(scope="module")
def servers(pair: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both with the hook, for every test."""
    folder = tmp_path_factory.mktemp("handover")
    with kept(Servers(pair, folder, names=("montague", "capulet"))) as servers:
        yield servers


@pytest.fixture
async def stage(servers: Servers) -> AsyncIterator[Stage]:
    """Links to both, and an account on the first with many things."""
    async with AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(linked(house.server, house.component))
            for house in (servers.houses["montague"], servers.houses["capulet"])
        ]
        stage = Stage(servers, sides[0], sides[1], stack)
        await furnish(await stage.client(stage.old), [*EVERYTHING, *NEVER, *PICTURES])
        yield stage


async def say(stage: Stage, new: str) -> None:
    """Publish where the old account went."""
    await stage.here.accounts.publish(stage.old, new, Access.WHITELIST, [new])


async def test_a_hand_over(stage: Stage) -> None:
    # What stands there says that it went elsewhere.
    with pytest.raises(NotNamed) as unsaid:
        await stage.giver.offer(stage.old, stage.new)
    assert unsaid.value.reason is Reason.OTHER_JID
    with pytest.raises(NotNamed):
        await stage.taker.fetch()
    await say(stage, stage.new)
    with pytest.raises(NotNamed) as other:
        await stage.giver.offer(stage.old, stage.thief)
    assert other.value.reason is Reason.OTHER_JID
    with pytest.raises(NothingOffered):
        await stage.taker.fetch()

    offer = await stage.giver.offer(stage.old, stage.new)
    assert len(offer.manifest.chunks) > 3
    assert offer.unread == []
    # Again, and nothing changes; nobody else can read it, and its time is not over.
    assert (await stage.giver.offer(stage.old, stage.new)).manifest == offer.manifest
    assert await stage.refused(stage.thief, stage.old, NODE, MANIFEST_ID)
    with pytest.raises(NotNamed):
        await stage.taker_of(stage.thief).fetch()
    assert await stage.giver.tidy(stage.old) is None

    taken = await stage.taker.fetch()
    expected = (await look(stage.here.accounts, stage.old)).pieces
    assert list(taken.pieces()) == expected
    assert len(expected) == len([*EVERYTHING, *PICTURES]) + 1
    # What was fetched is acknowledged, to the old account alone, and then both nodes are gone.
    await stage.taker.acknowledge(taken.manifest.sha256)
    assert await stage.refused(stage.thief, stage.new, RECEIPT_NODE, taken.manifest.id)
    assert not await stage.taker.tidy(taken.manifest.expires)
    assert await stage.giver.tidy(stage.old) is Ended.RECEIVED
    assert await stage.giver.tidy(stage.old) is Ended.NOTHING
    assert await stage.taker.tidy(taken.manifest.expires)
    for side, jid in ((stage.here, stage.old), (stage.there, stage.new)):
        inner = await side.accounts.query(jid, "get", asks.nodes_get())
        assert not [name for name in asks.read_nodes(inner) if name.startswith("urn:xmpp-moved:")]


async def test_sizes(stage: Stage) -> None:
    sizes = (0, 2_000, 10_000) if FULL else (0, 300)
    server = stage.world.house_of(stage.old).server
    for size in sizes:
        old = f"j{size}@montague.example"
        server.add_user(old)
        entries = [
            RosterEntry(f"контакт{n}@h{n % 50}.example", "both", f"Nr. {n} 🌹", ("Ä",))
            for n in range(size)
        ]
        # Prosody's is one file; ejabberd adds to what is there, and takes a while.
        step = size if isinstance(server, Prosody) else 1000
        for start in range(0, size, step or 1):
            # In a thread, or our links would not hear that their servers live.
            part = entries[start : start + step]
            await asyncio.to_thread(server.set_roster, old, part)
        await stage.here.accounts.publish(old, stage.new, Access.WHITELIST, [stage.new])
        offer = await stage.giver.offer(old, stage.new)
        taken = await Taker(stage.there.accounts, stage.clock, old, stage.new).fetch()
        assert taken.manifest == offer.manifest
        found = list(taken.pieces())
        assert [piece.jid for piece in found if isinstance(piece, Contact)] == sorted(
            entry.jid for entry in entries
        )
        assert len(found) == 1 + size


async def test_interrupted(stage: Stage) -> None:
    await say(stage, stage.new)
    # Its reading takes some questions; then the node is made, and one chunk or two are there.
    before = stage.here.wire.count
    await look(stage.here.accounts, stage.old)
    reading = stage.here.wire.count - before
    stage.here.wire.lose_after(reading + 7)
    with pytest.raises(LinkLost):
        await stage.giver.offer(stage.old, stage.new)
    with pytest.raises(NothingOffered):
        await stage.taker.fetch()
    stage.here.wire.lose_after(None)
    offer = await stage.giver.offer(stage.old, stage.new)
    count = len(offer.manifest.chunks)

    stage.there.wire.lose_after(4)  # the statement, the manifest, two chunks
    with pytest.raises(LinkLost):
        await stage.taker.fetch()
    assert stage.taker.progress == (2, count)
    stage.there.wire.lose_after(None)
    before = stage.there.wire.count
    taken = await stage.taker.fetch()
    assert stage.there.wire.count - before == 2 + count - 2
    assert taken.manifest == offer.manifest
    # Whoever has forgotten all of it fetches it again.
    again = await stage.taker_of(stage.new).fetch()
    assert again.manifest == taken.manifest
    assert again.unpacker.open().read() == taken.unpacker.open().read()

    # What was left behind in the middle is found, and goes.
    await furnish(await stage.client(stage.old), [Contact("new@mantua.example")])
    stage.here.wire.lose_after(reading + 7)
    with pytest.raises(LinkLost):
        await stage.giver.offer(stage.old, stage.new)
    stage.here.wire.lose_after(None)
    assert await stage.giver.tidy(stage.old) is Ended.UNFINISHED
    assert await stage.giver.tidy(stage.old) is Ended.NOTHING


async def test_what_is_not_as_the_manifest_says(stage: Stage) -> None:
    await say(stage, stage.new)
    manifest = (await stage.giver.offer(stage.old, stage.new)).manifest
    owner = await stage.client(stage.old)
    get = ET.tostring(asks.items_get(NODE, chunk_id(manifest.id, 1)), "unicode")
    payload = (await owner.request(get)).find(f".//{{{NODE}}}chunk")
    assert payload is not None
    _, _, right = read_chunk(payload)

    async def put(data: bytes) -> None:
        changed = PepItem(
            NODE, chunk_id(manifest.id, 1), canonical(write_chunk(manifest.id, 1, data))
        )
        await must(owner, ET.tostring(asks.publish(changed), "unicode"))

    async def refused() -> tuple[Fault, int | None]:
        with pytest.raises(BadParcel) as bad:
            await stage.taker.fetch()
        assert stage.taker.progress[0] == 1
        return bad.value.fault, bad.value.chunk

    await put(bytes([right[0] ^ 1]) + right[1:])
    assert await refused() == (Fault.TAMPERED, 1)
    await put(right[:-1])
    assert await refused() == (Fault.TRUNCATED, 1)
    await put(right + b"x")
    assert await refused() == (Fault.OVERSIZE, 1)
    await must(owner, ET.tostring(asks.retract(NODE, chunk_id(manifest.id, 1)), "unicode"))
    assert await refused() == (Fault.INCOMPLETE, 1)
    await put(right)
    assert (await stage.taker.fetch()).manifest == manifest


async def test_its_time_is_over(stage: Stage) -> None:
    await say(stage, stage.new)
    await stage.giver.offer(stage.old, stage.new)
    stage.clock.ahead = LIFETIME - timedelta(minutes=1)
    taken = await stage.taker.fetch()
    await stage.taker.acknowledge(taken.manifest.sha256)
    stage.clock.ahead = LIFETIME
    with pytest.raises(BadParcel) as late:
        await stage.taker_of(stage.new).fetch()
    assert late.value.fault is Fault.EXPIRED
    assert await stage.giver.tidy(stage.old) is Ended.EXPIRED
    assert await stage.taker.tidy(taken.manifest.expires)
    # And where the mover goes elsewhere.
    await stage.giver.offer(stage.old, stage.new)
    await say(stage, stage.thief)
    assert await stage.giver.tidy(stage.old) is Ended.CANCELLED
    assert await stage.giver.standing(stage.old) is None

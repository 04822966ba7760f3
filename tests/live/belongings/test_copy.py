"""Everything of an account comes along, once, and goes away again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from component.account.bookmarks import NODE
from component.account.model import (
    NS_BOOKMARKS,
    NS_STORAGE,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
    in_order,
)
from component.core.belongings.model import WRITTEN, JobState, Result, Why
from tests.lines import lines_of, only
from tests.live.account.furniture import EVERYTHING, NEVER, NICK, OLD_ROOM, OLD_ROOMS, node
from tests.live.account.owner import PRIVATE, furnish, must, seen
from tests.live.account.test_exchange import is_prosody, plain
from tests.live.belongings.stage import MOVE, Stage
from tests.live.client import Client
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(NEWER_PROSODY)


async def furnished(client: Client, kind: Kind) -> list[Piece]:
    """Put everything into the old account, what never comes along included; what is to come."""
    await furnish(client, [*EVERYTHING, *NEVER])
    if not is_prosody(kind):  # ejabberd makes of old bookmarks the only ones
        return list(EVERYTHING)
    await must(client, f"<query xmlns='{PRIVATE}'>{OLD_ROOMS}</query>")
    return in_order([*EVERYTHING, OLD_ROOM])


async def has(client: Client, whose: Identity, like: Sequence[Piece] = EVERYTHING) -> list[Piece]:
    """What an account has, in a form that can be compared."""
    found = await seen(client, whose, like)
    mirrored = {NS_STORAGE} | {piece.node for piece in NEVER if isinstance(piece, PepNode)}
    kept = [piece for piece in found if getattr(piece, "node", None) not in mirrored]
    return [piece for piece in plain(kept) if not isinstance(piece, Identity)]


def in_room_order(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces with bookmarks by their rooms: converted ones come last."""
    rooms = [p for p in pieces if isinstance(p, PepItem) and p.node == NS_BOOKMARKS]
    return [*(p for p in pieces if p not in rooms), *sorted(rooms, key=lambda room: room.id)]


async def test_everything_once_and_back(stage: Stage) -> None:
    old = await stage.house.client(stage.old.jid)
    new = await stage.house.client(stage.new.jid)
    before = await has(new, stage.new)
    coming = await furnished(old, stage.house.kind)
    first = await stage.copy()
    assert only(first) == {Result.ADDED}
    after = await has(new, stage.new)
    assert in_room_order(after) == in_room_order(plain(coming))

    again = await stage.copy()
    assert only(again) == {Result.SAME}
    assert again.total == first.total

    undone = await stage.undo(first)
    assert undone.job.state is JobState.UNDONE
    assert only(undone) == {Result.RESTORED}
    assert await has(new, stage.new) == before


MY_ROOM = Xml(f'<conference xmlns="{NS_BOOKMARKS}" name="A"/>')
MINE: tuple[Piece, ...] = (
    Contact("romeo@montague.example", "My Romeo", ("Mine",)),
    Contact("icq.montague.example", "Named here", ()),
    Contact("ジュリエット@例え.example", None, ()),
    VcardTemp(Xml('<vCard xmlns="vcard-temp"><FN>New Júliet</FN></vCard>')),
    PrivateXml("exodus", "exodus:prefs", Xml('<exodus xmlns="exodus:prefs"><n>1</n></exodus>')),
    node(NICK, "presence"),
    PepItem(NICK, "mine", Xml(f'<nick xmlns="{NICK}">N 🌹</nick>')),
    node("urn:example:größe/🌹", "open"),
    PepItem("urn:example:größe/🌹", "new", Xml('<x xmlns="urn:example:x" n="1"/>')),
    NODE,
    PepItem(NS_BOOKMARKS, "a@rooms.example", MY_ROOM),
)
"""What the new account has already: nearly all of it says something else, one entry nothing."""


async def test_what_is_there_is_left_alone(stage: Stage) -> None:
    old = await stage.house.client(stage.old.jid)
    new = await stage.house.client(stage.new.jid)
    await furnish(old, EVERYTHING)
    await furnish(new, MINE)
    await new.roster()
    before = await has(new, stage.new, MINE)
    report = await stage.copy()
    (filled,) = await lines_of(stage.store, report, Result.CHANGED)
    assert filled.thing.key == "ジュリエット@例え.example"
    kept = {line.thing.key for line in await lines_of(stage.store, report, Result.KEPT)}
    assert kept == {
        "romeo@montague.example",
        "icq.montague.example",
        "",  # the profile
        "{exodus:prefs}exodus",
        "current",  # the nickname: one of it is all there can be
        "urn:example:größe/🌹",
        "a@rooms.example",
    }
    # Who may read there is not for us to widen, nor is what others may not read put there.
    lines = await lines_of(stage.store, report, Result.REFUSED)
    refused = {(line.thing.key, line.why) for line in lines}
    assert refused == {("ä 1", Why.READERS), ("0", Why.READERS)}
    after = await has(new, stage.new, MINE)
    assert [piece for piece in before if piece not in after] == [MINE[2]]

    # Asked to, the copy overwrites; and the undo brings everything back.
    forced = await stage.copy(overwrite=True)
    assert not only(forced) & {Result.KEPT, Result.REFUSED}
    wanted = {p for p in plain(EVERYTHING) if not isinstance(p, PepItem)}
    missing = wanted - set(await has(new, stage.new))
    assert not missing
    await stage.undo(forced)
    undone = await stage.undo(report)
    assert not only(undone) & WRITTEN
    assert await has(new, stage.new, MINE) == before


async def test_cut_off_at_every_step(stage: Stage) -> None:
    """Wherever the work ends, the next start goes on; nothing is there twice, nothing is lost."""
    old = await stage.house.client(stage.old.jid)
    new = await stage.house.client(stage.new.jid)
    before = await has(new, stage.new)
    await furnish(old, EVERYTHING)
    seen_first = await stage.copies.preview(stage.new.jid, MOVE)
    id = seen_first.job.id
    await stage.copies.start(stage.new.jid, id)
    for steps in range(1, 60):
        ended = await cut_off(stage, id, steps)
        if ended:
            break
    assert ended
    report = await stage.copies.report(stage.new.jid, id)
    assert report.job.state is JobState.DONE
    assert only(report) == {Result.ADDED}
    assert await has(new, stage.new) == plain(EVERYTHING)

    await stage.copies.undo(stage.new.jid, id)
    for steps in range(1, 60):
        if await cut_off(stage, id, steps):
            break
    undone = await stage.copies.report(stage.new.jid, id)
    assert only(undone) == {Result.RESTORED}
    assert await has(new, stage.new) == before


async def cut_off(stage: Stage, id: int, steps: int) -> bool:
    """Let the work make so many stanzas' progress, end it, start anew; True where it ended."""
    reached = asyncio.create_task(stage.wire.reach(20 + steps))
    over = asyncio.create_task(stage.copies.done(id))
    await asyncio.wait({reached, over}, return_when=asyncio.FIRST_COMPLETED)
    ended = over.done()
    for waiting in (reached, over):
        waiting.cancel()
    await stage.close()
    await stage.open()
    if not ended:
        await stage.copies.load()
    return ended

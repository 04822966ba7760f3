"""What a server refuses, loses or does otherwise than asked, and what the report then says."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from unittest.mock import patch

import pytest

from component.account.model import (
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
)
from component.core.belongings.model import Entry, JobState, Result, Sort, Why
from component.core.belongings.report import Report
from component.core.journey.model import Journey, Problem, Refused
from component.engine.belongings import asks
from component.engine.belongings.copies import Copies
from component.engine.belongings.ports import FromMove, FromPieces
from component.engine.clock import SystemClock
from component.store import Store
from component.xmpp.errors import LinkError, LinkLost, RemoteError, RequestTimeout
from sim.account_server import AccountServer, sets
from tests.lines import lines_of, only

ME = "júlia@new.example"
PROFILE = VcardTemp(Xml('<vCard xmlns="vcard-temp"><FN>J 🌹</FN></vCard>'))
NOTES = PrivateXml(
    "storage", "storage:rosternotes", Xml('<storage xmlns="storage:rosternotes"><a/></storage>')
)
SECRET = PepNode(
    "urn:example:secret",
    (("pubsub#access_model", ("whitelist",)), ("pubsub#max_items", ("4",))),
    ("nurse@x.example",),
)
PAGE = PepItem("urn:example:secret", "1", Xml('<x xmlns="urn:example:x"/>'))
EVERYTHING: Sequence[Piece] = (
    Blocked("tybalt@x.example"),
    Contact("romeo@x.example", "Rómeo", ("Ä",)),
    PROFILE,
    NOTES,
    SECRET,
    PAGE,
)


async def _nothing_proven(asker: str, id: int) -> Journey:
    raise Refused(Problem.CODE_EXPIRED)


class House:
    """Copies on a played server.

    :param proven: whose moves have been proven to be whose.
    """

    def __init__(
        self,
        store: Store,
        users: Collection[str] = (ME,),
        proven: Callable[[str, int], Awaitable[Journey]] = _nothing_proven,
        server: AccountServer | None = None,
    ) -> None:
        self.store = store
        self.server = server or AccountServer()
        accounts, hook = self.server.sides
        self.copies = Copies(
            accounts=accounts,
            hook=hook,
            store=store.belongings,
            clock=SystemClock(),
            serves=lambda jid: jid in users,
            proven=proven,
            retry_seconds=0.01,
        )

    async def copy(self, pieces: Sequence[Piece], *, overwrite: bool = False) -> Report:
        """Bring pieces to ``ME``, to the end."""
        seen = await self.copies.preview(ME, FromPieces(pieces, "file.xml"))
        await self.copies.start(ME, seen.job.id, overwrite=overwrite)
        await self.copies.done(seen.job.id)
        return await self.copies.report(ME, seen.job.id)

    async def results(self, report: Report) -> dict[Sort, tuple[Result, str | None]]:
        """What became of the one thing of each sort."""
        lines = await lines_of(self.store, report)
        return {line.thing.sort: (line.result, line.why) for line in lines}

    async def copied(
        self, pieces: Sequence[Piece], *, overwrite: bool = False
    ) -> dict[Sort, tuple[Result, str | None]]:
        """Bring pieces to ``ME``, and what became of each."""
        return await self.results(await self.copy(pieces, overwrite=overwrite))

    async def undo(self, report: Report) -> Report:
        """Take it back, to the end."""
        await self.copies.undo(ME, report.job.id)
        await self.copies.done(report.job.id)
        return await self.copies.report(ME, report.job.id)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'moved.db'}") as store:
        house = House(store)
        yield house
        await house.copies.stop()


def fails(name: str, error: LinkError) -> Callable[[str, ET.Element], LinkError | None]:
    fits = sets(name)
    return lambda kind, payload: error if fits(kind, payload) else None


async def test_one_copy_at_a_time_and_nothing_is_kept_of_it(house: House) -> None:
    seen = await house.copies.preview(ME, FromPieces(EVERYTHING, "file.xml"))
    async with house.copies._locks.setdefault(ME, asyncio.Lock()):
        with pytest.raises(Refused) as refused:
            await house.copies.start(ME, seen.job.id)
    assert refused.value.problem is Problem.BUSY
    del refused  # its traceback has the lock
    await house.copies.start(ME, seen.job.id)
    await house.copies.done(seen.job.id)
    assert (await house.copies.report(ME, seen.job.id)).job.state is JobState.DONE
    assert not house.copies._locks


@pytest.mark.parametrize("old", [False, True], ids=["a save for all", "old hook"])
async def test_in_order_and_again(house: House, old: bool) -> None:
    house.server.old = old
    report = await house.copy(EVERYTHING)
    assert await house.results(report) == dict.fromkeys(Sort, (Result.ADDED, None))
    assert [name for _, name in house.server.writes] == [
        "block/item",
        "query/item" if old else "entries/item",
        "vCard/FN",
        "query/storage",
        "pubsub/create",
        "pubsub/affiliations",
        "pubsub/publish",
    ]
    assert await house.server.things(ME) == list(EVERYTHING)
    house.server.writes.clear()
    assert await house.copied(EVERYTHING) == dict.fromkeys(Sort, (Result.SAME, None))
    assert await house.copied(EVERYTHING, overwrite=True) == dict.fromkeys(
        Sort, (Result.SAME, None)
    )
    assert not house.server.writes
    undone = await house.undo(report)
    assert await house.results(undone) == dict.fromkeys(Sort, (Result.RESTORED, None))
    assert await house.server.things(ME) == []
    assert undone.job.state is JobState.UNDONE


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("block", Sort.BLOCKED),
        ("group", Sort.CONTACT),
        ("vCard", Sort.PROFILE),
        ("storage", Sort.PRIVATE),
        ("publish", Sort.ITEM),
    ],
)
async def test_what_is_refused_is_named(house: House, name: str, sort: Sort) -> None:
    house.server.before = fails(name, RemoteError("resource-constraint"))
    found = await house.copied(EVERYTHING)
    expected = dict.fromkeys(Sort, (Result.ADDED, None))
    assert found == {**expected, sort: (Result.REFUSED, "resource-constraint")}


async def test_without_its_node_nothing_is_published(house: House) -> None:
    house.server.before = fails("create", RemoteError("forbidden"))
    found = await house.copied(EVERYTHING)
    assert found[Sort.NODE] == (Result.REFUSED, "forbidden")
    assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)
    assert "pubsub/publish" not in [name for _, name in house.server.writes]


async def test_readers_that_cannot_be_named_keep_items_away(house: House) -> None:
    house.server.before = fails("affiliations", RemoteError("not-allowed"))
    found = await house.copied(EVERYTHING)
    assert found[Sort.NODE] == (Result.REFUSED, "not-allowed")
    assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)


async def test_options_that_a_server_does_not_know(house: House) -> None:
    """The room is tried otherwise, then left to the server; who may read never is."""

    def refuses(kind: str, payload: ET.Element) -> LinkError | None:
        rooms = [f for f in payload.iter() if f.get("var") == "pubsub#max_items"]
        return RemoteError("not-acceptable") if kind == "set" and rooms else None

    house.server.before = refuses
    found = await house.copied(EVERYTHING)
    assert found == dict.fromkeys(Sort, (Result.ADDED, None))
    (node,) = (p for p in await house.server.things(ME) if isinstance(p, PepNode))
    assert node == replace(SECRET, config=SECRET.config[:1])


@pytest.mark.parametrize("name", ["item", "vCard", "publish"])
async def test_a_lost_answer_is_looked_for(house: House, name: str) -> None:
    """It had its effect: so it counts, and nothing is reported that is not so."""
    house.server.after = fails(name, RequestTimeout("lost"))
    report = await house.copy(EVERYTHING)
    assert only(report) == {Result.ADDED}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
async def test_a_node_whose_answer_is_lost(house: House, times: int, done: bool) -> None:
    """Nothing is published before its readers are settled."""
    lost = iter([RequestTimeout("lost")] * times)
    fits = sets("create")

    def fault(kind: str, payload: ET.Element) -> LinkError | None:
        return next(lost, None) if fits(kind, payload) else None

    if done:
        house.server.after = fault
    else:
        house.server.before = fault
    found = await house.copied(EVERYTHING)
    if times == 1:
        assert found == dict.fromkeys(Sort, (Result.ADDED, None))
    else:
        assert found[Sort.NODE] == (Result.REFUSED, "remote-server-timeout")
        assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)
        assert "pubsub/publish" not in [name for _, name in house.server.writes]


async def test_a_server_that_says_yes_and_does_nothing(house: House) -> None:
    house.server.before = fails("vCard", RequestTimeout("lost"))
    found = await house.copied(EVERYTHING)
    assert found[Sort.PROFILE] == (Result.REFUSED, Why.NOT_KEPT)


async def test_what_is_too_large_does_not_leave(house: House) -> None:
    large = Xml(f'<vCard xmlns="vcard-temp"><NOTE>{"ä" * 230_000}</NOTE></vCard>')
    found = await house.copied([VcardTemp(large)])
    assert found == {Sort.PROFILE: (Result.REFUSED, Why.TOO_LARGE)}
    assert not house.server.writes


async def test_a_lost_stream_is_waited_for(house: House) -> None:
    lost = iter([LinkLost("gone")])
    fits = sets("publish")
    house.server.before = lambda kind, p: next(lost, None) if fits(kind, p) else None
    found = await house.copied(EVERYTHING)
    assert found == dict.fromkeys(Sort, (Result.ADDED, None))


async def test_the_next_owner_of_the_name_gets_nothing(house: House) -> None:
    """The account goes while a copy is under way: it ends, and is no business of theirs."""
    written: list[str] = []

    def before(kind: str, payload: ET.Element) -> LinkError | None:
        if kind == "set":
            written.append(payload.tag)
            house.server.tokens[ME] = "the next"
        return None

    house.server.before = before
    seen = await house.copies.preview(ME, FromPieces(EVERYTHING, "file.xml"))
    await house.copies.start(ME, seen.job.id)
    await house.copies.done(seen.job.id)
    assert len(written) == 1
    assert not await house.copies.copies(ME)
    for order in (house.copies.report, house.copies.undo):
        with pytest.raises(Refused) as refused:
            await order(ME, seen.job.id)
        assert refused.value.problem is Problem.NOT_YOURS
    job = await house.store.belongings.get(seen.job.id)
    assert job is not None
    assert job.state is JobState.DONE


async def test_what_was_changed_since_stays(house: House) -> None:
    report = await house.copy(EVERYTHING)
    account = house.server.accounts[ME]
    account.roster["romeo@x.example"].set("subscription", "both")
    account.vcard = ET.fromstring('<vCard xmlns="vcard-temp"><FN>Mine</FN></vCard>')
    account.nodes[SECRET.node].items["2"] = ET.fromstring(
        '<item xmlns="http://jabber.org/protocol/pubsub" id="2"><y xmlns="urn:y"/></item>'
    )
    found = await house.results(await house.undo(report))
    assert found == {
        Sort.BLOCKED: (Result.RESTORED, None),
        Sort.CONTACT: (Result.ADDED, Why.IN_USE),
        Sort.PROFILE: (Result.ADDED, Why.CHANGED_SINCE),
        Sort.PRIVATE: (Result.RESTORED, None),
        Sort.NODE: (Result.ADDED, Why.IN_USE),
        Sort.ITEM: (Result.RESTORED, None),
    }
    left = await house.server.things(ME)
    assert [type(piece) for piece in left] == [Contact, VcardTemp, PepNode, PepItem]


async def test_yourself_is_left_out(house: House) -> None:
    pieces: list[Piece] = [
        Identity("old.example", "j"),
        Contact(ME, "me"),
        Blocked("new.example"),
        Blocked(ME),
    ]
    report = await house.copy(pieces)
    lines = await lines_of(house.store, report)
    assert {(line.result, line.why) for line in lines} == {(Result.SKIPPED, Why.SELF)}
    assert report.total == 3
    assert not house.server.writes


# Whose orders count ------------------------------------------------------------------------------


async def test_orders_of_others(house: House) -> None:
    seen = await house.copies.preview(ME, FromPieces([PROFILE], "file.xml"))
    for asker in ("tybalt@new.example", "júlia@old.example"):
        for order in (house.copies.start, house.copies.report, house.copies.undo):
            with pytest.raises(Refused) as refused:
                await order(asker, seen.job.id)
            assert refused.value.problem is Problem.NOT_YOURS
    with pytest.raises(Refused) as refused:
        await house.copies.preview("tybalt@elsewhere.example", FromPieces([], "f"))
    assert refused.value.problem is Problem.NOT_SERVED
    with pytest.raises(Refused) as refused:
        await house.copies.preview(ME, FromMove(1))
    assert refused.value.problem is Problem.CODE_EXPIRED
    assert not house.server.writes


async def test_each_state_once(house: House) -> None:
    report = await house.copy([PROFILE])
    number = report.job.id
    for order in (house.copies.start(ME, number), house.copies.start(ME, number + 9)):
        with pytest.raises(Refused):
            await order
    await house.undo(report)
    with pytest.raises(Refused) as refused:
        await house.copies.undo(ME, number)
    assert refused.value.problem is Problem.WRONG_STATE
    assert [job.id for job in await house.copies.copies(ME)] == [number]


async def test_a_file_that_breaks_off_changes_nothing(house: House) -> None:
    def pieces() -> Iterator[Piece]:
        yield PROFILE
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await house.copies.preview(ME, FromPieces(pieces(), "file.xml"))
    assert await house.copies.copies(ME) == {}
    assert not house.server.writes


async def test_a_file_is_never_in_memory_whole(house: House) -> None:
    """No more is read than is stored; what is private and comes last counts from the start."""
    taken = 0
    ahead = 0

    def pieces() -> Iterator[Piece]:
        nonlocal taken
        for number in range(2_500):
            taken += 1
            yield Contact(f"c{number}@x.example", "x" * 10)
        yield NOTES

    add = house.store.belongings.add
    stored = 0

    async def counting(id: int, entries: Sequence[Entry]) -> bool:
        nonlocal stored, ahead
        ahead = max(ahead, taken - stored)
        done = await add(id, entries)
        stored += len(entries)
        return done

    with patch.object(house.store.belongings, "add", counting):
        seen = await house.copies.preview(ME, FromPieces(pieces(), "file.xml"))
    assert taken == 2_500
    assert ahead == 500
    added = {mark.sort: count for mark, count in seen.tally.items() if mark.result is Result.ADDED}
    assert added == {Sort.CONTACT: 2_500, Sort.PRIVATE: 1}
    assert seen.total == 2_501
    assert len(seen.named) == 0


async def test_the_link_goes_while_a_copy_is_begun(house: House) -> None:
    """It is begun, whatever happens, and goes on by what is there when the link is back."""
    seen = await house.copies.preview(ME, FromPieces([PROFILE, NOTES], "file.xml"))
    gone = asyncio.Event()

    def cut(kind: str, payload: ET.Element) -> LinkError | None:
        gone.set()
        return LinkLost("gone")

    house.server.before = cut
    report = await house.copies.start(ME, seen.job.id)
    assert report.job.state is JobState.PLANNING
    await gone.wait()
    account = house.server.accounts[ME]
    account.vcard = ET.fromstring('<vCard xmlns="vcard-temp"><FN>Mine</FN></vCard>')
    # As after a crash: the journal knows that it is wanted.
    await house.copies.stop()
    house.server.before = lambda kind, payload: None
    await house.copies.load()
    await house.copies.done(seen.job.id)
    assert (await house.copies.report(ME, seen.job.id)).counts == {
        **dict.fromkeys(Result, 0),
        Result.ADDED: 1,
        Result.KEPT: 1,
    }


@pytest.mark.parametrize("old", [False, True], ids=["some of the roster", "old hook"])
async def test_large_entries_are_asked_for_one_by_one(house: House, old: bool) -> None:
    """Neither the node nor the roster has to fit a stanza, and the results are the same."""
    pages = [PepItem(SECRET.node, str(n), Xml(f'<x xmlns="urn:x" n="{n}"/>')) for n in range(5)]
    house.server.old = old
    first = await house.copy([*EVERYTHING[:-1], *pages[:2]])
    whole = ET.tostring(asks.items_get(SECRET.node))

    def too_large(kind: str, payload: ET.Element) -> LinkError | None:
        same = kind == "get" and ET.tostring(payload) == whole
        return RemoteError("policy-violation") if same else None

    house.server.before = too_large
    house.server.writes.clear()
    assert only(await house.copy([*EVERYTHING[:-1], *pages[:2]])) == {Result.SAME}
    assert not house.server.writes
    # Of the node's four places two are free.
    again = await house.copy([*EVERYTHING[:-1], *pages])
    items = Counter[Result]()
    for mark, count in again.tally.items():
        items[mark.result] += count if mark.sort is Sort.ITEM else 0
    assert +items == {Result.SAME: 2, Result.ADDED: 2, Result.REFUSED: 1}
    assert [line.why for line in again.named] == [Why.NO_ROOM]
    assert only(await house.undo(again)) == {Result.SAME, Result.REFUSED, Result.RESTORED}
    assert only(await house.undo(first)) == {Result.RESTORED}
    assert await house.server.things(ME) == []


async def test_another_preview_takes_the_place_of_one_that_is_read(house: House) -> None:
    began, go = Event(), Event()

    def pieces() -> Iterator[Piece]:
        began.set()
        assert go.wait(20)
        yield PROFILE

    first = asyncio.create_task(house.copies.preview(ME, FromPieces(pieces(), "one.xml")))
    await asyncio.to_thread(began.wait, 20)
    second = await house.copies.preview(ME, FromPieces([PROFILE], "two.xml"))
    go.set()
    with pytest.raises(Refused) as refused:
        await first
    assert refused.value.problem is Problem.NO_SUCH_COPY
    await house.copies.start(ME, second.job.id)
    await house.copies.done(second.job.id)
    assert (await house.copies.report(ME, second.job.id)).counts[Result.ADDED] == 1

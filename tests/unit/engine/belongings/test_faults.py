"""What a server refuses, loses or does otherwise than asked, and what the report then says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

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
from component.core.belongings.model import JobState, Result, Sort, Why
from component.core.belongings.report import Report
from component.core.journey.model import Journey, Problem, Refused
from component.engine.belongings.copies import Copies
from component.engine.belongings.ports import FromMove, FromPieces
from component.engine.clock import SystemClock
from component.store import Store
from component.xmpp.errors import LinkError, LinkLost, RemoteError, RequestTimeout
from tests.unit.engine.belongings.account_server import AccountServer, sets

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


def results(report: Report) -> dict[Sort, tuple[Result, str | None]]:
    return {line.thing.sort: (line.result, line.why) for line in report.lines}


def fails(name: str, error: LinkError) -> Callable[[str, ET.Element], LinkError | None]:
    fits = sets(name)
    return lambda kind, payload: error if fits(kind, payload) else None


@pytest.mark.parametrize("old", [False, True], ids=["a save for all", "old hook"])
async def test_in_order_and_again(house: House, old: bool) -> None:
    house.server.old = old
    report = await house.copy(EVERYTHING)
    assert results(report) == dict.fromkeys(Sort, (Result.ADDED, None))
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
    assert results(await house.copy(EVERYTHING)) == dict.fromkeys(Sort, (Result.SAME, None))
    assert results(await house.copy(EVERYTHING, overwrite=True)) == dict.fromkeys(
        Sort, (Result.SAME, None)
    )
    assert not house.server.writes
    undone = await house.undo(report)
    assert results(undone) == dict.fromkeys(Sort, (Result.RESTORED, None))
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
    found = results(await house.copy(EVERYTHING))
    expected = dict.fromkeys(Sort, (Result.ADDED, None))
    assert found == {**expected, sort: (Result.REFUSED, "resource-constraint")}


async def test_without_its_node_nothing_is_published(house: House) -> None:
    house.server.before = fails("create", RemoteError("forbidden"))
    found = results(await house.copy(EVERYTHING))
    assert found[Sort.NODE] == (Result.REFUSED, "forbidden")
    assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)
    assert "pubsub/publish" not in [name for _, name in house.server.writes]


async def test_readers_that_cannot_be_named_keep_items_away(house: House) -> None:
    house.server.before = fails("affiliations", RemoteError("not-allowed"))
    found = results(await house.copy(EVERYTHING))
    assert found[Sort.NODE] == (Result.REFUSED, "not-allowed")
    assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)


async def test_options_that_a_server_does_not_know(house: House) -> None:
    """The room is tried otherwise, then left to the server; who may read never is."""

    def refuses(kind: str, payload: ET.Element) -> LinkError | None:
        rooms = [f for f in payload.iter() if f.get("var") == "pubsub#max_items"]
        return RemoteError("not-acceptable") if kind == "set" and rooms else None

    house.server.before = refuses
    found = results(await house.copy(EVERYTHING))
    assert found == dict.fromkeys(Sort, (Result.ADDED, None))
    (node,) = (p for p in await house.server.things(ME) if isinstance(p, PepNode))
    assert node == replace(SECRET, config=SECRET.config[:1])


@pytest.mark.parametrize("name", ["item", "vCard", "publish"])
async def test_a_lost_answer_is_looked_for(house: House, name: str) -> None:
    """It had its effect: so it counts, and nothing is reported that is not so."""
    house.server.after = fails(name, RequestTimeout("lost"))
    report = await house.copy(EVERYTHING)
    assert {line.result for line in report.lines} == {Result.ADDED}


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
    found = results(await house.copy(EVERYTHING))
    if times == 1:
        assert found == dict.fromkeys(Sort, (Result.ADDED, None))
    else:
        assert found[Sort.NODE] == (Result.REFUSED, "remote-server-timeout")
        assert found[Sort.ITEM] == (Result.REFUSED, Why.NO_NODE)
        assert "pubsub/publish" not in [name for _, name in house.server.writes]


async def test_a_server_that_says_yes_and_does_nothing(house: House) -> None:
    house.server.before = fails("vCard", RequestTimeout("lost"))
    found = results(await house.copy(EVERYTHING))
    assert found[Sort.PROFILE] == (Result.REFUSED, Why.NOT_KEPT)


async def test_what_is_too_large_does_not_leave(house: House) -> None:
    large = Xml(f'<vCard xmlns="vcard-temp"><NOTE>{"ä" * 230_000}</NOTE></vCard>')
    found = results(await house.copy([VcardTemp(large)]))
    assert found == {Sort.PROFILE: (Result.REFUSED, Why.TOO_LARGE)}
    assert not house.server.writes


async def test_a_lost_stream_is_waited_for(house: House) -> None:
    lost = iter([LinkLost("gone")])
    fits = sets("publish")
    house.server.before = lambda kind, p: next(lost, None) if fits(kind, p) else None
    found = results(await house.copy(EVERYTHING))
    assert found == dict.fromkeys(Sort, (Result.ADDED, None))


async def test_what_was_changed_since_stays(house: House) -> None:
    report = await house.copy(EVERYTHING)
    account = house.server.accounts[ME]
    account.roster["romeo@x.example"].set("subscription", "both")
    account.vcard = ET.fromstring('<vCard xmlns="vcard-temp"><FN>Mine</FN></vCard>')
    account.nodes[SECRET.node].items["2"] = ET.fromstring(
        '<item xmlns="http://jabber.org/protocol/pubsub" id="2"><y xmlns="urn:y"/></item>'
    )
    found = results(await house.undo(report))
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
    assert {(line.result, line.why) for line in report.lines} == {(Result.SKIPPED, Why.SELF)}
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
    assert await house.copies.copies(ME) == []
    assert not house.server.writes

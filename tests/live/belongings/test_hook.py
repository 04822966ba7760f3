"""What the hook lets be carried, and how the servers take it while nobody is there."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest

from component.account.model import Blocked, Contact
from component.core.belongings.model import Result, Sort, Why
from component.core.model import RosterItem, Subscription
from component.engine.belongings import asks
from component.engine.belongings.ports import FromPieces
from component.xmpp import mover_codecs
from component.xmpp.codecs import entries_request, tag, write_entries
from component.xmpp.errors import RemoteError
from component.xmpp.names import NS_HOOK, NS_UPLOAD
from tests.lines import lines_of
from tests.live.account.furniture import EVERYTHING
from tests.live.account.servers import HOSTS, House
from tests.live.account.test_exchange import is_prosody
from tests.live.belongings.stage import Stage
from tests.live.client import NS_ROSTER
from tests.live.servers.base import RosterEntry

SORTS = {
    "blocking": {Sort.BLOCKED},
    "vcard": {Sort.PROFILE},
    "private": {Sort.PRIVATE},
    "pep": {Sort.NODE, Sort.ITEM},
}


@asynccontextmanager
async def narrowed(house: House, folder: Path, part: str | None) -> AsyncIterator[Stage]:
    """A stage where an admin lets only this be carried; None: everything, as without the option."""
    option = (
        {"moved_hook_copy": f'{{ "{part}" }}'}
        if is_prosody(house.kind)
        else {"modules.mod_moved_hook.copy": f'["{part}"]'}
    )
    async with AsyncExitStack() as stack:
        if part is not None:
            house = await stack.enter_async_context(house.told(folder / "house", option))
        yield await stack.enter_async_context(Stage(house, folder))


async def condition_of(
    stage: Stage, payload: ET.Element, to: str | None = None, kind: Literal["get", "set"] = "get"
) -> str | None:
    """What a question is refused with, if it is."""
    try:
        await stage.accounts.query(stage.new.jid, kind, payload, to)
    except RemoteError as error:
        return error.condition
    return None


@pytest.mark.parametrize("part", SORTS)
async def test_an_admin_narrows_it(house: House, tmp_path: Path, part: str) -> None:
    async with narrowed(house, tmp_path, part) as stage:
        seen = await stage.copies.preview(stage.new.jid, FromPieces(EVERYTHING, "file.xml"))
        await stage.copies.start(stage.new.jid, seen.job.id)
        await stage.copies.done(seen.job.id)
        report = await stage.copies.report(stage.new.jid, seen.job.id)
        added = {mark.sort for mark in report.tally if mark.result is Result.ADDED}
        assert added == {Sort.CONTACT, *SORTS[part]}
        lines = await lines_of(stage.store, report, Result.REFUSED)
        refused = {(line.thing.sort, line.why) for line in lines}
        others = set(Sort) - added
        assert {sort for sort, _ in refused} == others
        assert {why for _, why in refused} <= {"not-allowed", Why.NO_NODE}
        # A move needs none of it.
        for payload in (
            mover_codecs.blocklist_request(),
            mover_codecs.nick_request(),
            mover_codecs.vcard_request(),
            asks.items_get("urn:xmpp:moved:1"),
            asks.items_get("urn:xmpp-moved:hand-over:0"),
        ):
            assert await condition_of(stage, payload) in (None, "item-not-found")


@pytest.mark.parametrize("part", ["upload", "vcard", None])
async def test_upload_slots(house: House, tmp_path: Path, part: str | None) -> None:
    """Asked for where the admin lets it, of others, and nothing else in that namespace."""
    async with narrowed(house, tmp_path, part) as stage:
        assert [hello.may_upload for hello in stage.hellos] == [part != "vcard"] * len(HOSTS)
        slot = ET.Element(f"{{{NS_UPLOAD}}}request", {"filename": "a.xml", "size": "1"})
        items = asks.nodes_get()
        assert await condition_of(stage, slot) == "not-allowed"
        assert await condition_of(stage, slot, stage.new.host, "set") == "not-allowed"
        allowed = [await condition_of(stage, asked, stage.new.host) for asked in (slot, items)]
        if part == "vcard":
            assert allowed == ["not-allowed", "not-allowed"]
        else:
            # There is no such service here; that is the server's word, not the hook's.
            assert allowed == ["service-unavailable", None]
        assert (await condition_of(stage, items) == "not-allowed") is (part is not None)


async def test_block_lists_of_the_absent(stage: Stage) -> None:
    """Nobody is logged in: what is set is set, and answered."""
    one, two = Blocked("tybalt@bücher.example"), Blocked("evil.example")
    await stage.block(stage.old.jid, [one, two])
    assert set(await stage.things(stage.old.jid)) == {one, two}
    await stage.accounts.query(stage.old.jid, "set", asks.block([one.jid], unblock=True))
    assert await stage.things(stage.old.jid) == [two]


@pytest.mark.parametrize("online", [False, True], ids=["absent", "there"])
async def test_entries(stage: Stage, online: bool) -> None:
    pushed: list[tuple[str | None, str | None]] = []
    if online:
        new = await stage.house.client(stage.new.jid)
        await new.roster()
        new.listeners.append(
            lambda got: pushed.extend(
                (item.get("jid"), item.get("subscription"))
                for item in got.element.iter(f"{{{NS_ROSTER}}}item")
            )
        )
    wanted = [Contact(f"n{n}@x.example", f"N {n} 🌹", ("Ä",)) for n in range(3)]
    items = [RosterItem(c.jid, Subscription.NONE, False, c.name, c.groups) for c in wanted]
    await stage.hook.set_entries(stage.new.jid, items)
    assert await stage.things(stage.new.jid) == wanted
    await stage.hook.set_entries(stage.new.jid, [RosterItem("n1@x.example", Subscription.NONE)])
    await stage.hook.set_entries(stage.new.jid, (), ["n0@x.example", "nobody@x.example"])
    assert await stage.things(stage.new.jid) == [Contact("n1@x.example"), wanted[2]]
    if online:
        await new.ping()
        assert [one for one in pushed if one[0] != "nobody@x.example"] == [
            *((contact.jid, "none") for contact in wanted),
            ("n1@x.example", "none"),
            ("n0@x.example", "remove"),
        ]


async def test_an_entry_with_a_subscription_is_not_removed(stage: Stage) -> None:
    new = await stage.house.client(stage.new.jid)
    await new.roster()
    new.send(f"<presence type='subscribe' to='{stage.old.jid}'/>")
    await new.ping()
    await stage.hook.set_entries(stage.new.jid, (), [stage.old.jid])
    (entry,) = await stage.things(stage.new.jid)
    assert isinstance(entry, Contact)
    assert entry.ask


@pytest.mark.parametrize(
    ("items", "condition"),
    [
        ((), "bad-request"),
        (("",), "bad-request"),
        (tuple(f"n{n}@x.example" for n in range(501)), "bad-request"),
    ],
    ids=["none", "no address", "too many"],
)
async def test_entries_that_are_none(stage: Stage, items: tuple[str, ...], condition: str) -> None:
    payload = write_entries([RosterItem(jid, Subscription.NONE) for jid in items])
    with pytest.raises(RemoteError) as refused:
        await stage.link.request("set", stage.new.jid, payload, timeout=20.0)
    assert refused.value.condition == condition
    assert await stage.things(stage.new.jid) == []
    nobody = write_entries([RosterItem("a@x.example", Subscription.NONE)])
    with pytest.raises(RemoteError, match="item-not-found"):
        await stage.link.request("set", f"nobody@{stage.new.host}", nobody, timeout=20.0)


CHOSEN = [
    RosterEntry("tybalt@x.example", "both", "Тибальт 🌹 <&'\">", ("Vérone", "Ä & Ö")),
    RosterEntry("ромео@bücher.example", "from", "Ромео", ("Монтекки",)),
    RosterEntry("nurse@x.example", ask=True),
    RosterEntry("mercutio@x.example", "from", ask=True),
    RosterEntry("gateway.example", "to"),
    *(RosterEntry(f"n{n}@x.example", name=f"N {n}") for n in range(600)),
]
PENDING = RosterEntry("paris@x.example", pending=True)


@pytest.mark.parametrize("online", [False, True], ids=["absent", "there"])
async def test_chosen_entries(stage: Stage, online: bool) -> None:
    """As the user's roster get shows them, and none besides."""
    stage.house.server.set_roster(stage.new.jid, [*CHOSEN, PENDING])
    if online:
        await (await stage.house.client(stage.new.jid)).roster()
    absent = [PENDING.jid, stage.new.jid, "nobody@x.example", "tybalt@x.example/device"]
    asked = [*(entry.jid for entry in CHOSEN[: 500 - len(absent)]), *absent]
    found = await stage.hook.chosen(stage.new.jid, asked)
    assert set(found) == {
        RosterItem(e.jid, Subscription(e.subscription), e.ask, e.name, e.groups)
        for e in CHOSEN[: 500 - len(absent)]
    }
    assert set(found) == set(await stage.hook.entries(stage.new.jid, asked))
    assert len(found) == 500 - len(absent)
    # In any spelling, and once.
    (tybalt,) = await stage.hook.chosen(stage.new.jid, ["TYBALT@X.Example", "tybalt@x.example"])
    assert tybalt in found
    assert await stage.hook.chosen(stage.new.jid, absent) == ()
    # What is set can be seen at once.
    other = RosterItem("other@x.example", Subscription.NONE, False, "O", ("G",))
    await stage.hook.set_entries(stage.new.jid, [other], ["n0@x.example"])
    assert await stage.hook.chosen(stage.new.jid, ["n0@x.example", other.jid]) == (other,)


async def test_chosen_entries_of_no_use(stage: Stage) -> None:
    presence = entries_request(["a@x.example"])
    ET.SubElement(presence, "{jabber:client}presence", {"to": "b@x.example"})
    nameless = entries_request(["a@x.example"])
    ET.SubElement(nameless, tag(NS_ROSTER, "item"))
    foreign = entries_request(["a@x.example"])
    ET.SubElement(foreign, tag(NS_HOOK, "item"), {"jid": "b@x.example"})
    many = [f"n{n}@x.example" for n in range(501)]
    refused = [entries_request(jids) for jids in ([], [""], ["@"], many)]
    for payload in (*refused, presence, nameless, foreign):
        with pytest.raises(RemoteError, match="bad-request"):
            await stage.link.request("get", stage.new.jid, payload, timeout=20.0)
    assert await stage.hook.chosen(stage.new.jid, many[:500]) == ()
    with pytest.raises(RemoteError, match="item-not-found"):
        await stage.hook.chosen(f"nobody@{stage.new.host}", many[:1])


async def test_a_roster_that_cannot_be_read_is_not_taken_for_an_empty_one(stage: Stage) -> None:
    if not is_prosody(stage.house.kind):
        pytest.skip("its rosters are no files")
    stage.house.server.set_roster(stage.new.jid, CHOSEN)
    user = quote(stage.new.user).lower()
    (file,) = stage.house.server.folder.glob(f"data/*/roster/{user}.dat")
    file.write_text("return {")
    for _ in range(2):  # the server keeps what it has read
        with pytest.raises(RemoteError, match="internal-server-error"):
            await stage.hook.chosen(stage.new.jid, ["tybalt@x.example"])

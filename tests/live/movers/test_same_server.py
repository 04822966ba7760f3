"""A move between two accounts of one server, by chat alone and by ad-hoc commands alone."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest

from tests.live.cases import cases
from tests.live.client import RawComponent
from tests.live.movers.cast import Cast
from tests.live.movers.conftest import KINDS_OFTEN, WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import is_of, until
from tests.live.movers.people import PATIENCE
from tests.live.movers.stage import NAMES, Juliet, check_end, enter_juliet, move_her
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST
from tests.live.servers.differences import KINDS, Kind

STRANGERS = 1000
SOON = 15.0
"""Seconds; on a machine that does other things as well."""
FEW_LINES = 5
_WAYS = [f"{order}-{way}" for order in ("away", "arrive") for way in GUIDES]
OFTEN = [*(f"{kind}-{way}" for kind in KINDS_OFTEN for way in _WAYS), "prosody-13.0-away-chat"]


@pytest.mark.parametrize(
    ("kind", "order", "way"),
    cases(OFTEN, KINDS.values(), ["away", "arrive"], GUIDES),
    indirect=["kind"],
)
async def test_a_move_in_one_house(kind: Kind, world_for: WorldFor, order: str, way: str) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        from_new = order == "arrive"
        owner, other = (stage.new, stage.old) if from_new else (stage.old, stage.new)
        guide = GUIDES[way](owner, COMPONENT_HOST)
        async with stage.home.orders.watch() as watch:
            said = await guide.order(
                order,
                **{"old" if from_new else "new": other.jid},
                code=code_of(other, COMPONENT_HOST),
            )
            assert "has begun" in said
            await until(watch, stage.old, stage.new, ("done",), counts={"accepted": 1, "mutual": 3})
            watch.check_totals(4, is_of(stage.old, stage.new))
        await check_end(stage)

        # One message shows the progress, and is corrected.
        await owner.told("4 of 4", sender=COMPONENT_HOST)
        shown = owner.heard(" of 4", sender=COMPONENT_HOST)
        assert len(shown) == 1, shown
        assert shown[0].body.splitlines()[1].startswith("▓" * 20)
        await owner.told("can now delete the old account", sender=COMPONENT_HOST)
        await stage.romeo.told("Juliet has moved", sender=COMPONENT_HOST)
        assert not stage.friar.heard(sender=COMPONENT_HOST)

        # The statement stands, for those who are to read it.
        for contact in (stage.romeo, stage.tybalt, stage.friar):
            assert await contact.reads_statement(stage.old.jid) == (stage.new.jid, None)
        assert (await stage.stranger.reads_statement(stage.old.jid))[0] is None


async def test_what_the_old_account_says_afterwards(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        old, new = stage.old.jid, stage.new.jid

        # Contacts who write are answered, each once a day; strangers never.
        for contact in (stage.romeo, stage.friar):
            contact.says(old, "Where art thou?")
            line = await contact.hears("automatic answer", sender=old)
            assert new in line.body
            contact.says(old, "Hello?")
        stage.stranger.says(old, "Who are you?")
        await stage.old.hears("Who are you", sender=stage.stranger.jid)
        for _ in range(3):
            await cast.settled()
            await stage.romeo.asks(COMPONENT_HOST, "progress")
        assert [len(p.heard(sender=old)) for p in (stage.romeo, stage.friar, stage.stranger)] == [
            1,
            1,
            0,
        ]

        # Deleted, it leaves a tombstone: for this server's users and for others, who were told.
        await stage.old.deletes_account()
        for reader in (stage.romeo, stage.friar):
            assert await reader.reads_statement(old) == (None, f"gone xmpp:{new}")
        # To others, and about those who were not moved by us, the server says what it ever says.
        nobody = cast.jid("nobody", "montague.example")
        _, condition = await stage.stranger.reads_statement(nobody)
        assert condition is not None
        assert not condition.startswith("gone")
        for reader, account in ((stage.stranger, old), (stage.romeo, nobody)):
            assert await reader.reads_statement(account) == (None, condition)
        await _strangers_ask(stage, nobody)


async def _strangers_ask(stage: Juliet, nobody: str) -> None:
    """Thousands of them, at once: who was told is told all the same, and soon."""
    stranger = RawComponent("stranger", STRANGER_HOST, stage.home.server.spec.address)
    await stranger.open()
    try:
        log = stage.home.running_daemon.log_path
        logged = len(log.read_text().splitlines())
        query = (
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:moved:1'/>"
            "</pubsub>"
        )
        flood = (
            f"<iq type='get' id='q{n}' from='m{n}@{STRANGER_HOST}' to='{account}'>{query}</iq>"
            for n in range(STRANGERS)
            for account in (stage.old.jid, nobody)
        )
        stranger.send("".join(flood))
        async with asyncio.timeout(SOON):
            told = await stage.romeo.reads_statement(stage.old.jid)
        assert told == (None, f"gone xmpp:{stage.new.jid}")
        await stranger.wait_for_inbox(2 * STRANGERS, SOON)
        answers = [received.element for received in stranger.inbox]
        assert len(answers) == 2 * STRANGERS
        assert not any("gone" in ET.tostring(iq, "unicode") for iq in answers)
        assert len(log.read_text().splitlines()) - logged <= FEW_LINES
    finally:
        await stranger.close()


async def test_what_an_ordinary_contact_is_shown(kind: Kind, world_for: WorldFor) -> None:
    """On a server that knows nothing of moves: who it is, in words, and what a client may use."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        nick = "<nick xmlns='http://jabber.org/protocol/nick'>Giulietta</nick>"
        node = "<publish node='http://jabber.org/protocol/nick'><item>" + nick + "</item></publish>"
        pubsub = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{node}</pubsub>"
        answer = await stage.new.device.request(pubsub, kind="set")
        assert answer.get("type") == "result"
        await move_her(stage)
        (shown,) = stage.friar.notifications
        status = shown.element.findtext("{jabber:client}status") or ""
        assert stage.old.jid in status
        assert stage.new.jid in status
        assert shown.element.findtext("{http://jabber.org/protocol/nick}nick") == "Giulietta"
        moved = shown.element.find("{urn:xmpp:moved:1}moved")
        assert moved is not None
        assert [child.text for child in moved] == [stage.old.jid]


async def test_requests_that_nobody_had_answered(kind: Kind, world_for: WorldFor) -> None:
    """They are the mover's to repeat: named before and after, and nothing is sent or made."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        old = cast.person("old", "montague.example")
        new = cast.person("new", "verona.example")
        friend = cast.person("friend", "montague.example")
        near, far = cast.person("near", "montague.example"), cast.person("far", "mantua.example")
        cast.friends(old, friend, called="Juliet")
        cast.arrange()
        await cast.enter()
        for asked in (near, far):
            old.subscribes("subscribe", asked.jid)
            await asked.seen_requests(old.jid)
        said = await GUIDES["chat"](old, COMPONENT_HOST).order(
            "away", new=new.jid, code=code_of(new, COMPONENT_HOST)
        )
        assert "has begun" in said
        ended = (await old.told("can now delete", sender=COMPONENT_HOST)).body
        (offered,) = old.heard("2 people have not answered", sender=COMPONENT_HOST)
        for text in (offered.body, ended):
            assert f"• {near.jid}" in text
            assert f"• {far.jid}" in text
        assert "had not answered your request" in ended
        await cast.settled()
        assert set(await new.roster()) == {friend.jid}
        for asked in (near, far):
            assert {r.element.get("from") for r in asked.requests} == {old.jid}


async def test_everything_is_withdrawn(kind: Kind, world_for: WorldFor) -> None:
    """By the admin, before the program is removed: nobody reads the statement any more, and the
    mover was told."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        old, new = stage.old.jid, stage.new.jid
        assert await stage.romeo.reads_statement(old) == (new, None)
        withdrawn: list[int] = []
        async with asyncio.timeout(PATIENCE):
            left = True
            while left:  # what a server refuses just now is done by the next order
                done = await stage.home.orders.order("withdraw-all")
                withdrawn += done["withdrawn"]
                left = bool(done["left"])
        assert withdrawn
        await stage.old.told(f"no longer says that you are at {new}", sender=COMPONENT_HOST)
        for contact in (stage.romeo, stage.old):
            assert (await contact.reads_statement(old))[0] is None
        # Who writes to the old account is told nothing any more.
        stage.romeo.says(old, "Where art thou?")
        await stage.old.hears("Where art thou", sender=stage.romeo.jid)
        await cast.settled()
        assert not stage.romeo.heard("automatic answer", sender=old)
        # What is cancelled takes its requests back first, other tests' moves among them.
        async with asyncio.timeout(PATIENCE):
            while await stage.home.orders.order("standing") != {"running": 0, "all": 0}:
                await stage.home.orders.order("withdraw-all")

"""Whoever drives somebody else's session, code, move or undo is refused, and nothing changes."""

from __future__ import annotations

import pytest

from tests.live.client import RawComponent
from tests.live.movers.adhoc import NODES, CommandRefused, Commands, request
from tests.live.movers.cast import Cast, compare
from tests.live.movers.conftest import WorldFor
from tests.live.movers.control import ControlError
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import progress_of, until
from tests.live.movers.people import Person
from tests.live.movers.stage import NAMES, begin_her, enter_juliet, move_her
from tests.live.movers.world import World
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST
from tests.live.servers.differences import Kind

SLOW = (("movers.per_mover_per_second", 0.05),)
"""A pace at which a move is still at its beginning when a test is over."""


def commands(person: Person) -> Commands:
    """The command window of somebody."""
    return Commands(person.device, COMPONENT_HOST)


async def no_trace(world: World) -> None:
    """See that the component logged no traceback."""
    log = world.houses["montague"].running_daemon.log_path.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


async def test_somebody_else_s_move_is_out_of_reach(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES, settings=SLOW)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        async with stage.home.orders.watch() as watch:
            await begin_her(stage)
            running = await until(watch, stage.old, stage.new, ("notifying",))
        number = running["journey"]["id"]
        state = (await progress_of(stage.home, stage.old, stage.new))["journey"]["state"]
        for thief in (stage.stranger, stage.romeo):
            window = commands(thief)
            listed = await window.listed()
            assert "away" in listed
            assert not [name for name in listed if name.startswith("admin")]
            for name in ("pause", "resume", "cancel", "undo"):
                page = await window.execute(name)
                assert page.done or f"m{number}" not in page.text, page
                if not page.done:
                    page = await window.next(page, move=f"m{number}", what=f"m{number}", sure="1")
                    assert page.errors, page
            for name in ("admin-undo", "admin-show", "admin-pause-all", "admin-settings"):
                with pytest.raises(CommandRefused) as refused:
                    await window.execute(name)
                assert refused.value.condition in ("forbidden", "item-not-found")
                with pytest.raises(CommandRefused):
                    await window.send(
                        NODES + name, action="execute", values={"what": f"m{number}", "sure": "1"}
                    )
            for words in ("pause", f"undo m{number}", f"show m{number}", "pause all", "list moves"):
                said = (await thief.asks(COMPONENT_HOST, words)).body
                assert f"m{number}:" not in said, said
                thief.says(COMPONENT_HOST, "cancel")
            assert f"m{number}" not in (await thief.asks(COMPONENT_HOST, "progress")).body
        after = await progress_of(stage.home, stage.old, stage.new)
        assert after["journey"]["state"] == state
        # Either of the two accounts may.
        said = await GUIDES["chat"](stage.new, COMPONENT_HOST).order("cancel", sure="1")
        assert "cancelled" in said
        await no_trace(world)


async def test_a_session_belongs_to_who_began_it(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        hers, thief = commands(stage.old), commands(stage.stranger)
        page = await hers.execute("away")
        forged = request(page.node, page.session, "next", {"new": stage.stranger.jid})
        for other in (stage.stranger, stage.new, stage.friar):
            for action in ("next", "complete", "cancel", "prev", ""):
                with pytest.raises(CommandRefused) as refused:
                    await commands(other).send(
                        page.node, session=page.session, action=action, values={"new": other.jid}
                    )
                # For the friar the component is not even to be found.
                assert refused.value.condition in ("forbidden", "remote-server-not-found")
        # Another device of the same account is another one too.
        tablet = Person(stage.old.jid, stage.old.server)
        await tablet.log_in("tablet")
        with pytest.raises(CommandRefused) as refused:
            await commands(tablet).raw(forged)
        assert refused.value.condition == "forbidden"
        await tablet.log_out()

        # Hers goes on as if nothing had been, up to the code, which a thief may not give either.
        page = await hers.next(page, new=stage.new.jid)
        assert not page.errors
        code = await code_of(stage.new, COMPONENT_HOST)()
        with pytest.raises(CommandRefused):
            await thief.send(page.node, session=page.session, action="next", values={"code": code})
        page = await hers.next(page, code=code)
        with pytest.raises(CommandRefused):
            await thief.send(
                page.node, session=page.session, action="complete", values={"who": "everyone"}
            )
        assert compare(before, await cast.rosters()) == ""
        assert not [j for j in await stage.home.orders.order("list") if cast.token in str(j)]
        page = await hers.next(page, who="everyone", access="suggested")
        page = await hers.next(page, sure="1")
        assert page.done
        await no_trace(world)


async def test_only_both_accounts_together_begin_a_move(kind: Kind, world_for: WorldFor) -> None:
    """A stranger who names somebody else's account gets no further than the code."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        thief = stage.stranger
        for name, field in (("arrive", "old"), ("away", "new")):
            window = commands(thief)
            page = await window.execute(name)
            page = await window.next(page, **{field: stage.old.jid})
            if not page.done:
                page = await window.next(page, who="everyone", access="suggested")
            assert page.done or "code" in page.fields, page
            if page.done:
                continue  # a check found fault with it: as good
            for wrong in ("000000", "", "new-code", "1' OR '1'='1", "🔑" * 50):
                page = await window.next(page, code=wrong)
                assert page.errors or page.done, page
                if page.done:
                    break
        # The real owner is told each time who wants it, and ignores it.
        await stage.old.told(f"{thief.jid} wants to move", sender=COMPONENT_HOST)
        assert compare(before, await cast.rosters()) == ""
        assert not [j for j in await stage.home.orders.order("list") if cast.token in str(j)]
        # Guessing ends: the code of a move is good for few tries.
        said = await GUIDES["chat"](stage.old, COMPONENT_HOST).order(
            "away", new=stage.new.jid, code=code_of(stage.new, COMPONENT_HOST)
        )
        assert "has begun" in said
        await no_trace(world)


async def test_a_contact_s_undo_is_theirs_alone(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        await move_her(stage)
        moves = await stage.home.running_daemon.moves(stage.romeo.jid)
        await cast.settled()
        before = await cast.rosters()
        # Neither somebody who never knew her, nor she herself.
        for thief in (stage.stranger, stage.new):
            window = commands(thief)
            for name in ("undo", "undo-contact"):
                page = await window.execute(name)
                if not page.done:
                    assert f"c{moves[0].id}" not in str(page.fields)
                    page = await window.next(page, what=f"c{moves[0].id}")
                    assert page.errors
        for words in ("undo", f"undo c{moves[0].id}"):
            said = await stage.stranger.asks(COMPONENT_HOST, words)
            assert "nothing to undo" in said.body or "not understand" in said.body
        assert (await stage.home.running_daemon.moves(stage.romeo.jid))[0].undone_at is None
        await cast.settled()
        assert compare(before, await cast.rosters()) == ""
        await no_trace(world)


BAD_PAYLOADS = (
    "<command xmlns='http://jabber.org/protocol/commands'/>",
    "<command xmlns='http://jabber.org/protocol/commands' node=''/>",
    "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp-moved:cmd:0#'/>",
    "<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp-moved:cmd:1#away'/>",
    request(f"{NODES}away", "no-such-session", "next", {"new": "a@b.example"}),
    request(f"{NODES}away", "x" * 10_000, "next", {"new": "a@b.example"}),
    request(f"{NODES}away", action="explode"),
    request(f"{NODES}away", action="next", values={"new": "a@b.example"}),
    request(f"{NODES}away", action="complete"),
    request(f"{NODES}away' or 1=1 --", action="execute"),
    request(f"{NODES}../../etc/passwd", action="execute"),
    "<command xmlns='urn:something:else' node='urn:xmpp-moved:cmd:0#away'/>",
)


@pytest.mark.parametrize("name", ["away", "arrive", "settings", "undo", "cancel", "progress"])
async def test_malformed_commands_change_nothing(
    kind: Kind, world_for: WorldFor, name: str
) -> None:
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        window = commands(stage.old)
        for payload in BAD_PAYLOADS:
            with pytest.raises(CommandRefused) as refused:
                await window.raw(payload.replace("#away", f"#{name}"))
            assert refused.value.condition != "internal-server-error", payload
        # A page answered with what it did not ask for, or twice, or never.
        for value in BAD_VALUES:
            page = await window.execute(name)
            if page.done:
                break
            for var in list(page.fields):
                page = await window.next(page, **{var: value})
                assert page.errors or page.done, (var, value, page)
                if page.done:
                    break
        for text in (*BAD_VALUES[:8], name, "1" * 30, "all but", "\u202e", "(" * 200):
            stage.old.says(COMPONENT_HOST, text)
        await stage.new.asks(COMPONENT_HOST, "help", "1\\.")
        await cast.settled()
        assert compare(before, await cast.rosters()) == ""
        assert not [j for j in await stage.home.orders.order("list") if cast.token in str(j)]
        await no_trace(world)


BAD_VALUES = (
    "",
    " ",
    "not an address",
    "@",
    "a@",
    "@b.example",
    "a@b@c",
    "a@b.example/resource and more",
    "x" * 2000 + "@montague.example",
    "juliet@" + "x" * 1024 + ".example",
    "\u202ejuliet@montague.example",
    "juliet@montague.example\nromeo@montague.example",
    "<presence/>",
    "&amp;&lt;",
    "'; DROP TABLE journeys; --",
    "../../../etc/passwd",
    "-1",
    "m0",
    "m99999999999999999999999999",
    "c1",
    "%s%n{0}",
    "🦄" * 100,
)


async def test_nobody_orders_from_outside(kind: Kind, world_for: WorldFor) -> None:
    """Users of other servers, other components, and forged senders get no answer, or a refusal."""
    world = await world_for(kind, names=NAMES)
    async with Cast(world) as cast:
        stage = await enter_juliet(world, cast)
        before = await cast.rosters()
        for name in ("away", "arrive", "settings", "admin-pause-all"):
            with pytest.raises(CommandRefused):
                await commands(stage.friar).execute(name)
        stage.friar.says(COMPONENT_HOST, "help")
        stage.friar.says(COMPONENT_HOST, f"away {stage.new.jid}")
        # On ejabberd a component that shares the listener may write what it likes into "from".
        other = RawComponent(
            "stranger", STRANGER_HOST, world.houses["montague"].server.spec.address
        )
        await other.open()
        for sender in (STRANGER_HOST, f"juliet@{STRANGER_HOST}"):
            for payload in (
                request(f"{NODES}away", action="execute"),
                "<divert xmlns='urn:xmpp-moved:hook:0'/>",
                "<wrote xmlns='urn:xmpp-moved:hook:0' jid='a@b.example'/>",
                f"<tombstone xmlns='urn:xmpp-moved:hook:0' jid='{stage.old.jid}'/>",
            ):
                for kind_ in ("get", "set"):
                    answer = await other.request(
                        payload, kind=kind_, to=COMPONENT_HOST, sender=sender
                    )
                    assert answer.get("type") == "error", payload
        # A client cannot play the hook.
        for payload in (
            f"<wrote xmlns='urn:xmpp-moved:hook:0' jid='{stage.romeo.jid}'/>",
            f"<tombstone xmlns='urn:xmpp-moved:hook:0' jid='{stage.old.jid}'/>",
            "<divert xmlns='urn:xmpp-moved:hook:0'/>",
        ):
            for kind_ in ("get", "set"):
                answer = await stage.stranger.device.request(payload, kind=kind_, to=COMPONENT_HOST)
                assert answer.get("type") == "error", payload
        await other.close()
        await cast.settled()
        assert not stage.friar.heard(sender=COMPONENT_HOST)
        assert compare(before, await cast.rosters()) == ""
        await no_trace(world)


async def test_the_control_socket_takes_only_what_it_knows(kind: Kind, world_for: WorldFor) -> None:
    world = await world_for(kind, names=NAMES)
    orders = world.houses["montague"].orders
    for data in (
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"\xff\xfe\n",
        b'{"order": "drop"}\n',
        b'{"order": "pause", "id": "1; --"}\n',
        b'{"order": "pause", "id": -1}\n',
        b'{"order": ["undo"]}\n',
        b'{"order": "list", "asker": "somebody"}\n',
        b"[" * 10_000 + b"\n",
        b"x" * 200_000 + b"\n",
    ):
        assert b'"ok": false' in await orders.raw(data), data[:80]
    for order in ("pause", "resume", "undo", "show", "undo-followed"):
        with pytest.raises(ControlError):
            await orders.order(order, id=999_999)
    assert orders.path.stat().st_mode & 0o777 == 0o600
    await no_trace(world)

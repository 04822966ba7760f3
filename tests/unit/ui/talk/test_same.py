"""Every command through both renderers: the same orders, the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from component.core.journey.model import (
    Access,
    CheckName,
    ContactState,
    JourneyState,
    Preflight,
)
from component.core.notices import Follow, Settings
from tests.unit.ui.talk.drive import Client, Person, Values
from tests.unit.ui.talk.fake import ADMIN, AFAR, CODE, CONTACTS, JULIET, ROMEO, World, record

EVERYONE: Values = {"who": "everyone", "access": "suggested"}
BEGIN: Values = {"sure": "1"}
Setup = Callable[[World], None]
Case = tuple[str, str, str, Sequence[Values], Setup, list[tuple[object, ...]]]


def nothing(_world: World) -> None:
    """Nothing is there yet."""


def one_move(world: World) -> None:
    """Romeo has a move."""
    world.move()


def two_moves(world: World) -> None:
    """He has two."""
    world.move(7)
    world.move(8)


def a_paused_move(world: World) -> None:
    """His is paused."""
    world.move(7, JourneyState.PAUSED)


def followed(world: World) -> None:
    """Two contacts of his were followed."""
    world.orders.records = [record(12), record(11)]


def followed_once(world: World) -> None:
    """One was."""
    world.orders.records = [record(12)]


def everything(world: World) -> None:
    """All of it."""
    followed(world)
    one_move(world)


def many_contacts(world: World) -> None:
    """More than can be ticked."""
    world.orders.contacts_of_old = [f"c{n}@s{n % 2}.example" for n in range(400)]


CASES: dict[str, Case] = {
    "away, elsewhere": (
        ROMEO,
        "away",
        "move away",
        [{"new": AFAR}, EVERYONE, BEGIN],
        nothing,
        [("start", ROMEO, ROMEO, AFAR, None, CONTACTS)],
    ),
    "away, both here": (
        ROMEO,
        "away",
        "AWAY",
        [{"new": "xmpp:Juliet@Capulet.example"}, {"code": "123 456"}, EVERYONE, BEGIN],
        nothing,
        [("start", ROMEO, ROMEO, JULIET, None, CONTACTS)],
    ),
    "away, open, chosen": (
        ROMEO,
        "away",
        "away",
        [
            {"new": JULIET},
            {"code": CODE},
            {"who": "choose", "access": "open"},
            {"contacts": [CONTACTS[1], CONTACTS[3]]},
            BEGIN,
        ],
        nothing,
        [("start", ROMEO, ROMEO, JULIET, Access.OPEN, (CONTACTS[1], CONTACTS[3]))],
    ),
    "away, many left out": (
        ROMEO,
        "away",
        "away",
        [
            {"new": AFAR},
            {"who": "choose", "access": "suggested"},
            {"leave_out": "s1.example\nc0@s0.example"},
            BEGIN,
        ],
        many_contacts,
        [
            (
                "start",
                ROMEO,
                ROMEO,
                AFAR,
                None,
                tuple(f"c{n}@s0.example" for n in range(2, 400, 2)),
            )
        ],
    ),
    "arrive, both here": (
        JULIET,
        "arrive",
        "arrive",
        [{"old": ROMEO}, {"code": CODE}, EVERYONE, BEGIN],
        nothing,
        [("start", JULIET, ROMEO, JULIET, None, CONTACTS)],
    ),
    "arrive, with a list": (
        ROMEO,
        "arrive",
        "move here",
        [
            {"old": AFAR},
            {"list": "a@x.example Anna\nBen <b@x.example>"},
            {"who": "everyone"},
            BEGIN,
        ],
        nothing,
        [("start", ROMEO, AFAR, ROMEO, None, ("a@x.example", "b@x.example"))],
    ),
    "progress": (ROMEO, "progress", "status", [], two_moves, []),
    "progress of nothing": (ROMEO, "progress", "progress", [], nothing, []),
    "pause": (ROMEO, "pause", "pause", [], one_move, [("pause", ROMEO, 7)]),
    "pause one of two": (
        ROMEO,
        "pause",
        "pause",
        [{"move": "m8"}],
        two_moves,
        [("pause", ROMEO, 8)],
    ),
    "resume": (ROMEO, "resume", "continue", [], a_paused_move, [("resume", ROMEO, 7)]),
    "resume nothing": (ROMEO, "resume", "resume", [], one_move, []),
    "cancel": (ROMEO, "cancel", "cancel", [{"sure": "1"}], one_move, [("cancel", ROMEO, 7)]),
    "cancel, no": (ROMEO, "cancel", "cancel move", [{"sure": "0"}], one_move, []),
    "undo a move": (ROMEO, "undo", "undo", [{"sure": "1"}], one_move, [("undo", ROMEO, 7)]),
    "undo the only contact": (
        ROMEO,
        "undo",
        "Undo.",
        [],
        followed_once,
        [("undo_followed", ROMEO, 12)],
    ),
    "undo one of two": (
        ROMEO,
        "undo",
        "undo",
        [{"what": "c11"}],
        followed,
        [("undo_followed", ROMEO, 11)],
    ),
    "undo a move among contacts": (
        ROMEO,
        "undo",
        "undo",
        [{"what": "m7"}, {"sure": "1"}],
        everything,
        [("undo", ROMEO, 7)],
    ),
    "undo a contact only": (
        ROMEO,
        "undo-contact",
        "undo contact",
        [{"what": "c12"}],
        everything,
        [("undo_followed", ROMEO, 12)],
    ),
    "undo nothing": (ROMEO, "undo", "undo", [], nothing, []),
    "settings": (
        ROMEO,
        "settings",
        "settings",
        [{"follow": "ask", "language": "en"}],
        nothing,
        [("set_settings", ROMEO, Settings(Follow.ASK, "en"))],
    ),
    "admin lists": (ADMIN, "admin-list", "list moves", [], two_moves, []),
    "admin shows": (ADMIN, "admin-show", "show", [{"move": "m7"}], one_move, []),
    "admin undoes a move": (
        ADMIN,
        "admin-undo",
        "undo any",
        [{"what": "m7", "sure": "1"}],
        one_move,
        [("undo_any", None, 7)],
    ),
    "admin undoes a contact": (
        ADMIN,
        "admin-undo",
        "undo any",
        [{"what": "12", "sure": "1"}],
        followed,
        [("undo_followed", None, 12)],
    ),
}


def world_with(setup: Setup) -> World:
    """A world in which something has happened."""
    world = World()
    setup(world)
    return world


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_both_renderers(case: Case) -> None:
    asker, name, words, pages, setup, ordered = case
    by_form, by_chat = world_with(setup), world_with(setup)
    shown = await Client(by_form, f"{asker}/phone").run(name, pages)
    said = await Person(by_chat, f"{asker}/phone").run(words, pages)
    assert by_form.orders.ordered == ordered
    assert by_chat.orders.ordered == ordered
    assert shown == said
    assert by_form.talk.adhoc.sessions == by_chat.talk.chat.dialogs == 0


@pytest.mark.parametrize(
    ("name", "words", "pages", "check"),
    [
        ("admin-pause-all", "pause all", [], {"paused": True}),
        ("admin-resume-all", "resume all", [], {"paused": False}),
        (
            "admin-domains",
            "domains",
            [{"domain": "Spam.example", "do": "deny"}],
            {"deny_domains": ("spam.example",)},
        ),
        (
            "admin-settings",
            "admin settings",
            [{"per_second": "2,5", "paused": "1"}],
            {"overall_per_second": 2.5, "paused": True},
        ),
        (
            "admin-settings",
            "admin settings",
            [{"per_second": "0", "paused": "0"}],
            {"overall_per_second": None, "paused": False},
        ),
    ],
)
async def test_run_time(
    name: str, words: str, pages: list[Values], check: dict[str, object]
) -> None:
    by_form, by_chat = World(), World()
    shown = await Client(by_form, f"{ADMIN}/phone").run(name, pages)
    assert shown == await Person(by_chat, f"{ADMIN}/phone").run(words, pages)
    for world in (by_form, by_chat):
        for key, value in check.items():
            assert getattr(world.orders.put_in_force, key) == value


async def test_the_list_of_an_admin_says_that_all_is_paused() -> None:
    world = World()
    client = Client(world, f"{ADMIN}/phone")
    before = await client.run("admin-list", [])
    await client.run("admin-pause-all", [])
    paused = await client.run("admin-list", [])
    assert paused == f"All moves are paused: nothing is sent to anybody.\n{before}"
    assert await Person(world, f"{ADMIN}/phone").run("list moves", []) == paused


async def test_domains_are_allowed_and_forgotten() -> None:
    world = World()
    client = Client(world, f"{ADMIN}/phone")
    for do, domain in (("deny", "a.example"), ("deny", "b.example"), ("allow", "a.example")):
        await client.run("admin-domains", [{"domain": domain, "do": do}])
    assert world.orders.put_in_force.deny_domains == ("b.example",)
    assert not world.orders.put_in_force.allow_domains
    await client.run("admin-domains", [{"domain": "b.example", "do": "forget"}])
    assert not world.orders.put_in_force.deny_domains


async def test_the_last_allowed_domain_stays() -> None:
    """Without it, all would be allowed."""
    world = World()
    world.orders.put_in_force = type(world.orders.put_in_force)(allow_domains=("a.example",))
    client = Client(world, f"{ADMIN}/phone")
    await client.execute("admin-domains")
    await client.step({"domain": "a.example", "do": "forget"})
    assert client.status == "executing"
    assert client.note
    assert world.orders.ordered == []
    await client.step({"domain": "b.example", "do": "allow"})
    assert world.orders.put_in_force.allow_domains == ("a.example", "b.example")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "at the start"])
async def test_a_failed_check_ends_it(late: bool) -> None:
    for renderer in (Client, Person):
        world = World()
        asker = renderer(world, f"{ROMEO}/phone")
        failing = (CheckName.PEP, CheckName.COOLDOWN)
        if not late:
            world.orders.failing = failing
            text = await asker.run("away", [{"new": AFAR}])
        else:
            if isinstance(asker, Client):
                await asker.execute("away")
                await asker.step({"new": AFAR})
                world.orders.failing = failing
                await asker.step(EVERYONE)
                await asker.step(BEGIN)
                text = asker.note
            else:
                await asker.write(f"away {AFAR}")
                world.orders.failing = failing
                await asker.write("ok")
                await asker.write("ok")
                text = await asker.write("ok")
        assert "PEP" in text
        assert "wait" in text
        assert text.count("✗") == 2
        assert world.orders.ordered == []
        assert world.talk.adhoc.sessions == world.talk.chat.dialogs == 0


async def test_the_statement_for_mod_auto_moved() -> None:
    """Whoever chooses is told why it might have to be open."""
    world = World()
    person = Person(world, f"{ROMEO}/phone")
    first = await person.write(f"away {AFAR}")
    assert "capulet.example: 2" in first
    text = await person.write("ok")
    assert "mod_auto_moved" in text


async def test_the_blocked_and_those_there_already_are_no_choice() -> None:
    world = World()
    client = Client(world, f"{ROMEO}/phone")
    await client.execute("away")
    found = await world.orders.prepare_away(ROMEO, AFAR)
    contacts = list(found.contacts)
    contacts[0] = replace(contacts[0], state=ContactState.SKIPPED, error="blocked")
    contacts[1] = replace(contacts[1], state=ContactState.SKIPPED, error="not-chosen")
    contacts[2] = replace(contacts[2], state=ContactState.MUTUAL)
    prepared = replace(found, contacts=tuple(contacts))

    async def prepare(asker: str, new: str) -> Preflight:
        world.orders.drafts[asker] = prepared
        return prepared

    world.orders.prepare_away = prepare  # type: ignore[method-assign]
    await client.step({"new": AFAR})
    assert "One contact is blocked" in client.text
    assert "One contact is at the new account already" in client.text
    await client.step({"who": "choose", "access": "suggested"})
    assert client.options == [CONTACTS[1], CONTACTS[3]]
    await client.step({"contacts": [CONTACTS[0]]})
    assert "not in the list" in client.note

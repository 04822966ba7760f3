"""Dialogs in the chat: words, numbers, leaving, resting."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from component.core.notices import Follow, Settings
from component.xmpp.chat import LANG
from component.xmpp.names import NS_COMPONENT, NS_CORRECT
from tests.unit.ui.talk.drive import Person, message
from tests.unit.ui.talk.fake import ADMIN, AFAR, CODE, CONTACTS, JULIET, ROMEO, World, record


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def romeo(world: World) -> Person:
    return Person(world, f"{ROMEO}/phone")


async def test_help(world: World, romeo: Person) -> None:
    text = await romeo.write("Help")
    assert "1. Move away" in text
    assert "12. My settings: settings" in text
    assert "Admin" not in text
    assert "19. Admin" in await Person(world, f"{ADMIN}/x").write("?")
    assert "What shall I do" in await romeo.write("12")


async def test_fewest_taps(world: World, romeo: Person) -> None:
    """Address, code, all as suggested: four messages."""
    assert f"sent a code to {JULIET}" in await romeo.write(f"move away {JULIET}")
    assert "Who is told?" in await romeo.write(CODE)
    assert "Who may read" in await romeo.write("ok")
    assert "has begun" in await romeo.write("-")
    assert [order[0] for order in world.orders.ordered] == ["start"]


async def test_all_but(world: World, romeo: Person) -> None:
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    question = await romeo.write("1")
    assert "4. [x] Tybalt (tybalt@capulet.example)" in question or "4. [x] tybalt" in question
    assert "from 1 to 4" in await romeo.write("all but 3, 9")
    assert "has begun" in await romeo.write("All but 1, 3")
    assert world.orders.ordered[0][-1] == (CONTACTS[1], CONTACTS[3])


async def test_nobody_chosen(world: World, romeo: Person) -> None:
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    await romeo.write("1")
    assert "at least one" in await romeo.write("none")
    assert romeo.in_dialog
    assert world.orders.ordered == []


async def test_cancel_leaves_the_dialog_before_it_cancels_a_move(
    world: World, romeo: Person
) -> None:
    world.move()
    await romeo.write("away")
    assert await romeo.write("cancel") == "Left. Nothing was changed."
    assert "Are you sure?" in await romeo.write("cancel")
    assert await romeo.write("Cancel") == "Left. Nothing was changed."
    await romeo.write("cancel")
    await romeo.write("yes")
    assert world.orders.ordered == [("cancel", ROMEO, 7)]


async def test_back(romeo: Person) -> None:
    await romeo.write("away")
    assert "first question" in await romeo.write("back")
    await romeo.write(AFAR)
    await romeo.write("ok")
    assert "Who is told?" in await romeo.write("back")
    assert "Your new address" in await romeo.write("BACK")


async def test_help_in_a_dialog(romeo: Person) -> None:
    await romeo.write("away")
    assert "Your new address" in await romeo.write("help")
    assert romeo.in_dialog


async def test_a_dialog_rests_a_quarter_of_an_hour(world: World, romeo: Person) -> None:
    world.move()
    await romeo.write("cancel")
    world.clock.seconds += 899
    await romeo.write("perhaps")
    world.clock.seconds += 901
    # "4" was meant for a question, not as the fourth command.
    assert "quarter of an hour" in await romeo.write("4")
    assert world.orders.ordered == []
    assert not romeo.in_dialog
    assert "Pause" not in await romeo.write("yes")


async def test_a_command_after_a_rest(world: World, romeo: Person) -> None:
    await romeo.write("away")
    world.clock.seconds += 901
    assert "no move under way" in await romeo.write("progress")


async def test_undo_after_a_notice(world: World, romeo: Person) -> None:
    world.orders.records = [record(5)]
    assert "as it was before Ro moved" in await romeo.write("undo")
    assert world.orders.ordered == [("undo_followed", ROMEO, 5)]


async def test_undo_with_several_offers_the_newest_first(world: World, romeo: Person) -> None:
    world.orders.records = [record(9, old="b@x.example"), record(5, old="a@x.example")]
    text = await romeo.write("undo")
    assert "1. the contact Ro: b@x.example" in text
    assert "2. the contact Ro: a@x.example" in text
    await romeo.write("ok")
    assert world.orders.ordered == [("undo_followed", ROMEO, 9)]


async def test_a_sentence_that_begins_like_a_command(world: World, romeo: Person) -> None:
    world.orders.records = [record(5)]
    world.move()
    for text in ("undo means what?", "pause for a moment please", "resume, who cares", "9 lives"):
        assert "did not understand" in await romeo.write(text)
    assert world.orders.ordered == []


async def test_languages(world: World) -> None:
    german = Person(world, f"{ROMEO}/phone", lang="de-CH")
    text = await german.write("hilfe")
    assert world.link.sent[-1].get(LANG) == "de"
    assert "1. " in text
    # English words are understood as well.
    assert await german.write("help") == text
    # What the client said is remembered for notices; what was chosen wins over it.
    assert world.languages.words(ROMEO).language == "de"
    await german.run("settings", [{"follow": "auto", "language": "fr"}])
    assert world.orders.chosen == {ROMEO: Settings(language="fr")}
    await german.write("?")
    assert world.link.sent[-1].get(LANG) == "fr"
    await german.run("settings", [{"follow": "auto", "language": "client"}])
    await german.write("?")
    assert world.link.sent[-1].get(LANG) == "de"


async def test_an_umlaut_in_two_characters(world: World) -> None:
    world.orders.records = [record(5)]
    await Person(world, f"{ROMEO}/mac", lang="de").write("ru\u0308ckga\u0308ngig")
    assert world.orders.ordered == [("undo_followed", ROMEO, 5)]


async def test_settings_in_one_go(world: World, romeo: Person) -> None:
    """The first answer may follow the word; the second question comes as ever."""
    for follow in Follow:
        assert "Which language" in await romeo.write(f"Settings {follow.value}")
        assert "Kept" in await romeo.write("ok")
        assert world.orders.chosen[ROMEO].follow is follow
    ordered = len(world.orders.ordered)
    assert "What shall I do" in await romeo.write("settings for my phone, please")
    assert await romeo.write("cancel") == "Left. Nothing was changed."
    assert len(world.orders.ordered) == ordered


async def test_threads_are_kept(world: World) -> None:
    stanza = message(f"{ROMEO}/phone", "help")
    ET.SubElement(stanza, f"{{{NS_COMPONENT}}}thread").text = "t1"
    await world.talk.chat.handle(stanza)
    assert world.link.sent[-1].findtext(f"{{{NS_COMPONENT}}}thread") == "t1"


async def test_corrections_and_encryption(world: World, romeo: Person) -> None:
    await romeo.write("away")
    stanza = message(f"{ROMEO}/phone", JULIET)
    ET.SubElement(stanza, f"{{{NS_CORRECT}}}replace", {"id": "1"})
    await world.talk.chat.handle(stanza)
    body = world.link.sent[-1].findtext(f"{{{NS_COMPONENT}}}body") or ""
    assert "stays answered" in body
    stanza = message(f"{ROMEO}/phone", "I sent you something encrypted")
    ET.SubElement(stanza, "{urn:xmpp:eme:0}encryption", {"namespace": "urn:xmpp:omemo:2"})
    await world.talk.chat.handle(stanza)
    body = world.link.sent[-1].findtext(f"{{{NS_COMPONENT}}}body") or ""
    assert "encrypted" in body


async def test_two_users_two_dialogs(world: World, romeo: Person) -> None:
    juliet = Person(world, f"{JULIET}/phone")
    await romeo.write("away")
    assert "did not understand" in await juliet.write(AFAR)
    # The same user from another device is the same user.
    assert "Who is told?" in await Person(world, f"{ROMEO}/tablet").write(AFAR)


async def test_an_answering_machine_at_the_other_end(world: World, romeo: Person) -> None:
    answers = [await romeo.write("I am not here") for _ in range(100)]
    assert len([a for a in answers if a]) == 30
    world.clock.seconds += 61
    assert await romeo.write("help")


async def test_long_answers_come_in_parts(world: World, romeo: Person) -> None:
    world.orders.contacts_of_old = [f"somebody{n}@server{n}.example" for n in range(300)]
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    before = len(world.link.sent)
    text = await romeo.write("1")
    assert "300. " in text
    parts = [s.findtext(f"{{{NS_COMPONENT}}}body") or "" for s in world.link.sent[before:]]
    assert len(parts) > 1
    assert max(map(len, parts)) <= 4000


async def test_a_list_longer_than_other_texts(world: World, romeo: Person) -> None:
    await romeo.write("arrive")
    await romeo.write(AFAR)
    contacts = "\n".join(f"somebody{n}@server.example" for n in range(2000))
    assert "Who is told?" in await romeo.write(contacts)
    assert "too long" in await romeo.write("x" * 10_001)


async def test_line_of_a_bad_list(romeo: Person) -> None:
    await romeo.write("arrive")
    await romeo.write(AFAR)
    assert "Line 2" in await romeo.write("a@x.example\nnobody\nb@x.example")
    assert "no address in that list" in await romeo.write("# only a remark")


async def test_dialogs_are_bounded(world: World) -> None:
    for n in range(1005):
        await Person(world, f"u{n}@montague.example/x").write("away")
    assert world.talk.chat.dialogs == 1000

"""Dialogs in the chat: words, numbers, leaving, resting."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from component.core.journey.model import CheckName
from component.core.notices import Follow, Settings
from component.xmpp.chat import LANG
from component.xmpp.names import NS_COMPONENT, NS_CORRECT
from tests.unit.ui.talk.drive import Person, message
from tests.unit.ui.talk.fake import (
    ADMIN,
    AFAR,
    CODE,
    CONTACTS,
    JULIET,
    NOW,
    ROMEO,
    World,
    record,
)


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
    """Address, code, all as suggested, and the last word: five messages."""
    assert f"sent a code to {JULIET}" in await romeo.write(f"move away {JULIET}")
    assert "Who is told?" in await romeo.write(CODE)
    assert "Who may read" in await romeo.write("ok")
    text = await romeo.write("-")
    assert "4 contacts are told" in text
    assert "Begin now?" in text
    assert world.orders.ordered == []
    assert "has begun" in await romeo.write("ok")
    assert [order[0] for order in world.orders.ordered] == ["start"]


async def test_all_but(world: World, romeo: Person) -> None:
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    question = await romeo.write("1")
    assert "4. [x] Tybalt (tybalt@capulet.example)" in question or "4. [x] tybalt" in question
    assert "from 1 to 4" in await romeo.write("all but 3, 9")
    text = await romeo.write("All but 1, 3")
    assert "2 contacts are told" in text
    assert "2 are left out" in text
    assert world.orders.ordered == []
    assert "has begun" in await romeo.write("yes")
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
    said = [a for a in answers if a]
    assert len(said) == 31
    assert "too fast" in said[-1]
    assert not any("too fast" in a for a in said[:-1])
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


# Whose a dialog is ----------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["help", "back", "ok", "1", "cancel"])
async def test_a_dialog_is_not_inherited(world: World, romeo: Person, written: str) -> None:
    """The account was deleted at a question, and somebody else has its name."""
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    assert CONTACTS[0] in await romeo.write("1")
    world.orders.owners[ROMEO] = "second"
    text = await romeo.write(written)
    for secret in (*CONTACTS, AFAR, "Left"):
        assert secret not in text
    assert world.orders.ordered == []


async def test_a_server_that_does_not_say_whose_an_account_is(world: World, romeo: Person) -> None:
    """Nothing is shown meanwhile, and the question waits; to leave it is possible."""
    await romeo.write(f"away {AFAR}")
    world.orders.unavailable = True
    text = await romeo.write("help")
    assert "does not answer just now" in text
    assert AFAR not in text
    world.orders.unavailable = False
    assert "Who is told?" in await romeo.write("help")
    world.orders.unavailable = True
    assert await romeo.write("cancel") == "Left. Nothing was changed."


# Questions that are asked again ---------------------------------------------------------------


async def test_a_yes_or_no_says_again_what_it_is_about(world: World, romeo: Person) -> None:
    world.move()
    await romeo.write("cancel")
    for written in ("undo", "help", "perhaps"):
        text = await romeo.write(written)
        assert f"m7: {ROMEO}" in text
        assert "requests without an answer are taken back" in text
        assert ("about “Cancel a move”" in text) is (written == "undo")
    assert world.orders.ordered == []


async def test_a_command_within_another_question(world: World, romeo: Person) -> None:
    for command, written in (("away", "progress"), ("settings", "undo"), ("away", "away")):
        await romeo.write(command)
        text = await romeo.write(written)
        assert "This question is about" in text
        assert f"“{written}” again" in text
        assert "Left" in await romeo.write("cancel")
    await romeo.write("settings")
    assert "is about" not in await romeo.write("12")  # a number is an answer


async def test_a_slip_in_a_choice_is_asked_again(world: World, romeo: Person) -> None:
    await romeo.write(f"away {AFAR}")
    await romeo.write("2")
    await romeo.write("1")
    for slip in ("1,,2", "1, ,2", ",1", "1;;2"):
        assert "I cannot read" in await romeo.write(slip)
    assert "2 contacts are told" in await romeo.write("1, 2")
    assert await romeo.write("no") == "Nothing was changed."
    assert world.orders.ordered == []


async def test_an_address_with_a_slip_is_asked_for_again(world: World, romeo: Person) -> None:
    world.orders.failing = (CheckName.REACHABLE,)
    text = await romeo.write(f"away {AFAR}")
    assert "Look for a slip" in text
    assert "Your new address" in text
    world.orders.failing = ()
    assert "Who is told?" in await romeo.write(AFAR)


async def test_an_account_that_cannot_be_seen(romeo: Person) -> None:
    assert "Check each letter" in await romeo.write(f"away {AFAR}")
    await romeo.write("cancel")
    await romeo.write(f"away {JULIET}")
    assert "Check each letter" not in await romeo.write(CODE)


@pytest.mark.parametrize("words", ["away to", "move away,", "away", "Move away:"])
@pytest.mark.parametrize(
    "written", [f"<{AFAR}>", "Romeo@Verona.Example/Phone", f"{AFAR},", f"xmpp:{AFAR}?message"]
)
async def test_addresses_after_a_command(romeo: Person, words: str, written: str) -> None:
    assert f"{ROMEO} → {AFAR}" in await romeo.write(f"{words} {written}")


async def test_a_code_where_it_arrived(world: World, romeo: Person) -> None:
    juliet = Person(world, f"{JULIET}/phone")
    assert "did not understand" in await juliet.write(CODE)
    await romeo.write(f"away {JULIET}")
    for typed in (CODE, "123 456", "123-456.", "000000"):
        text = await juliet.write(typed)
        assert f"in the chat of {ROMEO}" in text
    await juliet.write("away")
    assert f"in the chat of {ROMEO}" in await juliet.write(CODE)
    assert "Who is told?" in await romeo.write(CODE)
    assert "in the chat" not in await juliet.write(CODE)


async def test_too_fast_is_said_once_and_leaving_goes_on(world: World, romeo: Person) -> None:
    world.move()
    with capture_logs() as logs:
        for _ in range(40):
            await romeo.write("I am not here")
        assert await romeo.write("progress") == ""
        world.clock.seconds += 61
        await romeo.write("cancel")
        for _ in range(40):
            last = await romeo.write("perhaps")
        assert last == ""
        assert await romeo.write("no") == "Nothing was changed."
        assert not romeo.in_dialog
        assert await romeo.write("no") == ""
    assert len([entry for entry in logs if "faster" in entry["event"]]) == 2
    assert world.orders.ordered == []


async def test_words_without_accents_and_in_another_language(world: World) -> None:
    person = Person(world, f"{ROMEO}/phone", lang="en")
    for written in ("demenager", "déménager", "umziehen", "Mudarme"):
        assert "Your new address" in await person.write(written)
        assert await person.write("abbrechen") == "Left. Nothing was changed."
    for written in ("rueckgaengig", "ruckgangig", "rückgängig"):
        assert await person.write(written) == "There is nothing to undo."


async def test_undo_lists_moves_and_contacts_by_their_time(world: World, romeo: Person) -> None:
    world.orders.records = [replace(record(5), at=NOW - timedelta(days=1))]
    world.move()
    text = await romeo.write("undo")
    assert text.index("m7: ") < text.index("the contact Ro")


async def test_nothing_goes_back_to_a_deleted_account(world: World) -> None:
    world.move()
    world.orders.old_is_gone = True
    juliet = Person(world, f"{JULIET}/phone")
    text = await juliet.write("progress")
    assert "You can write: pause, cancel." in text
    assert "undo" not in text
    assert "is deleted" in await juliet.write("undo")
    assert not juliet.in_dialog

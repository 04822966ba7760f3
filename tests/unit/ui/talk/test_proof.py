"""Whose contacts are whose: before the code nothing of them is in any page."""

from __future__ import annotations

import pytest

from component.xmpp.names import NS_COMMANDS, NS_FORMS
from tests.unit.ui.talk.drive import Client, Person
from tests.unit.ui.talk.fake import CODE, JULIET, ROMEO, World

FRIENDS = 137
SECRETS = ("mantua.example", "friend", "137", "who", "access", "told", "suggested")
"""Of Romeo's contacts, how many they are, and the questions that depend on them."""
THEIRS = {"arrive": "old", "away": "new"}
"""The field that names the other account."""


def befriend(world: World) -> None:
    """Romeo has contacts whom nothing else is mistaken for."""
    world.orders.contacts_of_old = [f"friend{n}@mantua.example" for n in range(FRIENDS)]


def shown(client: Client) -> str:
    """All that a client is told in a page: texts, options and names of fields."""
    parts = [text.strip() for text in client.answer.itertext() if text.strip()]
    for element in client.answer.iter():
        assert element.tag.startswith((f"{{{NS_COMMANDS}}}", f"{{{NS_FORMS}}}"))
        parts += [value for name, value in element.attrib.items() if name in ("var", "label")]
    return "\n".join(parts).casefold()


def found_out(text: str) -> list[str]:
    """Which of the secrets a text holds; the address of a move has none of them."""
    return [secret for secret in SECRETS if secret in text.casefold()]


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("name", ["arrive", "away"])
async def test_no_form_shows_contacts_before_the_code(name: str, careless: bool) -> None:
    """Juliet, or whoever is at her client, names Romeo's account and goes every way there is."""
    world = World()
    befriend(world)
    world.orders.careless = careless
    client = Client(world, f"{JULIET}/phone")
    await client.execute(name)
    await client.step({THEIRS[name]: ROMEO})
    assert client.fields == ["code"]
    pages = [shown(client)]
    for values, action in (
        (None, "complete"),
        (None, "next"),
        ({"code": "000000"}, "next"),
        ({"code": "000000"}, "complete"),
        ({"code": "new"}, None),
        ({"code": "000000", "who": "everyone", "access": "open"}, "complete"),
        ({"who": "choose", "access": "suggested"}, "complete"),
    ):
        await client.step(values, action)
        assert client.fields == ["code"]
        pages.append(shown(client))
    await client.step(action="prev")
    assert client.fields == [THEIRS[name]]
    await client.step({THEIRS[name]: ROMEO})
    pages.append(shown(client))
    assert [found_out(page) for page in pages] == [[] for _ in pages]
    assert world.orders.ordered == []

    # It is the code that makes the difference.
    await client.step({"code": CODE})
    assert found_out(shown(client)) == [s for s in SECRETS if s != "friend"]
    await client.step({"who": "choose", "access": "suggested"})
    assert "friend1@mantua.example" in shown(client)


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("name", ["arrive", "away"])
async def test_no_message_shows_contacts_before_the_code(name: str, careless: bool) -> None:
    world = World()
    befriend(world)
    world.orders.careless = careless
    person = Person(world, f"{JULIET}/phone")
    said = [await person.write(f"{name} {ROMEO}")]
    for text in ("000000", "new", "ok", "-", "1", "all", "help", "choose", "everyone", "yes"):
        said.append(await person.write(text))
        assert person.in_dialog
    said += [await person.write("back"), await person.write(ROMEO)]
    assert [found_out(text) for text in said] == [[] for _ in said]
    assert world.orders.ordered == []

    text = await person.write(CODE)
    assert {"mantua.example", "137", "told"} <= set(found_out(text))
    assert "Who is told?" in text
    await person.write("choose")
    assert "friend1@mantua.example" in await person.write("ok")


@pytest.mark.parametrize("renderer", [Client, Person])
async def test_nobody_comes_back_to_a_code(renderer: type[Client] | type[Person]) -> None:
    """It is used up: who goes back from the questions is at the address again."""
    world = World()
    asker = renderer(world, f"{JULIET}/phone")
    if isinstance(asker, Client):
        await asker.execute("arrive")
        for values in ({"old": ROMEO}, {"code": CODE}):
            await asker.step(values)
        await asker.step(action="prev")
        assert asker.fields == ["old"]
        await asker.step({"old": ROMEO})
        assert asker.fields == ["code"]
    else:
        for words in (f"arrive {ROMEO}", CODE):
            await asker.write(words)
        assert "Your old address" in await asker.write("back")
        assert "sent a code" in await asker.write(ROMEO)
    assert world.orders.ordered == []


async def test_a_move_without_contacts() -> None:
    """It is allowed, and only who may read is asked."""
    world = World()
    world.orders.contacts_of_old = []
    client = Client(world, f"{JULIET}/phone")
    await client.execute("arrive")
    await client.step({"old": ROMEO})
    await client.step({"code": CODE})
    assert "there is no contact to tell" in shown(client)
    assert client.fields == ["access"]
    await client.step({"access": "suggested"})
    assert "0 contacts are told" in shown(client)
    await client.step({"sure": "1"}, "complete")
    assert "has begun" in client.note

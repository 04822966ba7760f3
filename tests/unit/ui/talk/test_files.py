"""Accounts as files: sent in the chat or to a command, and made by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.account.errors import Why
from component.account.model import Contact, Identity, Piece
from component.engine.files.ports import FileTrouble, Trouble
from component.store import Store
from component.ui.talk import files
from component.ui.talk.files import FILES_AN_HOUR
from component.ui.talk.language import LANGUAGES, Words
from tests.unit.engine.belongings.test_faults import EVERYTHING, House
from tests.unit.engine.files.upload_server import UploadServer
from tests.unit.ui.talk.drive import Client, Person
from tests.unit.ui.talk.fake import AFAR, JULIET, ROMEO, World
from tests.unit.web.storage import Storage

OLD = Identity("old.example", "jülia")
WHOLE: list[Piece] = [OLD, *EVERYTHING]


class Home(House):
    """Juliet's account on a played server, and the talk about it."""

    def __init__(self, store: Store, storage: Storage) -> None:
        self.uploads = UploadServer(storage)
        super().__init__(store, (JULIET, ROMEO), server=self.uploads)
        self.world = World(copies=self.copies, files=self.uploads.files(self.copies))
        self.client = Client(self.world, f"{JULIET}/phone")
        self.person = Person(self.world, f"{JULIET}/phone")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'moved.db'}"
    async with Storage() as storage, await Store.open(url) as store:
        home = Home(store, storage)
        yield home
        await home.copies.stop()


@pytest.mark.parametrize("how", ["a link", "a file", "a file with a title"])
async def test_a_file_in_the_chat(home: Home, how: str) -> None:
    """What clients send after an upload: the link as text, with it as an element, or with words."""
    link = home.uploads.shared(WHOLE)
    body = "my old account" if how == "a file with a title" else link
    more = {"link": link} if how != "a link" else {}
    shown = await home.person.write(body, **more)
    assert shown.startswith("jülia@old.example → juliet@capulet.example, a preview\n")
    assert "• Contacts: 1 would be added\n" in shown
    assert await home.server.things(JULIET) == []
    told = await home.person.write("yes")
    assert "jülia@old.example → juliet@capulet.example, finished\n" in told
    assert await home.server.things(JULIET) == list(EVERYTHING)
    # And back.
    await home.person.run("my things", [{"do": "undo"}, {"sure": "1"}])
    assert await home.server.things(JULIET) == []


async def test_by_command(home: Home) -> None:
    await home.client.execute("file")
    assert home.client.fields == ["link"]
    await home.client.step({"link": "j.xml"})
    assert "That is no link" in home.client.note
    await home.client.step({"link": f"{home.uploads.storage.base}/share/nothing/j.xml"})
    assert home.client.note.endswith("Please upload it again. (404)")
    link = home.uploads.shared([OLD, Contact("romeo@x.example", "Rómeo", ())])
    said = await home.client.finish({"link": link}, {"do": "yes"})
    assert "• Contacts: 1 added" in said


async def test_no_is_no(home: Home) -> None:
    link = home.uploads.shared(WHOLE)
    assert await home.person.run(f"my file {link}", [{"do": "no"}]) == "Nothing was changed."
    await home.person.write(link)
    assert await home.person.write("cancel") == "Left. Nothing was changed."
    assert await home.server.things(JULIET) == []


async def test_a_bad_file_is_explained(home: Home) -> None:
    link = home.uploads.shared(b"<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='a.example'>")
    said = await home.person.write(link)
    assert said.startswith(
        "I cannot use that file. Line 2, element host: Its end is missing: download it again."
    )
    # The next try is an answer to the same question.
    assert "would be added" in await home.person.write(home.uploads.shared(WHOLE))


async def test_a_link_elsewhere(home: Home) -> None:
    said = await home.person.write("https://evil.example/share/a/j.xml")
    assert "I only take files that you have uploaded on your own server." in said
    assert home.uploads.storage.asked == []


async def test_a_link_that_answers_a_question(home: Home) -> None:
    """In a dialog about something else it is that question's answer."""
    await home.person.write("away")
    said = await home.person.write("https://old.example/")
    assert "is not an address" in said
    assert home.uploads.slots == []


async def test_what_is_shared_and_no_link(home: Home) -> None:
    """The words count then."""
    assert "1. Move away" in await home.person.write("help", link="geo:1,2")


async def test_strangers_bring_nothing(home: Home) -> None:
    link = home.uploads.shared(WHOLE)
    assert await Person(home.world, f"{AFAR}/x").write(link) == ""
    assert home.uploads.slots == []
    assert home.uploads.storage.asked == []


async def test_export(home: Home) -> None:
    await home.person.run(home.uploads.shared(WHOLE), [{"do": "yes"}])
    question = await home.person.write("export my account")
    assert "Whoever has its link can read it." in question
    slots = len(home.uploads.slots)
    assert await home.person.write("no") == "Nothing was changed."
    assert len(home.uploads.slots) == slots
    said = await home.client.run("export", [{"sure": "1"}])
    (link,) = (line for line in said.split("\n") if line.startswith("http"))
    assert "Whoever has this link can read it." in said
    assert "There is nothing to bring" in await home.person.run(link, [])


async def test_export_without_a_storage(home: Home) -> None:
    home.uploads.service = "nowhere.example"
    said = await home.client.run("export", [{"sure": "1"}])
    assert said.startswith("The server has no storage for files.\n")
    assert said.endswith(f"xmpp-moved fetch {JULIET} -o account.xml")


async def test_a_flood(home: Home) -> None:
    await home.client.execute("file")
    for _ in range(FILES_AN_HOUR):
        await home.client.step({"link": "https://evil.example/share/a/j.xml"})
    slots = len(home.uploads.slots)
    await home.client.step({"link": home.uploads.shared(WHOLE)})
    assert "many files" in home.client.note
    assert len(home.uploads.slots) == slots
    home.world.clock.seconds += 3601
    await home.client.execute("file")
    await home.client.step({"link": home.uploads.shared(WHOLE)})
    assert "would be added" in home.client.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_trouble_has_words(language: str) -> None:
    words = Words(language)
    assert list(files.TROUBLES) == list(Trouble)
    assert list(files.FAULTS) == list(Why)
    for why in Why:
        bad = FileTrouble(Trouble.BAD_FILE, why=why.value, line="7", element="server-data/host")
        said = files.said(words, bad)
        assert "7" in said
        assert "host" in said
    for trouble in set(Trouble) - {Trouble.BAD_FILE}:
        assert files.said(words, FileTrouble(trouble, status="404")).endswith(" (404)")

"""What was brought into an account, and what would be: shown, answered and undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from component.account.model import Contact, Piece
from component.core.belongings.model import JobState, Result, Sort, Why
from component.core.journey.model import Journey, JourneyState, Problem, Refused
from component.engine.belongings.ports import FromPieces
from component.store import Store
from component.ui.talk import things_words
from component.ui.talk.language import LANGUAGES, Words
from component.ui.talk.pages import Answers, Done, Form, Turn
from component.ui.talk.things import Things
from component.xmpp.errors import LinkLost, RemoteError
from sim.account_server import sets
from tests.unit.engine.belongings.test_faults import (
    EVERYTHING,
    NOTES,
    PROFILE,
    House,
)
from tests.unit.ui.talk.drive import Client, Person
from tests.unit.ui.talk.fake import JULIET, ROMEO, World, journey

ANOTHER = Contact("romeo@x.example", "Mine", ())
ANOTHER_NAME = Contact("romeo@x.example", "Rómeo", ())


class Home(House):
    """Juliet's account on a played server, and the talk about it; her move from Romeo's."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, (JULIET, ROMEO), self._proven)
        self.world = World(copies=self.copies)
        self.client = Client(self.world, f"{JULIET}/phone")
        self.person = Person(self.world, f"{JULIET}/phone")

    async def _proven(self, asker: str, id: int) -> Journey:
        found = self.world.orders.started[id]
        if found.state is JourneyState.DONE:
            raise Refused(Problem.TOO_LATE)
        return found

    async def has(self, account: str, pieces: Sequence[Piece]) -> None:
        """Let an account have these things."""
        await self.brought(pieces, account)

    async def brought(self, pieces: Sequence[Piece], to: str = JULIET) -> int:
        """The number of a copy out of a file that is through."""
        seen = await self.copies.preview(to, FromPieces(pieces, "juliet@old.example"))
        await self.copies.start(to, seen.job.id)
        await self.copies.done(seen.job.id)
        return seen.job.id


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'moved.db'}") as store:
        home = Home(store)
        yield home
        await home.copies.stop()


async def test_nothing_yet(home: Home) -> None:
    shown = await home.client.run("things", [])
    assert shown == "Nothing was brought into your account yet."
    assert await home.person.run("my things", []) == shown


async def test_a_report_and_the_way_back(home: Home) -> None:
    await home.brought(EVERYTHING)
    after = await home.server.things(JULIET)
    text = await home.person.write("my things")
    assert text.startswith("juliet@old.example → juliet@capulet.example, finished\n")
    for line in ("Contacts: 1 added", "Blocked people: 1 added", "Published entries: 1 added"):
        assert f"• {line}\n" in text
    assert "Are you sure?" in await home.person.write("undo")
    assert await home.person.write("no") == "Nothing was changed."
    assert await home.client.run("things", [{"do": "leave"}]) == "Nothing was changed."
    assert await home.server.things(JULIET) == after

    said = await home.person.run("things", [{"do": "undo"}, {"sure": "1"}])
    assert ", undone\n" in said
    assert said.count(": 1 as before") == len(Sort)
    assert await home.server.things(JULIET) == []
    # What is undone is shown, and that is all.
    assert await home.client.run("things", []) == said


async def test_what_was_refused_and_left_alone_is_named(home: Home) -> None:
    await home.has(JULIET, [ANOTHER, NOTES])
    home.server.before = lambda kind, asked: (
        RemoteError("not-acceptable") if sets("vCard")(kind, asked) else None
    )
    await home.brought([ANOTHER_NAME, PROFILE, NOTES])
    await home.client.execute("things")
    await home.client.step({"which": "c2"})
    text = home.client.text
    assert "• Contacts: 1 left alone\n" in text
    assert "• Profile: 1 not possible\n" in text
    assert "• Private settings: 1 there already\n" in text
    assert "Not possible:\n- Profile (not-acceptable)\n" in text
    assert text.endswith("Left alone, because something else is there:\n- romeo@x.example")
    # Nothing was written, so there is no way back to offer.
    assert home.client.status == "completed"


async def test_an_undo_says_what_it_left(home: Home) -> None:
    await home.brought([ANOTHER, PROFILE])
    home.server.accounts[JULIET].roster["romeo@x.example"].set("name", "R.")
    said = await home.client.run("things", [{"do": "undo"}, {"sure": "1"}])
    assert "• Contacts: 1 not taken back\n• Profile: 1 as before\n" in said
    assert said.endswith("Not taken back:\n- romeo@x.example (you have changed it since)")


async def test_long_lists_are_cut(home: Home) -> None:
    mine = [Contact(f"c{n}@x.example", "Mine", ()) for n in range(13)]
    await home.has(JULIET, mine)
    number = await home.brought([Contact(one.jid, "Other", ()) for one in mine])
    await home.client.execute("things")
    await home.client.step({"which": f"c{number}"})
    shown = home.client.text
    assert "• Contacts: 13 left alone\n" in shown
    assert shown.count("\n- ") == things_words.MOST_NAMES
    assert shown.endswith("\nand 3 more")


async def test_the_newest_first_with_figures(home: Home) -> None:
    await home.brought([ANOTHER, PROFILE])
    await home.brought([ANOTHER, NOTES])
    text = await home.person.write("things")
    first, second = (line for line in text.split("\n") if ": from " in line)
    assert first.startswith("1. c2: from juliet@old.example, ")
    assert first.endswith(", finished (1 added, 1 there already)")
    assert second.startswith("2. c1: ")
    assert second.endswith(", finished (2 added)")
    assert ", finished\n" in await home.person.write("ok")


async def test_a_preview_by_both_renderers(home: Home) -> None:
    """What the old account of a move has, looked through once more."""
    await home.has(ROMEO, EVERYTHING)
    await home.has(JULIET, [Contact("romeo@x.example", "Mine", ())])
    home.world.orders.started[7] = journey(7)
    mine = await home.server.things(JULIET)

    await home.client.execute("things")
    await home.client.step({"which": "m7"})
    assert "• Contacts: 1 left alone\n" in home.client.text
    assert "• Profile: 1 would be added\n" in home.client.text
    assert home.client.options == ["yes", "replace", "no"]
    assert await home.client.finish({"do": "no"}) == "Nothing was changed."
    assert await home.server.things(JULIET) == mine

    await home.person.write("my things")
    question = await home.person.write("m7")
    assert question.endswith("1. yes\n2. yes, and replace what is there\n3. no\nWrite a number.")
    assert "Nothing has been changed yet" in question
    said = await home.person.write("yes")
    assert "• Contacts: 1 left alone\n" in said
    assert "• Profile: 1 added\n" in said
    assert not home.person.in_dialog

    await home.client.execute("things")
    await home.client.step({"which": "m7"})
    # All else is there, so this is all that is asked.
    assert home.client.options == ["replace", "no"]
    said = await home.client.finish({"do": "replace"})
    assert "• Contacts: 1 changed\n" in said
    assert await home.server.things(JULIET) == list(EVERYTHING)

    await home.client.execute("things")
    await home.client.step({"which": "m7"})
    assert home.client.status == "completed"
    assert home.client.text.endswith("There is nothing to bring into your account.")


async def test_what_could_not_be_read_is_said(home: Home) -> None:
    await home.has(ROMEO, [ANOTHER])
    home.world.orders.started[7] = journey(7)
    home.server.before = lambda kind, asked: (
        RemoteError("forbidden") if asked.tag.endswith("}vCard") else None
    )
    text = await home.person.write("my things")
    assert "The server did not let me read:\n- profile (forbidden)" in text


async def test_a_preview_that_was_replaced(home: Home) -> None:
    await home.has(ROMEO, EVERYTHING)
    home.world.orders.started[7] = journey(7)
    await home.client.execute("things")
    await home.client.step({"which": "m7"})
    await home.copies.preview(JULIET, FromPieces([PROFILE], "another"))
    said = await home.client.finish({"do": "yes"})
    assert said == "I have that no longer. Write “my things” to begin anew."
    assert await home.server.things(JULIET) == []


async def test_a_move_of_long_ago(home: Home) -> None:
    home.world.orders.started[7] = journey(7, JourneyState.DONE)
    assert await home.person.write("my things") == "That move was too long ago."


async def test_work_that_takes_its_time(home: Home) -> None:
    """The answer does not wait for it, and says what is still to be done."""
    await home.has(ROMEO, EVERYTHING)
    home.world.orders.started[7] = journey(7)
    things = Things(home.copies, home.world.orders, wait_seconds=0.05)
    (command,) = things.commands()
    turn = Turn(JULIET, Words("en"))
    preview = await command.begin(turn)
    assert isinstance(preview, Form)
    home.server.before = lambda kind, asked: LinkLost("down") if kind == "set" else None
    started = await preview.then(turn, Answers({"do": ("yes",)}))
    assert isinstance(started, Done)
    assert ", under way\n" in started.text
    assert "• Contacts: 1 still waiting\n" in started.text
    assert started.text.endswith("Write “my things” to see how far it is.")
    (job,) = await home.copies.copies(JULIET)
    refused = await preview.then(turn, Answers({"do": ("yes",)}))
    assert isinstance(refused, Done)
    assert refused.warning
    home.server.before = lambda kind, asked: None
    await home.copies.done(job.id)
    assert "finished" in await home.person.write("my things")


async def test_somebody_elses_copy(home: Home) -> None:
    """Whatever number a stranger names: they are offered their own alone, and given no other."""
    number = await home.brought(EVERYTHING)
    stranger = Client(home.world, f"{ROMEO}/phone")
    assert await stranger.run("things", []) == "Nothing was brought into your account yet."
    home.world.orders.started[7] = journey(7)
    home.world.orders.started[8] = journey(8)
    await stranger.execute("things")
    await stranger.step({"which": f"c{number}"})
    assert stranger.status == "executing"
    assert "none of the choices" in stranger.note
    # A page of the owner's does nothing in another's hands either.
    (command,) = Things(home.copies, home.world.orders).commands()
    page = await command.begin(Turn(JULIET, Words("en")))
    assert isinstance(page, Form)
    with pytest.raises(Refused) as refused:
        await page.then(Turn(ROMEO, Words("en")), Answers({"which": (f"c{number}",)}))
    assert refused.value.problem is Problem.NOT_YOURS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_value_has_words(language: str) -> None:
    words = Words(language)
    assert list(things_words.SORTS) == list(Sort)
    assert list(things_words.STATES) == list(JobState)
    assert list(things_words.WHYS) == list(Why)
    assert list(things_words.FATES) == list(things_words.Fate)
    assert {result.value for result in Result} <= {one.value for one in things_words.Fate}
    for table in (things_words.SORTS, things_words.STATES, things_words.WHYS, things_words.FATES):
        said = [words.say(text) for text in table.values()]
        assert len(set(said)) == len(said)

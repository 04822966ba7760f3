"""Arriving from another server: what the old account hands over, or why it does not."""

from __future__ import annotations

import pytest

from component.core.journey.model import CheckName
from component.engine.movers.arrivals import Lacking
from component.engine.movers.orders import Given
from tests.unit.ui.talk.drive import Person
from tests.unit.ui.talk.fake import AFAR, CONTACTS, ROMEO, World

PASTE = "please paste it here"


async def refused(**lacking: str) -> tuple[Person, str]:
    """Somebody who arrives from where nothing comes, and what they are told."""
    world = World()
    world.orders.lacking = lacking
    romeo = Person(world, f"{ROMEO}/phone")
    return romeo, await romeo.write(f"arrive {AFAR}")


async def test_contacts_come_by_themselves() -> None:
    world = World()
    romeo = Person(world, f"{ROMEO}/phone")
    world.orders.handed_over = [Given(jid) for jid in CONTACTS]
    said = await romeo.write(f"arrive {AFAR}")
    assert f"Your contacts came from {AFAR}" in said
    assert PASTE not in said
    assert "4 contacts are told" in await romeo.write("ok")
    assert "has begun" in await romeo.write("ok")
    # Who pasted them is not told that they came.
    world.orders.handed_over = None
    await romeo.write(f"arrive {AFAR}")
    assert "Your contacts came" not in await romeo.write("nurse@d1.example")


@pytest.mark.parametrize(
    ("why", "detail", "said"),
    [
        (Lacking.PACKING, "", "may still be packing"),
        (Lacking.SLOW, "3/9", "what has come is kept"),
        (Lacking.BAD, "chunk 3: it is no base64", "is damaged, so I use nothing of it (chunk 3"),
    ],
)
async def test_why_they_do_not(why: Lacking, detail: str, said: str) -> None:
    romeo, text = await refused(lacking=why.value, detail=detail)
    assert said in text
    assert AFAR in text
    assert PASTE in text
    assert "Who is told?" in await romeo.write("nurse@d1.example")


async def test_nothing_is_pasted_before_the_statement_is_there() -> None:
    world = World()
    romeo = Person(world, f"{ROMEO}/phone")
    world.orders.handed_over = ()  # the engine has looked at more than contacts
    world.orders.failing = (CheckName.STATEMENT,)
    said = await romeo.write(f"arrive {AFAR}")
    assert "Order “move away” at the old account" in said
    assert PASTE not in said
    assert "Your old address" in said
    world.orders.failing = ()
    world.orders.handed_over = None
    assert PASTE in await romeo.write(AFAR)


@pytest.mark.parametrize("why", [None, Lacking.NOT_NAMED, Lacking.UNREACHABLE])
async def test_nothing_is_said_of_servers_without_hand_overs(why: Lacking | None) -> None:
    _, text = await refused(**({"lacking": why.value} if why else {}))
    assert PASTE in text
    assert "pack" not in text
    assert "I cannot read" in text
